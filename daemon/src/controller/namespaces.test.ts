import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'
import { networkOfPod } from '../model/namespace-network.ts'
import { viewOf } from './view.ts'

describe('namespaces', () => {
  it('that ask for nothing get no condition', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.namespace('plain')
    const { done } = cluster.settle()
    assert.ok(done.every(({ of }) => of === 'networks'))
  })

  it('that ask for a network that doesn’t exist are told in the words that ADD fails with, until it does', () => {
    const cluster = new TestCluster()
    cluster.namespace('shop', { 'net.juniper.contrail.podnetwork': 'default/red' })
    const { events } = cluster.settle()
    const { state } = viewOf(cluster.world, { name: 'k8s', defaultSubnets: [] })
    const add = networkOfPod({ namespace: 'shop', name: 'web' }, state, 'k8s')
    assert.ok(!add.ok)
    assert.equal(
      add.error.message,
      "namespace shop: annotation net.juniper.contrail.podnetwork names default-domain:k8s-default:red, which doesn't exist",
    )
    assert.equal(cluster.condition('namespaces', 'shop', 'NetworkReady'), `False NetworkMissing: ${add.error.message}`)
    assert.deepEqual(
      events.map(({ of, type, reason, message }) => [of, type, reason, message]),
      [['namespaces', 'Warning', 'NetworkMissing', add.error.message]],
    )
    cluster.network('red')
    cluster.settle()
    assert.equal(
      cluster.condition('namespaces', 'shop', 'NetworkReady'),
      'True NetworkFound: pods join default-domain:k8s-default:red',
    )
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'net.juniper.contrail.podnetwork': 'a b' } } })
    cluster.settle()
    assert.match(
      cluster.condition('namespaces', 'shop', 'NetworkReady')!,
      /^False NetworkAnnotation: .*is not a network name: a b$/,
    )
  })

  it('whose list of networks can’t be read are told, and that it is read once it is mended', () => {
    const cluster = new TestCluster()
    cluster.namespace('shop', { 'vrouter.dev/networks': 'red' })
    const { events } = cluster.settle()
    const message =
      'namespace shop: annotation vrouter.dev/networks has the entry "red", which names no interface: write red@eth1'
    assert.deepEqual(
      events.map(({ of, type, reason, message }) => [of, type, reason, message]),
      [['namespaces', 'Warning', 'NetworksAnnotation', message]],
    )
    assert.equal(cluster.condition('namespaces', 'shop', 'NetworkReady'), `False NetworksAnnotation: ${message}`)
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'vrouter.dev/networks': 'red@eth1' } } })
    cluster.settle()
    assert.match(cluster.condition('namespaces', 'shop', 'NetworkReady')!, /^True NetworkFound/)
  })

  it('whose switch is neither on nor off are told, and what to correct; pods don’t start until then', () => {
    const cluster = new TestCluster()
    cluster.namespace('shop', { 'vrouter.dev/isolation': 'yes' })
    const { events } = cluster.settle()
    const message = 'namespace shop: annotation vrouter.dev/isolation is "yes", neither true nor false'
    assert.deepEqual(
      events.map(({ of, type, reason, message }) => [of, type, reason, message]),
      [['namespaces', 'Warning', 'AnnotationUnclear', message]],
    )
    assert.equal(cluster.condition('namespaces', 'shop', 'NetworkReady'), `False AnnotationUnclear: ${message}`)
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'vrouter.dev/isolation': 'true' } } })
    assert.deepEqual(cluster.settle().events, [])
    assert.match(
      cluster.condition('namespaces', 'shop', 'NetworkReady')!,
      /^True NetworkFound: .*k8s-shop-pod-network$/,
    )
  })

  it('with a mistyped key are told which was meant', () => {
    const cluster = new TestCluster()
    cluster.namespace('shop', { 'vrouter.dev/netwrok': 'red' })
    cluster.namespace('plain', { 'vrouter.dev/adresses': '10.1.0.7' })
    const { events } = cluster.settle()
    assert.deepEqual(events.map(({ object, type, message }) => `${object.metadata.name} ${type}: ${message}`).sort(), [
      'plain Warning: annotation vrouter.dev/adresses is not known; did you mean vrouter.dev/addresses?',
      'shop Warning: namespace shop: annotation vrouter.dev/netwrok is not known; did you mean vrouter.dev/network?',
    ])
    assert.match(cluster.condition('namespaces', 'shop', 'NetworkReady')!, /^False AnnotationUnclear: /)
    assert.equal(cluster.condition('namespaces', 'plain', 'NetworkReady'), undefined)
  })

  it('with a key of Contrail that there is nothing for are told once', () => {
    const cluster = new TestCluster()
    cluster.namespace('shop', { 'opencontrail.org/isolation.service': 'true' })
    const { events } = cluster.settle()
    assert.deepEqual(
      events.map(({ type, message, isOnce }) => [type, message, isOnce]),
      [['Normal', 'annotation opencontrail.org/isolation.service is not known here, and does nothing', true]],
    )
  })

  it('that ask for a network that is being deleted are told so', () => {
    const cluster = new TestCluster()
    cluster.network('red')
    cluster.node('n1')
    cluster.block('b')
    cluster.namespace('shop', { 'vrouter.dev/network': 'default/red' })
    cluster.settle()
    cluster.interface('web', ['10.1.0.5'], {}, 'shop')
    cluster.remove('networks', 'default/red')
    cluster.settle()
    assert.match(cluster.condition('namespaces', 'shop', 'NetworkReady')!, /^False NetworkMissing/)
  })

  it('whose network changes are told how many pods stay where they are, whichever controller leads', () => {
    const cluster = new TestCluster()
    cluster.namespace('default')
    cluster.namespace('shop')
    cluster.node('n1')
    const before = 'default-domain:k8s-default:k8s-default-pod-network'
    const after = 'default-domain:k8s-shop:k8s-shop-pod-network'
    cluster.block('b', '10.244.0.0/26', 'n1', before)
    for (const pod of ['a', 'b'])
      cluster.interface(pod, [`10.244.0.${pod.charCodeAt(0) - 90}`], { network: before }, 'shop')
    cluster.settle()
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'opencontrail.org/isolation': 'true' } } })
    const { events } = cluster.settle()
    assert.deepEqual(
      events.map(({ reason, message }) => [reason, message]),
      [
        [
          'PodsKeepTheirNetwork',
          `new pods join ${after}; 2 pods that run already stay in ${before} until they are made again`,
        ],
      ],
    )
    assert.deepEqual(cluster.settle().events, [])
    // Back again: what the condition said counts, not what a controller remembers.
    cluster.change('namespaces', 'shop', { metadata: { annotations: { 'opencontrail.org/isolation': 'false' } } })
    cluster.settle()
    assert.equal(cluster.condition('namespaces', 'shop', 'NetworkReady'), `True NetworkFound: pods join ${before}`)
  })
})
