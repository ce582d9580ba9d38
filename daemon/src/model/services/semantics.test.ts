/**
 * Which endpoints a connection may get, from whom and to what: the table of Kubernetes' rules, written out row by row and without regard to how the model finds it, against
 * the fronts that the model makes; and a model that lives through changes against one that sees their result alone.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { byName, serviceOf } from '../../../../test/doubles/service-objects.ts'
import {
  dev,
  facts,
  frontsOf,
  inputOf,
  isolated,
  modelOf,
  port,
  red,
  remote,
  routeOf,
  router,
  type ServiceWorld,
  standard,
} from '../../../../test/doubles/service-world.ts'
import { addressesOf } from '../address.ts'
import type { ModelInput } from '../compute.ts'
import { isEqual } from '../equal.ts'
import type { NodeFacts } from '../facts.ts'
import type { Endpoint, EndpointSlice, Service, SourceState } from '../objects.ts'
import type { BackSet, Front, Tables } from '../tables.ts'

// ---- the table --------------------------------------------------------------------------------------------------------------

type Client = 'pod here' | 'host' | 'pod elsewhere' | 'outside'
type To = Front['kind']
type Policy = Service['internalTrafficPolicy']
type Row = readonly [
  from: readonly Client[],
  to: readonly To[],
  policy: readonly Policy[],
  set: 'C' | 'L',
  none: 'reject' | 'drop if any',
]

const BOTH: readonly Policy[] = ['Cluster', 'Local']
/** The policy is the internal one for cluster IPs, the external one for all others. */
const TABLE: readonly Row[] = [
  [['pod here', 'host', 'pod elsewhere', 'outside'], ['cluster-ip'], ['Cluster'], 'C', 'reject'],
  [['pod here', 'host', 'pod elsewhere', 'outside'], ['cluster-ip'], ['Local'], 'L', 'drop if any'],
  [['pod here', 'host'], ['node-port', 'load-balancer', 'external-ip'], BOTH, 'C', 'reject'],
  [['pod elsewhere', 'outside'], ['node-port', 'load-balancer', 'external-ip'], ['Cluster'], 'C', 'reject'],
  [['pod elsewhere', 'outside'], ['node-port', 'load-balancer', 'external-ip'], ['Local'], 'L', 'drop if any'],
]

interface Candidate {
  readonly at: string
  readonly endpoint: Endpoint
}

/** Each address and port once: as ready if some slice says so, else as on its way out if some slice says that. */
function candidates(service: string, name: string, protocol: string, family: 4 | 6, slices: readonly EndpointSlice[]) {
  const rows: Candidate[] = []
  for (const slice of slices.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (slice.service !== service || slice.family !== family) continue
    for (const one of slice.ports)
      if (one.name === name && one.protocol === protocol)
        for (const endpoint of slice.endpoints) rows.push({ at: `${endpoint.address}:${one.port}`, endpoint })
  }
  const firsts = (list: readonly Candidate[]) =>
    list.filter((one, at) => list.findIndex((other) => other.at === one.at) === at)
  const ready = firsts(rows.filter(({ endpoint }) => endpoint.isReady))
  const leaving = firsts(
    rows.filter(({ endpoint }) => !endpoint.isReady && endpoint.isServing && endpoint.isTerminating),
  )
  return { ready, leaving: leaving.filter((one) => !ready.some((other) => other.at === one.at)) }
}

function answer(
  from: Client,
  front: Front,
  service: Service,
  slices: readonly EndpointSlice[],
  zone: string | undefined,
): string {
  const policy = front.kind === 'cluster-ip' ? service.internalTrafficPolicy : service.externalTrafficPolicy
  const rows = TABLE.filter(
    ([clients, to, policies]) => clients.includes(from) && to.includes(front.kind) && policies.includes(policy),
  )
  assert.equal(rows.length, 1, 'the table has one row for each case')
  const [, , , set, none] = rows[0]!
  const { ready, leaving } = candidates(
    service.name,
    front.service.port,
    front.listener!.protocol,
    front.service.family,
    slices,
  )
  let usable: readonly Candidate[]
  if (set === 'L') {
    usable = ready.filter(({ endpoint }) => endpoint.node === 'n1')
    if (usable.length === 0) usable = leaving.filter(({ endpoint }) => endpoint.node === 'n1')
  } else if (ready.length === 0) usable = leaving
  else {
    const nodes = ready.map(({ endpoint }) => endpoint.hintedNodes ?? [])
    const zones = ready.map(({ endpoint }) => endpoint.hintedZones ?? [])
    const isComplete = (hints: readonly (readonly string[])[]) => hints.every(({ length }) => length > 0)
    if (isComplete(nodes) && nodes.some((hints) => hints.includes('n1')))
      usable = ready.filter((_, at) => nodes[at]!.includes('n1'))
    else if (zone !== undefined && isComplete(zones) && zones.some((hints) => hints.includes(zone)))
      usable = ready.filter((_, at) => zones[at]!.includes(zone))
    else usable = ready
  }
  if (usable.length > 0)
    return usable
      .map(({ at }) => at)
      .toSorted()
      .join(' ')
  return none === 'reject' || ready.length + leaving.length === 0 ? 'reject' : 'drop'
}

