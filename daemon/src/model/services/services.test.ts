import assert from 'node:assert/strict'
import { byName, endpointOf, serviceOf, sliceOf } from '../../../../test/doubles/service-objects.ts'
import {
  DEFAULT_SERVICES,
  DEV_SERVICES,
  dev,
  frontsOf,
  inputOf,
  isolated,
  limits,
  modelOf,
  port,
  red,
  remote,
  routeOf,
  router,
  type ServiceWorld,
  standard,
} from '../../../../test/doubles/service-world.ts'
import { contains, mustParseAddress } from '../address.ts'
import { Model } from '../compute.ts'
import { Ids } from '../ids.ts'
import { SERVICE_LABEL } from '../keys.ts'
import type {
  Namespace,
  Service,
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualNetworkRouter,
} from '../objects.ts'
import { routerOf } from '../publish.ts'
import type { Tables } from '../tables.ts'

const webPods = [port('web-1', standard, '10.244.0.4'), port('red-1', red, '10.1.0.4')]
const webRemote = remote('web-2', standard, '10.244.1.4', 30)
const webSlice = sliceOf('web', [
  endpointOf('10.244.0.4', { node: 'n1', pod: 'web-1' }),
  endpointOf('10.244.1.4', { node: 'n2', pod: 'web-2' }),
])

let time = 0
const modelAt = (ids?: Ids) => modelOf(ids, () => time)
const tablesOf = (world: ServiceWorld): Tables => modelAt().update(inputOf(world))

