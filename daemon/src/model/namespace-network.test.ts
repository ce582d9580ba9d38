import assert from 'node:assert/strict'
import { builtInNetworks } from './built-in-networks.ts'
import { addressesOfPod, isIsolated, macOfPod, networkOfPod, parseNetworkName } from './namespace-network.ts'
import type { Namespace, VirtualNetwork } from './objects.ts'

const cluster = 'k8s'
const namespaces: Namespace[] = [
  { name: 'plain', labels: {}, annotations: {} },
  { name: 'tenant', labels: {}, annotations: { 'vrouter.dev/network': 'default/red' } },
  {
    name: 'old',
    labels: {},
    annotations: {
      'opencontrail.org/network': "{'domain': 'default-domain', 'project': 'k8s-default', 'name': 'red'}",
    },
  },
  { name: 'cn2', labels: {}, annotations: { 'net.juniper.contrail.podnetwork': 'plain/green' } },
  { name: 'lonely', labels: { 'core.juniper.net/isolated-namespace': 'true' }, annotations: {} },
  { name: 'broken', labels: {}, annotations: { 'vrouter.dev/network': 'a/b/c' } },
  { name: 'missing', labels: {}, annotations: { 'vrouter.dev/network': 'nowhere' } },
]
const [standard, isolated] = builtInNetworks(cluster, ['10.244.0.0/16'], namespaces)
const network = (fqName: string): VirtualNetwork => ({ ...standard!, fqName, ipam: undefined })
const red = network('default-domain:k8s-default:red')
const green = network('default-domain:k8s-plain:green')
const state = {
  namespaces: new Map(namespaces.map((namespace) => [namespace.name, namespace])),
  virtualNetworks: new Map([standard!, isolated!, red, green].map((vn) => [vn.fqName, vn])),
}

function networkOf(namespace: string, annotations?: Record<string, string>) {
  const found = networkOfPod({ namespace, name: 'p', annotations }, state, cluster)
  return found.ok ? `${found.from} ${found.vn.fqName}` : found.error.code
}

