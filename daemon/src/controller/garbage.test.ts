import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'

const deletions = (cluster: TestCluster) =>
  cluster
    .settle()
    .done.flatMap((action) =>
      action.type === 'delete' ? [`${action.of} ${action.object.metadata.name}: ${action.why}`] : [],
    )

describe('garbage', () => {
  it('of nodes that are gone goes after a minute, confirmed by the API server; that of others stays', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.router('n1')
    cluster.network('red')
    cluster.block('b1')
    cluster.interface('web1', ['10.1.0.5'])
    // As a backup of another cluster brings them, without owners.
    cluster.router('old')
    cluster.block('b2', '10.1.0.64/26', 'old')
    cluster.interface('web2', ['10.1.0.65'], { node: 'old' })
    cluster.settle()
    cluster.now += 59_000
    assert.deepEqual(deletions(cluster), [])
    cluster.now += 1000
    const gone = cluster.wanted().filter((action) => action.type === 'delete')
    assert.ok(gone.every(({ unless }) => unless?.kind === 'node' && unless.name === 'old'))
    assert.deepEqual(deletions(cluster).sort(), [
      'blocks b2: node old is gone',
      'interfaces web2-x: node old is gone',
      'routers old: node old is gone',
    ])
    assert.deepEqual([...cluster.world.blocks.keys(), ...cluster.world.interfaces.keys()], ['b1', 'default/web1-x'])
  })

  it('is none when a node comes back in time', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.block('b', '10.1.0.64/26', 'n2')
    cluster.wait(50_000).settle()
    cluster.node('n2')
    cluster.settle()
    cluster.world.nodes.delete('n2')
    cluster.wait(50_000)
    assert.deepEqual(deletions(cluster), [])
  })

  it('is never seen in a cluster without nodes: the list must be wrong', () => {
    const cluster = new TestCluster()
    cluster.block('b')
    cluster.router('n1')
    cluster.wait(600_000)
    assert.deepEqual(deletions(cluster), [])
  })

  describe('a block of one address', () => {
    const make = () => {
      const cluster = new TestCluster()
      for (const node of ['n1', 'n2']) {
        cluster.node(node)
        cluster.router(node)
      }
      cluster.agent('n1', false)
      cluster.agent('n2', true)
      cluster.network('red')
      cluster.block('ordinary', '10.1.0.0/26')
      cluster.block('single', '10.1.0.99/32')
      cluster.settle()
      return cluster
    }

    it('goes seconds after its pod where the node’s daemon can’t give it back, confirmed by the node’s pods', () => {
      const cluster = make()
      cluster.wait(4_000)
      assert.deepEqual(deletions(cluster), [])
      cluster.wait(1_000)
      const [action] = cluster.wanted().filter(({ type }) => type === 'delete')
      assert.ok(action?.type === 'delete')
      assert.deepEqual(action.unless, { kind: 'address', node: 'n1', address: '10.1.0.99' })
      assert.equal(deletions(cluster).length, 1)
      assert.deepEqual([...cluster.world.blocks.keys()], ['ordinary'])
    })

    it('stays while there is an interface with it, and while the daemon is ready', () => {
      const cluster = make()
      const web = cluster.interface('web', ['10.1.0.99'])
      cluster.wait(600_000)
      assert.deepEqual(deletions(cluster), [])
      cluster.remove('interfaces', `default/${web.metadata.name}`)
      cluster.change('agents', 'kube-vrouter/vrouter-n1', {
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      })
      cluster.wait(600_000)
      assert.deepEqual(deletions(cluster), [])
      // It counts from when both are so.
      cluster.remove('agents', 'kube-vrouter/vrouter-n1')
      cluster.wait(4_000)
      assert.deepEqual(deletions(cluster), [])
      cluster.wait(1_000)
      assert.equal(deletions(cluster).length, 1)
    })

    it('goes, too, when nothing is heard of the node any more and its pod is called ready still', () => {
      const cluster = make()
      cluster.change('agents', 'kube-vrouter/vrouter-n1', {
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      })
      cluster.change('nodes', 'n1', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } })
      cluster.wait(5_000)
      assert.equal(deletions(cluster).length, 1)
    })

    it('isn’t held by an interface of another node or network with the same address', () => {
      const cluster = make()
      cluster.interface('other', ['10.1.0.99'], { network: 'default-domain:k8s-default:blue' })
      cluster.interface('elsewhere', ['10.1.0.99'], { node: 'n2' })
      cluster.wait(5_000)
      assert.equal(deletions(cluster).length, 1)
    })
  })

  it('of pods that are gone goes after a minute, where pods have been counted since', () => {
    const cluster = new TestCluster()
    cluster.node('n1')
    cluster.network('red')
    cluster.block('b')
    cluster.interface('here', ['10.1.0.5'])
    cluster.interface('gone', ['10.1.0.6'])
    cluster.interface('untold', ['10.1.0.7'], { pod: { name: 'untold', uid: '' } })
    cluster.wait(600_000)
    assert.deepEqual(deletions(cluster), [])
    cluster.pods = { uids: new Set(['uid of here']), at: cluster.now }
    const young = cluster.interface('young', ['10.1.0.8'])
    cluster.change('interfaces', 'default/young-x', {
      metadata: { creationTimestamp: new Date(cluster.now + 1).toISOString() },
    })
    assert.ok(young)
    cluster.wait(60_000)
    const [action] = cluster.wanted().filter(({ type }) => type === 'delete')
    assert.ok(action?.type === 'delete')
    assert.deepEqual(action.unless, { kind: 'pod', namespace: 'default', name: 'gone', uid: 'uid of gone' })
    assert.deepEqual(deletions(cluster), ['interfaces gone-x: pod default/gone (uid of gone) is gone'])
  })
})
