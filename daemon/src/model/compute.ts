/**
 * The model: from what the source and this node say to the tables that the kernel shall hold. Pure but for the numbers it takes
 * from `Ids`; level-triggered: the answer depends on the present input alone, never on what came before, except that numbers stay
 * and that what didn't change is the same object as before.
 *
 * `update` may be called only with complete input: the source in sync, all port records read. A number whose owner is missing is
 * given back.
 */
import { BridgeTable } from './bridge.ts'
import { bridgeChanges } from './bridge-list.ts'
import { Memo } from './equal.ts'
import type { NodeFacts, Port } from './facts.ts'
import { BlocksByNetwork, PodsByNetwork } from './groups.ts'
import type { Ids } from './ids.ts'
import { InputProblems } from './input-problems.ts'
import { InterfaceTable, type LocalPod } from './interfaces.ts'
import * as keys from './keys.ts'
import { LabelTable } from './labels.ts'
import { type Leaks, LeakTable } from './leaks.ts'
import { defaultPodNetwork } from './names.ts'
import { NeighbourTable } from './neighbours.ts'
import type { NetworkInput } from './network-routes.ts'
import { NexthopTable } from './nexthops.ts'
import { type NodeNexthops, nodeNexthops } from './node-nexthops.ts'
import type { Address, FqName, Pod, SourceState, VirtualNetwork } from './objects.ts'
import { compareText } from './order.ts'
import type { Compose } from './rib/rib-table.ts'
import { Routing } from './routing.ts'
import { ServiceVrfTable } from './services/service-vrfs.ts'
import { Services } from './services/services.ts'
import { sharedPools } from './shared-pools.ts'
import { SLICE } from './slices.ts'
import type { BridgeRoute, HostRoute, Problem, Tables } from './tables.ts'
import { TunnelPeerTable } from './tunnel-peers.ts'
import { type RemoteNode, TunnelTable, Underlay } from './tunnels.ts'
import { FABRIC_VRF_ID, type NetworkVrf, VrfTable } from './vrfs.ts'

export interface ModelOptions {
  readonly node: string
  readonly cluster: string
  readonly limits: {
    /** Size of each route table (IPv4, IPv6). */
    readonly routes: number
  }
  readonly flowsPerVif: number
  /** Whether pods leave with the node's address where neither network nor namespace says. */
  readonly snat: boolean
  /** Ranges that pods never leave to with the node's address: cluster IPs. */
  readonly insideRanges?: readonly string[]
  /** Whether Services are reached at the external IPs that their owners write; default true. */
  readonly externalIps?: boolean
  /** IPv4 addresses, beside those of the nodes, from which tunnels are taken. */
  readonly tunnelPeers?: readonly Address[]
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number
}

export interface ModelInput {
  readonly source: SourceState
  readonly facts: NodeFacts
  readonly ports: readonly Port[]
  /** Addresses that the host itself speaks to, such as the API server's: no pod draws that traffic to itself. */
  readonly hostPeers?: readonly Address[]
  /** Pods of this node that somebody else gave their addresses. */
  readonly unmanaged?: readonly Pod[]
}

const NO_RANGES: readonly string[] = []

export class Model {
  readonly #options: ModelOptions
  readonly #ids: Ids
  readonly #nexthops: NexthopTable
  readonly #vrfs = new VrfTable()
  readonly #interfaces = new InterfaceTable()
  readonly #tunnels = new TunnelTable()
  readonly #peers: TunnelPeerTable
  readonly #neighbours = new NeighbourTable()
  readonly #bridge = new BridgeTable()
  readonly #labels = new LabelTable()
  readonly #leaks = new LeakTable()
  readonly #blocks = new BlocksByNetwork()
  readonly #podsOf = new PodsByNetwork()
  readonly #inputProblems: InputProblems
  #bridgeCounts = new Map<number, { readonly routes: readonly BridgeRoute[]; readonly counts: Counts }>()
  readonly #serviceVrfs: ServiceVrfTable
  readonly #pools = new Memo<ReadonlySet<string>>()
  #routing: Routing
  #services: Services
  /** The last pass came to its end. */
  #isWhole = true

  constructor(options: ModelOptions, ids: Ids) {
    this.#options = options
    this.#ids = ids
    this.#nexthops = new NexthopTable(ids)
    this.#serviceVrfs = new ServiceVrfTable(ids, this.#nexthops)
    this.#routing = new Routing(options.node)
    this.#services = this.#newServices()
    this.#inputProblems = new InputProblems(options.cluster)
    this.#peers = new TunnelPeerTable(options.node, options.tunnelPeers ?? [])
  }