describe('the network of a pod', () => {
  it('is the default pod network where nothing is said', () => {
    assert.equal(networkOf('plain'), 'default default-domain:k8s-default:k8s-default-pod-network')
    // The default namespace needs no object.
    assert.equal(networkOf('default'), 'default default-domain:k8s-default:k8s-default-pod-network')
  })

  it('is the one that the namespace names, in each of the three spellings', () => {
    assert.equal(networkOf('tenant'), 'namespace default-domain:k8s-default:red')
    assert.equal(networkOf('old'), 'namespace default-domain:k8s-default:red')
    assert.equal(networkOf('cn2'), 'namespace default-domain:k8s-plain:green')
  })

  it('is the one that the pod names, whatever its namespace says', () => {
    assert.equal(
      networkOf('tenant', { 'net.juniper.contrail.podnetwork': 'plain/green' }),
      'pod default-domain:k8s-plain:green',
    )
    const json = JSON.stringify({ domain: 'default-domain', project: 'default', name: 'red' })
    assert.equal(networkOf('lonely', { 'opencontrail.org/network': json }), 'pod default-domain:k8s-default:red')
    const both = { 'net.juniper.contrail.podnetwork': 'plain/green', 'vrouter.dev/network': 'default/red' }
    assert.equal(networkOf('plain', both), 'pod default-domain:k8s-default:red')
  })

  describe('of one interface', () => {
    const networkOfInterface = (ifname: string, namespace: string, annotations?: Record<string, string>) => {
      const found = networkOfPod({ namespace, name: 'p', ifname, annotations }, all, cluster)
      return found.ok ? `${found.from} ${found.vn.name}` : found.error.code
    }
    const named = (name: string, annotations: Record<string, string>, labels = {}): Namespace => ({
      ...{ name, labels, annotations },
    })
    const here = [
      named('listed', { 'vrouter.dev/networks': 'default/red@eth1', 'vrouter.dev/network': 'plain/green' }),
      named('garbled', { 'vrouter.dev/networks': 'default/red' }),
    ]
    const all = {
      namespaces: new Map([...namespaces, ...here].map((namespace) => [namespace.name, namespace])),
      virtualNetworks: new Map(
        [...state.virtualNetworks].map(([name, vn]) => [name, { ...vn, name: name.split(':')[2]! }]),
      ),
    }
    const list = (text: string) => ({ 'vrouter.dev/networks': text })
    const standardName = 'k8s-default-pod-network'

    it('is what the pod’s list says of it, and what is said of the pod for all others', () => {
      assert.equal(networkOfInterface('eth1', 'plain', list('default/red@eth1, green@eth2')), 'pod red')
      assert.equal(networkOfInterface('eth2', 'plain', list('default/red@eth1, green@eth2')), 'pod green')
      assert.equal(networkOfInterface('eth0', 'plain', list('default/red@eth1')), `default ${standardName}`)
      assert.equal(networkOfInterface('eth0', 'plain', list('default/red@eth0')), 'pod red')
      const both = { ...list('default/red@eth1'), 'vrouter.dev/network': 'green' }
      assert.equal(networkOfInterface('eth1', 'plain', both), 'pod red')
      assert.equal(networkOfInterface('eth0', 'plain', both), 'pod green')
    })

    it('is what the namespace’s list says of it, where the pod says nothing', () => {
      assert.equal(networkOfInterface('eth1', 'listed'), 'namespace red')
      assert.equal(networkOfInterface('eth0', 'listed'), 'namespace green')
      assert.equal(networkOfInterface('eth1', 'listed', { 'vrouter.dev/network': 'plain/green' }), 'pod green')
      assert.equal(networkOfInterface('eth1', 'listed', list('plain/green@eth1')), 'pod green')
    })

    it('of an isolated namespace is its own, unless it is named', () => {
      assert.equal(networkOfInterface('eth1', 'lonely'), 'isolation k8s-lonely-pod-network')
      assert.equal(networkOfInterface('eth1', 'lonely', list('default/red@eth2')), 'isolation k8s-lonely-pod-network')
      assert.equal(networkOfInterface('eth1', 'lonely', list('default/red@eth1')), 'pod red')
    })

    it('is nobody’s guess: a list that can’t be read refuses every interface, an empty one as well', () => {
      for (const ifname of ['eth0', 'eth1']) {
        assert.equal(networkOfInterface(ifname, 'plain', list('default/red')), 'NETWORKS_ANNOTATION')
        assert.equal(networkOfInterface(ifname, 'garbled'), 'NETWORKS_ANNOTATION')
        assert.equal(networkOfInterface(ifname, 'plain', list(' ')), 'ANNOTATION_UNCLEAR')
        assert.equal(
          networkOfInterface(ifname, 'plain', { 'vrouter.dev/netwroks': 'default/red@eth1' }),
          'ANNOTATION_UNCLEAR',
        )
      }
      assert.equal(networkOfInterface('eth1', 'plain', list('nowhere@eth1')), 'NETWORK_MISSING')
      assert.equal(networkOfInterface('eth1', 'plain', list('a/b/c@eth1')), 'NETWORK_ANNOTATION')
      // A network that is named nearer settles it.
      assert.equal(networkOfInterface('eth0', 'garbled', { 'vrouter.dev/network': 'plain/green' }), 'pod green')
    })
  })

  it('is the namespace’s own where it is isolated', () => {
    assert.equal(networkOf('lonely'), 'isolation default-domain:k8s-lonely:k8s-lonely-pod-network')
    assert.equal(isolated?.ipam, standard?.ipam)
  })

  it('is a clear error where it can’t be told', () => {
    assert.equal(networkOf('unknown'), 'NAMESPACE_MISSING')
    assert.equal(networkOf('broken'), 'NETWORK_ANNOTATION')
    assert.equal(networkOf('missing'), 'NETWORK_MISSING')
    assert.equal(networkOf('plain', { 'opencontrail.org/network': '{"project": "x"}' }), 'NETWORK_ANNOTATION')
    const none = networkOfPod({ namespace: 'plain', name: 'p' }, { ...state, virtualNetworks: new Map() }, cluster)
    assert.equal(none.ok ? '' : none.error.code, 'NO_DEFAULT_NETWORK')
    const missing = networkOfPod({ namespace: 'missing', name: 'p' }, state, cluster)
    assert.ok(!missing.ok && missing.error.message.includes('default-domain:k8s-missing:nowhere'))
  })

  describe('where what was meant isn’t clear', () => {
    const asked = (
      namespace: { annotations?: Record<string, string>; labels?: Record<string, string> },
      pod: { annotations?: Record<string, string>; labels?: Record<string, string> } = {},
      name = 'shop',
    ) => {
      const shop = { name, labels: {}, annotations: {}, ...namespace }
      const with_ = [...namespaces.filter((one) => one.name !== name), shop]
      const networks = [...builtInNetworks(cluster, ['10.244.0.0/16'], with_), red, green]
      const here = {
        namespaces: new Map(with_.map((one) => [one.name, one])),
        virtualNetworks: new Map(networks.map((vn) => [vn.fqName, vn])),
      }
      const found = networkOfPod({ namespace: name, name: 'p', ...pod }, here, cluster)
      return found.ok ? `${found.from} ${found.vn.fqName.split(':')[2]}` : `${found.error.code}: ${found.error.message}`
    }
    const annotated = (annotations: Record<string, string>) => ({ annotations })

    it('is none rather than one that others reach', () => {
      assert.equal(
        asked(annotated({ 'vrouter.dev/isolation': 'yes' })),
        'ANNOTATION_UNCLEAR: namespace shop: annotation vrouter.dev/isolation is "yes", neither true nor false',
      )
      assert.equal(
        asked({ labels: { 'core.juniper.net/isolated-namespace': '' } }),
        'ANNOTATION_UNCLEAR: namespace shop: label core.juniper.net/isolated-namespace is "", neither true nor false',
      )
      assert.equal(
        asked(annotated({ 'vrouter.dev/netwrok': 'red' })),
        'ANNOTATION_UNCLEAR: namespace shop: annotation vrouter.dev/netwrok is not known; did you mean vrouter.dev/network?',
      )
      assert.match(
        asked({}, annotated({ 'vrouter.dev/netwrok': 'red' })),
        /^ANNOTATION_UNCLEAR: pod shop\/p: .*netwrok/,
      )
      assert.match(asked({}, { labels: { 'vrouter.dev/network': 'red' } }), /^ANNOTATION_UNCLEAR: pod shop\/p: label /)
      const alone = annotated({ 'vrouter.dev/isolation': 'true' })
      assert.match(asked({}, alone), /^ANNOTATION_UNCLEAR: pod shop\/p: .* is not read on a pod/)
      assert.match(asked({}, alone, 'default'), /^ANNOTATION_UNCLEAR: pod default\/p/)
      assert.match(asked(annotated({ 'vrouter.dev/network': 'default/red' }), alone), /^ANNOTATION_UNCLEAR/)
    })

    it('is the one that is clear all the same', () => {
      const own = 'isolation k8s-shop-pod-network'
      const unclear = { 'vrouter.dev/isolation': 'yes' }
      assert.equal(asked(annotated({ ...unclear, 'opencontrail.org/isolation': 'true' })), own)
      assert.equal(
        asked(annotated({ 'opencontrail.org/isolation': 'true' }), annotated({ 'vrouter.dev/isolation': 'true' })),
        own,
      )
      assert.equal(asked(annotated({ ...unclear, 'vrouter.dev/network': 'default/red' })), 'namespace red')
      assert.equal(asked(annotated(unclear), annotated({ 'vrouter.dev/network': 'default/red' })), 'pod red')
      assert.equal(asked(annotated(unclear), {}, 'default'), 'isolation k8s-default-pod-network')
    })

    it('is the default one where nothing was to be kept apart', () => {
      const open = 'default k8s-default-pod-network'
      assert.equal(asked(annotated({ 'vrouter.dev/isolation': 'false', 'vrouter.dev/isolated': 'false' })), open)
      assert.equal(asked(annotated({ 'opencontrail.org/isolation.service': 'true', 'vrouter.dev/qos': 'x' })), open)
      assert.equal(asked({}, annotated({ 'vrouter.dev/adresses': '10.1.0.7' })), open)
    })

    it('is kept for the pods that are in it when a switch that was clear no longer is', () => {
      const [, own] = builtInNetworks(
        cluster,
        ['10.244.0.0/16'],
        [{ name: 'shop', labels: {}, annotations: { 'vrouter.dev/isolation': 'ture' } }],
      )
      assert.equal(own?.name, 'k8s-shop-pod-network')
    })
  })

  it('never is another one because a named one is missing', () => {
    assert.equal(networkOf('plain', { 'vrouter.dev/network': 'gone' }), 'NETWORK_MISSING')
  })
})

