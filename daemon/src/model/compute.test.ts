import assert from 'node:assert/strict'
import fc from 'fast-check'
import { nodeFacts } from '../../../test/doubles/node-facts.ts'
import { bitsOf, comparePrefixes, contains, longestMatch, mustParseAddress, mustParseCidr } from './address.ts'
import { builtInNetworks, defaultSubnet } from './built-in-networks.ts'
import { Model } from './compute.ts'
import type { NodeFacts, Port } from './facts.ts'
import { type IdLimits, Ids } from './ids.ts'
import { blockName, interfaceUuid, metadataAddress, podMac, ROUTER_MAC, tapName, vrfOfNetwork } from './names.ts'
import type {
  Address,
  IpamBlock,
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualNetworkRouter,
  VirtualRouter,
} from './objects.ts'
import { interfacesOf, publication } from './publish.ts'
import type { Nexthop, Route, Tables } from './tables.ts'

// ---- a small world, in which everything can collide -------------------------------------------------------------------

const [standard] = builtInNetworks('k8s', ['10.244.0.0/24', 'fd00:244::/120'], [])
function network(name: string): VirtualNetwork {
  return {
    namespace: 'default',
    name,
    fqName: `default-domain:k8s-default:${name}`,
    uuid: name,
    // The same addresses in both networks.
    subnets: [defaultSubnet('10.1.0.0/24'), defaultSubnet('fd00:1::/120', 'fd00:1::99')],
    blockSize4: 26,
    blockSize6: 122,
  }
}
const [red, blue] = [{ ...network('red'), labels: { leak: 'yes' } }, network('blue')]
/** What leaks into red, and has a way out. */
const green: VirtualNetwork = {
  ...network('green'),
  subnets: [defaultSubnet('10.2.0.0/24'), defaultSubnet('fd00:2::/120')],
  labels: { leak: 'yes' },
  fabricSnat: true,
}
const networks = [standard!, red, blue, green]
const everything = { matchLabels: {}, matchExpressions: [] }
const mesh: VirtualNetworkRouter = {
  namespace: 'default',
  name: 'mesh',
  type: 'mesh',
  labels: {},
  networks: everything,
  imports: [],
}
const vnNames = networks.map((vn) => vn.fqName)

const facts: NodeFacts = {
  ...nodeFacts,
  fabricRoutes: [...nodeFacts.fabricRoutes, { destination: '198.51.100.0', prefixLength: 24, gateway: '192.0.2.254' }],
}

function port(name: string, vn: string, addresses: Address[], ifindex?: number): Port {
  const uuid = interfaceUuid(name, 'eth0')
  return {
    uuid,
    containerId: name,
    ifname: 'eth0',
    namespace: 'default',
    pod: { name, uid: uuid },
    vn,
    mac: podMac(uuid),
    addresses,
    tap: tapName(name, 'eth0'),
    ifindex,
    mtu: 1468,
    labels: {},
    createdAt: '2026-01-01T00:00:00Z',
  }
}

function remote(name: string, vn: string, node: string, addresses: Address[], label: number): VirtualMachineInterface {
  const uuid = interfaceUuid(name, 'eth0')
  return {
    name,
    namespace: 'default',
    uuid,
    vn,
    node,
    pod: { name, uid: uuid },
    containerId: name,
    ifname: 'eth0',
    mac: podMac(uuid),
    addresses,
    label,
  }
}

const addresses4 = [
  '10.1.0.1',
  '10.1.0.5',
  '10.1.0.70',
  '10.1.0.71',
  '10.2.0.1',
  '10.2.0.5',
  '10.244.0.7',
  '10.244.0.130',
]
const addresses6 = ['fd00:1::5', 'fd00:1::47', 'fd00:1::99', 'fd00:2::5', 'fd00:244::7']
const podAddresses = fc
  .tuple(fc.constantFrom(...addresses4), fc.option(fc.constantFrom(...addresses6), { nil: undefined }))
  .map(([v4, v6]) => (v6 === undefined ? [v4] : [v4, v6]))
const vnName = fc.constantFrom(...vnNames)
const node = fc.constantFrom('n1', 'n2', 'n3', 'n4')

const ports = fc.uniqueArray(
  fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), vnName, podAddresses, fc.option(fc.integer({ min: 10, max: 20 }))),
  { selector: ([name]) => name, maxLength: 4 },
)
const interfaces = fc.uniqueArray(
  fc.tuple(fc.constantFrom('q', 'r', 's', 't', 'u'), vnName, node, podAddresses, fc.integer({ min: 30, max: 33 })),
  { selector: ([name]) => name, maxLength: 5 },
)
const cidr = fc.constantFrom(
  '10.1.0.0/26',
  '10.1.0.64/26',
  '10.1.0.70/32',
  '10.2.0.0/26',
  '10.244.0.128/26',
  '10.244.0.130/32',
  'fd00:1::40/122',
  '10.9.0.0/26',
)
const blocks = fc.uniqueArray(
  fc
    .record({ vn: vnName, cidr, node }, { noNullPrototype: true })
    .map((block): IpamBlock => ({ ...block, name: `${block.vn} ${block.cidr}` })),
  { selector: (block) => block.name, maxLength: 6 },
)
/** Labels of other nodes' VRFs: a node that has no pods in a VN has none. */
const routers = fc
  .tuple(
    fc.subarray(['n1', 'n2', 'n3']),
    fc.constantFrom('192.0.2.12', '192.0.2.22'),
    fc.array(fc.tuple(fc.constantFrom('n2', 'n3'), vnName, fc.integer({ min: 17, max: 19 })), { maxLength: 6 }),
  )
  .map(([names, address2, labels]) =>
    names.map(
      (name): VirtualRouter => ({
        name,
        address: { n1: '192.0.2.11', n2: address2, n3: '198.51.100.13' }[name]!,
        encapsulations: ['MPLSoUDP'],
        vrfLabels: Object.fromEntries(labels.filter(([of]) => of === name).map(([, vn, label]) => [vn, label])),
        vhostLabel: 16,
      }),
    ),
  )
