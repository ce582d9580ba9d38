import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'
import { FINALIZER } from './networks.ts'

const RED = 'default/red'

describe('networks', () => {
  it('are accepted: state, VNI, ranges, FQ name, use, and a finalizer', () => {
    const cluster = new TestCluster()
    cluster.network('red', { subnets: [{ cidr: '10.1.0.0/24' }, { cidr: 'fd00::/64', gateway: 'fd00::9' }] })
    cluster.node('n1')
    cluster.block('b', '10.1.0.0/26')
    cluster.interface('web', ['10.1.0.5'])
    cluster.settle()
    const { conditions, ...status } = cluster.status('networks', RED)
    assert.deepEqual(status, {
      state: 'Success',
      observedGeneration: 1,
      fqName: 'default-domain:k8s-default:red',
      ranges: '10.1.0.0/24, fd00::/64',
      virtualNetworkNetworkID: 4096,
      pods: 1,
      nodes: 1,
      subnets: [
        { cidr: '10.1.0.0/24', gateway: '10.1.0.1', service: '10.1.0.2', blocks: 1, freeBlocks: 3, addresses: 1 },
        { cidr: 'fd00::/64', gateway: 'fd00::9', service: 'fd00::2', blocks: 0, freeBlocks: 2147483647, addresses: 0 },
      ],
    })
    assert.equal((conditions as unknown[]).length, 2)
    assert.equal(cluster.condition('networks', RED, 'Ready'), 'True Accepted')
    assert.equal(cluster.condition('networks', RED, 'Overlap'), 'False None')
    assert.deepEqual(cluster.world.networks.get(RED)!.metadata.finalizers, [FINALIZER])
  })

  it('keep finalizers, conditions and fields of the status that others wrote', () => {
    const cluster = new TestCluster()
    cluster.network('red', undefined, { finalizers: ['other/one'] })
    const foreign = {
      type: 'Audited',
      status: 'True',
      reason: 'Yes',
      message: '',
      lastTransitionTime: '2025-01-01T00:00:00Z',
    }
    cluster.change('networks', RED, { status: { ofTomorrow: 7, conditions: [foreign] } })
    cluster.settle()
    assert.deepEqual(cluster.world.networks.get(RED)!.metadata.finalizers, ['other/one', FINALIZER])
    assert.equal(cluster.status('networks', RED)['ofTomorrow'], 7)
    assert.equal(cluster.condition('networks', RED, 'Audited'), 'True Yes')
  })

  it('that daemons set aside say why, in the daemons’ words', () => {
    const cluster = new TestCluster()
    cluster.network('red', { subnets: [{ cidr: '10.1.0.0/24' }, { cidr: '10.1.0.128/25' }] })
    const { events } = cluster.settle()
    const words =
      'spec.subnets[1].cidr (10.1.0.128/25) overlaps spec.subnets[0] (10.1.0.0/24): subnets of one network must not'
    assert.equal(cluster.status('networks', RED)['observation'], words)
    assert.equal(cluster.status('networks', RED)['state'], 'Failure')
    assert.equal(cluster.status('networks', RED)['virtualNetworkNetworkID'], undefined)
    assert.equal(cluster.condition('networks', RED, 'Ready'), `False Rejected: ${words}`)
    assert.deepEqual(
      events.map(({ type, reason, message }) => [type, reason, message]),
      [['Warning', 'Rejected', words]],
    )
    cluster.change('networks', RED, { spec: { subnets: [{ cidr: '10.1.0.0/24' }] }, metadata: { generation: 2 } })
    cluster.settle()
    assert.equal(cluster.condition('networks', RED, 'Ready'), 'True Accepted')
    assert.equal(cluster.status('networks', RED)['observation'], undefined)
  })

  it('with one FQ name: the older counts, the other one is told', () => {
    const cluster = new TestCluster()
    cluster.network('old', { subnets: [{ cidr: '10.1.0.0/24' }], fqName: 'a:b:c' })
    cluster.network('new', { subnets: [{ cidr: '10.2.0.0/24' }], fqName: 'a:b:c' })
    cluster.block('b', '10.1.0.0/26', 'n1', 'a:b:c')
    cluster.settle()
    assert.equal(cluster.status('networks', 'default/old')['state'], 'Success')
    assert.equal(
      cluster.status('networks', 'default/new')['observation'],
      'is defined in virtualnetworks.vrouter.dev already (VirtualNetwork default/old), which counts: remove one of them',
    )
    // What isn't in force may go at once, though blocks have its name.
    cluster.remove('networks', 'default/new')
    cluster.settle()
    assert.deepEqual([...cluster.world.networks.keys()], ['default/old'])
  })

  it('whose VNI is another’s say so, and work on', () => {
    const cluster = new TestCluster()
    cluster.network('red', { subnets: [{ cidr: '10.1.0.0/24' }], virtualNetworkNetworkID: 5000 })
    cluster.network('blue', { subnets: [{ cidr: '10.1.0.0/24' }], virtualNetworkNetworkID: 5000 })
    const { events } = cluster.settle()
    assert.equal(cluster.status('networks', RED)['virtualNetworkNetworkID'], 5000)
    assert.match(
      cluster.condition('networks', 'default/blue', 'Ready')!,
      /^False VniTaken: .*that of VirtualNetwork default\/red/,
    )
    assert.deepEqual(
      events.map(({ reason }) => reason),
      ['VniTaken'],
    )
  })

  it('without a free block warn', () => {
    const cluster = new TestCluster()
    cluster.network('red', { subnets: [{ cidr: '10.1.0.0/28' }] })
    cluster.settle()
    for (const i of [0, 4, 8, 12]) cluster.block(`b${i}`, `10.1.0.${i}/30`, `n${i}`)
    for (const i of [0, 4, 8, 12]) cluster.node(`n${i}`)
    const { events } = cluster.settle()
    assert.equal(cluster.status('networks', RED)['state'], 'Success')
    assert.match(String(cluster.status('networks', RED)['observation']), /no IPv4 block is free/)
    assert.deepEqual(
      events.map(({ reason }) => reason),
      ['SubnetExhausted'],
    )
  })

  it('write mere numbers at most every so often', () => {
    const cluster = new TestCluster()
    cluster.usageMs = 30_000
    cluster.network('red')
    cluster.settle()
    cluster.node('n1')
    cluster.block('b')
    cluster.interface('web')
    assert.deepEqual(cluster.settle().done, [])
    cluster.now += 29_000
    assert.deepEqual(cluster.settle().done, [])
    cluster.now += 1000
    cluster.settle()
    assert.equal(cluster.status('networks', RED)['pods'], 1)
  })

  it('write them more seldom still where there are many nodes and networks', () => {
    const cluster = new TestCluster()
    cluster.usageMs = 1000
    cluster.network('red')
    for (let i = 0; i < 4000; i++) cluster.node(`n${i}`)
    for (let i = 1; i < 10; i++) cluster.network(`net-${i}`)
    cluster.settle()
    cluster.block('b')
    cluster.interface('web')
    cluster.wait(3000)
    assert.deepEqual(cluster.settle().done, [])
    cluster.now += 1000
    cluster.settle()
    assert.equal(cluster.status('networks', RED)['pods'], 1)
  })

  describe('that are deleted', () => {
    const deleted = () => {
      const cluster = new TestCluster()
      cluster.network('red')
      cluster.node('n1')
      cluster.block('b')
      cluster.settle()
      return cluster
    }

    it('stay while pods are in them, and name them', () => {
      const cluster = deleted()
      for (const pod of ['a', 'b', 'c', 'd']) cluster.interface(pod, [`10.1.0.${pod.charCodeAt(0) - 90}`])
      cluster.settle()
      cluster.remove('networks', RED)
      const { events } = cluster.settle()
      const words = 'is being deleted: waits for 4 pods (default/a, default/b, default/c and 1 more)'
      assert.equal(cluster.status('networks', RED)['state'], 'Pending')
      assert.equal(cluster.status('networks', RED)['observation'], words)
      assert.equal(cluster.condition('networks', RED, 'InUse'), `True Deleting: ${words}`)
      assert.deepEqual(
        events.map(({ reason, message }) => [reason, message]),
        [['InUse', 'is being deleted, and waits for who uses it: see its status']],
      )
      cluster.wait(600_000).settle()
      assert.ok(cluster.world.networks.has(RED) && cluster.world.blocks.has('b'))
    })

    it('go with their blocks once they have been without pods for a while', () => {
      const cluster = deleted()
      cluster.remove('networks', RED)
      cluster.settle()
      assert.match(
        String(cluster.status('networks', RED)['observation']),
        /waits for 1 block of nodes \(n1\) to be given back/,
      )
      cluster.now += 59_000
      cluster.settle()
      assert.ok(cluster.world.blocks.has('b'))
      cluster.now += 1000
      cluster.settle()
      assert.equal(cluster.world.blocks.size, 0)
      assert.ok(!cluster.world.networks.has(RED))
    })

    it('have nothing to wait for when nobody used them', () => {
      const cluster = new TestCluster()
      cluster.network('red')
      cluster.settle()
      cluster.remove('networks', RED)
      cluster.settle()
      assert.ok(!cluster.world.networks.has(RED))
    })
  })
})