describe('annotations', () => {
  it('isolate by annotation or label, with "true" or with what may mean it', () => {
    const of = (annotations: Record<string, string>, labels = {}) => isIsolated({ name: 'n', annotations, labels })
    assert.ok(of({ 'opencontrail.org/isolation': 'True ' }))
    assert.ok(of({ 'opencontrail.kubernetes.isolated': 'true' }))
    assert.ok(of({}, { 'vrouter.dev/isolation': 'true' }))
    assert.ok(of({ 'opencontrail.org/isolation': 'yes' }))
    assert.ok(!of({ 'opencontrail.org/isolation': 'false' }))
    assert.ok(!of({}))
  })

  it('name a network as name, namespace/name, FQ name or JSON', () => {
    assert.deepEqual(parseNetworkName('red', 'ns', 'k8s'), ['default-domain:k8s-ns:red'])
    assert.deepEqual(parseNetworkName('a/red', 'ns', 'k8s'), ['default-domain:k8s-a:red'])
    assert.equal(parseNetworkName('d:p:red', 'ns', 'k8s')![0], 'd:p:red')
    assert.equal(parseNetworkName('{"name": "red"}', 'ns', 'k8s')![0], 'default-domain:k8s-ns:red')
    for (const text of ['', 'a/b/c', 'a:b', 'a b', '{', '{}', '[]', '{"name": 3}', '/red']) {
      assert.equal(parseNetworkName(text, 'ns', 'k8s'), undefined, text)
    }
  })

  it('ask for addresses, one of a family', () => {
    const of = (text: string) =>
      addressesOfPod({ namespace: 'n', name: 'p', annotations: { 'vrouter.dev/addresses': text } })
    assert.deepEqual(of('10.1.0.7, FD00::0007'), { ok: true, addresses: ['10.1.0.7', 'fd00::7'] })
    assert.deepEqual(addressesOfPod({ namespace: 'n', name: 'p' }), { ok: true, addresses: [] })
    for (const text of ['10.1.0.7,10.1.0.8', 'x', '10.1.0.7,']) assert.ok(!of(text).ok, text)
  })

  it('ask for a MAC address', () => {
    const macOf = (annotations: Record<string, string>) => {
      const asked = macOfPod({ namespace: 'plain', name: 'p', annotations })
      return asked.ok ? asked.mac : asked.error.message
    }
    assert.equal(macOf({}), undefined)
    assert.equal(macOf({ 'vrouter.dev/mac': '02-00-5E-10-00-01' }), '02:00:5e:10:00:01')
    const args = 'net.juniper.contrail.podnetwork.cni-args'
    assert.equal(macOf({ [args]: '{"mac": "02:00:00:00:00:07", "other": 1}' }), '02:00:00:00:00:07')
    assert.equal(macOf({ [args]: '{"other": 1}' }), undefined)
    for (const bad of ['red', '02:00:00:00:01', '{"mac": 7}'])
      assert.match(macOf({ [bad.startsWith('{') ? args : 'vrouter.dev/mac']: bad })!, /isn't a MAC address/)
  })
})
