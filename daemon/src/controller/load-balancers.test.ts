import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'
import type { Event } from './actions.ts'

const CLASS = 'vrouter.dev/load-balancer'

describe('Services of type LoadBalancer', () => {
  let cluster: TestCluster
  beforeEach(() => {
    cluster = new TestCluster()
    cluster.namespace('shop')
    cluster.node('n1', { status: { addresses: [{ type: 'InternalIP', address: '192.0.2.200' }] } })
    cluster.router('n1', '192.0.2.200')
    cluster.agent('n1', true)
    cluster.settle()
  })

  function pool(name: string, addresses: string[], spec: object = {}, metadata: object = {}) {
    return cluster.add('loadBalancerPools', name, metadata, { spec: { addresses, ...spec } })
  }

  function service(name: string, spec: object = {}, metadata: object = {}, status: object = {}) {
    const whole = {
      ...{ type: 'LoadBalancer', loadBalancerClass: CLASS, ipFamilies: ['IPv4'], externalTrafficPolicy: 'Cluster' },
      ports: [{ port: 80, protocol: 'TCP' }],
      ...spec,
    }
    return cluster.add('services', name, { namespace: 'shop', ...metadata }, { spec: whole, status })
  }

  function ingress(name: string): unknown {
    return (cluster.status('services', `shop/${name}`)['loadBalancer'] as { ingress?: unknown } | undefined)?.ingress
  }

  function told(events: readonly Event[]): string[] {
    const ours = events.filter(({ of }) => of === 'services' || of === 'loadBalancerPools')
    return ours.map(({ type, reason, message }) => `${type} ${reason}: ${message}`)
  }

  const assigned = (name: string) => cluster.condition('services', `shop/${name}`, 'vrouter.dev/LoadBalancer')

  it('get an address, as a VIP, and a condition that says whose it is', () => {
    pool('public', ['192.0.2.10-192.0.2.20', '2001:db8::/120'])
    service('web', { ipFamilies: ['IPv4', 'IPv6'] })
    const { events, done } = cluster.settle()
    assert.deepEqual(ingress('web'), [
      { ip: '192.0.2.10', ipMode: 'VIP' },
      { ip: '2001:db8::', ipMode: 'VIP' },
    ])
    assert.equal(assigned('web'), 'True Assigned: 192.0.2.10, 2001:db8::')
    assert.deepEqual(told(events), ['Normal AddressAssigned: got 192.0.2.10 and 2001:db8::'])
    // A Service may have become somebody else's meanwhile.
    const patch = done.find(({ of }) => of === 'services')
    assert.ok(patch?.type === 'patch' && patch.isExact === true && patch.subresource === 'status')
    assert.equal(cluster.condition('loadBalancerPools', 'public', 'Ready'), 'True Accepted')
    assert.equal(cluster.status('loadBalancerPools', 'public')['assigned'], 2)
  })

  it('of another class, or of none where no pool is the default, are left alone', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.5' }] } }
    service('other', { loadBalancerClass: 'example.com/lb' }, {}, status)
    service('none', { loadBalancerClass: undefined })
    cluster.settle()
    assert.deepEqual([ingress('other'), ingress('none')], [status.loadBalancer.ingress, undefined])
    assert.deepEqual([assigned('other'), assigned('none')], [undefined, undefined])
  })

  it('without a class get one of a default pool, unless another load balancer gave them one', () => {
    pool('public', ['192.0.2.10-192.0.2.20'], { isDefault: true })
    const status = { loadBalancer: { ingress: [{ ip: '203.0.113.5' }] } }
    service('theirs', { loadBalancerClass: undefined }, {}, status)
    service('ours', { loadBalancerClass: undefined })
    cluster.settle()
    assert.deepEqual(ingress('theirs'), status.loadBalancer.ingress)
    assert.deepEqual(ingress('ours'), [{ ip: '192.0.2.10', ipMode: 'VIP' }])
    // It stays when the pool isn't the default any more.
    cluster.change('loadBalancerPools', 'public', { spec: { isDefault: false } })
    cluster.settle()
    assert.deepEqual(ingress('ours'), [{ ip: '192.0.2.10', ipMode: 'VIP' }])
  })

  it('lose it when they change type, and nothing that others wrote', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    service('web')
    service('taken-over')
    cluster.settle()
    cluster.change('services', 'shop/web', { spec: { type: 'ClusterIP', loadBalancerClass: null } })
    const theirs = [{ ip: '203.0.113.5' }]
    cluster.change('services', 'shop/taken-over', {
      spec: { loadBalancerClass: 'example.com/lb' },
      status: { loadBalancer: { ingress: theirs } },
    })
    const { events } = cluster.settle()
    assert.deepEqual([ingress('web'), assigned('web')], [undefined, undefined])
    assert.deepEqual([ingress('taken-over'), assigned('taken-over')], [theirs, undefined])
    assert.deepEqual(told(events), [
      "Normal AddressReleased: 192.0.2.10 is taken back: the Service isn't of type LoadBalancer and our class any more",
    ])
  })

  it('free their address when they are deleted', () => {
    pool('public', ['192.0.2.10/32'])
    service('web')
    cluster.settle()
    service('next')
    const { events } = cluster.settle()
    assert.equal(assigned('next'), 'False PoolExhausted: no IPv4 address is free in LoadBalancerPool public')
    assert.deepEqual(told(events), [
      'Warning PoolExhausted: no IPv4 address is free in LoadBalancerPool public',
      'Warning PoolExhausted: no IPv4 address is free: add some',
    ])
    assert.equal(
      cluster.condition('loadBalancerPools', 'public', 'Exhausted'),
      'True NoneFree: no IPv4 address is free: add some',
    )
    cluster.remove('services', 'shop/web')
    cluster.settle()
    assert.deepEqual(ingress('next'), [{ ip: '192.0.2.10', ipMode: 'VIP' }])
  })

  it('get what they ask for: by annotation, or spec.loadBalancerIP', () => {
    pool('public', ['192.0.2.10-192.0.2.20', '2001:db8::/120'])
    const annotations = { 'vrouter.dev/load-balancer-ips': '2001:DB8::7, 192.0.2.15' }
    service('web', { ipFamilies: ['IPv4', 'IPv6'] }, { annotations })
    service('old', { loadBalancerIP: '192.0.2.16' })
    cluster.settle()
    assert.equal(assigned('web'), 'True Assigned: 192.0.2.15, 2001:db8::7')
    assert.equal(assigned('old'), 'True Assigned: 192.0.2.16')
  })

  it('are told what is wrong with what they ask for', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    const asking = (text: string) => ({ annotations: { 'vrouter.dev/load-balancer-ips': text } })
    service('typo', {}, asking('192.0.2'))
    service('twice', {}, asking('192.0.2.11,192.0.2.12'))
    service('alien', {}, asking('198.51.100.1'))
    const { events } = cluster.settle()
    assert.deepEqual(
      told(events).filter((text) => text.startsWith('Warning')),
      [
        'Warning AddressUnclear: vrouter.dev/load-balancer-ips (192.0.2) is not an IPv4 or IPv6 address',
        'Warning AddressUnclear: vrouter.dev/load-balancer-ips (192.0.2.12) is a second IPv4 address: give one of each family',
        'Warning AddressNotInPool: asks for 198.51.100.1, which is in no LoadBalancerPool',
      ],
    )
    assert.equal(assigned('alien'), 'False AddressNotInPool: asks for 198.51.100.1, which is in no LoadBalancerPool')
  })

  it('share an address where both ask', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    const annotations = { 'vrouter.dev/load-balancer-sharing-key': 'dns' }
    service('tcp', { ports: [{ port: 53, protocol: 'TCP' }] }, { annotations })
    service('udp', { ports: [{ port: 53, protocol: 'UDP' }] }, { annotations })
    service('alone', { ports: [{ port: 54, protocol: 'UDP' }] })
    cluster.settle()
    assert.deepEqual([ingress('tcp'), ingress('udp')], [ingress('udp'), ingress('tcp')])
    assert.notDeepEqual(ingress('alone'), ingress('tcp'))
  })

  it('keep it while a pool is replaced, and are told when it is gone for good', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    service('web')
    cluster.settle()
    cluster.remove('loadBalancerPools', 'public')
    pool('next', ['198.51.100.0/28'])
    cluster.settle()
    assert.equal(assigned('web'), 'True Assigned: 192.0.2.10')
    cluster.wait(60_000)
    const { events } = cluster.settle()
    assert.equal(assigned('web'), 'True Assigned: 198.51.100.0')
    assert.deepEqual(told(events), [
      'Warning AddressWithdrawn: 192.0.2.10 is in no LoadBalancerPool any more: the Service lost it',
      'Normal AddressAssigned: got 198.51.100.0',
    ])
  })

  it('are left as they are while the pools are not known', () => {
    pool('public', ['192.0.2.10-192.0.2.20'])
    service('web')
    cluster.settle()
    cluster.remove('loadBalancerPools', 'public')
    cluster.hasPools = false
    cluster.wait(120_000)
    const done = cluster.settle().done.filter(({ of }) => of === 'services' || of === 'loadBalancerPools')
    assert.deepEqual(done, [])
    assert.equal(assigned('web'), 'True Assigned: 192.0.2.10')
  })

  describe('pools', () => {
    const ready = (name: string) => cluster.condition('loadBalancerPools', name, 'Ready')

    it('that overlap an older one, nodes, Services or the default network give nothing, and say so', () => {
      cluster.add('serviceRanges', 'kubernetes', {}, { spec: { cidrs: ['10.96.0.0/12'] } })
      pool('a-first', ['198.51.100.0/24'])
      pool('a-second', ['198.51.100.200-198.51.101.3'])
      pool('nodes', ['192.0.2.192/26'])
      pool('services', ['10.100.0.0/24'])
      pool('pods', ['10.244.7.0/24'])
      pool('twice', ['203.0.113.1-203.0.113.7', '203.0.113.7-203.0.113.9'])
      service('web', { loadBalancerIP: '192.0.2.201' })
      cluster.settle()
      assert.equal(ready('a-first'), 'True Accepted')
      assert.equal(
        ready('a-second'),
        'False Overlap: 198.51.100.200-198.51.101.3 overlaps LoadBalancerPool a-first, which is older; take it out of one',
      )
      assert.equal(
        ready('nodes'),
        'False Overlap: 192.0.2.192-192.0.2.255 holds addresses of nodes: n1 (192.0.2.200); leave them out',
      )
      assert.equal(
        ready('services'),
        'False Overlap: 10.100.0.0-10.100.0.255 overlaps the addresses of Services (10.96.0.0/12); choose others',
      )
      assert.match(ready('pods')!, /^False Overlap: .* overlaps 10\.244\.0\.0\/16 of VirtualNetwork .*; choose others$/)
      assert.match(ready('twice')!, /^False Overlap: 203\.0\.113\.7-203\.0\.113\.9 overlaps .* of the same pool/)
      assert.match(assigned('web')!, /^False AddressNotAllowed: .* of LoadBalancerPool nodes, which isn't ready/)
    })

    it('stay in force when a network with their addresses is made later: nobody can turn them off', () => {
      cluster.network('before', { subnets: [{ cidr: '203.0.113.0/24' }] }, { namespace: 'shop' })
      pool('late', ['203.0.113.8/29'])
      pool('public', ['198.51.100.0/28'])
      cluster.network('after', { subnets: [{ cidr: '198.51.100.0/24' }] }, { namespace: 'shop' })
      const { events } = cluster.settle()
      assert.equal(
        ready('late'),
        'False Overlap: 203.0.113.8-203.0.113.15 overlaps 203.0.113.0/24 of VirtualNetwork shop/before; choose others',
      )
      assert.equal(ready('public'), 'True Accepted')
      const said =
        "198.51.100.0-198.51.100.15 overlaps 198.51.100.0/24 of VirtualNetwork shop/after, whose pods don't reach these addresses"
      assert.equal(cluster.condition('loadBalancerPools', 'public', 'Overlap'), `True AddressesOverlap: ${said}`)
      assert.ok(told(events).includes(`Warning Overlap: ${said}`))
    })

    it('that can not be read are told why', () => {
      pool('bad', ['192.0.2.20-192.0.2.10', '127.0.0.0/24'])
      cluster.settle()
      assert.equal(
        ready('bad'),
        'False Rejected: spec.addresses[0] ("192.0.2.20-192.0.2.10") ends before it begins: write 192.0.2.10-192.0.2.20; spec.addresses[1] ("127.0.0.0/24") holds a loopback address: give addresses that others can be reached at',
      )
    })

    it('for some namespaces serve those', () => {
      cluster.add('namespaces', 'shop', { labels: { team: 'shop' } })
      cluster.namespace('other')
      pool('chosen', ['192.0.2.10/31'], { namespaceSelector: { matchLabels: { team: 'shop' } } })
      service('web')
      service('web', {}, { namespace: 'other' })
      cluster.settle()
      assert.equal(assigned('web'), 'True Assigned: 192.0.2.10')
      assert.equal(
        cluster.condition('services', 'other/web', 'vrouter.dev/LoadBalancer'),
        'False PoolExhausted: no LoadBalancerPool that is ready has IPv4 addresses for namespace other',
      )
    })
  })
})