// ---- worlds -----------------------------------------------------------------------------------------------------------------

const names = fc.uniqueArray(fc.constantFrom('n1', 'n2', 'n3'), { minLength: 0, maxLength: 2 })
const zoneNames = fc.uniqueArray(fc.constantFrom('za', 'zb'), { minLength: 0, maxLength: 2 })
const often = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary }, { weight: 1, arbitrary: fc.constant(undefined) })
const defined = <T extends object>(object: T): T =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T

/** Pods web-0… of the default network, red ones, and addresses that are nobody's here; some slices name a pod that isn't there. */
const ADDRESSES = {
  4: ['10.244.0.4', '10.244.0.5', '10.244.1.4', '10.244.1.5', '10.1.0.4', '10.1.0.5', '192.0.2.12', '203.0.113.9'],
  6: ['fd00:10:244::4', 'fd00:10:244::5', '2001:db8::99'],
} as const
const podOf = (address: string) => `pod-${address.replaceAll(/[.:]+/g, '-')}`

const endpoint = (family: 4 | 6): fc.Arbitrary<Endpoint> =>
  fc
    .record({
      address: fc.constantFrom(...ADDRESSES[family]),
      state: fc.constantFrom('ready', 'ready', 'ready', 'leaving', 'starting', 'gone', 'published'),
      node: often(fc.constantFrom('n1', 'n2', 'n3')),
      hintedZones: often(zoneNames),
      hintedNodes: often(names),
      isNamed: fc.boolean(),
    })
    .map(
      ({ address, state, node, hintedZones, hintedNodes, isNamed }) =>
        defined({
          address,
          isReady: state === 'ready' || state === 'published',
          isServing: state !== 'starting' && state !== 'gone',
          isTerminating: state === 'leaving' || state === 'gone' || state === 'published',
          ...{ node, hintedZones, hintedNodes },
          pod: isNamed ? podOf(address) : undefined,
        }) as Endpoint,
    )

const PORTS = [
  { name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 },
  { name: 'dns', protocol: 'UDP', port: 80, nodePort: 30080 },
  { name: 'more', protocol: 'TCP', port: 81 },
] as const

const slice = fc
  .record({
    service: fc.constantFrom('a', 'a', 'b', 'c'),
    name: fc.constantFrom('s1', 's2', 's3'),
    family: fc.constantFrom<4 | 6>(4, 4, 6),
    port: fc.constantFrom(...PORTS),
    number: fc.constantFrom(8080, 8081),
  })
  .chain(({ service, name, family, port: { name: portName, protocol }, number }) =>
    fc.array(endpoint(family), { maxLength: 4 }).map(
      (endpoints): EndpointSlice => ({
        ...{ namespace: service === 'c' ? 'dev' : 'default', name: `${service}-${name}`, service, family, endpoints },
        ports: [{ name: portName, protocol, port: number }],
      }),
    ),
  )

const service = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c'),
    type: fc.constantFrom<Service['type']>('ClusterIP', 'NodePort', 'LoadBalancer'),
    isDual: fc.boolean(),
    ports: fc.subarray([...PORTS], { minLength: 1 }),
    externalIps: fc.subarray(['198.51.100.1', '2001:db8:1::1', '192.0.2.12']),
    loadBalancerIps: fc.subarray(['198.51.100.2', '2001:db8:1::2', '10.96.0.11']),
    sourceRanges: fc.subarray(['198.51.100.0/24', '2001:db8:5::/48', '::/0']),
    internalTrafficPolicy: fc.constantFrom(...BOTH),
    externalTrafficPolicy: fc.constantFrom(...BOTH),
    affinitySeconds: often(fc.constant(60)),
  })
  .map(({ name, isDual, ...spec }) => {
    const at = 'abc'.indexOf(name)
    const clusterIps = isDual ? [`10.96.0.1${at}`, `fd00:96::1${at}`] : [`10.96.0.1${at}`]
    // NodePorts of two Services never meet.
    const ports = spec.ports.map((one) => ('nodePort' in one ? { ...one, nodePort: one.nodePort + at } : one))
    return serviceOf(
      name,
      defined({ ...spec, namespace: name === 'c' ? 'dev' : 'default', clusterIps, ports }) as Partial<Service>,
    )
  })

