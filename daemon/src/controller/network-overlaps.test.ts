import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'

describe('networks whose addresses others have', () => {
  let cluster: TestCluster
  beforeEach(() => {
    cluster = new TestCluster()
    cluster.namespace('default')
    cluster.node('worker', { status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } })
    cluster.router('worker', '192.0.2.1')
    // A node without a daemon, and with names that are no addresses.
    const addresses = [
      { type: 'Hostname', address: 'master' },
      { type: 'InternalIP', address: '192.0.2.9' },
      { type: 'InternalIP', address: 'fd00:9::9' },
      { type: 'ExternalIP', address: '198.51.100.1' },
    ]
    cluster.node('master', { status: { addresses } })
  })

  /** What the condition, the observation and the Events say of a network. */
  function said(...cidrs: string[]): string | undefined {
    cluster.network('red', { subnets: cidrs.map((cidr) => ({ cidr })) })
    const { events } = cluster.settle()
    const condition = cluster.condition('networks', 'default/red', 'Overlap')!
    const { state, observation } = cluster.status('networks', 'default/red')
    assert.equal(state, 'Success')
    if (condition === 'False None') {
      assert.deepEqual([observation, events], [undefined, []])
      return undefined
    }
    assert.equal(condition, `True AddressesOverlap: ${observation}`)
    assert.equal(events.map(({ message }) => message).join('; '), observation)
    assert.ok(events.every(({ type, reason }) => type === 'Warning' && reason === 'Overlap'))
    return observation as string
  }

  it('say nothing where nobody else has them', () => {
    cluster.add('serviceRanges', 'kubernetes', {}, { spec: { cidrs: ['10.96.0.0/12', 'fd00:96::/108'] } })
    assert.equal(said('10.1.0.0/16', 'fd00:1::/64', '192.0.2.16/28', '198.51.100.0/24'), undefined)
  })

  it('name the nodes inside, with a daemon or without', () => {
    assert.equal(
      said('192.0.2.0/24'),
      "subnet 192.0.2.0/24 holds addresses of nodes: master (192.0.2.9), worker (192.0.2.1); its pods don't reach them, nor do nodes reach pods with such addresses; choose another",
    )
    assert.match(
      said('192.0.2.8/29', 'fd00:9::/64')!,
      /192\.0\.2\.8\/29 holds .*: master \(192\.0\.2\.9\); .*fd00:9::\/64 holds .*: master \(fd00:9::9\);/,
    )
  })

  it('name the range of Services', () => {
    cluster.add('serviceRanges', 'kubernetes', {}, { spec: { cidrs: ['10.96.0.0/12', 'fd00:96::/108'] } })
    cluster.add('apiServices', 'kubernetes', { namespace: 'default' }, { spec: { clusterIPs: ['10.96.0.1'] } })
    assert.equal(
      said('10.100.0.0/16'),
      'subnet 10.100.0.0/16 overlaps the addresses of Services (10.96.0.0/12): its pods reach no Service there; choose another',
    )
    assert.match(
      said('10.0.0.0/8', 'fd00:96::/64')!,
      /10\.0\.0\.0\/8 overlaps the addresses of Services .*fd00:96::\/64 overlaps/,
    )
  })

  it('know one Service where no ServiceCIDR tells of all', () => {
    cluster.add('apiServices', 'kubernetes', { namespace: 'default' }, { spec: { clusterIPs: ['10.96.0.1', 'None'] } })
    assert.match(said('10.96.0.0/16')!, /overlaps the addresses of Services \(10\.96\.0\.1\/32\)/)
  })

  it('name the default pod network, unless they are of its pool', () => {
    assert.match(
      said('10.244.7.0/24')!,
      /^subnet 10\.244\.7\.0\/24 overlaps the default pod network \(10\.244\.0\.0\/16\): /,
    )
    cluster.namespace('shop', { 'vrouter.dev/isolation': 'true' })
    cluster.settle()
    assert.equal(cluster.condition('networks', 'shop/k8s-shop-pod-network', 'Overlap'), 'False None')
  })

  it('name what is no pod’s at all', () => {
    assert.match(said('224.1.0.0/16')!, /overlaps 224\.0\.0\.0\/3 \(multicast or reserved\), which is not for pods/)
    assert.match(said('169.254.0.0/16')!, /link-local/)
    assert.match(said('fe80::/64')!, /link-local/)
  })

  it('are told of a node that comes later, and that it has gone', () => {
    assert.equal(said('203.0.113.0/24'), undefined)
    cluster.node('late', { status: { addresses: [{ type: 'InternalIP', address: '203.0.113.7' }] } })
    cluster.settle()
    assert.match(
      cluster.condition('networks', 'default/red', 'Overlap')!,
      /^True AddressesOverlap: .*late \(203\.0\.113\.7\)/,
    )
    cluster.remove('nodes', 'late')
    cluster.settle()
    assert.equal(cluster.condition('networks', 'default/red', 'Overlap'), 'False None')
  })
})
