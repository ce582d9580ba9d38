/**
 * Services without kube-proxy: every kind of client to every kind of front that works, TCP and UDP, IPv4 and IPv6. A row names who asks whom, which
 * pods may answer, and by which address they see the client.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { outside, tools } from '../kubelab/layout.ts'
import type { Cluster, From, RunningPod } from './cluster.ts'
import { useOwnCluster } from './use-cluster.ts'

type Family = 'ip4' | 'ip6'
const families: readonly Family[] = ['ip4', 'ip6']

/** Ports of every Service here, and what `nettool serve` has behind them. */
const HTTP = 8000
const ECHO = 8007

type Client = 'client' | 'far' | 'web1' | 'host' | 'node1' | 'node2' | 'inside' | 'inside2'
type Back = 'web1' | 'web2' | 'inside' | 'inside2'
type ServiceName = 'web' | 'near' | 'remote' | 'empty' | 'local' | 'own'

interface Row {
  readonly title: string
  readonly from: Client
  readonly to: ServiceName
  /** Pods that answer, all of them sooner or later; none: it is refused. */
  readonly answers: readonly Back[]
  /** Whose address the pods see; absent: anybody's. */
  readonly seenAs?: Client
}

const rows: readonly Row[] = [
  { title: 'a pod, backs on both nodes', from: 'client', to: 'web', answers: ['web1', 'web2'], seenAs: 'client' },
  { title: 'a pod of the other node', from: 'far', to: 'web', answers: ['web1', 'web2'], seenAs: 'far' },
  { title: 'a pod, a back on its node', from: 'client', to: 'near', answers: ['web1'], seenAs: 'client' },
  { title: 'a pod, a back on the other node', from: 'client', to: 'remote', answers: ['web2'], seenAs: 'client' },
  { title: 'a pod that is the back itself', from: 'web1', to: 'near', answers: ['web1'] },
  { title: 'a pod, no backs', from: 'client', to: 'empty', answers: [] },
  { title: 'a pod, only backs of its node allowed', from: 'client', to: 'local', answers: ['web1'], seenAs: 'client' },
  { title: 'a node, backs on both nodes', from: 'node1', to: 'web', answers: ['web1', 'web2'], seenAs: 'node1' },
  { title: 'the other node', from: 'node2', to: 'web', answers: ['web1', 'web2'], seenAs: 'node2' },
  { title: 'a pod of the host’s network', from: 'host', to: 'web', answers: ['web1', 'web2'], seenAs: 'host' },
  { title: 'a node, no backs', from: 'node1', to: 'empty', answers: [] },
  { title: 'a pod of an isolated namespace', from: 'inside', to: 'own', answers: ['inside', 'inside2'] },
  { title: 'an isolated pod, a back elsewhere', from: 'inside', to: 'remote', answers: ['web2'], seenAs: 'inside' },
  { title: 'a node, backs of an isolated namespace', from: 'node1', to: 'own', answers: ['inside', 'inside2'] },
]

const nodeAddresses = {
  node1: { ip4: '10.10.0.11', ip6: 'fd00:10::11' },
  node2: { ip4: '10.10.0.12', ip6: 'fd00:10::12' },
} as const