const neighbours = fc.subarray<[Address, string]>([
  ['192.0.2.1', '52:54:00:00:00:f1'],
  ['192.0.2.12', '52:54:00:00:00:02'],
  ['192.0.2.254', '52:54:00:00:00:fe'],
])

interface World {
  readonly source: SourceState
  readonly facts: NodeFacts
  readonly ports: readonly Port[]
}

const world: fc.Arbitrary<World> = fc
  .record(
    { ports, interfaces, blocks, routers, neighbours, networks: fc.subarray(networks), meshes: fc.subarray([mesh]) },
    { noNullPrototype: true },
  )
  .map((w) => ({
    source: {
      namespaces: new Map(),
      virtualNetworks: new Map(w.networks.map((vn) => [vn.fqName, vn])),
      blocks: new Map(w.blocks.map((block) => [block.name, block])),
      interfaces: new Map(w.interfaces.map((args) => remote(...args)).map((vmi) => [vmi.uuid, vmi])),
      routers: new Map(w.routers.map((router) => [router.name, router])),
      networkRouters: new Map(w.meshes.map((router) => [`${router.namespace}/${router.name}`, router])),
      pods: new Map(),
      rejected: [],
    },
    facts: { ...facts, neighbours: new Map(w.neighbours) },
    ports: w.ports.map(([name, vn, addresses, ifindex]) => port(name, vn, addresses, ifindex ?? undefined)),
  }))

/** A life in small steps: each changes one thing only, so that whatever a cache forgets to compare shows. */
const life: fc.Arbitrary<World[]> = fc
  .tuple(
    world,
    fc.array(
      fc.tuple(
        fc.constantFrom(
          'virtualNetworks',
          'networkRouters',
          'blocks',
          'interfaces',
          'routers',
          'neighbours',
          'ports',
          'address',
        ),
        world,
      ),
      { minLength: 1, maxLength: 6 },
    ),
  )
  .map(([first, edits]) => {
    const worlds = [first]
    for (const [part, other] of edits) {
      const now = worlds.at(-1)!
      if (part === 'ports') worlds.push({ ...now, ports: other.ports })
      else if (part === 'neighbours')
        worlds.push({ ...now, facts: { ...now.facts, neighbours: other.facts.neighbours } })
      else if (part === 'address') {
        const address = now.facts.underlay.address === '10.244.0.200' ? facts.underlay.address : '10.244.0.200'
        worlds.push({ ...now, facts: { ...now.facts, underlay: { ...now.facts.underlay, address } } })
      } else worlds.push({ ...now, source: { ...now.source, [part]: other.source[part] } })
    }
    return worlds
  })

const limits: IdLimits = { vrf: 100, nexthop: 1000, label: 1000, vif: 100, bridge: 1000, service: 100 }
let time = 0
function model(ids: Ids, routeLimit = 1000, insideRanges: readonly string[] = []): Model {
  const limits = { routes: routeLimit }
  return new Model(
    { node: 'n1', cluster: 'k8s', limits, flowsPerVif: 5, snat: false, insideRanges, now: () => time },
    ids,
  )
}

// ---- what the tables say, in words ---------------------------------------------------------------------------------------

function nexthopOf(tables: Tables, id: number): Nexthop {
  const found = tables.nexthops.find((nexthop) => nexthop.id === id)
  assert.ok(found, `nexthop ${id} is in the table`)
  return found.nexthop
}

function words(tables: Tables, id: number, label?: number): string {
  const nexthop = nexthopOf(tables, id)
  switch (nexthop.type) {
    case 'encap': {
      const vif = tables.vifs.find((one) => one.id === nexthop.vif)
      assert.ok(vif, `vif ${nexthop.vif} is in the table`)
      return `encap ${vif.name}`
    }
    case 'tunnel':
      return `tunnel ${nexthop.destination} ${label}`
    case 'composite':
      return nexthop.members
        .map((member) => words(tables, member.nexthop, member.label))
        .sort()
        .join(' + ')
    case 'vrf-translate':
      return nexthop.snat === true ? 'snat' : `vrf ${tables.vrfs.find((vrf) => vrf.id === nexthop.vrf)?.vn}`
    case 'discard':
    case 'receive':
    case 'resolve':
    case 'l2-receive':
      return nexthop.type
    default:
      return nexthop satisfies never
  }
}

function routesOf(tables: Tables, vrf: number, family: 4 | 6): readonly Route[] {
  return (family === 4 ? tables.inet : tables.inet6).get(vrf) ?? []
}

function lookup(tables: Tables, vrf: number, address: Address): string {
  const parsed = mustParseAddress(address)
  const entries = routesOf(tables, vrf, parsed.family).map((route) => ({
    route,
    prefix: { ...mustParseAddress(route.address), length: route.prefixLength },
  }))
  const found = longestMatch(entries, parsed)?.route
  return found === undefined ? 'no route' : words(tables, found.nexthop, found.label)
}

// ---- the oracle: what shall happen to a packet, straight from the rules ------------------------------------------------------

/** The VN whose rules hold for an address that its own VN knows nothing of: one that leaks into it. */
function leakedInto({ source }: World, vn: string): string | undefined {
  const pair = [red.fqName, green.fqName]
  const isJoined = source.networkRouters.size > 0 && pair.every((name) => source.virtualNetworks.has(name))
  return isJoined && pair.includes(vn) ? pair.find((name) => name !== vn) : undefined
}

