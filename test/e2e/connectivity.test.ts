/** Pods, nodes and pods of the host's network reach each other in the default network, without NAT. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'
import { hostPorts } from './pods.ts'
import { useCluster } from './use-cluster.ts'

describe('the default network', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  let a: RunningPod
  let b: RunningPod
  let far: RunningPod
  let host: RunningPod
  useCluster(async (made) => {
    here = made
    namespace = await here.namespace('plain')
    const pods = await here.start(
      { name: 'a', namespace, node: 'node1' },
      { name: 'b', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
      { name: 'host', namespace, node: 'node2', hostNetwork: true },
    )
    ;[a, b, far, host] = pods as [RunningPod, RunningPod, RunningPod, RunningPod]
  })

  for (const family of ['ip4', 'ip6'] as const) {
    it(`carries ${family} between pods, on a node and across nodes, each seen with its own address`, async () => {
      assert.equal(await here.seenBy(a, b[family]), a[family])
      assert.equal(await here.seenBy(a, far[family]), a[family])
      assert.equal(await here.seenBy(far, a[family]), far[family])
    })

    it(`carries ${family} between nodes and pods, without NAT`, async () => {
      const address = {
        node1: { ip4: '10.10.0.11', ip6: 'fd00:10::11' },
        node2: { ip4: '10.10.0.12', ip6: 'fd00:10::12' },
      }
      for (const node of ['node1', 'node2'] as const) {
        for (const pod of [a, far]) assert.equal(await here.seenBy(node, pod[family]), address[node][family])
      }
    })

    it(`carries ${family} between pods and a pod of the host's network`, async () => {
      const hosts = family === 'ip4' ? '10.10.0.12' : 'fd00:10::12'
      assert.equal(await here.seenBy(a, hosts, hostPorts.http), a[family], 'from another node')
      assert.equal(await here.seenBy(far, hosts, hostPorts.http), far[family], 'from its own node')
      assert.equal(await here.seenBy(host, a[family]), hosts)
    })
  }

  it('reaches a pod of another node with the first packet after it is there', async () => {
    for (let i = 0; i < 5; i++) {
      const [fresh] = await here.start({ name: `fresh${i}`, namespace, node: 'node2' })
      // One packet, no second try: whoever needs two would fail here.
      const { status, stdout } = await here.run(a, 'ping', '-c', '1', '-W', '1', fresh!.ip4)
      assert.equal(status, 0, stdout)
    }
  })

  it('leads a port of the node to the pod that asks for it, and starts pods that ask for limits', async () => {
    const annotations = { 'kubernetes.io/ingress-bandwidth': '10M', 'kubernetes.io/egress-bandwidth': '10M' }
    const container = { ports: [{ containerPort: 80, hostPort: 18_080, protocol: 'TCP' }] }
    const [fresh] = await here.start({ name: 'host-port', namespace, node: 'node1', annotations, container })
    assert.equal(await here.seenBy(a, fresh!.ip4), a.ip4)
    assert.equal(await here.seenBy('node2', '10.10.0.11', 18_080), '10.10.0.12')
    assert.equal(await here.seenBy('node2', 'fd00:10::11', 18_080), 'fd00:10::12')
  })

  it('serves exec, logs and port-forward', async () => {
    assert.match(await here.output(a, 'cat', '/proc/net/dev'), /eth0/)
    await here.kubectl('logs', '-n', namespace, 'a')
    assert.match(await here.output(a, 'hostname'), /^a$/m)
  })
})
