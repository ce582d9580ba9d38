/**
 * Routes of a VN's VRF (vRouter introspect reference 3.3): the subnet (discard), its gateway and service address (pkt0), local
 * pods (tap), other nodes' blocks and pods (tunnel), this node (in the default pod network all nodes), the same of VNs that leak
 * into it, and the way out with the node's address.
 *
 * The host routes of remote pods are the many: their objects live from pass to pass, and only those whose owner changed are made
 * anew.
 */
import {
  bitsOf,
  contains,
  type Family,
  familyOf,
  formatAddress,
  ipv4ToNumber,
  lastOf,
  mustParseAddress,
  mustParseCidr,
  type Prefix,
} from './address.ts'
import { isEqual, isSameList } from './equal.ts'
import { type LocalPod, podName } from './interfaces.ts'
import { DISCARD } from './nexthops.ts'
import type { Address, FqName, IpamBlock, VirtualMachineInterface, VirtualNetwork } from './objects.ts'
import { FLOOD, NATIVE_LABEL, NO_FLAGS, PREFERENCE_LIVE, PROXY, path } from './paths.ts'
import type { RemoteChange, RemotePods } from './remote-pods.ts'
import { compareEntries, entryOf, orderOf, placeOf, type RouteEntry, RouteList } from './route-list.ts'
import type { CompositeMember, Path, Problem, Route } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'
import type { NetworkVrf } from './vrfs.ts'

/** Changes of remote pods up to this number are worked in one by one; of more, everything is made anew. */
const MAX_PATCH = 500

/** Members of a composite that the datapath can hold (COMPOSITE_MAX). */
export const COMPOSITE_MAX = 64

export interface NetworkInput {
  readonly vrf: NetworkVrf
  /** Absent: the VirtualNetwork object is gone, while pods are still in it. */
  readonly network: VirtualNetwork | undefined
  /** Pods whose tap is there. */
  readonly pods: readonly LocalPod[]
  /** Blocks and interfaces of other nodes. */
  readonly blocks: readonly IpamBlock[]
  readonly remote: RemotePods
  /** VNs whose routes this one sees, too. Their subnets overlap neither its own nor each other. */
  readonly leaks: readonly LeakedNetwork[]
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly agentNexthop: number
  /** Reach of this node, from every network: what it asks of a pod is answered. */
  readonly host: { readonly address: Address; readonly address6: Address | undefined; readonly nexthop: number }
  /** In the default pod network: reach of the other nodes. */
  readonly reachesNodes: boolean
  /** Nexthop of what no other route knows: out with the node's address. Absent: nowhere. */
  readonly snatNexthop: number | undefined
  /** Ranges that it doesn't lead to. */
  readonly insideRanges: readonly string[]
  /** Leave out remote pods that their node's block route covers: the route table is full. */
  readonly isCompact: boolean
}

/** What another VN gives: its subnets, and its pods and blocks inside them. */
export interface LeakedNetwork {
  readonly network: VirtualNetwork
  readonly pods: readonly LocalPod[]
  readonly blocks: readonly IpamBlock[]
  readonly remote: RemotePods
}

export interface NetworkRoutes {
  readonly inet: readonly Route[]
  readonly inet6: readonly Route[]
  readonly problems: readonly Problem[]
}

/** Gives a composite its number; undefined when the nexthop table is full. */
export type CompositeOf = (address: Address, members: readonly CompositeMember[]) => number | undefined

/** Who has an address: one remote interface in almost every case. */
type Owner = VirtualMachineInterface | Owners
interface Owners {
  readonly pods: readonly LocalPod[]
  readonly remote: readonly VirtualMachineInterface[]
}

interface HostEntry extends RouteEntry {
  readonly owner: Owner
  /** Of a remote owner. */
  readonly node?: RemoteNode
}

export class NetworkTable {
  #input: NetworkInput | undefined
  #result: NetworkRoutes = { inet: [], inet6: [], problems: [] }
  readonly #families = { 4: new FamilyTable(4), 6: new FamilyTable(6) }