describe('Services without kube-proxy', function () {
  this.timeout(180_000)
  let here: Cluster
  let namespace: string
  const pods = new Map<string, RunningPod>()
  const services = new Map<string, { readonly ip4: string; readonly ip6: string }>()

  useOwnCluster({ nodes: 2, dualStack: true, dns: true }, async (made) => {
    here = made
    namespace = await here.namespace('shop')
    const isolated = await here.namespace('vault', { 'opencontrail.org/isolation': 'true' })
    const running = await here.start(
      { name: 'client', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
      { name: 'web1', namespace, node: 'node1', labels: { tier: 'web', on: 'node1' } },
      { name: 'web2', namespace, node: 'node2', labels: { tier: 'web', on: 'node2' } },
      { name: 'host', namespace, node: 'node1', hostNetwork: true },
      { name: 'inside', namespace: isolated, node: 'node1', labels: { tier: 'vault' } },
      { name: 'inside2', namespace: isolated, node: 'node2', labels: { tier: 'vault' } },
    )
    for (const pod of running) pods.set(pod.name, pod)
    const service = (name: ServiceName, selector: object, more: object = {}, of = namespace) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: of },
      spec: {
        selector,
        ipFamilyPolicy: 'RequireDualStack',
        ports: [
          { name: 'http', port: HTTP, targetPort: 80 },
          { name: 'echo', port: ECHO, targetPort: 7 },
          { name: 'echo-udp', port: ECHO, targetPort: 7, protocol: 'UDP' },
        ],
        ...more,
      },
    })
    await here.apply(
      service('web', { tier: 'web' }),
      service('near', { tier: 'web', on: 'node1' }),
      service('remote', { tier: 'web', on: 'node2' }),
      service('empty', { tier: 'none' }),
      service('local', { tier: 'web' }, { internalTrafficPolicy: 'Local' }),
      service('own', { tier: 'vault' }, {}, isolated),
    )
    for (const name of ['web', 'near', 'remote', 'empty', 'local', 'own']) {
      const of = name === 'own' ? isolated : namespace
      const { spec } = await here.json<{ spec: { clusterIPs: string[] } }>('get', 'service', '-n', of, name)
      const find = (isIpv6: boolean) => spec.clusterIPs.find((address) => address.includes(':') === isIpv6)!
      services.set(name, { ip4: find(false), ip6: find(true) })
    }
    await here.until(
      'the Services are served',
      async () => (await ask('far', services.get('local')!.ip6)) !== undefined,
    )
  })

  const from = (client: Client): From => (/^node\d$/.test(client) ? (client as `node${number}`) : pods.get(client)!)

  const addressOf = (client: Client) =>
    client === 'node1' || client === 'node2'
      ? nodeAddresses[client]
      : client === 'host'
        ? nodeAddresses.node1
        : pods.get(client)!

  /** What the answer says: who we are seen as, and who answered. */
  async function ask(
    client: Client,
    host: string,
    port = HTTP,
  ): Promise<{ readonly seen: string; readonly by: string } | undefined> {
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
    const isPod = typeof from(client) === 'object'
    const command = isPod ? ['wget', '-T', '10', '-qO-', url] : ['curl', '-s', '-m', '10', url]
    const { status, stdout } = await here.run(from(client), ...command)
    const [seen = '', , by = ''] = stdout.split(/\s/)
    return status === 0 ? { seen, by } : undefined
  }

  /** What `nettool ask` prints or complains of. */
  async function echo(client: Client, host: string, isUdp: boolean): Promise<string> {
    const nettool = typeof from(client) === 'object' ? 'nettool' : join(tools.bin, 'nettool')
    const words = [...(isUdp ? ['-udp'] : []), '-timeout', '10s', host, String(ECHO)]
    const { stdout, stderr } = await here.run(from(client), nettool, 'ask', ...words)
    return (stdout || stderr).trim()
  }

  for (const { title, from: client, to, answers, seenAs } of rows) {
    it(`serve ${title}`, async () => {
      for (const family of families) {
        const address = services.get(to)![family]
        const own = seenAs === undefined ? undefined : addressOf(seenAs)[family]
        if (answers.length === 0) {
          for (const isUdp of [false, true])
            assert.match(await echo(client, address, isUdp), /connection refused/, `${family} udp ${isUdp}`)
          continue
        }
        const missing = new Set<string>(answers)
        // Chosen at random: of two, sixty in a row are the same once in 10^18.
        for (let i = 0; missing.size > 0 && i < 60; i++) {
          const answer = await ask(client, address)
          assert.ok(answer !== undefined, `${family}: no answer`)
          assert.ok(
            answers.some((name) => name === answer.by),
            `${family}: ${answer.by} answered`,
          )
          if (own !== undefined) assert.equal(answer.seen, own, family)
          missing.delete(answer.by)
        }
        assert.deepEqual([...missing], [], family)
        for (const isUdp of [false, true]) {
          const [seen = ''] = (await echo(client, address, isUdp)).split(' ')
          if (own !== undefined) assert.equal(seen, own, `${family} udp ${isUdp}`)
          else assert.notEqual(seen, '', family)
        }
      }
    })
  }

  it('of type LoadBalancer get addresses of a pool, for each of which one node answers; the outside reaches them', async () => {
    const spec = { addresses: ['10.10.0.200-10.10.0.209', 'fd00:10::200/124'] }
    await here.apply({
      ...{ apiVersion: 'vrouter.dev/v1alpha1', kind: 'LoadBalancerPool', metadata: { name: 'public' }, spec },
    })
    await here.apply({
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'public', namespace } },
      spec: {
        ...{ type: 'LoadBalancer', loadBalancerClass: 'vrouter.dev/load-balancer', selector: { tier: 'web' } },
        ...{ ipFamilyPolicy: 'RequireDualStack', ports: [{ port: HTTP, targetPort: 80 }] },
      },
    })
    let addresses: string[] = []
    await here.until('it has an address of each family', async () => {
      const { status } = await here.json<{ status: { loadBalancer: { ingress?: { ip: string }[] } } }>(
        ...(['get', 'service', '-n', namespace, 'public'] as const),
      )
      addresses = (status.loadBalancer.ingress ?? []).map(({ ip }) => ip)
      return addresses.length === 2
    })
    assert.deepEqual(addresses.sort(), ['10.10.0.200', 'fd00:10::200'])
    const page = (address: string) => `http://127.0.0.1:8085/Snh_LoadBalancerListReq?address=${address}`
    for (const address of addresses)
      await here.until(`one node answers for ${address}`, async () => {
        const shown = await Promise.all(
          (['node1', 'node2'] as const).map((node) => here.output(node, 'curl', '-sg', page(address))),
        )
        return shown.filter((text) => text.includes('>true</announced_here>')).length === 1
      })
    for (const address of addresses) {
      const own = address.includes(':') ? outside.address6 : outside.address4
      await here.until(`${address} is served`, async () => (await here.seenBy('outside', address, HTTP, 1)) === own)
      for (let i = 0; i < 20; i++) assert.equal(await here.seenBy('outside', address, HTTP), own, address)
    }
  })

  it('of type NodePort are reached by pods of every network at each node', async () => {
    const ports = { namespace, name: 'ports' }
    await here.apply({
      ...{ apiVersion: 'v1', kind: 'Service', metadata: ports },
      spec: {
        ...{ type: 'NodePort', selector: { tier: 'web' }, ipFamilyPolicy: 'RequireDualStack' },
        ports: [{ name: 'http', port: HTTP, targetPort: 80 }],
      },
    })
    const { spec } = await here.json<{ spec: { ports: { nodePort: number }[] } }>(
      'get',
      'service',
      '-n',
      namespace,
      'ports',
    )
    const { nodePort } = spec.ports[0]!
    for (const client of ['client', 'far', 'inside'] as const)
      for (const node of ['node1', 'node2'] as const)
        for (const address of Object.values(nodeAddresses[node]))
          await here.until(`${client} reaches ${address}`, async () => {
            const answer = await ask(client, address, nodePort)
            return answer !== undefined && /^web\d$/.test(answer.by)
          })
  })

  it('serve the outside and other nodes by NodePorts of every node', async () => {
    const ports = [{ name: 'http', port: HTTP, targetPort: 80 }]
    const spec = { type: 'NodePort', selector: { tier: 'web' }, ipFamilyPolicy: 'RequireDualStack', ports }
    const made = (name: string, more: object) => ({
      ...{ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: { ...spec, ...more } },
    })
    await here.apply(made('open', {}), made('open-local', { externalTrafficPolicy: 'Local' }))
    const portOf = async (name: string) =>
      (await here.json<{ spec: { ports: { nodePort: number }[] } }>('get', 'service', '-n', namespace, name)).spec
        .ports[0]!.nodePort
    const [open, local] = [await portOf('open'), await portOf('open-local')]
    for (const node of ['node1', 'node2'] as const)
      for (const family of families) {
        const address = nodeAddresses[node][family]
        const own = family === 'ip4' ? outside.address4 : outside.address6
        await here.until(
          `port ${local} of ${address} is served`,
          async () => (await here.seenBy('outside', address, local, 1)) === own,
        )
        for (let i = 0; i < 20; i++) assert.equal(await here.seenBy('outside', address, open), own, address)
        for (let i = 0; i < 10; i++) assert.equal(await here.seenBy('outside', address, local), own, address)
        const other = node === 'node1' ? 'node2' : 'node1'
        assert.equal(await here.seenBy(other, address, local), nodeAddresses[other][family], `${other} → ${address}`)
      }
  })

  it('lead pods of every network to the API server', async () => {
    for (const client of ['client', 'far', 'inside'] as const) {
      const { stdout, stderr } = await here.run(from(client), 'wget', '-T', '10', '-qO-', 'http://10.96.0.1:443/')
      // It speaks HTTPS alone, and says so.
      assert.match(stdout + stderr, /400/, client)
    }
  })

  it('are found by name', async () => {
    const long = `web.${namespace}.svc.cluster.local`
    for (const name of ['web', `web.${namespace}`, long]) {
      const answer = await ask('client', name)
      assert.equal(answer?.seen !== undefined, true, name)
    }
    // One of them has no replica of the DNS on its node.
    for (const client of ['inside', 'inside2'] as const)
      assert.equal((await ask(client, long))?.seen !== undefined, true, client)
    const said = await here.output(from('client'), 'nslookup', long)
    assert.ok(said.includes(services.get('web')!.ip4), said)
  })
})
