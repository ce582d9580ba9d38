/**
 * Routes of VRF 0, the underlay: what the kernel's own routes on vhost0 say, this node's addresses, the neighbours whose MAC is
 * known, the metadata addresses, the reach of the default pod network, whose pods and the nodes speak to each other without NAT
 * (vRouter introspect reference 3.3), and this node's own way to the pods of every other network (node-to-pods.ts).
 */
import {
  bitsOf,
  contains,
  type Family,
  familyOf,
  formatAddress,
  hostPrefix,
  mustParseAddress,
  mustParseCidr,
  overlaps,
  type Prefix,
  sizeOf,
} from './address.ts'
import { isEqual, isSameList } from './equal.ts'
import type { FabricRoute, NodeFacts } from './facts.ts'
import type { LocalPod } from './interfaces.ts'
import { FABRIC_VN, metadataAddress, NODE_GATEWAY } from './names.ts'
import { BlockIndex, blockRoutes, remoteRoute } from './network-routes.ts'
import { DISCARD } from './nexthops.ts'
import { type ReachedPod, reachedPods } from './node-to-pods.ts'
import type { Address, FqName, IpamBlock, SourceState, VirtualMachineInterface, VirtualNetwork } from './objects.ts'
import { NATIVE_LABEL, NO_FLAGS, PREFERENCE_LIVE, PROXY, path } from './paths.ts'
import type { RemotePods } from './remote-pods.ts'
import { compareEntries, entryOf, orderOf, type RouteEntry, RouteList } from './route-list.ts'
import type { HostRoute, Path, Problem, Route } from './tables.ts'
import { connectedSubnet, type RemoteNode, underlayRoutes } from './tunnels.ts'

export interface FabricInput {
  readonly facts: NodeFacts
  readonly receive: number
  /** RCV without policy: broadcast. */
  readonly receiveBroadcast: number
  readonly resolve: number
  /** ENCAP nexthop of an underlay neighbour; undefined when the table is full. */
  readonly neighbour: (address: Address) => number | undefined
  /** All pods whose tap is there: metadata addresses, and the node's own way to them. */
  readonly pods: readonly LocalPod[]
  readonly source: Pick<SourceState, 'virtualNetworks' | 'routers'>
  /** Addresses that the host itself speaks to. */
  readonly hostPeers: readonly Address[]
  readonly defaultNetwork?: {
    readonly vn: FqName
    readonly network: VirtualNetwork | undefined
    readonly pods: readonly LocalPod[]
    readonly blocks: readonly IpamBlock[]
    readonly remote: RemotePods
    readonly nodes: ReadonlyMap<string, RemoteNode>
  }
}

type DefaultNetwork = NonNullable<FabricInput['defaultNetwork']>

export interface FabricRoutes {
  readonly inet: readonly Route[]
  readonly inet6: readonly Route[]
  readonly hostRoutes: readonly HostRoute[]
}

export class FabricTable {
  readonly #inet = new RouteList()
  readonly #inet6 = new RouteList()
  readonly #remote = new RemoteReach()

  compute(input: FabricInput, problems: Problem[]): FabricRoutes {
    const subnets = defaultSubnets(input, problems)
    const prefixes = subnets.map(({ prefix }) => prefix)
    const reach = reachOf(input, prefixes)
    const remote = this.#remote.compute(input.defaultNetwork, reach)
    const held = podRoutes(input, reach)
    const reached = reachedPods(
      {
        ...input,
        defaultNetwork: input.defaultNetwork && { ...input.defaultNetwork, subnets: prefixes },
        held: new Map(held.map(({ route: { address }, pod }) => [address, pod])),
      },
      problems,
    )
    // The first route of a prefix wins.
    const routes = [
      ...receiveRoutes(input),
      ...metadataRoutes(input),
      ...held.map((one) => one.route),
      ...reached.map(({ pod, address }) => tenantRoute(pod, address)),
      ...nodeGatewayRoutes(reached),
      ...subnets.flatMap((subnet) => [...subnetRoutes(subnet, input.defaultNetwork!.vn)]),
      ...kernelRoutes(input, prefixes),
      ...neighbourRoutes(input),
    ]
    const of = (family: Family) =>
      routes.filter((route) => familyOf(route.address) === family).map((route) => entryOf(route, family))
    return {
      inet: this.#inet.settle(remote[4], of(4)),
      inet6: this.#inet6.settle(remote[6], of(6)),
      hostRoutes: [
        ...subnets.flatMap((subnet) => hostRoute(subnet, input.facts)),
        ...podHostRoutes(reached, prefixes, input.facts),
      ],
    }
  }
}