  /** The routes; the same object when the input is the same. */
  compute(input: NetworkInput, compositeOf: CompositeOf): NetworkRoutes {
    const before = this.#input
    if (before !== undefined && isSameButOthers(before, input)) {
      const isWideSame = before.nodes === input.nodes && isSameList(before.blocks, input.blocks)
      if (isWideSame && before.remote === input.remote) return this.#result
      if (this.#patch(before, input, isWideSame)) return this.#result
    }
    this.#input = input
    const problems: Problem[] = []
    if (input.network === undefined) {
      problems.push({
        object: `VirtualNetwork ${input.vrf.vn}`,
        message: `does not exist, but ${input.pods.length} pods of this node are in it: they keep their routes`,
      })
    }
    for (const block of strayBlocks(input.network, input.blocks)) {
      problems.push({
        object: `IPAMBlock ${block.name}`,
        message: `${block.cidr} lies in no subnet of ${input.vrf.vn}: its pods are still reached, but have no gateway`,
      })
    }
    const composite: CompositeOf = (address, members) => {
      const id = compositeOf(address, members)
      // Try again in the next pass.
      if (id === undefined) this.#input = undefined
      return id
    }
    const inet = this.#families[4].compute(input, composite, problems)
    const inet6 = this.#families[6].compute(input, composite, problems)
    this.#result = { inet, inet6, problems }
    return this.#result
  }

  /** Works in a few remote pods, blocks and nodes that came, went or changed. @returns false when that isn't all that has to be done */
  #patch(before: NetworkInput, input: NetworkInput, isWideSame: boolean): boolean {
    if (input.isCompact || input.leaks.length > 0) return false
    const changed = input.remote.changesSince(before.remote)
    if (changed === undefined) return false
    const isTold = this.#result.problems.length > 0 || strayBlocks(input.network, input.blocks).length > 0
    if (!isWideSame && isTold) return false
    const changes = [...changed, ...ofChangedNodes(before.nodes, input.nodes, input.remote)]
    if (changes.length > MAX_PATCH) return false
    const inet = this.#families[4].patch(input, changes, isWideSame)
    const inet6 = inet && this.#families[6].patch(input, changes, isWideSame)
    if (inet === undefined || inet6 === undefined) {
      // One of the families may be patched already: it is made anew with the other.
      this.#input = undefined
      return false
    }
    this.#input = input
    this.#result = { inet, inet6, problems: this.#result.problems }
    return true
  }
}

/** Pods of nodes that are reached in another way than before. */
function ofChangedNodes(
  before: ReadonlyMap<string, RemoteNode>,
  after: ReadonlyMap<string, RemoteNode>,
  remote: RemotePods,
): RemoteChange[] {
  if (before === after) return []
  const names = new Set([...before.keys(), ...after.keys()].filter((name) => before.get(name) !== after.get(name)))
  const changes: RemoteChange[] = []
  if (names.size > 0) for (const pod of remote) if (names.has(pod.node)) changes.push({ before: pod, after: pod })
  return changes
}

/** Blocks that were cut from a subnet which the network no longer has. */
function strayBlocks(network: VirtualNetwork | undefined, blocks: readonly IpamBlock[]): IpamBlock[] {
  if (network === undefined) return []
  const subnets = network.subnets.map((subnet) => mustParseCidr(subnet.cidr))
  return blocks.filter((block) => {
    const prefix = mustParseCidr(block.cidr)
    return !subnets.some((subnet) => contains(subnet, prefix))
  })
}

/** Nothing is different but remote pods, blocks or nodes. */
function isSameButOthers(a: NetworkInput, b: NetworkInput): boolean {
  return (
    a.vrf === b.vrf &&
    a.network === b.network &&
    a.isCompact === b.isCompact &&
    a.agentNexthop === b.agentNexthop &&
    a.host.address === b.host.address &&
    a.host.address6 === b.host.address6 &&
    a.host.nexthop === b.host.nexthop &&
    a.reachesNodes === b.reachesNodes &&
    a.snatNexthop === b.snatNexthop &&
    a.leaks.length === b.leaks.length &&
    a.leaks.every((leak, index) => isSameLeak(leak, b.leaks[index]!)) &&
    isSameList(a.pods, b.pods)
  )
}

