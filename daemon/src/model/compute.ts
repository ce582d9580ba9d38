/**
 * The model: from what the source and this node say to the tables that the kernel shall hold. Pure but for the numbers it takes
 * from `Ids`; level-triggered: the answer depends on the present input alone, never on what came before, except that numbers stay
 * and that what didn't change is the same object as before.
 *
 * `update` may be called only with complete input: the source in sync, all port records read. A number whose owner is missing is
 * given back.
 */
import { mustParseAddress } from './address.ts'
import { slipsOf } from './annotations.ts'
import { BridgeTable } from './bridge.ts'
import { isSameList, keepList } from './equal.ts'
import { type FabricRoutes, FabricTable, gatewaysOf } from './fabric-routes.ts'
import type { NodeFacts, Port } from './facts.ts'
import type { Ids } from './ids.ts'
import { AGENT_VIF, FABRIC_VIF, InterfaceTable, type LocalPod, podName, VHOST_VIF } from './interfaces.ts'
import * as keys from './keys.ts'
import { LabelTable } from './labels.ts'
import { type Leaks, LeakTable } from './leaks.ts'
import { AGENT_MAC, defaultPodNetwork, ROUTER_MAC, vrfOfNetwork } from './names.ts'
import { networkOfPod } from './namespace-network.ts'
import { type CompositeOf, type NetworkInput, type NetworkRoutes, NetworkTable } from './network-routes.ts'
import { NexthopTable } from './nexthops.ts'
import type { Address, FqName, IpamBlock, Pod, SourceState } from './objects.ts'
import { RemotePodTable } from './remote-pods.ts'
import { changesBetween } from './route-list.ts'
import type { BridgeRoute, Problem, Route, Tables } from './tables.ts'
import { TunnelPeerTable } from './tunnel-peers.ts'
import { type RemoteNode, TunnelTable, Underlay } from './tunnels.ts'
import { movedMessage, networkNow, unmanagedMessage } from './unmanaged-pods.ts'
import { FABRIC_POLICY_VRF_ID, FABRIC_VRF_ID, type NetworkVrf, VrfTable } from './vrfs.ts'

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

/** Nexthops that every node has. */
interface NodeNexthops {
  readonly receive: number
  readonly receiveBroadcast: number
  readonly resolve: number
  readonly agent: number
  readonly l2Receive: number
}

const NO_ROUTES: readonly Route[] = []

export class Model {
  readonly #options: ModelOptions
  readonly #ids: Ids
  readonly #nexthops: NexthopTable
  readonly #vrfs = new VrfTable()
  readonly #interfaces = new InterfaceTable()
  readonly #tunnels = new TunnelTable()
  readonly #peers: TunnelPeerTable
  readonly #networks = new Map<FqName, NetworkTable>()
  readonly #fabric = new FabricTable()
  readonly #bridge = new BridgeTable()
  readonly #labels = new LabelTable()
  readonly #leaks = new LeakTable()
  readonly #blocks = new Groups<IpamBlock>()
  readonly #remote: RemotePodTable
  readonly #bridgeCounts = new WeakMap<readonly BridgeRoute[], Counts>()
  #routeCounts = new Map<string, { readonly routes: readonly Route[]; readonly counts: Counts }>()
  #neighbours: readonly Address[] = []

  constructor(options: ModelOptions, ids: Ids) {
    this.#options = options
    this.#ids = ids
    this.#nexthops = new NexthopTable(ids)
    this.#remote = new RemotePodTable(options.node)
    this.#peers = new TunnelPeerTable(options.node, options.tunnelPeers ?? [])
  }