function expected(w: World, vn: string, address: Address): string {
  const { source, facts: node1, ports: local } = w
  const parsed = mustParseAddress(address)
  const subnetsOf = (name: string) => source.virtualNetworks.get(name)?.subnets ?? []
  const isInside = (name: string, prefix: ReturnType<typeof mustParseCidr> | typeof parsed) =>
    subnetsOf(name).some(({ cidr: subnet }) => contains(mustParseCidr(subnet), prefix))
  const isReserved = (name: string) =>
    subnetsOf(name).some(({ gateway, service }) => gateway === address || service === address)
  if (isReserved(vn)) return 'encap pkt0'
  const others = new Map([...source.routers].filter(([name]) => name !== 'n1'))
  if (vn === standard!.fqName) {
    if (address === node1.underlay.address) return 'receive'
    for (const router of others.values())
      if (router.address === address) return `tunnel ${address} ${router.vhostLabel}`
  }
  const ownersIn = (name: string) => [
    ...local
      .filter((one) => one.vn === name && one.ifindex !== undefined && one.addresses.includes(address))
      .map((one) => `encap ${one.tap}`),
    ...[...source.interfaces.values()]
      .filter((one) => one.vn === name && others.has(one.node) && one.addresses.includes(address))
      .map((one) => `tunnel ${others.get(one.node)!.address} ${one.label}`),
  ]
  const leaked = leakedInto(w, vn)
  const isLeaked = leaked !== undefined && isInside(leaked, parsed) && !isReserved(leaked)
  for (const owners of [ownersIn(vn), isLeaked ? ownersIn(leaked) : []])
    if (owners.length > 0) return owners.sort().join(' + ')
  if (address === node1.underlay.address) return 'receive'
  const block = longestMatch(
    [...source.blocks.values()]
      .filter((one) => others.get(one.node)?.vrfLabels[one.vn] !== undefined)
      .map((one) => ({ one, prefix: mustParseCidr(one.cidr) }))
      .filter(({ one, prefix }) => one.vn === vn || (one.vn === leaked && isInside(leaked, prefix)))
      // of two with one prefix the network's own
      .sort((a, b) => Number(b.one.vn === vn) - Number(a.one.vn === vn)),
    parsed,
  )?.one
  if (block !== undefined) {
    const router = others.get(block.node)!
    return `tunnel ${router.address} ${router.vrfLabels[block.vn]}`
  }
  if (isInside(vn, parsed) || (leaked !== undefined && isInside(leaked, parsed))) return 'discard'
  return vn === green.fqName && source.virtualNetworks.has(vn) && parsed.family === 4 ? 'snat' : 'no route'
}

/** The pod of a network other than the default one that the node itself reaches at this address. */
function tenantOnNode({ source, ports: local }: World, address: Address): string | undefined {
  const owners = local.filter((one) => one.ifindex !== undefined && one.addresses.includes(address))
  const hasDefault = source.virtualNetworks.has(standard!.fqName)
  const isInDefault = contains(mustParseCidr('10.244.0.0/24'), mustParseAddress(address))
  const holdsDefault = owners.some((one) => one.vn === standard!.fqName)
  if (holdsDefault && (isInDefault || !hasDefault)) return undefined
  const ownDefault = local.some((one) => one.vn === standard!.fqName && one.ifindex !== undefined)
  const rivals = [...source.interfaces.values()].some(
    (one) => one.vn === standard!.fqName && one.node !== 'n1' && one.addresses.includes(address),
  )
  if (rivals && (hasDefault ? isInDefault : ownDefault)) return undefined
  const [first] = owners.filter((one) => one.vn !== standard!.fqName).sort((a, b) => (a.uuid < b.uuid ? -1 : 1))
  return first && `vrf ${first.vn}`
}

const probes: readonly Address[] = [
  ...addresses4,
  ...addresses6,
  '10.1.0.2',
  '10.1.0.40',
  '10.1.0.100',
  '10.1.0.200',
  '10.2.0.9',
  '10.2.0.200',
  'fd00:2::1',
  'fd00:2::77',
  '10.9.0.9',
  '10.244.0.1',
  '10.244.0.140',
  '203.0.113.9',
  'fd00:1::41',
  'fd00:1::1',
  'fd00:9::1',
  '192.0.2.11',
  '192.0.2.12',
  '198.51.100.13',
]

describe('routes of a VN’s VRF', () => {
  it('send every address where the rules say, and into no other network', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        for (const vrf of tables.vrfs.filter(({ id }) => id >= 2)) {
          for (const address of probes) {
            assert.equal(lookup(tables, vrf.id, address), expected(w, vrf.vn!, address), `${vrf.name} ${address}`)
          }
        }
      }),
      { numRuns: 400 },
    )
  })

  it('lead out of the cluster to no cluster IP, and wherever they led to everything else', () => {
    // A range of Services, one that is a subnet of a VN, and one inside of another.
    const ranges = ['10.96.0.0/12', 'fd00:96::/108', '10.2.0.0/24', '10.1.0.0/28']
    const insides = ['10.96.0.1', '10.111.255.255', 'fd00:96::a']
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits }), 1000, ranges).update(w)
        const plain = model(new Ids({ limits })).update(w)
        for (const vrf of tables.vrfs.filter(({ id }) => id >= 2)) {
          for (const address of insides) {
            const before = lookup(plain, vrf.id, address)
            assert.equal(
              lookup(tables, vrf.id, address),
              before === 'snat' ? 'discard' : before,
              `${vrf.name} ${address}`,
            )
          }
          for (const address of probes.filter((one) => !one.startsWith('10.1.0.')))
            assert.equal(lookup(tables, vrf.id, address), expected(w, vrf.vn!, address), `${vrf.name} ${address}`)
          for (const family of [4, 6] as const) {
            const keys = routesOf(tables, vrf.id, family).map(
              ({ address, prefixLength }) => `${address}/${prefixLength}`,
            )
            assert.equal(new Set(keys).size, keys.length, 'each prefix once')
          }
        }
      }),
    )
  })

  it('exist exactly for the VNs in which this node has a port', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        const names = tables.vrfs.filter(({ id }) => id >= 2).map(({ name }) => name)
        assert.deepEqual(names.sort(), [...new Set(w.ports.map((one) => vrfOfNetwork(one.vn)))].sort())
      }),
    )
  })

  it('say the same when the route table is too small for all pods, as long as blocks cover them', () => {
    const router: VirtualRouter = {
      name: 'n2',
      address: '192.0.2.12',
      encapsulations: ['MPLSoUDP'],
      vrfLabels: { [red.fqName]: 17 },
      vhostLabel: 16,
    }
    const remotes = ['10.1.0.70', '10.1.0.71', '10.1.0.5'].map((address, i) =>
      remote(`r${i}`, red.fqName, 'n2', [address], 30 + i),
    )
    const w: World = {
      source: {
        namespaces: new Map(),
        virtualNetworks: new Map([[red.fqName, red]]),
        blocks: new Map([['b', { name: 'b', vn: red.fqName, cidr: '10.1.0.64/26', node: 'n2' }]]),
        interfaces: new Map(remotes.map((one) => [one.uuid, one])),
        routers: new Map([['n2', router]]),
        networkRouters: new Map(),
        pods: new Map(),
        rejected: [],
      },
      facts,
      ports: [port('a', red.fqName, ['10.1.0.9'], 10)],
    }
    const tables = model(new Ids({ limits }), 3).update(w)
    const hosts = tables.inet.get(2)!.filter((route) => route.kind === 'remote-pod')
    assert.deepEqual(
      hosts.map((route) => route.address),
      ['10.1.0.5'],
    )
    assert.equal(lookup(tables, 2, '10.1.0.70'), 'tunnel 192.0.2.12 17')
    assert.ok(tables.problems.some(({ message }) => message.includes('raise limits.routes')))
  })
})