const ports = [
  port(podOf('10.244.0.4'), standard, '10.244.0.4'),
  port(podOf('10.1.0.4'), red, '10.1.0.4'),
  port(podOf('fd00:10:244::4'), standard, 'fd00:10:244::4'),
  port(podOf('10.244.0.5'), dev, '10.244.0.5', 'dev'),
]
const interfaces = [
  remote(podOf('10.244.1.4'), standard, '10.244.1.4', 31),
  remote(podOf('10.244.1.5'), standard, '10.244.1.5', 32, 'default', 'n3'),
  remote(podOf('10.1.0.5'), red, '10.1.0.5', 33),
  // One pod's address is another's in another network.
  remote('other', red, '10.1.0.4', 34),
  remote(podOf('10.244.1.4'), standard, '10.244.1.4', 35, 'default', 'n3'),
]

const world: fc.Arbitrary<ServiceWorld> = fc
  .record({
    services: fc.uniqueArray(service, { maxLength: 3, selector: ({ name }) => name }),
    slices: fc.uniqueArray(slice, { maxLength: 6, selector: ({ name }) => name }),
    ports: fc.subarray(ports),
    interfaces: fc.subarray(interfaces),
    namespaces: fc.subarray([isolated]),
    zone: often(fc.constantFrom('za', 'zb', 'zc')),
    nodes: fc.subarray(['n3']),
    tenants: fc.subarray([red, dev]),
    addresses: fc.constantFrom(facts, { ...facts, underlay: { ...facts.underlay, address6: undefined } } as NodeFacts),
  })
  .map(({ zone, nodes, tenants, addresses, ...rest }) => ({
    ...rest,
    facts: addresses,
    more: defined({
      zone,
      routers: new Map(['n1', 'n2', ...nodes].map((name) => [name, router(name, Number(`1${name.at(-1)}`))])),
      virtualNetworks: new Map([standard, ...tenants].map((vn) => [vn.fqName, vn])),
    }) as Partial<SourceState>,
  }))

/** One part of the world after the other becomes another world's. */
const lives = fc
  .tuple(
    world,
    fc.array(
      fc.tuple(fc.constantFrom('services', 'slices', 'ports', 'interfaces', 'namespaces', 'more', 'facts'), world),
      {
        minLength: 1,
        maxLength: 6,
      },
    ),
  )
  .map(([first, edits]) => {
    const worlds = [first]
    for (const [part, other] of edits) worlds.push({ ...worlds.at(-1)!, [part]: other[part as 'services'] })
    return worlds
  })

const places = ({ backs, whenEmpty }: BackSet) =>
  backs.length === 0
    ? whenEmpty
    : backs
        .map(({ address, port: number }) => `${address}:${number}`)
        .toSorted()
        .join(' ')

/** Without numbers, which depend on what was there before. */
function said(tables: Tables): unknown {
  const routes = [standard, red, dev].flatMap(({ fqName }) =>
    tables.vrfs.some(({ vn }) => vn === fqName)
      ? ['10.96.0.12', '10.96.0.99', '198.51.100.1', '198.51.100.2', 'fd00:96::12'].map((address) =>
          routeOf(tables, fqName, address),
        )
      : [],
  )
  const host = ['10.96.0.12', '198.51.100.1'].map((address) => routeOf(tables, 'underlay', address))
  const more = tables.fronts!.map(({ sourceRanges, affinitySeconds }) => [sourceRanges, affinitySeconds])
  return { fronts: frontsOf(tables), more, routes, host, problems: tables.problems, hostRoutes: tables.hostRoutes }
}