  update({ source, facts, ports: unsorted, hostPeers = [], unmanaged = [] }: ModelInput): Tables {
    const now = (this.#options.now ?? Date.now)()
    const problems = namespaceProblems(source, this.#options.cluster)
    problems.push(...podProblems(source, unsorted, unmanaged, this.#options.cluster))
    const ids = this.#ids
    const nexthops = this.#nexthops
    nexthops.begin()
    const common = this.#nodeNexthops(now)
    const vhost = { label: ids.allocate('label', keys.VHOST_LABEL, now), nexthop: common.receive }

    const ports = [...unsorted].sort((a, b) => compareText(a.createdAt, b.createdAt) || compareText(a.uuid, b.uuid))
    const defaultVn = defaultPodNetwork(this.#options.cluster)
    const { byNetwork, vrfs } = this.#vrfs.compute(ports, defaultVn, ids, nexthops, now, problems)
    const allPods = this.#interfaces.pods(ports, byNetwork, ids, nexthops, now, problems)
    const pods = allPods.filter((pod) => pod.port.ifindex !== undefined)

    const underlay = new Underlay(facts)
    const leaks = this.#leaks.compute(source)
    problems.push(...leaks.problems)
    const nodes = this.#nodes(source, facts, byNetwork, leaks, underlay, now, problems)
    const networks = this.#networkRoutes(source, facts, byNetwork, leaks, pods, nodes, common, now, problems)
    const fabric = this.#fabricRoutes(source, facts, pods, hostPeers, nodes, underlay, common, now, problems)

    const inet = new Map([
      [FABRIC_VRF_ID, fabric.inet],
      [FABRIC_POLICY_VRF_ID, NO_ROUTES],
    ])
    const inet6 = new Map([
      [FABRIC_VRF_ID, fabric.inet6],
      [FABRIC_POLICY_VRF_ID, NO_ROUTES],
    ])
    for (const vrf of vrfs) {
      const routes = vrf.vn === undefined ? undefined : networks.get(vrf.vn)
      if (routes === undefined) continue
      inet.set(vrf.id, routes.inet)
      inet6.set(vrf.id, routes.inet6)
      problems.push(...routes.problems)
    }
    const bridge = this.#bridge.compute(vrfs, pods, facts.underlay.mac, common.l2Receive, ids, now, problems)
    const vifs = this.#interfaces.vifs(facts, pods, vhost, this.#options.flowsPerVif)
    const labels = this.#labels.compute(vhost, byNetwork.values(), pods)

    const references = this.#references(inet, inet6, bridge.values())
    for (const { nexthop } of labels) increase(references, nexthop, 1)
    for (const { flowNexthop } of vifs) if (flowNexthop !== 0) increase(references, flowNexthop, 1)
    for (const { nexthop } of vrfs) if (nexthop !== undefined) increase(references, nexthop, 1)
    for (const members of nexthops.composites(references)) {
      for (const { nexthop } of members) increase(references, nexthop, 1)
    }
    this.#sweep(byNetwork, allPods, bridge, now)
    const table = nexthops.finish(references, now)
    const wanted = [...new Set([...underlay.wanted, ...gatewaysOf(facts)])].sort(compareAddresses)
    this.#neighbours = keepList(this.#neighbours, wanted)
    const { hostRoutes } = fabric
    const neighbours = this.#neighbours
    const peers = this.#peers.compute(source.routers, facts.underlay.address)
    return { vrfs, vifs, nexthops: table, labels, inet, inet6, bridge, neighbours, peers, hostRoutes, problems }
  }

  /** These are the first of a fresh table: no limit is so low that they don't fit. */
  #nodeNexthops(now: number): NodeNexthops {
    const receive = { type: 'receive', vif: VHOST_VIF, vrf: FABRIC_VRF_ID } as const
    const keep = (...[key, nexthop]: [string, Parameters<NexthopTable['keep']>[1]]) => {
      const id = this.#nexthops.keep(key, nexthop, now)
      if (id === undefined) throw new RangeError(`no nexthop number is left for ${key}`)
      return id
    }
    return {
      receive: keep(keys.RECEIVE_POLICY, { ...receive, policy: true }),
      receiveBroadcast: keep(keys.RECEIVE, { ...receive, policy: false }),
      resolve: keep(keys.RESOLVE, { type: 'resolve', vif: FABRIC_VIF }),
      agent: keep(keys.AGENT, {
        type: 'encap',
        family: 'inet',
        vif: AGENT_VIF,
        vrf: FABRIC_VRF_ID,
        dstMac: AGENT_MAC,
        srcMac: ROUTER_MAC,
        policy: true,
        role: 'interface',
      }),
      l2Receive: keep(keys.L2_RECEIVE, { type: 'l2-receive' }),
    }
  }

  /** Tunnels to every node that has blocks or pods in our VNs, or in one that leaks into them; with the default pod network, to every node. */
  #nodes(
    source: SourceState,
    facts: NodeFacts,
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    leaks: Leaks,
    underlay: Underlay,
    now: number,
    problems: Problem[],
  ): ReadonlyMap<string, RemoteNode> {
    const { node, cluster } = this.#options
    const vn = defaultPodNetwork(cluster)
    this.#blocks.update(source.blocks, (block) => block.node !== node)
    this.#remote.update(source.interfaces)
    const needed = new Set<string>()
    const leaked = [...vrfs.keys()].flatMap((network) => leaks.of.get(network) ?? [])
    for (const network of new Set([...vrfs.keys(), ...leaked, vn])) {
      for (const name of this.#blocks.nodesOf(network)) needed.add(name)
      for (const name of this.#remote.of(network).nodes()) needed.add(name)
    }
    if (vrfs.has(vn)) for (const name of source.routers.keys()) needed.add(name)
    const own = facts.underlay.address
    return this.#tunnels.compute(node, underlay, own, source.routers, needed, this.#ids, this.#nexthops, now, problems)
  }

  #networkRoutes(
    source: SourceState,
    facts: NodeFacts,
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    leaks: Leaks,
    pods: readonly LocalPod[],
    nodes: ReadonlyMap<string, RemoteNode>,
    common: NodeNexthops,
    now: number,
    problems: Problem[],
  ): ReadonlyMap<FqName, NetworkRoutes> {
    const defaultVn = defaultPodNetwork(this.#options.cluster)
    const podsOf = Map.groupBy(pods, (pod) => pod.vrf.vn)
    const isCompact = this.#isTooMuch(vrfs, leaks, problems)
    const networks = new Map<FqName, NetworkRoutes>()
    for (const [vn, vrf] of vrfs) {
      let table = this.#networks.get(vn)
      if (table === undefined) {
        table = new NetworkTable()
        this.#networks.set(vn, table)
      }
      const compositeOf: CompositeOf = (address, members) =>
        this.#nexthops.define(
          keys.compositeNexthop(vrf.name, address),
          { type: 'composite', vrf: vrf.id, members },
          now,
        )
      const contentOf = (name: FqName) => ({
        pods: podsOf.get(name) ?? [],
        blocks: this.#blocks.of(name),
        remote: this.#remote.of(name),
      })
      const network = source.virtualNetworks.get(vn)
      const input: NetworkInput = {
        vrf,
        network,
        ...contentOf(vn),
        leaks: (leaks.of.get(vn) ?? []).map((other) => ({
          network: source.virtualNetworks.get(other)!,
          ...contentOf(other),
        })),
        nodes,
        agentNexthop: common.agent,
        host: { address: facts.underlay.address, address6: facts.underlay.address6, nexthop: common.receive },
        reachesNodes: vn === defaultVn,
        snatNexthop: (network?.fabricSnat ?? this.#options.snat) ? this.#snatNexthop(now, problems) : undefined,
        insideRanges: this.#options.insideRanges ?? [],
        isCompact,
      }
      networks.set(vn, table.compute(input, compositeOf))
    }
    for (const vn of this.#networks.keys()) if (!vrfs.has(vn)) this.#networks.delete(vn)
    return networks
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
        const { addresses } = this.#remote.of(seen)
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

  #fabricRoutes(
    source: SourceState,
    facts: NodeFacts,
    pods: readonly LocalPod[],
    hostPeers: readonly Address[],
    nodes: ReadonlyMap<string, RemoteNode>,
    underlay: Underlay,
    common: NodeNexthops,
    now: number,
    problems: Problem[],
  ): FabricRoutes {
    const vn = defaultPodNetwork(this.#options.cluster)
    const network = source.virtualNetworks.get(vn)
    const ownPods = pods.filter((pod) => pod.vrf.vn === vn)
    const neighbour = (address: Address): number | undefined => {
      const { nexthop, isValid } = underlay.neighbour(address)
      return this.#nexthops.keep(keys.neighbourNexthop(address), nexthop, now, isValid)
    }
    const { receive, receiveBroadcast, resolve } = common
    const defaultNetwork =
      network === undefined && ownPods.length === 0
        ? undefined
        : { vn, network, pods: ownPods, blocks: this.#blocks.of(vn), remote: this.#remote.of(vn), nodes }
    return this.#fabric.compute(
      { facts, receive, receiveBroadcast, resolve, neighbour, pods, source, hostPeers, defaultNetwork },
      problems,
    )
  }

  /** Table entries by nexthop. Lists that are the same as before aren't counted again, of others only what changed. */
  #references(
    inet: ReadonlyMap<number, readonly Route[]>,
    inet6: ReadonlyMap<number, readonly Route[]>,
    bridge: Iterable<readonly BridgeRoute[]>,
  ): Map<number, number> {
    const references = new Map<number, number>()
    const known = this.#routeCounts
    this.#routeCounts = new Map()
    for (const [family, tables] of [
      [4, inet],
      [6, inet6],
    ] as const) {
      for (const [vrf, routes] of tables) {
        const key = `${family} ${vrf}`
        const before = known.get(key)
        const counted = before?.routes === routes ? before : { routes, counts: recount(before, routes) }
        this.#routeCounts.set(key, counted)
        for (const [nexthop, count] of counted.counts) increase(references, nexthop, count)
      }
    }
    for (const list of bridge) {
      let counts = this.#bridgeCounts.get(list)
      if (counts === undefined) {
        const fresh = new Map<number, number>()
        for (const { nexthop } of list) increase(fresh, nexthop, 1)
        counts = fresh
        this.#bridgeCounts.set(list, counts)
      }
      for (const [nexthop, count] of counts) increase(references, nexthop, count)
    }
    return references
  }

  /** Gives back the numbers of what is gone. Nexthops follow in `NexthopTable.finish`. */
  #sweep(
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    pods: readonly LocalPod[],
    bridge: ReadonlyMap<number, readonly BridgeRoute[]>,
    now: number,
  ): void {
    const vrfKeys = new Set([...vrfs.keys()].map((vn) => keys.vrfKey(vrfOfNetwork(vn))))
    const vifKeys = new Set(pods.map(({ port }) => keys.vifKey(port.uuid)))
    const labelKeys = new Set([keys.VHOST_LABEL])
    for (const { name } of vrfs.values()) labelKeys.add(keys.vrfLabel(name))
    for (const { port } of pods) labelKeys.add(keys.podLabel(port.uuid))
    const indices = new Set(pods.map(({ bridgeIndex }) => bridgeIndex))
    for (const routes of bridge.values()) for (const { index } of routes) indices.add(index)
    this.#ids.sweep('vrf', (key) => vrfKeys.has(key), now)
    this.#ids.sweep('vif', (key) => vifKeys.has(key), now)
    this.#ids.sweep('label', (key) => labelKeys.has(key), now)
    this.#ids.sweep('bridge', (_key, index) => indices.has(index), now)
  }
}

/** Namespaces whose pods can't be attached, or that say what can't be meant. */
function namespaceProblems(source: SourceState, cluster: string): Problem[] {
  const problems: Problem[] = []
  for (const namespace of source.namespaces.values()) {
    const object = `Namespace ${namespace.name}`
    for (const { message } of slipsOf('namespace', namespace)) problems.push({ object, message })
    const network = networkOfPod({ namespace: namespace.name, name: '*' }, source, cluster)
    // Without a default network every pod may name its own.
    if (network.ok || network.error.code === 'NO_DEFAULT_NETWORK') continue
    problems.push({ object, message: `${network.error.message}: ${network.error.remedy}` })
  }
  return problems
}

/** Pods that would be elsewhere if they started now. */
function podProblems(
  source: SourceState,
  ports: readonly Port[],
  unmanaged: readonly Pod[],
  cluster: string,
): Problem[] {
  const moved = ports.flatMap((port) => {
    const now = networkNow(port, source, cluster)
    return now === undefined
      ? []
      : [
          {
            object: podName(port),
            message: movedMessage(port, now),
            subject: { kind: 'port', uuid: port.uuid } as const,
            isWorking: true as const,
          },
        ]
  })
  return [
    ...moved,
    ...unmanaged.map((pod) => ({ object: `Pod ${pod.namespace}/${pod.name}`, message: unmanagedMessage(pod) })),
  ]
}

type Counts = ReadonlyMap<number, number>

function recount(
  before: { readonly routes: readonly Route[]; readonly counts: Counts } | undefined,
  routes: readonly Route[],
): Counts {
  const counts = new Map(before?.counts)
  const count = (route: Route, by: 1 | -1) => {
    increase(counts, route.nexthop, by)
    for (const { nexthop } of route.paths) if (nexthop !== route.nexthop) increase(counts, nexthop, by)
  }
  const { gone, made } = changesBetween(before?.routes ?? NO_ROUTES, routes)
  for (const route of gone) count(route, -1)
  for (const route of made) count(route, 1)
  for (const [nexthop, number] of counts) if (number === 0) counts.delete(nexthop)
  return counts
}

function increase(counts: Map<number, number>, key: number, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function compareAddresses(a: Address, b: Address): number {
  return Number(mustParseAddress(a).value - mustParseAddress(b).value)
}

/** Objects of other nodes by VN. The list of a VN stays the same array while its objects do. */
class Groups<T extends { readonly vn: FqName; readonly node: string; readonly name: string }> {
  #source: ReadonlyMap<string, T> | undefined
  #isOurs: readonly T[] = []
  #groups = new Map<FqName, readonly T[]>()
  #nodes = new WeakMap<readonly T[], ReadonlySet<string>>()

  update(source: ReadonlyMap<string, T>, isWanted: (object: T) => boolean): void {
    if (source === this.#source) return
    this.#source = source
    const wanted = [...source.values()].filter(isWanted)
    if (isSameList(this.#isOurs, wanted)) return
    this.#isOurs = wanted
    const groups = new Map<FqName, T[]>()
    for (const object of wanted) {
      const group = groups.get(object.vn)
      if (group === undefined) groups.set(object.vn, [object])
      else group.push(object)
    }
    const before = this.#groups
    this.#groups = new Map()
    for (const [vn, group] of groups) this.#groups.set(vn, keepList(before.get(vn), group))
  }

  of(vn: FqName): readonly T[] {
    return this.#groups.get(vn) ?? []
  }

  nodesOf(vn: FqName): ReadonlySet<string> {
    const group = this.of(vn)
    let nodes = this.#nodes.get(group)
    if (nodes === undefined) {
      nodes = new Set(group.map((object) => object.node))
      this.#nodes.set(group, nodes)
    }
    return nodes
  }
}