describe('Services of a node', () => {
  it('are fronts of the service network, with the pods of this node and of others behind them', () => {
    const tables = tablesOf({
      services: [serviceOf('web')],
      slices: [webSlice],
      ports: webPods,
      interfaces: [webRemote],
    })
    const tap = webPods[0]!.tap
    const all = `10.244.0.4:8080 in k8s-default-pod-network at ${tap}, 10.244.1.4:8080 in k8s-default-pod-network by 192.0.2.12 112`
    assert.deepEqual(frontsOf(tables), {
      'k8s-default-service-network cluster-ip 10.96.0.10': 'reject',
      'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP': all,
    })
    assert.deepEqual(tables.problems, [])
  })

  it('are not told while what there is of them is not known, and stay when it is known no longer', () => {
    const unknown = {
      services: undefined,
      slices: undefined,
      serviceRanges: undefined,
    } as unknown as Partial<SourceState>
    const world = { services: [serviceOf('web')], slices: [webSlice], ports: webPods }
    assert.equal(tablesOf({ ...world, more: unknown }).fronts, undefined)
    const model = modelAt()
    const before = model.update(inputOf(world))
    const after = model.update(inputOf({ ...world, more: unknown }))
    assert.equal(after.fronts, before.fronts)
    assert.equal(after.vrfs, before.vrfs)
    assert.equal(routeOf(after, standard.fqName, '10.96.0.10'), `services of ${DEFAULT_SERVICES}`)
  })

  it('stay in their VRF for a daemon that starts and does not know them yet', () => {
    const ids = new Ids({ limits })
    const unknown = {
      services: undefined,
      slices: undefined,
      serviceRanges: undefined,
    } as unknown as Partial<SourceState>
    const vrfOf = (tables: Tables) => tables.vrfs.find(({ vn }) => vn === DEFAULT_SERVICES)?.id
    const first = modelAt(ids).update(inputOf({ services: [serviceOf('web')], slices: [webSlice], ports: webPods }))
    const next = modelAt(ids).update(inputOf({ ports: webPods, more: unknown }))
    assert.equal(vrfOf(next), vrfOf(first))
    assert.equal(routeOf(next, red.fqName, '10.96.0.10'), `services of ${DEFAULT_SERVICES}`)
    assert.equal(ids.used('service').size, 1)
    assert.equal(vrfOf(tablesOf({ ports: webPods, more: unknown })), undefined)
  })

  it('take no numbers where there are none', () => {
    const tables = modelOf(undefined, undefined, []).update(inputOf({ ports: webPods, more: { serviceRanges: [] } }))
    assert.deepEqual(tables.fronts, [])
    assert.ok(tables.vrfs.every(({ vn }) => vn !== DEFAULT_SERVICES))
    assert.ok(tables.nexthops.every(({ nexthop }) => nexthop.type !== 'vrf-translate' || nexthop.service !== true))
  })

  it('have NodePorts on the primary addresses, and public addresses in the underlay, with the local endpoints for others only', () => {
    const service = serviceOf('web', {
      ...{ type: 'LoadBalancer', clusterIps: ['10.96.0.10', 'fd00:96::10'], externalTrafficPolicy: 'Local' },
      ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }],
      ...{ loadBalancerIps: ['198.51.100.7'], externalIps: ['198.51.100.8', '2001:db8:1::8'] },
      sourceRanges: ['198.51.100.0/24', '2001:db8:5::/48'],
    })
    const tables = tablesOf({ services: [service], slices: [webSlice], ports: webPods, interfaces: [webRemote] })
    const local = `10.244.0.4:8080 in k8s-default-pod-network at ${webPods[0]!.tap}`
    const all = `${local}, 10.244.1.4:8080 in k8s-default-pod-network by 192.0.2.12 112`
    const both = `inside ${all}; outside ${local}`
    assert.deepEqual(frontsOf(tables), {
      'underlay node-port 192.0.2.11:30080/TCP': both,
      'underlay load-balancer 198.51.100.7': 'reject',
      'underlay load-balancer 198.51.100.7:80/TCP': both,
      'underlay external-ip 198.51.100.8': 'reject',
      'underlay external-ip 198.51.100.8:80/TCP': both,
      'underlay node-port 2001:db8::11:30080/TCP': 'reject',
      'underlay external-ip 2001:db8:1::8': 'reject',
      'underlay external-ip 2001:db8:1::8:80/TCP': 'reject',
      'k8s-default-service-network cluster-ip 10.96.0.10': 'reject',
      'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP': all,
      'k8s-default-service-network cluster-ip fd00:96::10': 'reject',
      'k8s-default-service-network cluster-ip fd00:96::10:80/TCP': 'reject',
    })
    const ranges = tables.fronts!.filter(({ sourceRanges }) => sourceRanges !== undefined)
    assert.deepEqual(
      ranges.map(({ kind, listener, sourceRanges }) => [kind, listener?.port, sourceRanges]),
      [['load-balancer', 80, ['198.51.100.0/24']]],
    )
    const ids = Map.groupBy(tables.fronts!, ({ address }) => (address.includes(':') ? 6 : 4))
    assert.deepEqual(
      [4, 6].map((family) => new Set(ids.get(family as 4 | 6)!.map(({ id }) => id)).size),
      [1, 1],
    )
    for (const address of ['198.51.100.7', '198.51.100.8', '2001:db8:1::8'])
      for (const vn of [standard.fqName, red.fqName, 'underlay'])
        assert.match(routeOf(tables, vn, address), /^services of .*ip-fabric|^services of underlay/)
  })

  it('have the same NodePort at every node by their policy, not because all endpoints happen to be here', () => {
    const everywhere = (externalTrafficPolicy: 'Cluster' | 'Local') => {
      const ports = [{ name: '', protocol: 'TCP', port: 80, nodePort: 30080 }] as const
      const service = serviceOf('web', { type: 'NodePort', externalTrafficPolicy, ports })
      const here = sliceOf('web', [endpointOf('10.244.0.4', { node: 'n1', pod: 'web-1' })])
      const { fronts } = tablesOf({ services: [service], slices: [here], ports: webPods })
      const nodePort = fronts!.find(({ kind }) => kind === 'node-port')!
      assert.equal(nodePort.inside, nodePort.outside)
      return [nodePort.isAtEveryNode, fronts!.filter(({ isAtEveryNode }) => isAtEveryNode).length]
    }
    assert.deepEqual(everywhere('Cluster'), [true, 1])
    assert.deepEqual(everywhere('Local'), [undefined, 0])
  })

  it('are not served at addresses that are others', () => {
    const services = [
      serviceOf('a', { externalIps: ['192.0.2.12', '192.0.2.11', '192.0.2.1', '203.0.113.1', '203.0.113.2'] }),
      serviceOf('b', {
        type: 'LoadBalancer',
        clusterIps: ['10.96.0.11'],
        loadBalancerIps: ['10.244.0.4', '10.96.0.10'],
      }),
      serviceOf('c', { clusterIps: ['10.96.0.12'], externalIps: ['169.254.169.254', '127.0.0.1'] }),
    ]
    const tables = tablesOf({ services, ports: webPods, hostPeers: ['203.0.113.1'] })
    assert.deepEqual(
      tables.fronts!.filter(({ kind }) => kind !== 'cluster-ip').map(({ address }) => address),
      ['203.0.113.2', '203.0.113.2'],
    )
    const told = tables.problems.map(({ object, message }) => `${object} ${message}`)
    const expected = [
      'a is not served at 192.0.2.12: it is the address of node n2',
      'a is not served at 192.0.2.11: it is the address of this node',
      'a is not served at 192.0.2.1: it is the address of a gateway of this node',
      'a is not served at 203.0.113.1: it is the address of a server that this node needs',
      'b is not served at 10.244.0.4: it lies in the pod network',
      'b is not served at 10.96.0.10: it lies in a range of cluster IPs',
      'c is not served at 169.254.169.254: nothing is reached there',
      'c is not served at 127.0.0.1: nothing is reached there',
    ]
    assert.deepEqual(told.toSorted(), expected.map((one) => `Service default/${one}`).toSorted())
  })

  it('are not served at external IPs where the configuration says so, and at all others as ever', () => {
    const service = serviceOf('web', {
      ...{ type: 'LoadBalancer', loadBalancerIps: ['198.51.100.7'], externalIps: ['198.51.100.8'] },
    })
    const options = { node: 'n1', cluster: 'k8s', limits: { routes: 1000 }, flowsPerVif: 5, snat: true }
    const model = new Model({ ...options, externalIps: false }, new Ids({ limits }))
    const { fronts, problems } = model.update(inputOf({ services: [service] }))
    assert.deepEqual([...new Set(fronts!.map(({ address }) => address))], ['198.51.100.7', '10.96.0.10'])
    assert.deepEqual(
      problems.map(({ object, message }) => `${object} ${message}`),
      ['Service default/web is not served at 198.51.100.8: external IPs are turned off (services.externalIPs)'],
    )
  })

  it('are of their own network in an isolated namespace, which nobody sees but its pods and the node', () => {
    const own = serviceOf('db', { namespace: 'dev', clusterIps: ['10.96.0.20'], type: 'NodePort' })
    const tables = tablesOf({
      services: [serviceOf('web'), { ...own, ports: [{ name: '', protocol: 'UDP', port: 53, nodePort: 30053 }] }],
      ports: [...webPods, port('dev-1', dev, '10.244.0.9', 'dev')],
      namespaces: [isolated],
    })
    assert.deepEqual(Object.keys(frontsOf(tables, ({ service }) => service.namespace === 'dev')), [
      'underlay node-port 192.0.2.11:30053/UDP',
      'k8s-dev-service-network cluster-ip 10.96.0.20',
      'k8s-dev-service-network cluster-ip 10.96.0.20:53/UDP',
    ])
    const seen = (vn: string) =>
      ['10.96.0.10', '10.96.0.20', '10.96.0.99'].map((address) => routeOf(tables, vn, address))
    const standardOnly = Array(3).fill(`services of ${DEFAULT_SERVICES}`)
    assert.deepEqual(seen(standard.fqName), standardOnly)
    assert.deepEqual(seen(red.fqName), standardOnly)
    const both = standardOnly.with(1, `services of ${DEV_SERVICES}`)
    assert.deepEqual(seen(dev.fqName), both)
    assert.deepEqual(seen('underlay'), both)
    const hostRoutes = tables.hostRoutes.map(({ destination, prefixLength }) => `${destination}/${prefixLength}`)
    for (const range of ['10.96.0.0/12', 'fd00:96::/108']) assert.ok(hostRoutes.includes(range), range)
    assert.ok(tables.hostRoutes.every(({ source }) => source === '192.0.2.11' || source === '2001:db8::11'))
    assert.equal(routeOf(tables, 'underlay', 'fe80::200:5eff:fe00:100'), 'discard')
  })

  it('of an isolated namespace are seen by a network that its pod network is joined with', () => {
    const both = [
      { ...dev, labels: { join: 'yes' } },
      { ...red, namespace: 'dev', labels: { join: 'yes' } },
    ]
    const virtualNetworks = new Map([standard, ...both].map((vn) => [vn.fqName, vn]))
    const select = { matchLabels: { join: 'yes' }, matchExpressions: [] }
    const mesh = { namespace: 'dev', name: 'm', type: 'mesh', labels: {}, networks: select, imports: [] } as const
    const model = modelAt()
    const services = [serviceOf('db', { namespace: 'dev', clusterIps: ['10.96.0.20'] })]
    const seen = (...routers: readonly VirtualNetworkRouter[]) => {
      const more = { virtualNetworks, networkRouters: byName(routers) }
      const tables = model.update(inputOf({ services, ports: webPods, namespaces: [isolated], more }))
      return [red, standard].map(({ fqName }) => routeOf(tables, fqName, '10.96.0.20'))
    }
    const [apart, joined] = [DEFAULT_SERVICES, DEV_SERVICES].map((network) => `services of ${network}`)
    assert.deepEqual(seen(), [apart, apart])
    assert.deepEqual(seen(mesh), [joined, apart])
    assert.deepEqual(seen(), [apart, apart])
  })

  it('bring pods of other networks whose addresses are on the link: the router answers for them there', () => {
    const model = modelAt()
    const flagsOf = (services: readonly Service[], virtualNetworks: readonly VirtualNetwork[]) => {
      const more = { virtualNetworks: new Map(virtualNetworks.map((vn) => [vn.fqName, vn])) }
      const tables = model.update(inputOf({ services, ports: webPods, more }))
      return [standard, red].map(({ fqName, subnets }) => {
        const vrf = tables.vrfs.find(({ vn }) => vn === fqName)!.id
        const [address] = subnets[0]!.cidr.split('/')
        const { flags } = tables.inet.get(vrf)!.find((route) => route.address === address && route.kind === 'subnet')!
        return flags.arpProxy ? 'router' : 'nobody'
      })
    }
    assert.deepEqual(flagsOf([], [standard, dev, red]), ['nobody', 'nobody'])
    assert.deepEqual(flagsOf([serviceOf('web')], [standard, dev, red]), ['router', 'nobody'])
    assert.deepEqual(flagsOf([serviceOf('web')], [standard, red]), ['nobody', 'nobody'])
  })

  it('follow a namespace that becomes isolated', () => {
    const model = modelAt()
    const world = { services: [serviceOf('db', { namespace: 'dev' })] }
    const plain = { ...isolated, annotations: {} }
    const where = (namespaces: readonly Namespace[]) =>
      Object.keys(frontsOf(model.update(inputOf({ ...world, namespaces }))))[0]
    assert.equal(where([plain]), 'k8s-default-service-network cluster-ip 10.96.0.10')
    assert.equal(where([isolated]), 'k8s-dev-service-network cluster-ip 10.96.0.10')
    assert.equal(where([plain]), 'k8s-default-service-network cluster-ip 10.96.0.10')
  })

  it('of an isolated namespace are seen as soon as they come, and no longer when they go', () => {
    const model = modelAt()
    const [first, second] = [20, 21].map((at) =>
      serviceOf(`s${at}`, { namespace: 'dev', clusterIps: [`10.96.0.${at}`] }),
    )
    const common = { ports: [port('dev-1', dev, '10.244.0.9', 'dev')], namespaces: [isolated] }
    const seen = (...services: readonly Service[]) => {
      const tables = model.update(inputOf({ ...common, services }))
      return [dev.fqName, 'underlay'].map((from) => routeOf(tables, from, '10.96.0.21'))
    }
    const [own, others] = [DEV_SERVICES, DEFAULT_SERVICES].map((network) => Array(2).fill(`services of ${network}`))
    assert.deepEqual(seen(first!), others)
    assert.deepEqual(seen(first!, second!), own)
    assert.deepEqual(seen(first!), others)
  })

  it('follow the nodes of their endpoints, and the zone of this one', () => {
    const model = modelAt()
    const { source, ...others } = inputOf({
      services: [serviceOf('web')],
      slices: [
        sliceOf('web', [
          endpointOf('10.244.1.4', { pod: 'web-2', hintedZones: ['za'] }),
          endpointOf('10.244.2.4', { pod: 'web-3', hintedZones: ['zb'] }),
        ]),
      ],
      interfaces: [webRemote, remote('web-3', standard, '10.244.2.4', 31, 'default', 'n3')],
    })
    const backs = (more: Partial<SourceState>) => {
      const tables = model.update({ ...others, source: { ...source, ...more } })
      return frontsOf(tables, ({ listener }) => listener !== undefined)[
        'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP'
      ]!
    }
    const first = '10.244.1.4:8080 by 192.0.2.12 112'
    assert.equal(backs({}), `${first}, 10.244.2.4:8080`)
    const routers = new Map([...source.routers, ['n3', router('n3', 13)]])
    assert.equal(backs({ routers }), `${first}, 10.244.2.4:8080 by 192.0.2.13 113`)
    const moved = new Map([...source.routers, ['n3', router('n3', 14)]])
    assert.equal(backs({ routers: moved }), `${first}, 10.244.2.4:8080 by 192.0.2.14 114`)
    const relabelled = new Map([...source.routers, ['n3', { ...router('n3', 14), serviceLabel: 214 }]])
    assert.equal(backs({ routers: relabelled }), `${first}, 10.244.2.4:8080 by 192.0.2.14 214`)
    assert.equal(backs({ routers: moved, zone: 'zb' }), '10.244.2.4:8080 by 192.0.2.14 114')
    assert.equal(backs({ routers: moved, zone: 'za' }), first)
    assert.equal(backs({ routers: moved, zone: 'zc' }), `${first}, 10.244.2.4:8080 by 192.0.2.14 114`)
    assert.equal(backs({}), `${first}, 10.244.2.4:8080`)
  })

  it('are handed over by other nodes under one label, which leads to all of them and stays', () => {
    const ids = new Ids({ limits })
    const model = modelAt(ids)
    const labelOf = (world: ServiceWorld) => {
      const input = inputOf(world)
      const tables = model.update(input)
      const { serviceLabel } = routerOf('n1', input.facts, tables)
      if (serviceLabel === undefined) return undefined
      const entry = tables.labels.find(({ label }) => label === serviceLabel)!
      const { nexthop } = tables.nexthops.find(({ id }) => id === entry.nexthop)!
      assert.deepEqual(nexthop, { type: 'vrf-translate', vrf: 0, service: true })
      assert.equal(ids.get('label', SERVICE_LABEL), serviceLabel, 'nobody else gets it')
      return serviceLabel
    }
    const services = [serviceOf('web')]
    const label = labelOf({ services, slices: [webSlice] })
    assert.ok(label !== undefined && label >= 16)
    assert.equal(labelOf({ services, slices: [webSlice], ports: webPods }), label)
    for (let i = 0; i < 3; i++) {
      time += 200_000
      assert.equal(labelOf({ services, slices: [webSlice], ports: i % 2 === 0 ? [] : webPods }), label, 'others go')
    }
  })

  it('find an endpoint by its pod, then in the Service’s network, then in the underlay', () => {
    const slice = sliceOf('web', [
      endpointOf('10.1.0.4', { pod: 'red-1' }),
      endpointOf('10.244.0.4'),
      endpointOf('10.244.7.7'),
      endpointOf('192.0.2.12', { pod: 'kube-proxy' }),
      endpointOf('203.0.113.9'),
      // Another's pod has that address, too: it is no endpoint of this Service.
      endpointOf('10.1.0.5', { pod: 'red-2' }),
    ])
    const world = { services: [serviceOf('web')], slices: [slice], ports: webPods }
    const model = modelAt()
    const others = [remote('other', red, '10.1.0.5', 40)]
    const backs = (interfaces: readonly VirtualMachineInterface[]) => {
      const tables = model.update(inputOf({ ...world, interfaces }))
      return frontsOf(tables, ({ listener }) => listener !== undefined)[
        'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP'
      ]!.split(', ')
    }
    const known = [
      `10.1.0.4:8080 in red at ${webPods[1]!.tap}`,
      '10.1.0.5:8080',
      `10.244.0.4:8080 in k8s-default-pod-network at ${webPods[0]!.tap}`,
      '10.244.7.7:8080 in k8s-default-pod-network',
      '192.0.2.12:8080 host',
      '203.0.113.9:8080 host',
    ]
    assert.deepEqual(backs(others), known)
    const later = [...others, remote('red-2', red, '10.1.0.5', 41), remote('late', standard, '10.244.7.7', 42)]
    assert.deepEqual(backs(later), [
      ...known.slice(0, 1),
      '10.1.0.5:8080 in red by 192.0.2.12 112',
      known[2],
      '10.244.7.7:8080 in k8s-default-pod-network by 192.0.2.12 112',
      ...known.slice(4),
    ])
    assert.deepEqual(backs(others), known)
  })

  it('tell endpoints on other nodes apart whose address another pod has in the default network', () => {
    const twin = { ...remote('twin', standard, '10.244.1.4', 31), vn: red.fqName }
    const slice = sliceOf('web', [endpointOf('10.244.1.4', { node: 'n2', pod: 'twin' })])
    const backsOf = (slices: typeof slice) =>
      tablesOf({ services: [serviceOf('web')], slices: [slices], ports: webPods, interfaces: [webRemote, twin] })
        .fronts!.flatMap(({ inside }) => inside.backs)
        .map(({ address, isTenant = false }) => `${address} ${isTenant}`)
    assert.deepEqual(backsOf(slice), ['10.244.1.4 true'])
    assert.deepEqual(backsOf(webSlice), ['10.244.0.4 false', '10.244.1.4 false'])
  })

  it('take the port that each slice gives a name, and each protocol by itself', () => {
    const ports = [
      { name: 'http', protocol: 'TCP', port: 80 },
      { name: 'dns', protocol: 'UDP', port: 80 },
    ] as const
    const slices = [
      sliceOf('web', [endpointOf('203.0.113.1')], { name: 'a', ports: [{ name: 'http', protocol: 'TCP', port: 80 }] }),
      sliceOf('web', [endpointOf('203.0.113.2')], {
        name: 'b',
        ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
      }),
      sliceOf('web', [endpointOf('203.0.113.3')], { name: 'c', ports: [{ name: 'dns', protocol: 'UDP', port: 53 }] }),
      sliceOf('web', [endpointOf('203.0.113.4')], { name: 'd', ports: [{ name: 'http', protocol: 'UDP', port: 1 }] }),
    ]
    const tables = tablesOf({ services: [serviceOf('web', { ports })], slices })
    assert.deepEqual(frontsOf(tables), {
      'k8s-default-service-network cluster-ip 10.96.0.10': 'reject',
      'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP': '203.0.113.1:80 host, 203.0.113.2:8080 host',
      'k8s-default-service-network cluster-ip 10.96.0.10:80/UDP': '203.0.113.3:53 host',
    })
  })

  it('that claim one port of an address: one has it, and the other is told', () => {
    const at = { externalIps: ['198.51.100.8'] }
    const [a, b] = [serviceOf('a', at), serviceOf('b', { ...at, clusterIps: ['10.96.0.11'] })]
    const shared = { ...b, ports: [{ name: '', protocol: 'TCP' as const, port: 81 }] }
    const slices = [sliceOf('a', [endpointOf('203.0.113.1')]), sliceOf('b', [endpointOf('203.0.113.2')])]
    const model = modelAt()
    const seen = (...services: readonly Service[]) => {
      const tables = model.update(inputOf({ services, slices }))
      const fronts = frontsOf(tables, ({ kind, listener }) => kind === 'external-ip' && listener !== undefined)
      return [fronts, tables.problems.map(({ object }) => object)]
    }
    const at80 = (back: string) => ({ 'underlay external-ip 198.51.100.8:80/TCP': `203.0.113.${back}:8080 host` })
    assert.deepEqual(seen(b), [at80('2'), []])
    assert.deepEqual(seen(a, b), [at80('1'), ['Service default/b']])
    const both = { ...at80('1'), 'underlay external-ip 198.51.100.8:81/TCP': '203.0.113.2:8080 host' }
    assert.deepEqual(seen(a, shared), [both, []])
    assert.deepEqual(seen(shared), [
      { 'underlay external-ip 198.51.100.8:81/TCP': both['underlay external-ip 198.51.100.8:81/TCP'] },
      [],
    ])
    assert.deepEqual(seen(), [{}, []])
    assert.equal(routeOf(model.update(inputOf({ ports: webPods })), red.fqName, '198.51.100.8'), 'out')
  })

  it('keep their numbers over a restart, and give them back when they go', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name, at) => serviceOf(name, { clusterIps: [`10.96.0.1${at}`] }))
    const numbers = (tables: Tables) => Object.fromEntries(tables.fronts!.map(({ service, id }) => [service.name, id]))
    const ids = new Ids({ limits })
    assert.deepEqual(numbers(modelAt(ids).update(inputOf({ services: [a!, b!] }))), { a: 1, b: 2 })
    const later = Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits })
    assert.deepEqual(numbers(modelAt(later).update(inputOf({ services: [b!, c!] }))), { b: 2, c: 3 })
    time += 60_000
    assert.deepEqual(numbers(modelAt(later).update(inputOf({ services: [b!, c!, a!] }))), { a: 1, b: 2, c: 3 })
  })

  it('for which no number is left are told, and come when there is one', () => {
    const ids = new Ids({ limits: { ...limits, service: 2 } })
    const model = modelAt(ids)
    const [a, b] = ['a', 'b'].map((name, at) => serviceOf(name, { clusterIps: [`10.96.0.1${at}`] }))
    const seen = (...services: readonly Service[]) => {
      const { fronts, problems } = model.update(inputOf({ services }))
      return [fronts!.map(({ service }) => service.name), problems.map(({ object, table }) => `${object} ${table}`)]
    }
    assert.deepEqual(seen(a!, b!), [['a', 'a'], ['Service default/b service']])
    assert.deepEqual(seen(b!), [[], ['Service default/b service']])
    time += 60_000
    assert.deepEqual(seen(b!), [['b', 'b'], []])
  })

  it('lie in no range that is the underlay’s', () => {
    const tables = tablesOf({ more: { serviceRanges: ['192.0.2.0/26'] }, ports: webPods })
    assert.deepEqual(
      tables.hostRoutes.filter(({ destination }) =>
        contains({ ...mustParseAddress('192.0.2.0'), length: 24 }, mustParseAddress(destination)),
      ),
      [],
    )
    assert.match(tables.problems.map(({ object }) => object).join(), /192\.0\.2\.0\/26/)
  })
})