describe('routes of VRF 0', () => {
  it('follow the kernel, and reach metadata addresses and the default network only', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        assert.equal(lookup(tables, 0, facts.underlay.address), 'receive')
        assert.equal(lookup(tables, 0, '192.0.2.255'), 'receive')
        assert.equal(lookup(tables, 0, '224.0.0.5'), 'receive')
        assert.equal(lookup(tables, 0, '192.0.2.77'), 'resolve')
        const isReachable = w.source.virtualNetworks.has(standard!.fqName)
        // Whatever network on another node says that it has these addresses.
        for (const address of ['10.1.0.1', '10.1.0.5', '10.2.0.5'])
          if (isReachable) assert.equal(lookup(tables, 0, address), tenantOnNode(w, address) ?? 'encap eth0', address)
        for (const { destination, prefixLength } of tables.hostRoutes)
          assert.ok(prefixLength === 32 ? tenantOnNode(w, destination) !== undefined : destination === '10.244.0.0')
        for (const vif of tables.vifs.filter((one) => one.type === 'virtual')) {
          assert.equal(lookup(tables, 0, metadataAddress(vif.id)), `encap ${vif.name}`)
        }
        // What the default network's own VRF says of its pods and blocks, VRF 0 says too, a label of the block's VRF apart.
        for (const address of ['10.244.0.7', '10.244.0.130', '10.244.0.140']) {
          const owners = w.ports.filter(
            (one) => one.vn === standard!.fqName && one.ifindex !== undefined && one.addresses.includes(address),
          )
          const said = lookup(tables, 0, address)
          const tenant = tenantOnNode(w, address)
          if (tenant !== undefined) assert.equal(said, tenant)
          else if (owners.length > 0)
            assert.ok(
              owners.some((one) => said === `encap ${one.tap}`),
              said,
            )
          else {
            const wanted = expected(w, standard!.fqName, address).replaceAll(/ \d+(?= |$)/g, '')
            const plain = said.replaceAll(/ \d+(?= |$)/g, '')
            if (isReachable) assert.ok(wanted.split(' + ').includes(plain), `${address}: ${plain}, not ${wanted}`)
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('point at a gateway’s MAC, and are not valid without one', () => {
    const at = (known: Map<Address, string>) => {
      const source = {
        namespaces: new Map(),
        virtualNetworks: new Map(),
        blocks: new Map(),
        interfaces: new Map(),
        routers: new Map(),
        networkRouters: new Map(),
        pods: new Map(),
        rejected: [],
      }
      const tables = model(new Ids({ limits })).update({ source, facts: { ...facts, neighbours: known }, ports: [] })
      const route = tables.inet.get(0)!.find((one) => one.prefixLength === 0)!
      assert.equal(route.paths[0]!.gateway, '192.0.2.1')
      assert.deepEqual(tables.neighbours, ['192.0.2.1', '192.0.2.254'])
      return tables.nexthops.find(({ id }) => id === route.nexthop)!
    }
    assert.equal(at(new Map()).isValid, false)
    const known = at(new Map([['192.0.2.1', '52:54:00:00:00:f1']]))
    assert.ok(known.isValid && known.nexthop.type === 'encap' && known.nexthop.dstMac === '52:54:00:00:00:f1')
  })
})

describe('tunnels', () => {
  it('lead over the next hop that the kernel names, and need its MAC alone', () => {
    const routerOf = (name: string, address: Address): VirtualRouter => ({
      name,
      address,
      encapsulations: ['MPLSoUDP'],
      vrfLabels: {},
      vhostLabel: 16,
    })
    const source: SourceState = {
      namespaces: new Map(),
      virtualNetworks: new Map([[red.fqName, red]]),
      blocks: new Map(),
      interfaces: new Map(
        ['n2', 'n3', 'n4', 'n5', 'n6'].map((name) => [
          name,
          remote(name, red.fqName, name, [`10.1.0.${name.slice(1)}0`], 30),
        ]),
      ),
      routers: new Map(
        [
          routerOf('n2', '192.0.2.12'),
          routerOf('n3', '198.51.100.13'),
          routerOf('n4', '203.0.113.14'),
          routerOf('n5', facts.underlay.address),
          { ...routerOf('n6', '192.0.2.16'), encapsulations: ['VXLAN'] as const },
        ].map((router) => [router.name, router]),
      ),
      networkRouters: new Map(),
      pods: new Map(),
      rejected: [],
    }
    const known = new Map([
      ['192.0.2.254', '52:54:00:00:00:fe'],
      ['192.0.2.1', '52:54:00:00:00:f1'],
    ])
    const ports = [port('a', red.fqName, ['10.1.0.9'], 10)]
    const tables = model(new Ids({ limits })).update({ source, facts: { ...facts, neighbours: known }, ports })
    const tunnels = tables.nexthops.flatMap(({ nexthop, isValid }) =>
      nexthop.type === 'tunnel' ? [[nexthop.destination, nexthop.via, nexthop.dstMac, nexthop.mtu, isValid]] : [],
    )
    assert.deepEqual(tunnels, [
      ['192.0.2.12', '192.0.2.12', undefined, 1468, false],
      ['198.51.100.13', '192.0.2.254', '52:54:00:00:00:fe', 1468, true],
      ['203.0.113.14', '192.0.2.1', '52:54:00:00:00:f1', 1468, true],
    ])
    assert.deepEqual(tables.neighbours, ['192.0.2.1', '192.0.2.12', '192.0.2.254'])
    const said = tables.problems.map(({ object, message }) => `${object} ${message}`)
    assert.equal(said.length, 2)
    assert.match(said[0]!, /VirtualRouter n5 has the address of this node/)
    assert.match(said[1]!, /VirtualRouter n6 speaks VXLAN, this node MPLSoUDP: no route leads there/)
  })
})

describe('all tables', () => {
  it('are sound: sorted, unique, and refer only to what is there', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        const count = new Map<number, number>()
        const refer = (id: number) => count.set(id, (count.get(id) ?? 0) + 1)
        for (const family of [4, 6] as const) {
          for (const { id } of tables.vrfs) {
            const routes = routesOf(tables, id, family)
            const prefixes = routes.map((route) => ({ ...mustParseAddress(route.address), length: route.prefixLength }))
            for (const [i, prefix] of prefixes.entries()) {
              assert.equal(prefix.family, family)
              assert.ok(prefix.length <= bitsOf(family))
              if (i > 0) assert.ok(comparePrefixes(prefixes[i - 1]!, prefix) < 0, 'sorted and unique')
            }
            for (const route of routes) {
              refer(route.nexthop)
              for (const { nexthop } of route.paths) if (nexthop !== route.nexthop) refer(nexthop)
              assert.equal(route.paths[0]!.nexthop, route.nexthop, 'the first path is in use')
              assert.equal(
                route.label !== undefined,
                nexthopOf(tables, route.nexthop).type === 'tunnel',
                'tunnels have labels',
              )
              if (route.stitchedMac === undefined) continue
              const bridge = tables.bridge.get(id)!.find(({ mac }) => mac === route.stitchedMac)
              assert.equal(bridge?.index, route.bridgeIndex, 'a stitched MAC is in the bridge table')
            }
          }
        }
        for (const routes of tables.bridge.values()) {
          for (const { nexthop } of routes) refer(nexthop)
          for (const [i, { mac }] of routes.entries())
            assert.ok(i === 0 || routes[i - 1]!.mac < mac, 'sorted and unique')
          assert.equal(new Set(routes.map(({ index }) => index)).size, routes.length, 'one position each')
          assert.ok(
            routes.some(({ mac, nexthop }) => mac === ROUTER_MAC && nexthopOf(tables, nexthop).type === 'l2-receive'),
          )
        }
        for (const { nexthop } of tables.labels) refer(nexthop)
        for (const { flowNexthop } of tables.vifs) if (flowNexthop !== 0) refer(flowNexthop)
        for (const { nexthop } of tables.vrfs) if (nexthop !== undefined) refer(nexthop)
        for (const { id, nexthop } of tables.nexthops) {
          if (nexthop.type === 'composite' && count.has(id)) for (const member of nexthop.members) refer(member.nexthop)
        }
        for (const { id, references } of tables.nexthops)
          assert.equal(references, count.get(id) ?? 0, `references of ${id}`)
        for (const id of count.keys()) nexthopOf(tables, id)
        const ids = [tables.vrfs, tables.vifs, tables.nexthops].map((table) => table.map(({ id }) => id))
        for (const list of [...ids, tables.labels.map(({ label }) => label)]) {
          assert.deepEqual(
            list,
            [...new Set(list)].sort((a, b) => a - b),
          )
        }
      }),
      { numRuns: 300 },
    )
  })

  it('lead each label to its owner', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        const target = (label: number) =>
          nexthopOf(tables, tables.labels.find((entry) => entry.label === label)!.nexthop)
        for (const vif of tables.vifs.filter(({ type }) => type === 'virtual')) {
          const nexthop = target(vif.label!)
          assert.ok(nexthop.type === 'encap' && nexthop.vif === vif.id && nexthop.dstMac === vif.peerMac)
          assert.equal(vif.flowNexthop, tables.labels.find((entry) => entry.label === vif.label)!.nexthop)
        }
        for (const vrf of tables.vrfs.filter(({ id }) => id >= 2)) {
          assert.deepEqual(target(vrf.label!), { type: 'vrf-translate', vrf: vrf.id })
        }
        assert.equal(target(tables.vifs.find(({ type }) => type === 'host')!.label!).type, 'receive')
      }),
    )
  })

  it('don’t depend on the order of the input', () => {
    const shuffled = <K, V>(map: ReadonlyMap<K, V>) => new Map([...map].reverse())
    fc.assert(
      fc.property(world, (w) => {
        const { source } = w
        const other: World = {
          source: {
            ...source,
            virtualNetworks: shuffled(source.virtualNetworks),
            networkRouters: shuffled(source.networkRouters),
            blocks: shuffled(source.blocks),
            interfaces: shuffled(source.interfaces),
            routers: shuffled(source.routers),
          },
          facts: { ...w.facts, neighbours: shuffled(w.facts.neighbours) },
          ports: [...w.ports].reverse(),
        }
        const [one, two] = [w, other].map((input) => model(new Ids({ limits })).update(input))
        assert.deepEqual({ ...two!, problems: [] }, { ...one!, problems: [] })
        const texts = (tables: Tables) => tables.problems.map((problem) => JSON.stringify(problem)).sort()
        assert.deepEqual(texts(two!), texts(one!))
      }),
      { numRuns: 300 },
    )
  })

  it('depend on the present alone: a model that lived through changes says what a new one with its ids says', () => {
    fc.assert(
      fc.property(life, (worlds) => {
        const ids = new Ids({ limits })
        const old = model(ids)
        for (const w of worlds) {
          const copy = Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits })
          const tables = old.update(w)
          assert.deepEqual(model(copy).update(w), tables)
          assert.deepEqual(copy.toJSON(), ids.toJSON())
          time += 1000
        }
      }),
      { numRuns: 600 },
    )
  })

  it('follow a pod from a network into one that leaks into it and back', () => {
    const joined: SourceState = {
      namespaces: new Map(),
      virtualNetworks: new Map([red, green].map((vn) => [vn.fqName, vn])),
      blocks: new Map(),
      interfaces: new Map(),
      routers: new Map([
        ['n2', { name: 'n2', address: '192.0.2.12', encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 }],
      ]),
      networkRouters: new Map([['default/mesh', mesh]]),
      pods: new Map(),
      rejected: [],
    }
    const living = model(new Ids({ limits }))
    const stays = [port('x', red.fqName, ['10.1.0.9'], 18), port('y', green.fqName, ['10.2.0.9'], 19)]
    for (const vn of [red.fqName, green.fqName, red.fqName]) {
      const other = remote('r', vn, 'n2', ['10.2.0.5'], 30)
      const tables = living.update({
        source: { ...joined, interfaces: new Map([[other.uuid, other]]) },
        facts,
        ports: [...stays, port('d', vn, ['10.2.0.5'], 10)],
      })
      const isHome = vn === green.fqName
      for (const { id } of tables.vrfs.filter((one) => isHome && one.id >= 2))
        assert.match(lookup(tables, id, '10.2.0.5'), /^encap tap\w+ \+ tunnel 192\.0\.2\.12 30$/)
      const inRed = tables.vrfs.find((one) => one.vn === red.fqName)!
      assert.match(lookup(tables, inRed.id, '10.2.0.5'), /^encap tap\w+ \+ tunnel/)
      const inGreen = tables.vrfs.find((one) => one.vn === green.fqName)!
      // Red's leak into green gives addresses of red's subnets alone.
      if (!isHome) assert.equal(lookup(tables, inGreen.id, '10.2.0.5'), 'discard')
    }
  })

  it('follow a pod from one network that leaks into a third to another', () => {
    const labels = { leak: 'yes' }
    const grey: VirtualNetwork = { ...network('grey'), subnets: [defaultSubnet('10.3.0.0/24')], labels }
    const source: SourceState = {
      namespaces: new Map(),
      virtualNetworks: new Map([red, green, grey].map((vn) => [vn.fqName, vn])),
      blocks: new Map(),
      interfaces: new Map(),
      routers: new Map([
        ['n2', { name: 'n2', address: '192.0.2.12', encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 }],
      ]),
      networkRouters: new Map([['default/mesh', mesh]]),
      pods: new Map(),
      rejected: [],
    }
    const living = model(new Ids({ limits }))
    const ports = [port('x', grey.fqName, ['10.3.0.9'], 18)]
    // Its address is green's; while it is red's pod, red's leak doesn't give it.
    for (const vn of [red.fqName, green.fqName]) {
      const other = remote('r', vn, 'n2', ['10.2.0.5'], 30)
      const interfaces = new Map([[other.uuid, other]])
      const tables = living.update({ source: { ...source, interfaces }, facts, ports })
      const inGrey = tables.vrfs.find((one) => one.vn === grey.fqName)!
      const wanted = vn === green.fqName ? 'tunnel 192.0.2.12 30' : 'discard'
      assert.equal(lookup(tables, inGrey.id, '10.2.0.5'), wanted)
    }
  })

  it('are whole after a pass that was left in the middle, whatever it had begun', () => {
    fc.assert(
      fc.property(life, fc.nat(40), (worlds, count) => {
        const ids = new Ids({ limits })
        const old = model(ids)
        for (const [at, w] of worlds.entries()) {
          const isLast = at === worlds.length - 1
          const steps = old.steps(w)
          if (isLast || at % 2 === 0) while (steps.next().done !== true);
          else for (let step = 0; step < count; step++) steps.next()
        }
        const last = worlds.at(-1)!
        const copy = Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits })
        assert.deepEqual(model(copy).update(last), old.update(last))
      }),
    )
  })

  it('number composites by address, whichever pod came first', () => {
    const router: VirtualRouter = {
      name: 'n2',
      address: '192.0.2.12',
      encapsulations: ['MPLSoUDP'],
      vrfLabels: {},
      vhostLabel: 16,
    }
    const source: SourceState = {
      namespaces: new Map(),
      virtualNetworks: new Map([[red.fqName, red]]),
      blocks: new Map(),
      interfaces: new Map(),
      routers: new Map([['n2', router]]),
      networkRouters: new Map(),
      pods: new Map(),
      rejected: [],
    }
    const first = { ...port('a', red.fqName, ['10.1.0.70'], 10), createdAt: '2026-01-01T00:00:00Z' }
    const second = { ...port('b', red.fqName, ['10.1.0.5'], 11), createdAt: '2026-01-01T00:00:01Z' }
    const ports = [first, second]
    const rivals = [remote('r', red.fqName, 'n2', ['10.1.0.70'], 30), remote('s', red.fqName, 'n2', ['10.1.0.5'], 31)]
    const crowded = { ...source, interfaces: new Map(rivals.map((one) => [one.uuid, one])) }
    const ids = new Ids({ limits })
    const living = model(ids)
    living.update({ source, facts, ports })
    const restarted = model(Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits }))
    const tables = living.update({ source: crowded, facts, ports })
    const composites = tables.inet.get(2)!.filter((route) => route.kind === 'ecmp')
    assert.equal(composites.length, 2)
    assert.ok(composites[0]!.nexthop < composites[1]!.nexthop)
    assert.deepEqual(restarted.update({ source: crowded, facts, ports }), tables)
  })

  it('keep every number over a restart, and every object while nothing changes', () => {
    fc.assert(
      fc.property(world, (w) => {
        const ids = new Ids({ limits })
        const living = model(ids)
        const first = living.update(w)
        const { revision } = ids
        const again = living.update({
          ...w,
          source: { ...w.source, interfaces: new Map(w.source.interfaces) },
          ports: [...w.ports],
        })
        for (const key of ['vifs', 'nexthops', 'labels', 'neighbours'] as const)
          assert.equal(again[key], first[key], key)
        for (const key of ['inet', 'inet6', 'bridge'] as const) {
          for (const [vrf, list] of first[key]) assert.equal(again[key].get(vrf), list, `${key} ${vrf}`)
        }
        assert.equal(ids.revision, revision, 'nothing to write')
        const restarted = model(Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits })).update(w)
        assert.deepEqual(restarted, first)
      }),
    )
  })

  it('leave routes alone that a change doesn’t touch', () => {
    fc.assert(
      fc.property(world, (w) => {
        const living = model(new Ids({ limits }))
        const before = living.update(w)
        const added = remote('new', red.fqName, 'n2', ['10.1.0.33'], 31)
        const after = living.update({
          ...w,
          source: { ...w.source, interfaces: new Map([...w.source.interfaces, [added.uuid, added]]) },
        })
        for (const { id, vn } of before.vrfs) {
          if (vn === red.fqName || vn === green.fqName || id === 0) continue
          assert.equal(after.inet.get(id), before.inet.get(id))
          assert.equal(after.inet6.get(id), before.inet6.get(id))
        }
        for (const route of before.inet.get(before.vrfs.find(({ vn }) => vn === red.fqName)?.id ?? -1) ?? []) {
          assert.ok(
            [...after.inet.values()].flat().includes(route),
            `${route.address}/${route.prefixLength} is the same object`,
          )
        }
      }),
    )
  })
})

