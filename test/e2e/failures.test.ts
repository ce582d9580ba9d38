/** Each component dies, or is away, while traffic runs. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, cluster, nodes, numberOf, type RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { assertUnharmed, type Flow, startFlow } from './traffic.ts'

describe('when something dies', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  let a: RunningPod
  let b: RunningPod
  let far: RunningPod
  before(async function () {
    here = await cluster(this)
    namespace = await here.namespace('failures')
    const pods = await here.start(
      { name: 'a', namespace, node: 'node1' },
      { name: 'b', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
    )
    ;[a, b, far] = pods as [RunningPod, RunningPod, RunningPod]
  })
  after(async () => here?.removeNamespaces(namespace))

  function flows(): Promise<Flow[]> {
    return Promise.all([
      startFlow(here, a, b.ip4, 'tcp'),
      startFlow(here, a, far.ip4, 'udp'),
      startFlow(here, far, a.ip6, 'tcp'),
      startFlow(here, b, '192.0.2.10', 'udp'),
    ])
  }

  it('the agents: no packet is lost, new connections work without them, and they come back', async () => {
    const running = await flows()
    for (const node of nodes) await here.lab.killDaemon(numberOf(node))
    assert.equal(await here.seenBy(a, far.ip4), a.ip4)
    await here.until(
      'the agents to be back',
      async () => {
        const status = await here.kubectl(
          'get',
          'daemonset',
          '-n',
          'kube-vrouter',
          'kube-vrouter',
          '-o',
          'jsonpath={.status.numberReady}',
        )
        return status === '2'
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

  it('the API server: traffic goes on, an agent restarts without it, and a pod starts in the blocks that are there', async function () {
    this.timeout(180_000)
    const running = await flows()
    await here.lab.stopPart('kube-apiserver')
    try {
      await here.lab.exec(1, ['true'])
      await sleep(3000)
      // kubectl is of no use now: into the pods by way of their node.
      const ping = await here.lab.exec(2, ['ping', '-c', '3', '-i', '0.2', far.ip4])
      assert.equal(ping.status, 0, ping.stdout)
    } finally {
      await here.lab.startPart('kube-apiserver')
    }
    await here.until('the API server', async () => (await here.kubectl('get', '--raw', '/readyz')) === 'ok', 60)
    await assertUnharmed(running)
    await here.start({ name: 'after-api', namespace, node: 'node2' })
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
})