function isSameLeak(a: LeakedNetwork, b: LeakedNetwork): boolean {
  return (
    a.network === b.network && isSameList(a.pods, b.pods) && isSameList(a.blocks, b.blocks) && a.remote === b.remote
  )
}

class FamilyTable {
  readonly #family: Family
  readonly #list = new RouteList()
  #hosts: HostEntry[] = []

  constructor(family: Family) {
    this.#family = family
  }

  compute(input: NetworkInput, compositeOf: CompositeOf, problems: Problem[]): readonly Route[] {
    const bits = bitsOf(this.#family)
    const own = [...this.#own(input)]
    const reserved = new Set(
      own.filter((route) => route.kind === 'gateway' || route.kind === 'service').map((route) => route.address),
    )
    const owners = this.#owners({ ...input, vn: input.vrf.vn }, reserved, problems)
    const blocks = blockRoutes(input.blocks, input.vrf.vn, input.nodes, this.#family)
    const leaked: Route[] = []
    for (const leak of input.leaks) {
      leaked.push(...this.#leakedSubnets(leak))
      for (const [address, owner] of this.#leakedOwners(leak, input))
        if (!owners.has(address)) owners.set(address, owner)
      const prefixes = this.#prefixesOf(leak.network)
      for (const route of blockRoutes(leak.blocks, leak.network.fqName, input.nodes, this.#family)) {
        const prefix = { ...mustParseAddress(route.address), length: route.prefixLength }
        if (prefixes.some((subnet) => contains(subnet, prefix))) leaked.push(route)
      }
    }
    const nodes = [...this.#nodeRoutes(input)].filter(({ address }) => {
      const owner = input.reachesNodes ? undefined : owners.get(address)
      if (owner === undefined) return true
      const message =
        `${address} is this node's address and that of ${nameOf(owner)}, which has it here: ` +
        'the node does not reach the pods of this network; choose another subnet'
      problems.push({ object: `VirtualNetwork ${input.vrf.vn}`, message })
      return false
    })
    const wide = [...blocks, ...leaked].filter((route) => route.prefixLength < bits || !owners.has(route.address))
    this.#hosts = this.#hostEntries(input, owners, compositeOf, problems)
    const others = [...own, ...nodes, ...wide].map((route) => entryOf(route, this.#family))
    return this.#list.settle(this.#hosts, others)
  }

  /**
   * The routes after these changes; undefined, and nothing is different, when one of them touches an address that has other owners, or
   * another route.
   */
  patch(input: NetworkInput, changes: readonly RemoteChange[], isWideSame: boolean): readonly Route[] | undefined {
    const bits = bitsOf(this.#family)
    const hosts = [...this.#hosts]
    const touched = new Map<Address, HostEntry | undefined>()
    const placeIn = (order: number | bigint) => placeOf(hosts, order, bits, (entry) => entry)
    for (const { before, after } of changes) {
      for (const address of new Set([...(before?.addresses ?? []), ...(after?.addresses ?? [])])) {
        if (familyOf(address) !== this.#family) continue
        const isNode = address === input.host.address || address === input.host.address6
        if (isNode || this.#list.isOther(address, bits) || this.#hasHostBlock(address, input.blocks)) return undefined
        const order = orderOf(address, this.#family)
        const { at, isThere } = placeIn(order)
        const present = isThere ? hosts[at]! : undefined
        if (present !== undefined && present.owner !== before) return undefined
        if (!touched.has(address)) touched.set(address, present)
        const isOwner = after?.addresses.includes(address) === true && input.nodes.has(after.node)
        if (isOwner) hosts.splice(at, isThere ? 1 : 0, this.#remoteEntry(address, order, after, input, present))
        else if (isThere) hosts.splice(at, 1)
      }
    }
    const gone: HostEntry[] = []
    const made: HostEntry[] = []
    for (const [address, before] of touched) {
      const { at, isThere } = placeIn(orderOf(address, this.#family))
      if (isThere && hosts[at]!.route !== before?.route) made.push(hosts[at]!)
      else if (!isThere && before !== undefined) gone.push(before)
    }
    const others = isWideSame
      ? undefined
      : this.#others(input, (address) => placeIn(orderOf(address, this.#family)).isThere)
    if (!isWideSame && others === undefined) return undefined
    this.#hosts = hosts
    if (others !== undefined) return this.#list.settle(hosts, others)
    if (gone.length === 0 && made.length === 0) return this.#list.routes
    return this.#list.patch(gone, made, this.#family)
  }

  /** What isn't a pod's, without leaks; undefined where a pod has the node's own address. */
  #others(input: NetworkInput, isHost: (address: Address) => boolean): RouteEntry[] | undefined {
    const bits = bitsOf(this.#family)
    const nodes = [...this.#nodeRoutes(input)]
    if (!input.reachesNodes && nodes.some(({ address }) => isHost(address))) return undefined
    const blocks = blockRoutes(input.blocks, input.vrf.vn, input.nodes, this.#family)
    const wide = blocks.filter((route) => route.prefixLength < bits || !isHost(route.address))
    return [...this.#own(input), ...nodes, ...wide].map((route) => entryOf(route, this.#family))
  }

  /** A block of one address has a route of its own unless somebody has the address. */
  #hasHostBlock(address: Address, blocks: readonly IpamBlock[]): boolean {
    let hosts = hostBlocks.get(blocks)
    if (hosts === undefined) {
      hosts = new Set(blocks.filter(({ cidr }) => isHostCidr(cidr)).map(({ cidr }) => cidr.slice(0, cidr.indexOf('/'))))
      hostBlocks.set(blocks, hosts)
    }
    return hosts.has(address)
  }

  #prefixesOf(network: VirtualNetwork): Prefix[] {
    return network.subnets.map(({ cidr }) => mustParseCidr(cidr)).filter(({ family }) => family === this.#family)
  }

  /** Subnets of a leaked VN: an address that nobody has is discarded, and not looked for elsewhere. They aren't on link here. */
  #leakedSubnets({ network }: LeakedNetwork): Route[] {
    return this.#prefixesOf(network).map((prefix) => ({
      address: formatAddress(prefix),
      prefixLength: prefix.length,
      paths: [path('Local', DISCARD, network.fqName)],
      nexthop: DISCARD,
      flags: NO_FLAGS,
      kind: 'subnet',
    }))
  }

  /** Owners of the addresses inside its subnets: whatever else its nodes publish can't draw traffic to itself. */
  #leakedOwners({ network, pods, blocks, remote }: LeakedNetwork, input: NetworkInput): Map<Address, Owner> {
    const vn = network.fqName
    const isInside = insideOf(this.#prefixesOf(network))
    const reserved = new Set(network.subnets.flatMap(({ gateway, service }) => [gateway, service]))
    const owners = this.#owners({ ...input, vn, pods, blocks, remote }, reserved, [])
    for (const address of owners.keys()) if (!isInside(address)) owners.delete(address)
    return owners
  }

  /** Subnets with their gateway and service address, and the way out. */
  *#own({ vrf, network, agentNexthop, snatNexthop, insideRanges, host }: NetworkInput): Generator<Route> {
    const { vn } = vrf
    const bits = bitsOf(this.#family)
    for (const subnet of network?.subnets ?? []) {
      const prefix = mustParseCidr(subnet.cidr)
      if (prefix.family !== this.#family) continue
      yield {
        address: subnet.cidr.slice(0, subnet.cidr.indexOf('/')),
        prefixLength: prefix.length,
        paths: [path('Local', DISCARD, vn)],
        nexthop: DISCARD,
        flags: FLOOD,
        kind: 'subnet',
      }
      for (const kind of ['gateway', 'service'] as const) {
        yield {
          address: subnet[kind],
          prefixLength: bits,
          paths: [path('Local', agentNexthop, vn)],
          nexthop: agentNexthop,
          flags: PROXY,
          kind,
        }
      }
    }
    // Without an address of that family there is nothing to leave with.
    if (snatNexthop === undefined || (this.#family === 6 && host.address6 === undefined)) return
    yield {
      address: this.#family === 4 ? '0.0.0.0' : '::',
      prefixLength: 0,
      paths: [path('Local', snatNexthop, vn)],
      nexthop: snatNexthop,
      flags: NO_FLAGS,
      kind: 'snat',
    }
    for (const range of insideRanges) {
      const prefix = mustParseCidr(range)
      if (prefix.family !== this.#family || network?.subnets.some(({ cidr }) => cidr === range)) continue
      yield {
        address: range.slice(0, range.indexOf('/')),
        prefixLength: prefix.length,
        paths: [path('Local', DISCARD, vn)],
        nexthop: DISCARD,
        flags: NO_FLAGS,
        kind: 'snat',
      }
    }
  }

  /** This node; in the default network the others, too. */
  *#nodeRoutes({ vrf: { vn }, host, nodes, reachesNodes }: NetworkInput): Generator<Route> {
    const bits = bitsOf(this.#family)
    const addressOf = ({
      address,
      address6,
    }: {
      readonly address: Address
      readonly address6?: Address | undefined
    }) => (this.#family === 4 ? address : address6)
    const own = addressOf(host)
    if (own !== undefined) {
      yield {
        address: own,
        prefixLength: bits,
        paths: [path('Local', host.nexthop, vn, NATIVE_LABEL)],
        nexthop: host.nexthop,
        flags: PROXY,
        kind: 'node',
      }
    }
    if (!reachesNodes) return
    for (const { router, nexthop, peer } of nodes.values()) {
      const address = addressOf(router)
      if (address === undefined || address === own) continue
      yield {
        address,
        prefixLength: bits,
        paths: [path(peer, nexthop, vn, router.vhostLabel)],
        nexthop,
        label: router.vhostLabel,
        flags: PROXY,
        kind: 'node',
      }
    }
  }

  #owners(
    input: Pick<NetworkInput, 'pods' | 'blocks' | 'remote' | 'nodes' | 'isCompact'> & { readonly vn: FqName },
    reserved: ReadonlySet<Address>,
    problems: Problem[],
  ): Map<Address, Owner> {
    const owners = new Map<Address, Owner>()
    const family = this.#family
    for (const pod of input.pods) {
      for (const address of pod.port.addresses) {
        if (familyOf(address) !== family) continue
        if (reserved.has(address)) {
          problems.push({
            object: podName(pod.port),
            message: `${address} is the gateway or service address of ${input.vn}`,
            subject: { kind: 'port', uuid: pod.port.uuid },
          })
          continue
        }
        const known = owners.get(address) as Owners | undefined
        owners.set(address, { pods: [...(known?.pods ?? []), pod], remote: [] })
      }
    }
    const covers = input.isCompact ? new BlockIndex(input.blocks, input.nodes, input.vn) : undefined
    for (const remote of input.remote) {
      if (!input.nodes.has(remote.node)) continue
      for (const address of remote.addresses) {
        if (familyOf(address) !== family) continue
        const known = owners.get(address)
        if (known === undefined) {
          if (reserved.has(address)) {
            const object = `VirtualMachineInterface ${remote.name}`
            problems.push({ object, message: `${address} is the gateway or service address of ${input.vn}` })
          } else if (covers?.nodeOf(address) !== remote.node) owners.set(address, remote)
        } else if (known !== remote) owners.set(address, together(known, remote))
      }
    }
    return owners
  }

  #hostEntries(
    input: NetworkInput,
    owners: Map<Address, Owner>,
    compositeOf: CompositeOf,
    problems: Problem[],
  ): HostEntry[] {
    const entries: HostEntry[] = []
    const shared: (readonly [order: number | bigint, address: Address, owner: Owners, before?: HostEntry])[] = []
    const place = (address: Address, owner: Owner, before?: HostEntry) => {
      const order = before?.order ?? orderOf(address, this.#family)
      if ('uuid' in owner) entries.push(this.#remoteEntry(address, order, owner, input, before))
      else shared.push([order, address, owner, before])
    }
    // Those of before come first, in their order, so that sorting finds one long run.
    for (const before of this.#hosts) {
      const { address } = before.route
      const owner = owners.get(address)
      if (owner === undefined) continue
      owners.delete(address)
      place(address, owner, before)
    }
    for (const [address, owner] of owners) place(address, owner)
    // Composites get their numbers in the order of addresses, however the routes came about.
    for (const [order, address, owner, before] of shared.sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
      const route = this.#sharedRoute(address, owner, input, compositeOf, problems)
      if (route !== undefined) entries.push({ order, owner, route: keep(before?.route, route) })
    }
    return entries.sort(compareEntries)
  }

  #remoteEntry(
    address: Address,
    order: number | bigint,
    owner: VirtualMachineInterface,
    input: NetworkInput,
    before?: HostEntry,
  ): HostEntry {
    const node = input.nodes.get(owner.node)!
    if (before?.owner === owner && before.node === node) return before
    const route = remoteRoute(address, bitsOf(this.#family), owner, node, owner.vn)
    return { order, owner, node, route: keep(before?.route, route) }
  }

  /** Route of an address that a local pod has, or several owners of any kind. */
  #sharedRoute(
    address: Address,
    { pods, remote }: Owners,
    { vrf, nodes }: NetworkInput,
    compositeOf: CompositeOf,
    problems: Problem[],
  ): Route | undefined {
    const bits = bitsOf(this.#family)
    const paths: Path[] = []
    const members: CompositeMember[] = []
    for (const pod of [...pods].sort((a, b) => a.vif - b.vif)) {
      paths.push(path('LocalVmPort', pod.nexthop, pod.vrf.vn, pod.label, PREFERENCE_LIVE))
      members.push({ nexthop: pod.nexthop })
    }
    for (const other of [...remote].sort((a, b) => compareText(a.node, b.node) || compareText(a.uuid, b.uuid))) {
      const node = nodes.get(other.node)!
      paths.push(path(node.peer, node.nexthop, other.vn, other.label))
      members.push({ nexthop: node.nexthop, label: other.label })
    }
    const [only] = pods
    if (members.length === 1 && only !== undefined) {
      return {
        address,
        prefixLength: bits,
        paths,
        nexthop: only.nexthop,
        flags: PROXY,
        // Another network's pod is routed to: its MAC stands in another bridge table.
        ...(only.vrf === vrf && { stitchedMac: only.port.mac, bridgeIndex: only.bridgeIndex }),
        kind: 'pod',
      }
    }
    if (members.length > COMPOSITE_MAX) {
      const message = `${address} has ${members.length} owners; ${COMPOSITE_MAX} of them are used`
      problems.push({ object: `VirtualNetwork ${vrf.vn}`, message })
    }
    const composite = compositeOf(address, members.slice(0, COMPOSITE_MAX))
    if (composite === undefined) {
      problems.push({
        object: `VirtualNetwork ${vrf.vn}`,
        message: `no nexthop number is left for the owners of ${address}`,
      })
      const [best] = paths
      return best === undefined
        ? undefined
        : {
            address,
            prefixLength: bits,
            paths,
            nexthop: best.nexthop,
            label: members[0]!.label,
            flags: PROXY,
            kind: 'ecmp',
          }
    }
    const ecmp = path('Ecmp', composite, vrf.vn)
    return { address, prefixLength: bits, paths: [ecmp, ...paths], nexthop: composite, flags: PROXY, kind: 'ecmp' }
  }
}

/** Addresses of blocks that hold but one. */
const hostBlocks = new WeakMap<readonly IpamBlock[], ReadonlySet<Address>>()

function isHostCidr(cidr: string): boolean {
  return cidr.endsWith(`/${bitsOf(familyOf(cidr))}`)
}

/** Whether an address, of the prefixes' family, lies in one of them. For thousands of addresses: IPv4 without big integers. */
function insideOf(prefixes: readonly Prefix[]): (address: Address) => boolean {
  const ranges = prefixes
    .filter(({ family }) => family === 4)
    .map((prefix) => [Number(prefix.value), Number(lastOf(prefix).value)] as const)
  return (address) => {
    const number = ipv4ToNumber(address)
    if (number !== undefined) return ranges.some(([first, last]) => first <= number && number <= last)
    const parsed = mustParseAddress(address)
    return prefixes.some((prefix) => contains(prefix, parsed))
  }
}

function nameOf(owner: Owner): string {
  if ('uuid' in owner) return `Pod ${owner.namespace}/${owner.pod.name}`
  return owner.pods[0] === undefined ? nameOf(owner.remote[0]!) : podName(owner.pods[0].port)
}

function keep(before: Route | undefined, route: Route): Route {
  return before !== undefined && isEqual(before, route) ? before : route
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function together(known: Owner, remote: VirtualMachineInterface): Owners {
  return 'uuid' in known
    ? { pods: [], remote: [known, remote] }
    : { pods: known.pods, remote: [...known.remote, remote] }
}

/** To a pod on another node: with the label of the pod itself. */
export function remoteRoute(
  address: Address,
  prefixLength: number,
  remote: VirtualMachineInterface,
  node: RemoteNode,
  vn: FqName,
): Route {
  return {
    address,
    prefixLength,
    paths: [path(node.peer, node.nexthop, vn, remote.label)],
    nexthop: node.nexthop,
    label: remote.label,
    flags: PROXY,
    kind: 'remote-pod',
  }
}

/**
 * To the other nodes' blocks: with the label of their VRF. Left out are those of nodes that don't have the VRF yet, or to which no
 * tunnel leads; of several objects for one block the one whose name comes first counts.
 */
export function blockRoutes(
  blocks: readonly IpamBlock[],
  vn: FqName,
  nodes: ReadonlyMap<string, RemoteNode>,
  family: Family,
): Route[] {
  const byCidr = new Map<string, IpamBlock>()
  for (const block of blocks) {
    if (familyOf(block.cidr) !== family || nodes.get(block.node)?.router.vrfLabels[vn] === undefined) continue
    const rival = byCidr.get(block.cidr)
    if (rival === undefined || block.name < rival.name) byCidr.set(block.cidr, block)
  }
  return [...byCidr.values()].map(({ cidr, node: name }): Route => {
    const { router, nexthop, peer } = nodes.get(name)!
    const label = router.vrfLabels[vn]!
    return {
      address: cidr.slice(0, cidr.indexOf('/')),
      prefixLength: Number(cidr.slice(cidr.indexOf('/') + 1)),
      paths: [path(peer, nexthop, vn, label)],
      nexthop,
      label,
      flags: PROXY,
      kind: 'remote-block',
    }
  })
}

/** Which node's block route an address would take: the longest that holds it. IPv4 without big integers: it is asked for every pod. */
export class BlockIndex {
  /** By prefix length, longest first; then by the network's number. */
  readonly #lengths: (readonly [family: Family, length: number, blocks: Map<number | bigint, IpamBlock>])[] = []

  constructor(blocks: readonly IpamBlock[], nodes: ReadonlyMap<string, RemoteNode>, vn: FqName) {
    for (const block of blocks) {
      if (nodes.get(block.node)?.router.vrfLabels[vn] === undefined) continue
      const { family, value, length } = mustParseCidr(block.cidr)
      let entry = this.#lengths.find(([f, l]) => f === family && l === length)
      if (entry === undefined) {
        entry = [family, length, new Map()]
        this.#lengths.push(entry)
      }
      const key = family === 4 ? Number(value) : value
      const rival = entry[2].get(key)
      if (rival === undefined || block.name < rival.name) entry[2].set(key, block)
    }
    this.#lengths.sort((a, b) => b[1] - a[1])
  }

  nodeOf(address: Address): string | undefined {
    const number = ipv4ToNumber(address)
    const parsed = number === undefined ? mustParseAddress(address) : undefined
    for (const [family, length, blocks] of this.#lengths) {
      if (family !== (number === undefined ? 6 : 4)) continue
      const block = blocks.get(number === undefined ? networkOf(parsed!.value, length) : networkOf4(number, length))
      if (block !== undefined) return block.node
    }
    return undefined
  }
}

function networkOf4(address: number, length: number): number {
  const size = 2 ** (32 - length)
  return address - (address % size)
}

function networkOf(address: bigint, length: number): bigint {
  const host = BigInt(128 - length)
  return (address >> host) << host
}
