import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'

describe('policies', () => {
  it('of every kind are told that nobody enforces them, and nothing is written about it elsewhere', () => {
    const cluster = new TestCluster()
    cluster.settle()
    cluster.add('networkPolicies', 'deny', { namespace: 'shop' })
    cluster.add('adminNetworkPolicies', 'deny')
    cluster.add('baselineAdminNetworkPolicies', 'default')
    cluster.add('clusterNetworkPolicies', 'deny')
    const { done, events } = cluster.settle()
    assert.deepEqual(done, [])
    assert.deepEqual(
      events.map(({ of, object, type, reason, message }) => [
        of,
        object.metadata.name,
        type,
        reason,
        message.slice(0, 72),
      ]),
      [
        [
          'networkPolicies',
          'deny',
          'Warning',
          'NotEnforced',
          "this version of kube-vrouter doesn't enforce NetworkPolicy: traffic flow",
        ],
        [
          'adminNetworkPolicies',
          'deny',
          'Warning',
          'NotEnforced',
          "this version of kube-vrouter doesn't enforce AdminNetworkPolicy: traffic",
        ],
        [
          'baselineAdminNetworkPolicies',
          'default',
          'Warning',
          'NotEnforced',
          "this version of kube-vrouter doesn't enforce BaselineAdminNetworkPolicy:",
        ],
        [
          'clusterNetworkPolicies',
          'deny',
          'Warning',
          'NotEnforced',
          "this version of kube-vrouter doesn't enforce ClusterNetworkPolicy: traff",
        ],
      ],
    )
    cluster.remove('networkPolicies', 'shop/deny')
    assert.equal(cluster.settle().events.length, 3)
  })

  it('are the last to be told of: there may be thousands', () => {
    const cluster = new TestCluster()
    cluster.add('networkPolicies', 'deny', { namespace: 'shop' })
    cluster.namespace('shop', { 'vrouter.dev/network': 'nowhere' })
    const reasons = cluster.wanted().flatMap((action) => (action.type === 'event' ? action.event.reason : []))
    assert.deepEqual(reasons, ['NetworkMissing', 'NotEnforced'])
  })
})
