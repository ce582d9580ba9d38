/** Each component dies, or is away, while traffic runs. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, nodes, numberOf, type RunningPod } from './cluster.ts'
import { networkManifest, podManifest } from './pods.ts'
import { assertUnharmed, type Flow, startFlow } from './traffic.ts'
import { useCluster } from './use-cluster.ts'

/** How long the API server is away, at least; in a long run ten minutes. */
const AWAY_SECONDS = Number(process.env['E2E_API_AWAY_SECONDS'] ?? 0)

describe('when something dies', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  let a: RunningPod
  let b: RunningPod
  let far: RunningPod
  useCluster(async (made) => {
    here = made
    namespace = await here.namespace('failures')
    const pods = await here.start(
      { name: 'a', namespace, node: 'node1' },
      { name: 'b', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
    )
    ;[a, b, far] = pods as [RunningPod, RunningPod, RunningPod]
  })

  function flows(): Promise<Flow[]> {
    return Promise.all([
      startFlow(here, a, b.ip4, 'tcp'),
      startFlow(here, a, far.ip4, 'udp'),
      startFlow(here, far, a.ip6, 'tcp'),
      startFlow(here, b, '192.0.2.10', 'udp'),
    ])
  }

  /** How often kubelets have started agents again. */
  async function restarts(): Promise<number> {
    const agents = ['pods', '-n', 'kube-vrouter', '-l', 'app.kubernetes.io/component=vrouter']
    const counts = ['-o', 'jsonpath={.items[*].status.containerStatuses[*].restartCount}']
    return (await here.kubectl('get', ...agents, ...counts)).split(' ').reduce((sum, count) => sum + Number(count), 0)
  }

  /** Container id of the sandbox that runs for a pod; empty: none does. */
  async function sandboxOf(node: 'node1' | 'node2', pod: string): Promise<string> {
    const filter = `labels."io.kubernetes.pod.name"==${pod},labels."io.cri-containerd.kind"==sandbox`
    const ids = (await here.output(node, 'ctr', '-n', 'k8s.io', 'containers', 'ls', '-q', filter)).trim().split('\n')
    const tasks = await here.output(node, 'ctr', '-n', 'k8s.io', 'tasks', 'ls')
    return ids.find((id) => new RegExp(`^${id} .*RUNNING`, 'm').test(tasks)) ?? ''
  }

  it('the agents: no packet is lost, new connections work without them, and they come back', async () => {
    const running = await flows()
    const before = await restarts()
    for (const node of nodes) await here.lab.killDaemon(numberOf(node))
    assert.equal(await here.seenBy(a, far.ip4), a.ip4)
    await here.until(
      'the agents to be back',
      async () => {
        const ready = ['-o', 'jsonpath={.status.numberReady}']
        const status = await here.kubectl('get', 'daemonset', '-n', 'kube-vrouter', 'vrouter', ...ready)
        return status === '2' && (await restarts()) >= before + nodes.length
      },
      60,
    )
    await sleep(1000)
    await assertUnharmed(running)
    await here.start({ name: 'after-agents', namespace, node: 'node1' })
  })

  it('the controller: another one leads, and networks that come meanwhile get their numbers', async () => {
    const running = await flows()
    const leases = await here.json<{ items: { metadata: { name: string }; spec: { holderIdentity: string } }[] }>(
      'get',
      'lease',
      '-n',
      'kube-vrouter',
    )
    const holder = leases.items.find(({ metadata }) => metadata.name.includes('controller'))!.spec.holderIdentity
    const pods = await here.json<{ items: { metadata: { name: string } }[] }>(
      'get',
      'pods',
      '-n',
      'kube-vrouter',
      '-l',
      'app.kubernetes.io/component=controller',
    )
    const leader = pods.items.map(({ metadata }) => metadata.name).find((name) => holder.includes(name))
    assert.ok(leader, `no pod is ${holder}`)
    await here.kubectl('delete', 'pod', '-n', 'kube-vrouter', leader, '--grace-period=0', '--force')
    await here.apply(networkManifest(namespace, 'late', ['10.8.0.0/24']))
    await here.until(
      'a number for the network',
      async () => {
        const vni = await here.kubectl(
          'get',
          'vn',
          '-n',
          namespace,
          'late',
          '-o',
          'jsonpath={.status.virtualNetworkNetworkID}',
        )
        return Number(vni) >= 4096
      },
      60,
    )
    await assertUnharmed(running)
  })

  it('the API server: traffic goes on, an agent restarts without it, and pods start in the blocks that are there', async function () {
    // The kubelet waits up to 40 s until it starts an agent again that has died before, and it looks for the API server as rarely in the end.
    this.timeout(420_000 + AWAY_SECONDS * 1000)
    const [victim] = await here.start({ name: 'victim', namespace, node: 'node1' })
    const agent = await here.lab.daemonPod(1)
    const running = await flows()
    await here.lab.stopPart('kube-apiserver')
    const away = performance.now()
    try {
      const kill = (id: string) =>
        here.output('node1', 'ctr', '-n', 'k8s.io', 'tasks', 'kill', '--signal', 'SIGKILL', id)
      await kill(agent.containerId)
      // The kubelet makes a dead sandbox anew, by DEL and ADD, from what it remembers.
      const sandbox = await sandboxOf('node1', 'victim')
      await kill(sandbox)
      await here.until('another sandbox', async () => !['', sandbox].includes(await sandboxOf('node1', 'victim')), 150)
      let address = ''
      await here.until(
        'an answer of the pod in it',
        async () => {
          const records = await here.output('node1', 'sh', '-c', 'cat /var/lib/vrouter/ports/*.json')
          const record = records
            .split(/(?<=})\s*(?={)/)
            .find((text) => text.includes('"victim"') && !text.includes(sandbox))
          address = /"addresses":\s*\[\s*"([\d.]+)"/.exec(record ?? '')?.[1] ?? ''
          return address !== '' && (await here.run('node2', 'ping', '-c', '1', '-W', '1', address)).status === 0
        },
        60,
      )
      assert.notEqual(address, victim!.ip4)
      await sleep(Math.max(0, AWAY_SECONDS * 1000 - (performance.now() - away)))
    } finally {
      await here.lab.startPart('kube-apiserver')
    }
    await here.until('the API server', async () => (await here.kubectl('get', '--raw', '/readyz')) === 'ok', 60)
    await assertUnharmed(running)
    await here.apply(...nodes.map((node) => podManifest({ name: `after-api-${node}`, namespace, node })))
    for (const node of nodes) await here.ready(namespace, `after-api-${node}`, 150)
    await here.until('one interface object of the pod', async () => {
      const { items } = await here.json<{ items: { spec: { pod: { name: string } } }[] }>('get', 'vmi', '-n', namespace)
      return items.filter(({ spec }) => spec.pod.name === 'victim').length === 1
    })
  })

  it('a node (power loss): it comes back with its pods, and nothing of before is in their way', async function () {
    this.timeout(240_000)
    const running = [await startFlow(here, a, b.ip4, 'tcp')]
    await here.lab.nodeDown(2)
    await sleep(1000)
    await here.lab.nodeUp(2)
    await here.lab.untilReady(2, 120_000)
    await here.until(
      'the pod to run again',
      async () => {
        const pod = await here.ready(namespace, 'far', 5)
        return (await here.seenBy(a, pod.ip4)) === a.ip4
      },
      120,
    )
    await assertUnharmed(running)
    await here.until('no interface object of before', async () => {
      const { items } = await here.json<{ items: { spec: { pod: { name: string }; containerId: string } }[] }>(
        'get',
        'vmi',
        '-n',
        namespace,
      )
      return items.filter(({ spec }) => spec.pod.name === 'far').length === 1
    })
  })

  it('a node that is taken out of the cluster and joins again: its old blocks and routers are gone, its pods start', async function () {
    this.timeout(240_000)
    const running = [await startFlow(here, a, b.ip4, 'tcp')]
    const before = await here.json<{ metadata: { uid: string } }>('get', 'vr', 'node2')
    await here.lab.nodeDown(2)
    await here.kubectl('delete', 'node', 'node2')
    await here.until(
      'nothing of the node',
      async () => {
        const left = await here.kubectl(
          'get',
          'vr,ib',
          '-o',
          'jsonpath={.items[*].spec.node} {.items[*].metadata.name}',
        )
        return !left.split(/\s+/).includes('node2')
      },
      120,
    )
    await here.lab.nodeUp(2)
    await here.until('the node', async () => (await here.kubectl('get', 'nodes', '-o', 'name')).includes('node2'))
    await here.lab.untilReady(2, 120_000)
    const [again] = await here.start({ name: 'again', namespace, node: 'node2' })
    assert.equal(await here.seenBy(again!, a.ip4), again!.ip4)
    const after = await here.json<{ metadata: { uid: string } }>('get', 'vr', 'node2')
    assert.notEqual(after.metadata.uid, before.metadata.uid)
    await assertUnharmed(running)
  })
})