describe('built-in networks', () => {
  it('are shown with their labels, owned by their namespace, and have a VNI but no finalizer', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.namespace('shop', { 'vrouter.dev/isolation': 'true' })
    cluster.settle()
    assert.deepEqual(
      [...cluster.world.networks.keys()],
      ['default/k8s-default-pod-network', 'shop/k8s-shop-pod-network'],
    )
    const shown = cluster.world.networks.get('shop/k8s-shop-pod-network')!
    assert.deepEqual(shown.metadata.labels, {
      'vrouter.dev/built-in': 'true',
      'app.kubernetes.io/managed-by': 'vrouter-controller',
    })
    assert.equal(shown.metadata.ownerReferences![0]!.uid, cluster.world.namespaces.get('shop')!.metadata.uid)
    assert.equal(shown.metadata.finalizers, undefined)
    assert.equal(shown.status!['state'], 'Success')
    assert.equal(shown.status!['virtualNetworkNetworkID'], 4097)
  })

  it('keep what people add, come back when they are deleted, and go with the isolation', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.namespace('shop', { 'vrouter.dev/isolation': 'true' })
    cluster.settle()
    const key = 'shop/k8s-shop-pod-network'
    cluster.change('networks', key, { metadata: { labels: { tier: 'web' } } })
    assert.deepEqual(cluster.settle().done, [])
    cluster.remove('networks', key)
    cluster.settle()
    assert.equal(cluster.status('networks', key)['state'], 'Success')
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'vrouter.dev/isolation': 'false' } } })
    cluster.settle()
    assert.deepEqual([...cluster.world.networks.keys()], ['default/k8s-default-pod-network'])
  })

  it('are no excuse to touch objects of people: a name that is taken, a label that says more than there is', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.network('k8s-default-pod-network')
    cluster.network('mine', undefined, { labels: { 'vrouter.dev/built-in': 'true' } })
    cluster.settle()
    assert.match(
      String(cluster.status('networks', 'default/k8s-default-pod-network')['observation']),
      /is built in .*: choose another name/,
    )
    assert.match(
      String(cluster.status('networks', 'default/mine')['observation']),
      /no such network is built in: remove the label/,
    )
  })

  it('are not shown where there are none', () => {
    const cluster = new TestCluster()
    cluster.defaultSubnets = []
    cluster.namespace('default')
    cluster.settle()
    assert.equal(cluster.world.networks.size, 0)
  })

  it('that hold addresses of nodes say so', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.node('n1')
    cluster.router('n1', '10.244.7.1')
    cluster.settle()
    const said = cluster.condition('networks', 'default/k8s-default-pod-network', 'Overlap')
    assert.equal(
      said,
      'True AddressesOverlap: subnet 10.244.0.0/16 holds addresses of nodes: n1 (10.244.7.1); choose another (defaultNetwork.subnets)',
    )
  })

  it('of one pool share its free blocks', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.namespace('shop', { 'vrouter.dev/isolation': 'true' })
    cluster.node('n1')
    cluster.block('b', '10.244.0.0/26', 'n1', 'default-domain:k8s-shop:k8s-shop-pod-network')
    cluster.settle()
    const subnet = (key: string) =>
      (cluster.status('networks', key)['subnets'] as { blocks: number; freeBlocks: number }[])[0]!
    assert.deepEqual(
      [subnet('shop/k8s-shop-pod-network').blocks, subnet('default/k8s-default-pod-network').blocks],
      [1, 0],
    )
    assert.equal(subnet('default/k8s-default-pod-network').freeBlocks, 1023)
  })
})
