/** A rolling restart of all agents: no packet of a running flow is lost, and no pod fails to start meanwhile. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'
import { podManifest } from './pods.ts'
import { assertUnharmed, startFlow } from './traffic.ts'
import { useCluster } from './use-cluster.ts'

describe('a rolling upgrade of the agents', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  useCluster(async (made) => {
    here = made
    namespace = await here.namespace('upgrade')
  })

  it('is invisible to flows and to pods that start', async function () {
    this.timeout(240_000)
    const pods = await here.start(
      { name: 'a', namespace, node: 'node1' },
      { name: 'b', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
    )
    const [a, b, far] = pods as [RunningPod, RunningPod, RunningPod]
    const flows = await Promise.all([
      startFlow(here, a, b.ip4, 'tcp'),
      startFlow(here, a, far.ip4, 'tcp'),
      startFlow(here, far, a.ip6, 'udp'),
      startFlow(here, b, '192.0.2.10', 'tcp'),
    ])
    const before = await here.kubectl(
      'get',
      'pods',
      '-n',
      'kube-vrouter',
      '-l',
      'app.kubernetes.io/component=vrouter',
      '-o',
      'name',
    )
    await here.kubectl('rollout', 'restart', '-n', 'kube-vrouter', 'daemonset/vrouter')
    let isDone = false
    const started: Promise<unknown>[] = []
    const rollout = here
      .kubectl('rollout', 'status', '-n', 'kube-vrouter', 'daemonset/vrouter', '--timeout=120s')
      .finally(() => {
        isDone = true
      })
    for (let i = 0; !isDone && i < 40; i++) {
      const pod = { name: `during${i}`, namespace, node: i % 2 === 0 ? 'node1' : 'node2' } as const
      await here.apply(podManifest(pod))
      started.push(here.ready(namespace, pod.name))
      await started.at(-1)
    }
    await rollout
    await Promise.all(started)
    const after = await here.kubectl(
      'get',
      'pods',
      '-n',
      'kube-vrouter',
      '-l',
      'app.kubernetes.io/component=vrouter',
      '-o',
      'name',
    )
    assert.notEqual(before, after, 'no agent was replaced')
    await assertUnharmed(flows)
    const events = await here.kubectl('get', 'events', '-n', namespace)
    assert.doesNotMatch(events, /FailedCreatePodSandBox/)
  })
})