describe('bridge tables', () => {
  const sourceOf = (...others: VirtualMachineInterface[]): SourceState => ({
    namespaces: new Map(),
    virtualNetworks: new Map([red, blue].map((vn) => [vn.fqName, vn])),
    blocks: new Map(),
    interfaces: new Map(others.map((other) => [other.uuid, other])),
    routers: new Map([
      [
        'n2',
        { ...{ name: 'n2', address: '192.0.2.12', encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 } },
      ] as const,
    ] as Iterable<[string, VirtualRouter]>),
    networkRouters: new Map(),
    pods: new Map(),
    rejected: [],
  })
  const a = port('a', red.fqName, ['10.1.0.9'], 10)

  it('have the pods of the network, wherever they are; what this node has nobody else can claim', () => {
    const thief = { ...remote('s', red.fqName, 'n2', ['10.1.0.72'], 32), mac: a.mac }
    const far = remote('r', red.fqName, 'n2', ['10.1.0.70'], 30)
    const other = remote('q', blue.fqName, 'n2', ['10.1.0.71'], 31)
    const tables = model(new Ids({ limits })).update({ source: sourceOf(far, thief, other), facts, ports: [a] })
    const routes = tables.bridge.get(2)!
    const of = (mac: string) => routes.find((route) => route.mac === mac)
    assert.deepEqual(routes.map(({ mac }) => mac).sort(), [ROUTER_MAC, a.mac, far.mac].sort())
    assert.deepEqual([nexthopOf(tables, of(far.mac)!.nexthop).type, of(far.mac)!.label], ['tunnel', 30])
    assert.deepEqual(of(far.mac)!.peer, { node: 'n2', address: '192.0.2.12' })
    assert.equal(nexthopOf(tables, of(a.mac)!.nexthop).type, 'encap')
    // ARP goes by the routes: those to other nodes have no MAC (decision 8).
    const route = tables.inet.get(2)!.find(({ address }) => address === '10.1.0.70')!
    assert.deepEqual([route.kind, route.stitchedMac], ['remote-pod', undefined])
  })

  it('leave out other nodes’ pods where they are too many, and keep room for this node’s', () => {
    const many = [1, 2, 3, 4, 5, 6, 7].map((i) => remote(`r${i}`, red.fqName, 'n2', [`10.1.0.${i + 70}`], 30 + i))
    const entries = (bridge: number) => {
      const tables = model(new Ids({ limits: { ...limits, bridge } })).update({
        ...{ source: sourceOf(...many), facts, ports: [a] },
      })
      const told = tables.problems.filter(({ table }) => table === 'bridge').map(({ message }) => message)
      return [tables.bridge.get(2)!.length, told] as const
    }
    assert.deepEqual(entries(20), [9, []])
    const [length, [told, ...more]] = entries(7)
    assert.equal(length, 2)
    assert.deepEqual(more, [])
    assert.match(told!, /no room is left in the bridge table for 7 remote pods \(limit 7\)/)
  })
})