describe('which endpoints a connection may get', () => {
  it('is as the table of Kubernetes has it, from everywhere to every kind of address', () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(world, (one) => {
        const { fronts } = modelOf().update(inputOf(one))
        const services = byName(one.services ?? [])
        for (const front of fronts!) {
          if (front.listener === undefined) {
            assert.deepEqual([front.inside, front.outside].map(places), ['reject', 'reject'])
            continue
          }
          const owner = services.get(`${front.service.namespace}/${front.service.name}`)!
          for (const from of ['pod here', 'host', 'pod elsewhere', 'outside'] as const) {
            const set = from === 'pod here' || from === 'host' ? front.inside : front.outside
            const expected = answer(from, front, owner, one.slices ?? [], one.more?.zone)
            assert.equal(places(set), expected, `${from} to ${front.kind} ${front.address}`)
            seen.add(`${front.kind} ${/^\d|:/.test(expected) ? 'some' : expected}`)
          }
        }
      }),
      { numRuns: 400 },
    )
    // What is compared is there.
    for (const kind of ['cluster-ip', 'node-port', 'load-balancer', 'external-ip'])
      for (const result of ['some', 'reject', 'drop']) assert.ok(seen.has(`${kind} ${result}`), `${kind} ${result}`)
  })

  it('has a front for every address, port and family of a Service, and no other', () => {
    fc.assert(
      fc.property(world, ({ services = [], ...others }) => {
        const { fronts } = modelOf().update(inputOf({ ...others, services }))
        const refused = ['192.0.2.12', '10.96.0.11']
        const familyOf = (address: string) => (address.includes(':') ? 6 : 4)
        const expected = services.flatMap((one) => {
          const families = one.clusterIps.map(familyOf)
          const open = (list: readonly string[]) =>
            list.filter((at) => families.includes(familyOf(at)) && !refused.includes(at))
          const addresses = new Set([
            ...one.clusterIps,
            ...open(one.type === 'LoadBalancer' ? one.loadBalancerIps : []),
            ...open(one.externalIps),
          ])
          const nodes = one.type === 'ClusterIP' ? [] : open(addressesOf(others.facts!.underlay))
          return [
            ...addresses,
            ...one.ports.flatMap(({ protocol, port: number, nodePort }) => [
              ...[...addresses].map((at) => `${at} ${protocol} ${number}`),
              ...(nodePort === undefined ? [] : nodes.map((at) => `${at} ${protocol} ${nodePort}`)),
            ]),
          ]
        })
        const found = fronts!.map(({ address, listener }) =>
          listener === undefined ? address : `${address} ${listener.protocol} ${listener.port}`,
        )
        assert.deepEqual(found.toSorted(), [...new Set(expected)].toSorted())
      }),
    )
  })

  it('is the same after changes, one after the other, as when their result is all there is', () => {
    fc.assert(
      fc.property(lives, (worlds) => {
        const living = modelOf()
        let before: Tables | undefined
        let input: ModelInput | undefined
        for (const one of worlds) {
          // What isn't another one stays the same object, as sources have it.
          const next = inputOf(one)
          const source = Object.fromEntries(
            Object.entries(next.source).map(([key, value]) => {
              const old = input?.source[key as 'services']
              return [key, isEqual(listed(old), listed(value)) && old !== undefined ? old : value]
            }),
          )
          input = { ...next, source: source as unknown as ModelInput['source'] }
          const tables = living.update(input)
          assert.deepEqual(said(tables), said(modelOf().update(inputOf(one))))
          if (before !== undefined) checkKept(before, tables)
          before = tables
        }
      }),
      { numRuns: 300 },
    )
  })
})

const listed = (value: unknown) => (value instanceof Map ? [...value] : value)

/** Sets and fronts that say the same are the same objects; a port has one of each. */
function checkKept(before: Tables, after: Tables): void {
  const keyOf = ({ vrf, address, listener }: Front) => `${vrf} ${address} ${listener?.protocol} ${listener?.port}`
  const known = new Map(before.fronts!.map((front) => [keyOf(front), front]))
  const sets = new Map<number, Set<BackSet>>()
  for (const front of after.fronts!) {
    const old = known.get(keyOf(front))
    if (old !== undefined && isEqual(old, front)) assert.equal(front, old, `${keyOf(front)} says the same`)
    if (front.listener === undefined) continue
    const of = sets.get(front.id) ?? new Set()
    sets.set(front.id, of)
    for (const set of [front.inside, front.outside]) of.add(set)
  }
  for (const of of sets.values()) {
    const list = [...of]
    for (const [at, set] of list.entries())
      assert.ok(
        list.slice(at + 1).every((other) => !isEqual(other, set)),
        'equal sets of a port are one',
      )
  }
}
