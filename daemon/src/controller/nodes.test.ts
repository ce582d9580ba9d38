import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'
import { TAINT } from './nodes.ts'

const foreign = { key: 'dedicated', value: 'db', effect: 'NoSchedule' }
const taints = (cluster: TestCluster, node: string) =>
  (cluster.world.nodes.get(node)!.spec as { taints?: { key: string }[] } | undefined)?.taints?.map(({ key }) => key) ??
  []

describe('nodes', () => {
  it('whose daemon is ready take pods: no taint of ours, the network is there', () => {
    const cluster = new TestCluster()
    cluster.node('n1', { spec: { taints: [foreign, { key: TAINT, effect: 'NoSchedule' }] } })
    cluster.router('n1')
    cluster.agent('n1', true)
    cluster.settle()
    assert.deepEqual(taints(cluster, 'n1'), ['dedicated'])
    assert.match(cluster.condition('nodes', 'n1', 'NetworkUnavailable')!, /^False VrouterReady/)
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), 'True AgentReady')
  })

  it('lose it only after a minute, with the reason; a daemon that restarts costs nothing', () => {
    const cluster = new TestCluster()
    cluster.node('n1', { spec: { taints: [foreign] } })
    cluster.router('n1')
    cluster.agent('n1', true)
    cluster.settle()
    cluster.agent('n1', false, 'containers with unready status: [vrouter]')
    cluster.settle()
    cluster.now += 59_000
    assert.deepEqual(cluster.settle().done, [])
    cluster.agent('n1', true)
    cluster.settle()
    cluster.agent('n1', false, 'containers with unready status: [vrouter]')
    cluster.wait(59_000)
    assert.deepEqual(cluster.settle().done, [])
    cluster.now += 1000
    const { events } = cluster.settle()
    assert.deepEqual(taints(cluster, 'n1'), ['dedicated', TAINT])
    const words = 'the vRouter daemon vrouter-n1 is not ready: containers with unready status: [vrouter]'
    assert.equal(cluster.condition('nodes', 'n1', 'NetworkUnavailable'), `True VrouterNotReady: ${words}`)
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), `False AgentNotReady: ${words}`)
    assert.deepEqual(
      events.map(({ of, reason }) => [of, reason]),
      [['nodes', 'VrouterNotReady']],
    )
    // And back, at once.
    cluster.agent('n1', true)
    cluster.settle()
    assert.deepEqual(taints(cluster, 'n1'), ['dedicated'])
  })

  it('that have no daemon and never had one are left alone', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.wait(600_000)
    assert.deepEqual(cluster.settle().done, [])
  })

  it('whose daemon was taken away lose their network', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.router('n1')
    cluster.wait(60_000).settle()
    assert.equal(
      cluster.condition('nodes', 'n1', 'NetworkUnavailable'),
      'True VrouterNotReady: node n1 has no vRouter daemon',
    )
  })

  it('that are gone leave a router that is not ready, at once', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.router('old')
    cluster.settle()
    assert.equal(cluster.condition('routers', 'old', 'Ready'), 'False NodeMissing: there is no node old')
    cluster.node('old')
    cluster.agent('old', true)
    cluster.settle()
    assert.equal(cluster.condition('routers', 'old', 'Ready'), 'True AgentReady')
  })

  it('whose machine runs under another name lose the address to it as soon as the node is not ready', () => {
    const cluster = new TestCluster()
    const ready = (status: string) => ({ status: { conditions: [{ type: 'Ready', status }] } })
    cluster.node('n1', ready('True'))
    cluster.router('n1', '192.0.2.1')
    cluster.agent('n1', true)
    cluster.settle()
    cluster.node('n1b', ready('True'))
    cluster.router('n1b', '192.0.2.1')
    cluster.agent('n1b', true)
    cluster.settle()
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), 'True AgentReady')
    // Its daemon alone may just be restarting.
    cluster.agent('n1', false)
    cluster.settle()
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), 'True AgentReady')
    cluster.change('nodes', 'n1', ready('Unknown'))
    cluster.settle()
    const words = 'node n1 is not ready, and node n1b is, which has its address now'
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), `False AddressTaken: ${words}`)
    assert.deepEqual(taints(cluster, 'n1'), [])
    cluster.wait(60_000).settle()
    assert.deepEqual(taints(cluster, 'n1'), [TAINT])
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), `False AddressTaken: ${words}`)
    assert.equal(cluster.condition('routers', 'n1b', 'Ready'), 'True AgentReady')
  })

  it('of which nothing is heard any more have no ready daemon, whatever its pod said last', () => {
    const cluster = new TestCluster()
    cluster.node('n1', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } })
    cluster.router('n1', '192.0.2.1')
    cluster.agent('n1', true)
    cluster.settle()
    cluster.wait(60_000).settle()
    const words = 'nothing is heard of node n1 (its condition Ready is Unknown)'
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), `False AgentNotReady: ${words}`)
    assert.deepEqual(taints(cluster, 'n1'), [TAINT])
    cluster.node('n1b', { status: { conditions: [{ type: 'Ready', status: 'True' }] } })
    cluster.router('n1b', '192.0.2.1')
    cluster.agent('n1b', true)
    cluster.settle()
    assert.match(cluster.condition('routers', 'n1', 'Ready') ?? '', /^False AddressTaken: /)
    assert.equal(cluster.condition('routers', 'n1b', 'Ready'), 'True AgentReady')
    cluster.change('nodes', 'n1', { status: { conditions: [{ type: 'Ready', status: 'False' }] } })
    cluster.settle()
    assert.equal(cluster.condition('routers', 'n1', 'Ready'), 'True AgentReady')
  })
})
