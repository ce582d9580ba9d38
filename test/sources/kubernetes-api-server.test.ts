/** The kubernetes source against a real kube-apiserver and etcd. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { silent } from '../../daemon/src/log.ts'
import type { Report } from '../../daemon/src/model/objects.ts'
import { KubernetesSource } from '../../daemon/src/sources/kubernetes/source.ts'
import { ApiServer, eventually, skipWithoutApiServer } from '../controller/api-server.ts'
import { block, NODE, network, node, ownInterface, pod, RED, router, vmi } from './kubernetes-objects.ts'

/** The daemon's service account, with the rights that the chart gives it and no others. */
const USER = 'kube-vrouter:vrouter'

function rights(): object[] {
  const file = join(import.meta.dirname, '../../charts/kube-vrouter/templates/rbac-vrouter.yaml')
  const text = readFileSync(file, 'utf8').replaceAll(/^.*\{\{.*$/gm, '')
  const roles = parseAllDocuments(text)
    .map(
      (document) => document.toJS() as { kind: string; metadata: { name: string; labels?: unknown }; rules?: unknown },
    )
    .filter(({ rules }) => rules !== undefined)
  return roles.flatMap((role) => [
    { ...role, metadata: { ...role.metadata, labels: undefined } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: `${role.kind}Binding`,
      metadata: { ...role.metadata, labels: undefined },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: role.metadata.name },
      subjects: [{ kind: 'User', name: `system:serviceaccount:${USER}`, apiGroup: 'rbac.authorization.k8s.io' }],
    },
  ])
}

describe('the kubernetes source and a real API server', function () {
  this.timeout(120_000)
  let server: ApiServer
  let folder: string
  const open: KubernetesSource[] = []

  before(async function () {
    skipWithoutApiServer(this)
    folder = mkdtempSync(join(tmpdir(), 'vrouter-kubernetes-'))
    server = await ApiServer.start([USER])
    await server.installCrds()
    await server.apply(...rights())
    await server.apply(
      { apiVersion: 'v1', kind: 'Node', ...node() },
      { apiVersion: 'v1', kind: 'Node', ...node('node-2') },
      network('red', { subnets: [{ cidr: '10.1.0.0/16' }] }, { labels: { tier: 'a' } }),
    )
  })
  afterEach(async () => {
    for (const source of open.splice(0)) await source[Symbol.asyncDispose]()
  })
  after(async () => {
    await server?.[Symbol.asyncDispose]()
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })

  async function started(name = NODE, state = name): Promise<KubernetesSource> {
    const source = new KubernetesSource({
      node: name,
      cluster: 'k8s',
      defaultSubnets: ['10.244.0.0/16'],
      kubeconfig: server.kubeconfig(USER),
      server: '',
      state: join(folder, state),
      log: silent,
      timings: { unreachableMs: 1000 },
    })
    open.push(source)
    await source.start(() => undefined)
    return source
  }

  it('reads what is there, publishes, and other nodes see it', async () => {
    const source = await started()
    const other = await started('node-2')
    assert.deepEqual(source.state().virtualNetworks.get(RED)?.labels, { tier: 'a' })
    assert.deepEqual(source.state().rejected, [])
    await source.publish({ kind: 'VirtualRouter', object: router() })
    await source.publish({ kind: 'VirtualRouter', object: { ...router(), vrfLabels: {}, vhostLabel: 20 } })
    await eventually('the other node sees the router', async () => other.state().routers.get(NODE)?.vhostLabel === 20)
    assert.deepEqual(other.state().routers.get(NODE), { ...router(), vrfLabels: {}, vhostLabel: 20 })
    const { metadata } = await server.get<{ metadata: { ownerReferences: { kind: string; uid: string }[] } }>(
      'vr',
      NODE,
    )
    const owner = await server.get<{ metadata: { uid: string } }>('node', NODE)
    assert.deepEqual(metadata.ownerReferences, [
      { apiVersion: 'v1', kind: 'Node', name: NODE, uid: owner.metadata.uid },
    ])

    for (let i = 0; i < 100; i++) await source.publish({ kind: 'VirtualMachineInterface', object: ownInterface(i) })
    await eventually('the other node sees the interfaces', async () => other.state().interfaces.size === 100)
    // All but which container is behind it: that takes room, and only its own node asks.
    const { pod, ...told } = { ...ownInterface(5), containerId: '' }
    assert.deepEqual(other.state().interfaces.get(told.uuid), { ...told, pod: { name: pod.name, uid: '' } })
    assert.deepEqual(source.state().interfaces.get(told.uuid), ownInterface(5))
    await Promise.all(Array.from({ length: 100 }, (_, i) => source.withdraw('VirtualMachineInterface', `pod-${i}-x`)))
    await eventually('they are gone', async () => other.state().interfaces.size === 0)
  })

  it('reads Services, their endpoints and the ranges of the cluster, as labels come and go', async () => {
    const source = await started()
    const service = (labels: object) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'default', labels },
      spec: { ports: [{ port: 80 }] },
    })
    await server.apply(service({}), {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: ['10.1.0.5'], conditions: { ready: true } }],
    })
    await eventually('both are known', async () => source.state().slices?.has('default/web-1') === true)
    const { spec } = await server.get<{ spec: { clusterIP: string } }>('service', 'web')
    assert.deepEqual(source.state().services!.get('default/web')!.clusterIps, [spec.clusterIP])
    assert.deepEqual(source.state().services!.get('default/kubernetes')!.ports, [
      { name: 'https', protocol: 'TCP', port: 443 },
    ])
    const range = await server.get<{ spec: { cidrs: string[] } }>('servicecidr', 'kubernetes')
    assert.deepEqual(source.state().serviceRanges, range.spec.cidrs)
    await server.apply(service({ 'service.kubernetes.io/service-proxy-name': 'other' }))
    await eventually('it is another proxy’s', async () => !source.state().services!.has('default/web'))
    await server.apply(service({}))
    await eventually('it is ours again', async () => source.state().services!.has('default/web'))
    assert.deepEqual(source.state().rejected, [])
  })

  it('lets one of two nodes have a block', async () => {
    const sources = [await started(), await started('node-2')]
    for (let i = 0; i < 10; i++) {
      const cidr = `10.1.${i}.0/26`
      const claims = sources.map((source, index) =>
        source.publish({ kind: 'IPAMBlock', object: block(`race-${i}`, cidr, `node-${index + 1}`) }, { create: true }),
      )
      const results = await Promise.allSettled(claims)
      const codes = results.map((one) => (one.status === 'fulfilled' ? 'ok' : (one.reason as { code: string }).code))
      assert.deepEqual(codes.sort(), ['BLOCK_TAKEN', 'ok'])
      const [a, b] = sources.map((source) => source.state().blocks.get(`race-${i}`)?.node)
      assert.ok(a !== undefined && a === b)
    }
  })

  it('knows the pods of its node, and reports to them', async () => {
    const source = await started()
    const { status: _, ...wanted } = pod('a')
    const { uid: __, ...metadata } = wanted.metadata
    await server.apply({ apiVersion: 'v1', kind: 'Pod', ...wanted, metadata })
    const { uid } = (await server.get<{ metadata: { uid: string } }>('pod', 'a', 'default')).metadata
    assert.equal((await source.findPod({ namespace: 'default', name: 'a', uid }))?.phase, 'Pending')
    assert.equal(source.state().pods.get(uid)?.name, 'a')
    const object = { kind: 'Pod', namespace: 'default', name: 'a', uid } as const
    const report: Report = { object, type: 'Warning', reason: 'NetworkMissing', message: 'there is no network blue' }
    source.report(report)
    source.report(report)
    source.report({ object: { kind: 'Node', name: NODE }, type: 'Warning', reason: 'Odd', message: 'odd' })
    await eventually('kubectl describe shows it', async () => {
      const text = await server.run(['describe', 'pod', 'a'])
      return /NetworkMissing .*vrouter.*there is no network blue/.test(text) && /NetworkReady +False/.test(text)
    })
    await eventually('of the node too', async () => (await server.run(['describe', 'node', NODE])).includes('odd'))
    await source.publish({
      kind: 'VirtualMachineInterface',
      object: { ...ownInterface(1, uid), pod: { name: 'a', uid } },
    })
    await eventually('it is put right', async () =>
      /NetworkReady +True/.test(await server.run(['describe', 'pod', 'a'])),
    )
    await source.withdraw('VirtualMachineInterface', ownInterface(1).name)
    await server.run(['delete', 'pod', 'a', '--force', '--grace-period=0'])
    await eventually('the pod is gone', async () => source.state().pods.size === 0)
    assert.equal(await source.findPod({ namespace: 'default', name: 'a', uid }), undefined)
  })

  it('lists thousands in pages, and goes on where it stood when the server comes back', async () => {
    const source = await started()
    const count = 1200
    for (let i = 0; i < count; i += 400) {
      await server.apply(...Array.from({ length: Math.min(400, count - i) }, (_, j) => vmi(i + j)))
    }
    await eventually('all are seen', async () => source.state().interfaces.size === count)
    assert.ok(readFileSync(join(folder, NODE, 'api-servers.json'), 'utf8').includes('10.255.0.1'))
    await source[Symbol.asyncDispose]()

    await server.silence()
    const resumed = await started()
    assert.equal(resumed.state().interfaces.size, count)
    await assert.rejects(resumed.publish({ kind: 'VirtualRouter', object: router() }), { code: 'API_UNREACHABLE' })
    await server.serve()
    await server.run(['delete', 'vmi', '-n', 'default', 'pod-0-x'])
    await eventually('it is in step again', async () => resumed.state().interfaces.size === count - 1, 40_000)
    await resumed.publish({ kind: 'VirtualRouter', object: router() })
    // A server that has just come back knows no roles for a moment, and says 403.
    await eventually('nothing is amiss any more', async () => resumed.state().rejected.length === 0, 40_000)
  })

  it('goes without kinds that are deleted, and takes them when they come back', async () => {
    const source = await started()
    await server.run(['delete', 'crd', 'virtualnetworkrouters.vrouter.dev'])
    await eventually(
      'it says so',
      async () => source.state().rejected.some(({ message }) => /not installed/.test(message)),
      30_000,
    )
    await server.installCrds()
    await eventually('it is content', async () => source.state().rejected.length === 0, 30_000)
    assert.ok(source.state().virtualNetworks.has(RED))
  })
})