  /** All at once. */
  update(input: ModelInput): Tables {
    const steps = this.steps(input)
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
    }
  }

  /** Yields now and then, so that the caller can give the event loop a turn. After one that isn't brought to its end routes begin from nothing. */
  *steps(input: ModelInput): Generator<void, Tables> {
    if (!this.#isWhole) {
      this.#routing = new Routing(this.#options.node)
      this.#services = this.#newServices()
    }
    this.#isWhole = false
    const tables = yield* this.#compute(input)
    this.#isWhole = true
    return tables
  }

  #newServices(): Services {
    const { node, cluster, insideRanges = NO_RANGES, externalIps = true } = this.#options
    return new Services({ node, cluster, ranges: insideRanges, externalIps }, this.#ids, this.#serviceVrfs)
  }

  *#compute(input: ModelInput): Generator<void, Tables> {
    const { source, facts, ports: unsorted, unmanaged = [], hostPeers = [] } = input
    const now = (this.#options.now ?? Date.now)()
    const { rib, remote } = this.#routing
    yield* remote.update(source.interfaces)
    const problems = [
      ...this.#inputProblems.namespaces(source),
      ...this.#inputProblems.pods(source, unsorted, unmanaged),
    ]
    const [ids, nexthops] = [this.#ids, this.#nexthops]
    nexthops.begin()
    const common = nodeNexthops(nexthops, now)
    const vhost = { label: ids.allocate('label', keys.VHOST_LABEL, now), nexthop: common.receive }

    const ports = [...unsorted].sort((a, b) => compareText(a.createdAt, b.createdAt) || compareText(a.uuid, b.uuid))
    const defaultVn = defaultPodNetwork(this.#options.cluster)
    const { byNetwork, vrfs: ofPods } = this.#vrfs.compute(ports, defaultVn, ids, nexthops, now, problems)
    const allPods = this.#interfaces.pods(ports, byNetwork, ids, nexthops, now, problems)
    const pods = allPods.filter((pod) => pod.port.ifindex !== undefined)

    const underlay = new Underlay(facts)
    const leaks = this.#leaks.compute(source)
    problems.push(...leaks.problems)
    const nodes = this.#nodes(source, byNetwork, leaks, underlay, now, problems)
    const around = { source, facts, hostPeers, vrfs: byNetwork, pods, remote, nodes }
    yield* this.#services.update(around, now, problems)
    const vrfs = this.#serviceVrfs.with(ofPods)
    const hostRoutes = yield* this.#route(input, byNetwork, leaks, pods, nodes, underlay, common, now, problems)
    const inet = new Map(vrfs.map(({ id }) => [id, rib.routes(id, 4)]))
    const inet6 = new Map(vrfs.map(({ id }) => [id, rib.routes(id, 6)]))
    const bridge = yield* this.#bridge.compute(
      {
        ...{ vrfs, nodes, nicMac: facts.underlay.mac, l2Receive: common.l2Receive },
        pods: (vn) => this.#podsOf.of(vn),
        remote: (vn) => remote.of(vn),
      },
      ids,
      now,
      problems,
    )
    const vifs = this.#interfaces.vifs(facts, pods, vhost, this.#options.flowsPerVif)
    const services = this.#serviceVrfs.label(now)
    const labels = this.#labels.compute([vhost, services], byNetwork.values(), pods)

    const references = yield* this.#references(bridge)
    for (const { nexthop } of labels) increase(references, nexthop, 1)
    for (const { flowNexthop } of vifs) if (flowNexthop !== 0) increase(references, flowNexthop, 1)
    for (const { nexthop } of vrfs) if (nexthop !== undefined) increase(references, nexthop, 1)
    for (const members of nexthops.composites(references)) {
      for (const { nexthop } of members) increase(references, nexthop, 1)
    }
    this.#sweep(byNetwork, allPods, now)
    const table = nexthops.finish(references, now)
    const neighbours = this.#neighbours.compute(this.#tunnels.wanted, facts)
    const peers = this.#peers.compute(source.routers, nodes, facts.underlay.address)
    remote.settle()
    const routes = { inet, inet6, routeLog: rib }
    const { fronts } = this.#services
    return {
      ...{ vrfs, vifs, nexthops: table, labels, ...routes, bridge, neighbours, peers, hostRoutes },
      ...(fronts !== undefined && { fronts }),
      ...(services?.label !== undefined && { serviceLabel: services.label }),
      problems,
    }
  }

  /** Tunnels to every node that has blocks or pods in our VNs, or in one that leaks into them; with the default pod network or Services, to every node. */
  #nodes(
    source: SourceState,
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    leaks: Leaks,
    underlay: Underlay,
    now: number,
    problems: Problem[],
  ): ReadonlyMap<string, RemoteNode> {
    const { node, cluster } = this.#options
    const vn = defaultPodNetwork(cluster)
    this.#blocks.update(source.blocks, node)
    const needed = new Set<string>()
    const leaked = [...vrfs.keys()].flatMap((network) => leaks.of.get(network) ?? [])
    for (const network of new Set([...vrfs.keys(), ...leaked, vn])) {
      for (const name of this.#blocks.nodesOf(network)) needed.add(name)
      for (const name of this.#routing.remote.of(network).nodes()) needed.add(name)
    }
    // Endpoints of Services are on any of them, whoever has pods here.
    const hasServices = (source.services?.size ?? 0) > 0 || this.#services.areThere
    if (vrfs.has(vn) || hasServices) for (const name of source.routers.keys()) needed.add(name)
    const { routers } = source
    const tunnels = { node, underlay, routers, needed, ids: this.#ids, nexthops: this.#nexthops, now }
    return this.#tunnels.compute(tunnels, problems)
  }

  /** What is offered in each VRF, and with that the routes. */
  *#route(
    { source, facts, hostPeers = [] }: ModelInput,
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    leaks: Leaks,
    pods: readonly LocalPod[],
    nodes: ReadonlyMap<string, RemoteNode>,
    underlay: Underlay,
    common: NodeNexthops,
    now: number,
    problems: Problem[],
  ): Generator<void, readonly HostRoute[]> {
    const routing = this.#routing
    const defaultVn = defaultPodNetwork(this.#options.cluster)
    this.#podsOf.update(pods)
    const contentOf = (vn: FqName) => ({
      pods: this.#podsOf.of(vn),
      blocks: this.#blocks.of(vn),
      remote: routing.remote.of(vn),
    })
    const isCompact = this.#isTooMuch(vrfs, leaks, problems)
    const { address, address6 } = facts.underlay
    const wantsSnat = (network: VirtualNetwork | undefined) => network?.fabricSnat ?? this.#options.snat
    const isWanted = vrfs.keys().some((vn) => wantsSnat(source.virtualNetworks.get(vn)))
    const snatNexthop = isWanted ? this.#snatNexthop(now, problems) : undefined
    const hasServices = this.#services.areThere
    const pools = this.#pools.get([source.virtualNetworks], () => sharedPools(source.virtualNetworks.values()))
    const networks = [...vrfs].map(([vn, vrf]) => {
      const network = source.virtualNetworks.get(vn)
      const input: NetworkInput = {
        network,
        ...contentOf(vn),
        leaks: (leaks.of.get(vn) ?? []).map((other) => ({
          network: source.virtualNetworks.get(other)!,
          ...contentOf(other),
        })),
        nodes,
        agentNexthop: common.agent,
        host: { address, address6, nexthop: common.receive },
        reachesNodes: vn === defaultVn,
        snatNexthop: wantsSnat(network) ? snatNexthop : undefined,
        insideRanges: this.#options.insideRanges ?? NO_RANGES,
        services: this.#services.routesOf(vn, leaks.of.get(vn) ?? []),
        isCompact,
        isShared: hasServices && network?.ipam !== undefined && pools.has(network.ipam),
      }
      return { vrf, input }
    })
    const neighbour = (address: Address): number | undefined => {
      const { nexthop, isValid } = underlay.neighbour(address)
      return this.#nexthops.keep(keys.neighbourNexthop(address), nexthop, now, isValid)
    }
    const neighbours = (addresses: readonly Address[]) => {
      const numbers = addresses.flatMap((address) => {
        const { nexthop, isValid } = underlay.neighbour(address)
        const id = this.#nexthops.define(keys.neighbourNexthop(address), nexthop, now, isValid)
        return id === undefined ? [] : [[address, id] as const]
      })
      this.#nexthops.keepGroup('neighbours', new Set(numbers.map(([address]) => keys.neighbourNexthop(address))))
      return new Map(numbers)
    }
    const network = source.virtualNetworks.get(defaultVn)
    const defaultNetwork = { vn: defaultVn, network, nodes, ...contentOf(defaultVn) }
    const fabric = {
      ...common,
      facts,
      neighbour,
      neighbours,
      pods,
      source,
      hostPeers,
      defaultNetwork,
      services: this.#services.routes,
    }
    const compose: Compose = (vrf, prefix, members) =>
      this.#nexthops.define(
        keys.compositeNexthop(vrf.name, prefix),
        { type: 'composite', kind: 'ecmp', vrf: vrf.id, members },
        now,
      )
    return yield* routing.update(networks, fabric, compose, problems)
  }

  /** Routed again in VRF 0, from where it leaves with the node's address. */
  #snatNexthop(now: number, problems: Problem[]): number | undefined {
    const id = this.#nexthops.define(keys.SNAT, { type: 'vrf-translate', vrf: FABRIC_VRF_ID, snat: true }, now)
    if (id === undefined)
      problems.push({
        object: 'SNAT',
        message: 'no nexthop number is left: pods reach nothing outside',
        table: 'nexthop',
      })
    return id
  }

  /** Whether the host routes of all remote pods are more than the route table holds: then block routes must do. */
  #isTooMuch(vrfs: ReadonlyMap<FqName, NetworkVrf>, leaks: Leaks, problems: Problem[]): boolean {
    const { routes: limit } = this.#options.limits
    const count = { 4: 0, 6: 0 }
    for (const vn of vrfs.keys()) {
      for (const seen of [vn, ...(leaks.of.get(vn) ?? [])]) {
        const { addresses } = this.#routing.remote.of(seen)
        count[4] += addresses[4]
        count[6] += addresses[6]
      }
    }
    // A tenth is left for everything else.
    if (Math.max(count[4], count[6]) <= limit * 0.9) return false
    problems.push({
      object: 'routes',
      message:
        `${Math.max(count[4], count[6])} remote pods are too many for the route table (limit ${limit}): ` +
        'those inside a block of their node are reached by its block route; raise limits.routes',
      table: count[4] >= count[6] ? 'route4' : 'route6',
    })
    return true
  }

  /** Table entries by nexthop. What routes name is counted as they change; of bridge tables only what changed is counted. */
  *#references(bridge: ReadonlyMap<number, readonly BridgeRoute[]>): Generator<void, Map<number, number>> {
    const references = new Map(this.#routing.rib.references)
    const known = this.#bridgeCounts
    this.#bridgeCounts = new Map()
    for (const [vrf, routes] of bridge) {
      const before = known.get(vrf)
      const counted = before?.routes === routes ? before : { routes, counts: yield* recountBridge(before, routes) }
      this.#bridgeCounts.set(vrf, counted)
      for (const [nexthop, count] of counted.counts) increase(references, nexthop, count)
    }
    return references
  }

  /** Gives back the numbers of what is gone. Nexthops follow in `NexthopTable.finish`. */
  #sweep(vrfs: ReadonlyMap<FqName, NetworkVrf>, pods: readonly LocalPod[], now: number): void {
    const vrfIds = new Set<number>()
    const vifIds = new Set<number>()
    const labels = new Set<number>()
    const keepLabel = (label: number | undefined) => label !== undefined && labels.add(label)
    for (const one of [this.#ids.get('label', keys.VHOST_LABEL), this.#serviceVrfs.label(now)?.label]) keepLabel(one)
    const indices = new Set(this.#bridge.indices())
    for (const { id } of this.#serviceVrfs.vrfs.byNetwork.values()) vrfIds.add(id)
    for (const { id, label } of vrfs.values()) {
      vrfIds.add(id)
      keepLabel(label)
    }
    for (const { vif, label, bridgeIndex } of pods) {
      vifIds.add(vif)
      labels.add(label)
      indices.add(bridgeIndex)
    }
    const numbers = { vrf: vrfIds, vif: vifIds, label: labels, bridge: indices }
    for (const kind of ['vrf', 'vif', 'label', 'bridge'] as const) {
      const alive = numbers[kind]
      // All of these are in use: as many as are in use are all that are.
      if (this.#ids.used(kind).size !== alive.size) this.#ids.sweep(kind, (_key, id) => alive.has(id), now)
    }
  }
}

type Counts = ReadonlyMap<number, number>

function* recountBridge(
  before: { readonly routes: readonly BridgeRoute[]; readonly counts: Counts } | undefined,
  routes: readonly BridgeRoute[],
): Generator<void, Counts> {
  const counts = new Map(before?.counts)
  let count = 0
  for (const change of bridgeChanges(before?.routes ?? [], routes)) {
    if (change.before !== undefined) increase(counts, change.before.nexthop, -1)
    if (change.after !== undefined) increase(counts, change.after.nexthop, 1)
    if (++count % SLICE === 0) yield
  }
  for (const [nexthop, number] of counts) if (number === 0) counts.delete(nexthop)
  return counts
}

function increase(counts: Map<number, number>, key: number, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