describe('full tables', () => {
  it('refuse what doesn’t fit with a reason, and serve the rest', () => {
    const small: IdLimits = { vrf: 3, nexthop: 1000, label: 1000, vif: 5, bridge: 1000, service: 100 }
    const source = {
      namespaces: new Map(),
      virtualNetworks: new Map(networks.map((vn) => [vn.fqName, vn])),
      blocks: new Map(),
      interfaces: new Map(),
      routers: new Map(),
      networkRouters: new Map(),
      pods: new Map(),
      rejected: [],
    }
    const pods = ['a', 'b', 'c'].map((name, i) => port(name, blue.fqName, [`10.1.0.${i + 10}`], 10 + i))
    const ids = new Ids({ limits: small })
    const tables = model(ids).update({ source, facts, ports: [...pods, port('z', red.fqName, ['10.1.0.10'], 19)] })
    assert.equal(tables.vifs.filter(({ type }) => type === 'virtual').length, 2)
    const problems = tables.problems.map(({ object, message }) => `${object}: ${message}`)
    assert.ok(
      problems.some((text) => /^Pod default\/[abc]: no vif number is left \(limit 5\)$/.test(text)),
      problems.join(),
    )
    assert.ok(
      problems.some((text) => text.includes('no vrf number is left (limit 3)')),
      problems.join(),
    )
  })

  it('never stop the model, whatever is full', () => {
    const size = fc.integer({ min: 0, max: 12 })
    fc.assert(
      fc.property(world, size, size, size, size, size, (w, vrf, nexthop, label, vif, bridge) => {
        const tight = {
          vrf: 2 + vrf,
          nexthop: 8 + nexthop,
          label: 16 + label,
          vif: 3 + vif,
          bridge: 1 + bridge,
          service: 1,
        }
        const tables = model(new Ids({ limits: tight })).update(w)
        for (const { id } of tables.nexthops) assert.ok(id < tight.nexthop)
        for (const { label: one } of tables.labels) assert.ok(one < tight.label)
        for (const { id } of tables.vifs) assert.ok(id < tight.vif)
      }),
    )
  })
})

