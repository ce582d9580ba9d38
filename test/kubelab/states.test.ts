/** Proves: a wait goes on as long as something moves in the cluster, gives up when nothing does, and tells why in one line. */
import assert from 'node:assert/strict'
import { until } from './command.ts'
import { type KubernetesNode, type KubernetesPod, obstacleOf, statesOf } from './states.ts'

const node = (name: string, status: string, message = ''): KubernetesNode => ({
  ...{ kind: 'Node', metadata: { name }, spec: {} },
  status: { conditions: [{ type: 'Ready', status, message }] },
})

const agent = (
  state: object,
  { ready = false, phase = 'Pending', nodeName = 'node1' as string | undefined } = {},
): KubernetesPod => ({
  ...{ kind: 'Pod', metadata: { name: 'agent', namespace: 'kube-vrouter' }, spec: { nodeName } },
  status: { phase, containerStatuses: [{ name: 'vrouter', ready, state: state as { waiting: { reason: string } } }] },
})

const crashed = agent({ terminated: { reason: 'Error' } }, { phase: 'Running' })
const backsOff = agent(
  { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 10s\n  restarting' } },
  { phase: 'Running' },
)

describe('waiting for a cluster', () => {
  it('goes on while something is in a state that it was never in, and no longer', async () => {
    const steps = [
      [node('node1', 'False')],
      [agent({ waiting: { reason: 'Pulling' } })],
      [agent({ running: {} })],
      [crashed],
      [backsOff],
    ]
    let asked = 0
    const wait = until('node1 to be Ready', () => false, {
      ...{ timeoutMs: 2000, everyMs: 10 },
      // A step every 200 ms; then it crashes over and over.
      progress: () => statesOf(steps[Math.min(Math.floor(++asked / 20), 3 + (asked % 2))]!),
      explain: () => obstacleOf([backsOff]),
    })
    await assert.rejects(wait, (error: Error) => {
      assert.match(
        error.message,
        /^node1 to be Ready: nothing has moved for 2 s \(\d+ s in all\): container vrouter of /,
      )
      return true
    })
    assert.ok(asked > 80, `gave up after ${asked} questions`)
  })

  it('tells in one line what is in the way', () => {
    const said = 'container vrouter of kube-vrouter/agent on node1: waiting (CrashLoopBackOff) back-off 10s restarting'
    assert.equal(obstacleOf([node('node1', 'False', 'no network'), backsOff]), said)
    assert.equal(obstacleOf([node('node1', 'False', 'no\nnetwork')]), 'node1: no network')
    assert.equal(obstacleOf([node('node1', 'True'), agent({ running: {} }, { ready: true })]), '')
    const homeless: KubernetesPod = { ...agent({}), spec: {}, status: { phase: 'Pending' } }
    assert.equal(obstacleOf([homeless, node('node1', 'False', 'no network'), backsOff]), said)
    assert.equal(obstacleOf([homeless]), 'pod kube-vrouter/agent on no node')
    assert.equal(obstacleOf([]), 'the API server doesn’t answer')
    assert.ok(obstacleOf([node('node1', 'False', 'x'.repeat(5000))]).length < 250)
  })
})