type RemoteEntries = Readonly<Record<Family, readonly ReachEntry[]>>

/**
 * The default network on other nodes: their blocks, and the pods whose address lies in no block of their node. Computed anew only
 * when one of them changed; a route that says the same stays the same object.
 */
class RemoteReach {
  #input: DefaultNetwork | undefined
  #reach: Reach | undefined
  #indexed:
    | {
        readonly blocks: readonly IpamBlock[]
        readonly nodes: ReadonlyMap<string, RemoteNode>
        readonly vn: FqName
        readonly index: BlockIndex
      }
    | undefined
  #entries: RemoteEntries = { 4: [], 6: [] }

  compute(network: DefaultNetwork | undefined, reach: Reach): RemoteEntries {
    const before = this.#input
    this.#input = network
    const isSameReach = isEqual(this.#reach, reach)
    this.#reach = reach
    if (network === undefined) {
      this.#entries = { 4: [], 6: [] }
      return this.#entries
    }
    const isSame =
      before !== undefined &&
      isSameReach &&
      before.vn === network.vn &&
      before.nodes === network.nodes &&
      isSameList(before.blocks, network.blocks) &&
      (before.remote === network.remote || this.#isCovered(network, before.remote))
    if (!isSame) this.#entries = { 4: this.#list(network, reach, 4), 6: this.#list(network, reach, 6) }
    return this.#entries
  }

  /** Whether all that came, went or changed since is reached by blocks alone: then nothing is different here. */
  #isCovered({ vn, blocks, remote, nodes }: DefaultNetwork, earlier: RemotePods): boolean {
    const index = this.#blockIndex(blocks, nodes, vn)
    const isCovered = (one: VirtualMachineInterface | undefined) =>
      one === undefined || !nodes.has(one.node) || one.addresses.every((address) => index.nodeOf(address) === one.node)
    const changes = remote.changesSince(earlier)
    return changes?.every(({ before, after }) => isCovered(before) && isCovered(after)) === true
  }

  #blockIndex(blocks: readonly IpamBlock[], nodes: ReadonlyMap<string, RemoteNode>, vn: FqName): BlockIndex {
    const { blocks: knownBlocks, nodes: knownNodes, vn: knownVn } = this.#indexed ?? {}
    if (this.#indexed === undefined || knownBlocks !== blocks || knownNodes !== nodes || knownVn !== vn)
      this.#indexed = { blocks, nodes, vn, index: new BlockIndex(blocks, nodes, vn) }
    return this.#indexed.index
  }

  #list({ vn, blocks, remote, nodes }: DefaultNetwork, reach: Reach, family: Family): readonly ReachEntry[] {
    const index = this.#blockIndex(blocks, nodes, vn)
    const owners = new Map<Address, VirtualMachineInterface>()
    for (const other of remote.addresses[family] === 0 ? [] : remote) {
      if (!nodes.has(other.node)) continue
      for (const address of other.addresses) {
        if (familyOf(address) !== family || index.nodeOf(address) === other.node) continue
        if (!isWithin(reach, hostPrefix(mustParseAddress(address)))) continue
        const rival = owners.get(address)
        if (rival === undefined || other.uuid < rival.uuid) owners.set(address, other)
      }
    }
    const bits = bitsOf(family)
    const entries: ReachEntry[] = []
    // Those of before come first, in their order, so that sorting finds one long run.
    for (const before of this.#entries[family]) {
      const owner = before.owner === undefined ? undefined : owners.get(before.route.address)
      if (owner === undefined) continue
      owners.delete(before.route.address)
      const node = nodes.get(owner.node)!
      const isSame = owner === before.owner && node === before.node
      entries.push(
        isSame ? before : { ...before, owner, node, route: remoteRoute(before.route.address, bits, owner, node, vn) },
      )
    }
    for (const [address, owner] of owners) {
      const node = nodes.get(owner.node)!
      entries.push({ order: orderOf(address, family), owner, node, route: remoteRoute(address, bits, owner, node, vn) })
    }
    const taken = new Set(entries.map((entry) => entry.route.address))
    const known = new Map(this.#entries[family].flatMap((entry) => (entry.owner ? [] : [[keyOf(entry.route), entry]])))
    for (const made of blockRoutes(blocks, vn, nodes, family)) {
      if (made.prefixLength === bits && taken.has(made.address)) continue
      if (!isWithin(reach, { ...mustParseAddress(made.address), length: made.prefixLength })) continue
      const same = known.get(keyOf(made))
      entries.push(same !== undefined && isEqual(same.route, made) ? same : entryOf(made, family))
    }
    return entries.sort(compareEntries)
  }
}

/** A block's route has no owner. */
interface ReachEntry extends RouteEntry {
  readonly owner?: VirtualMachineInterface
  readonly node?: RemoteNode
}

function keyOf({ address, prefixLength }: Route): string {
  return `${address}/${prefixLength}`
}

function route(address: Address, prefixLength: number, only: Path, kind: Route['kind'], flags = NO_FLAGS): Route {
  return { address, prefixLength, paths: [only], nexthop: only.nexthop, flags, kind }
}

function* receiveRoutes({ facts, receive, receiveBroadcast }: FabricInput): Generator<Route> {
  const { address, prefixLength, address6 } = facts.underlay
  yield route(address, 32, path('Local', receive, FABRIC_VN, NATIVE_LABEL), 'receive', PROXY)
  if (prefixLength < 31) {
    const subnet = connectedSubnet(facts)
    const broadcast = formatAddress({ family: 4, value: subnet.value + sizeOf(subnet) - 1n })
    yield route(broadcast, 32, path('Local', receiveBroadcast, FABRIC_VN, NATIVE_LABEL), 'receive')
  }
  if (address6 !== undefined)
    yield route(address6, 128, path('Local', receive, FABRIC_VN, NATIVE_LABEL), 'receive', PROXY)
  yield route('224.0.0.0', 8, path('Local', receive, FABRIC_VN, NATIVE_LABEL), 'receive')
}

function* metadataRoutes({ pods }: FabricInput): Generator<Route> {
  for (const { vif, nexthop, label } of pods) {
    yield route(metadataAddress(vif), 32, path('LinkLocal', nexthop, FABRIC_VN, label), 'metadata', PROXY)
  }
}

/** Pods of the default network: the node and its daemons reach them directly. */
function podRoutes({ defaultNetwork }: FabricInput, reach: Reach): { readonly route: Route; readonly pod: LocalPod }[] {
  return (defaultNetwork?.pods ?? []).flatMap((pod) =>
    pod.port.addresses
      .filter((address) => isWithin(reach, hostPrefix(mustParseAddress(address))))
      .map((address) => ({ route: podRoute(pod, address), pod })),
  )
}

function podRoute({ port, nexthop, label }: LocalPod, address: Address): Route {
  const only = path('LocalVmPort', nexthop, port.vn, label, PREFERENCE_LIVE)
  return route(address, bitsOf(familyOf(address)), only, 'pod', PROXY)
}

/**
 * By way of its VRF: what crosses from the underlay's VRF into a tenant's must have the node's own address, for the host forwards
 * nobody else's packets there.
 */
function tenantRoute({ port, vrf }: LocalPod, address: Address): Route {
  const only = path('LocalVmPort', vrf.nexthop, port.vn, undefined, PREFERENCE_LIVE)
  return route(address, bitsOf(familyOf(address)), only, 'pod', PROXY)
}

/** IPv6 has no address that the datapath answers for by itself, as it does for 169.254/16: the gateway needs a route. */
function* nodeGatewayRoutes(reached: readonly ReachedPod[]): Generator<Route> {
  if (reached.some(({ address }) => familyOf(address) === 6))
    yield route(NODE_GATEWAY[6], 128, path('Local', DISCARD, FABRIC_VN), 'gateway', PROXY)
}

/** One route for each pod that the default network's routes don't lead to: no more of the host's traffic than that is ours. */
function podHostRoutes(
  reached: readonly ReachedPod[],
  subnets: readonly Prefix[],
  { underlay }: NodeFacts,
): HostRoute[] {
  return reached.flatMap(({ address }) => {
    const parsed = mustParseAddress(address)
    const source = parsed.family === 4 ? underlay.address : underlay.address6
    if (source === undefined || subnets.some((subnet) => contains(subnet, parsed))) return []
    return [{ destination: address, prefixLength: bitsOf(parsed.family), gateway: NODE_GATEWAY[parsed.family], source }]
  })
}

/**
 * Subnets of the default network: an address of it that no pod has is discarded rather than looked for on the underlay. A subnet
 * that overlaps the underlay's own is left out, or the node would cut itself off.
 */
interface DefaultSubnet {
  readonly prefix: Prefix
  readonly gateway: Address
}

function defaultSubnets({ facts, defaultNetwork }: FabricInput, problems: Problem[]): DefaultSubnet[] {
  const connected = connectedSubnet(facts)
  return (defaultNetwork?.network?.subnets ?? [])
    .map(({ cidr, gateway }) => ({ prefix: mustParseCidr(cidr), gateway }))
    .filter(({ prefix }) => {
      if (!overlaps(prefix, connected)) return true
      problems.push({
        object: `VirtualNetwork ${defaultNetwork!.vn}`,
        message: `its subnet ${formatAddress(prefix)}/${prefix.length} overlaps the underlay of this node; choose another`,
      })
      return false
    })
}

/**
 * Addresses that VRF 0 takes from the default network: those of its subnets; while the network's object is gone, everything but the
 * underlay. Whatever a node publishes, it can't draw the host's own traffic to itself.
 */
type Reach = { readonly only: readonly Prefix[] } | { readonly allBut: Prefix }

function reachOf({ facts, defaultNetwork }: FabricInput, subnets: readonly Prefix[]): Reach {
  return defaultNetwork?.network === undefined ? { allBut: connectedSubnet(facts) } : { only: subnets }
}

function isWithin(reach: Reach, prefix: Prefix): boolean {
  return 'only' in reach ? reach.only.some((subnet) => contains(subnet, prefix)) : !overlaps(reach.allBut, prefix)
}

/** The subnet, and its gateway: the host asks for that one's MAC alone, and gets vhost0's, whichever pod it speaks to. */
function* subnetRoutes({ prefix, gateway }: DefaultSubnet, vn: FqName): Generator<Route> {
  yield route(formatAddress(prefix), prefix.length, path('Local', DISCARD, vn), 'subnet')
  yield route(gateway, bitsOf(prefix.family), path('Local', DISCARD, vn), 'gateway', PROXY)
}

function hostRoute({ prefix, gateway }: DefaultSubnet, { underlay }: NodeFacts): HostRoute[] {
  const source = prefix.family === 4 ? underlay.address : underlay.address6
  if (source === undefined) return []
  return [{ destination: formatAddress(prefix), prefixLength: prefix.length, gateway, source }]
}

/** The kernel's routes through vhost0. Those that lead it to the default network's pods are the daemon's own, and no underlay. */
function* kernelRoutes({ facts, resolve, neighbour }: FabricInput, subnets: readonly Prefix[]): Generator<Route> {
  for (const kernel of underlayRoutes(facts)) {
    const prefix = { ...mustParseAddress(kernel.destination), length: kernel.prefixLength }
    if (kernel.gateway === undefined && subnets.some((subnet) => contains(subnet, prefix))) continue
    const made = kernelRoute(kernel, resolve, neighbour)
    if (made !== undefined) yield made
  }
}

function kernelRoute(
  { destination, prefixLength, gateway }: FabricRoute,
  resolve: number,
  neighbour: FabricInput['neighbour'],
): Route | undefined {
  if (gateway === undefined) return route(destination, prefixLength, path('Local', resolve, FABRIC_VN), 'fabric')
  const nexthop = neighbour(gateway)
  if (nexthop === undefined) return undefined
  return route(destination, prefixLength, { ...path('Local', nexthop, FABRIC_VN), gateway }, 'fabric')
}

function* neighbourRoutes({ facts, neighbour }: FabricInput): Generator<Route> {
  const own = mustParseAddress(facts.underlay.address)
  for (const address of [...facts.neighbours.keys()].sort()) {
    const parsed = mustParseAddress(address)
    if (parsed.family !== 4 || parsed.value === own.value || isMetadata(hostPrefix(parsed))) continue
    const nexthop = neighbour(address)
    if (nexthop !== undefined) yield route(address, 32, path('Local', nexthop, FABRIC_VN), 'neighbour')
  }
}

const METADATA: Prefix = { family: 4, value: 0xa9fe0000n, length: 16 }

function isMetadata(prefix: Prefix): boolean {
  return contains(METADATA, prefix)
}

/** Gateways that the kernel's routes name: their MAC is wanted. */
export function gatewaysOf(facts: NodeFacts): Address[] {
  const gateways = underlayRoutes(facts).flatMap((kernel) => (kernel.gateway === undefined ? [] : [kernel.gateway]))
  return [...new Set(gateways)].sort((a, b) => Number(mustParseAddress(a).value - mustParseAddress(b).value))
}