describe('what a node publishes', () => {
  it('makes the source say what the tables say, in one step', () => {
    fc.assert(
      fc.property(world, (w) => {
        const tables = model(new Ids({ limits })).update(w)
        const interfacesNow = new Map(w.source.interfaces)
        const routersNow = new Map(w.source.routers)
        const { publish, withdraw } = publication('n1', w.facts, w.ports, tables, w.source)
        for (const { name } of withdraw) {
          for (const [uuid, one] of interfacesNow) if (one.name === name) interfacesNow.delete(uuid)
        }
        for (const one of publish) {
          if (one.kind === 'VirtualRouter') routersNow.set(one.object.name, one.object)
          if (one.kind === 'VirtualMachineInterface') interfacesNow.set(one.object.uuid, one.object)
        }
        const own = [...interfacesNow.values()].filter((one) => one.node === 'n1')
        const shown = tables.vifs.filter(({ type }) => type === 'virtual')
        assert.deepEqual(own.map(({ label }) => label).sort(), shown.map(({ label }) => label).sort())
        const { vrfLabels, vhostLabel } = routersNow.get('n1')!
        const labels = tables.vrfs.filter(({ id }) => id >= 2).map(({ vn, label }) => [vn, label])
        assert.deepEqual(vrfLabels, Object.fromEntries(labels))
        assert.equal(vhostLabel, tables.vifs.find(({ type }) => type === 'host')!.label)
        const after = { ...w.source, interfaces: interfacesNow, routers: routersNow }
        const rest = publication('n1', w.facts, w.ports, tables, after)
        assert.deepEqual([rest.publish, rest.withdraw], [[], []])
      }),
    )
  })

  it('tells nothing of a port whose address another node has by now, and claims no block for it', () => {
    const taken: IpamBlock = {
      ...{ vn: red.fqName, cidr: '10.1.0.70/32', node: 'n2' },
      name: blockName(red.fqName, '10.1.0.70/32'),
    }
    const ports = [port('a', red.fqName, ['10.1.0.70', 'fd00:1::47'], 10), port('b', red.fqName, ['10.1.0.71'], 11)]
    const source = (blocks: readonly IpamBlock[], interfaces: SourceState['interfaces'] = new Map()): SourceState => ({
      namespaces: new Map(),
      virtualNetworks: new Map([[red.fqName, red]]),
      blocks: new Map(blocks.map((one) => [one.name, one])),
      interfaces,
      routers: new Map(),
      networkRouters: new Map(),
      pods: new Map(),
      rejected: [],
    })
    const tables = model(new Ids({ limits })).update({ source: source([]), facts, ports })
    const before = interfacesOf('n1', ports, tables)
    assert.equal(before.length, 2)
    const state = source([taken], new Map(before.map((one) => [one.uuid, one])))
    const { claim, publish, withdraw } = publication('n1', facts, ports, tables, state)
    assert.deepEqual(
      withdraw.map(({ name }) => name),
      [before[0]!.name],
    )
    assert.deepEqual(
      publish.map(({ kind }) => kind),
      ['VirtualRouter'],
    )
    assert.deepEqual(
      claim.map(({ cidr }) => cidr),
      ['10.1.0.64/26'],
    )
    const own = { ...taken, node: 'n1' }
    assert.deepEqual(publication('n1', facts, ports, tables, source([own], state.interfaces)).withdraw, [])
  })

  it('claims a block again whose object somebody removed', () => {
    const pods = [port('a', red.fqName, ['10.1.0.70', 'fd00:1::47'], 10)]
    const held: IpamBlock = { name: 'x', vn: red.fqName, cidr: '10.1.0.64/26', node: 'n1' }
    const source: SourceState = {
      namespaces: new Map(),
      virtualNetworks: new Map([[red.fqName, red]]),
      blocks: new Map([['x', held]]),
      interfaces: new Map(),
      routers: new Map(),
      networkRouters: new Map(),
      pods: new Map(),
      rejected: [],
    }
    const tables = model(new Ids({ limits })).update({ source, facts, ports: pods })
    const { claim } = publication('n1', facts, pods, tables, source)
    assert.deepEqual(
      claim.map(({ cidr: one, node: owner, vn }) => ({ one, owner, vn })),
      [{ one: 'fd00:1::40/122', owner: 'n1', vn: red.fqName }],
    )
  })
})
