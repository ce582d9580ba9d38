/** Pods speak to addresses outside of the cluster with their node's address, off per network; nobody outside speaks to a pod. */
import assert from 'node:assert/strict'
import { outside } from '../kubelab/layout.ts'
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

const nodeAddress = {
  node1: { ip4: '10.10.0.11', ip6: 'fd00:10::11' },
  node2: { ip4: '10.10.0.12', ip6: 'fd00:10::12' },
}
const target = { ip4: outside.address4, ip6: outside.address6 }

describe('speaking to the outside', function () {
  this.timeout(120_000)
  let here: Cluster
  const pods: RunningPod[] = []
  let off: RunningPod
  useCluster(async (made) => {
    here = made
    const plain = await here.namespace('plain')
    const isolated = await here.namespace('isolated', { 'opencontrail.org/isolation': 'true' })
    await here.apply(
      networkManifest(plain, 'tenant', ['172.22.0.0/24', 'fd22::/64']),
      networkManifest(plain, 'closed', ['172.23.0.0/24', 'fd23::/64'], {}, { fabricSNAT: false }),
    )
    pods.push(
      ...(await here.start(
        { name: 'plain', namespace: plain, node: 'node1' },
        { name: 'isolated', namespace: isolated, node: 'node2' },
        { name: 'tenant', namespace: plain, node: 'node1', annotations: { 'vrouter.dev/network': 'tenant' } },
        { name: 'closed', namespace: plain, node: 'node1', annotations: { 'vrouter.dev/network': 'closed' } },
      )),
    )
    off = pods.pop()!
  })

  for (const family of ['ip4', 'ip6'] as const) {
    it(`has the node's ${family} address: TCP, UDP, ping`, async () => {
      for (const pod of pods) {
        const address = nodeAddress[pod.node as 'node1'][family]
        assert.equal(await here.seenBy(pod, target[family]), address, pod.name)
        const flow = await here.output(pod, 'nettool', 'flow', '-udp', '-duration', '300ms', target[family], '7')
        const report = JSON.parse(flow) as { lost: number; received: number; seen: string }
        assert.equal(report.seen.split(' ')[0], address)
        assert.equal(report.lost, 0)
        const ping = await here.run(pod, 'ping', family === 'ip6' ? '-6' : '-4', '-c', '2', '-W', '2', target[family])
        assert.equal(ping.status, 0, `${pod.name}: ${ping.stdout}`)
      }
    })

    it(`is off for a network that says so (${family})`, () => here.assertCut(off, target[family]))

    it(`lets nobody outside speak to a pod (${family})`, async () => {
      for (const pod of pods) await here.assertCut('outside', pod[family])
    })
  }

  it('uses source ports of the configured range', async () => {
    const seen = await here.output(pods[0]!, 'wget', '-T', '4', '-qO-', `http://${target.ip4}/`)
    const port = Number(seen.split(/\s/)[1])
    assert.ok(port >= 61000 && port <= 65535, `port ${port}`)
  })

  it('carries a large download, and a datagram that has to be fragmented', async () => {
    const ping = await here.run(pods[0]!, 'ping', '-c', '2', '-W', '2', '-s', '4000', target.ip4)
    assert.equal(ping.status, 0, ping.stdout)
  })

  it('goes away and comes back with the annotation of a namespace', async () => {
    const [, isolated] = pods
    await here.kubectl('annotate', 'namespace', isolated!.namespace, 'opencontrail.org/ip_fabric_snat=false')
    await here.until('no SNAT', async () => (await here.seenBy(isolated!, target.ip4, 80, 1)) === undefined)
    await here.kubectl('annotate', 'namespace', isolated!.namespace, 'opencontrail.org/ip_fabric_snat-')
    await here.until('SNAT again', async () => (await here.seenBy(isolated!, target.ip4)) === '10.10.0.12')
  })
})
