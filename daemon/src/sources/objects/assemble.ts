/**
 * From what all files say to the state that the model works on: duplicates, and every check that needs several objects. Pure, and
 * independent of the order in which files come. Maps that hold the same as before are the same maps as before.
 */

import { bitsOf, contains, type Prefix, sizeOf } from '../../model/address.ts'
import { builtInNetworks } from '../../model/built-in-networks.ts'
import { isEqual, isSameMap, keepEqual, keepList, Memo } from '../../model/equal.ts'
import { poolOf } from '../../model/ipam.ts'
import type {
  Cidr,
  FqName,
  IpamBlock,
  Rejection,
  SourceState,
  VirtualNetwork,
  VirtualRouter,
} from '../../model/objects.ts'
import { prefixOf } from '../../model/prefix-of.ts'
import { Collected, type LoadedFile } from './collected.ts'
import { BUILT_IN_LABEL, type KnownRouter } from './decode.ts'
import { serviceRanges } from './service-ranges.ts'

export interface AssembleOptions {
  readonly cluster: string
  /** Subnets of the default pod network; empty: there is none. */
  readonly defaultSubnets: readonly Cidr[]
  /** The node that looks: it knows that it is alive, whatever the controller says. Absent: none of them. */
  readonly node?: string
  /** CIDRs of Services, where no ServiceCIDR says others. Absent: Services don't come from these files, and the state says nothing of them. */
  readonly serviceRanges?: readonly Cidr[]
}

export const EMPTY_STATE: SourceState = {
  namespaces: new Map(),
  virtualNetworks: new Map(),
  blocks: new Map(),
  interfaces: new Map(),
  routers: new Map(),
  networkRouters: new Map(),
  pods: new Map(),
  rejected: [],
}

/** For a series of states: what rests on the same as before isn't gone through again. */
export class Assembler {
  readonly #options: AssembleOptions
  readonly #collected = new Collected()
  readonly #checked = new Memo<Checked>()
  #dead: readonly string[] = []

  constructor(options: AssembleOptions) {
    this.#options = options
  }

  /** `accepted`: VNs as they were accepted before; what blocks were cut from can't change under them. */
  assemble(
    files: readonly LoadedFile[],
    before: SourceState,
    accepted: ReadonlyMap<FqName, VirtualNetwork> = before.virtualNetworks,
  ): SourceState {
    const collected = this.#collected
    collected.read(files)
    const namespaces = kept(before.namespaces, collected.map('Namespace'))
    const known = collected.map('VirtualRouter')
    const self = this.#options.node
    const dead = [...known.values()].filter(({ name, isReady }) => isReady === false && name !== self)
    const names = dead.map(({ name }) => name)
    this.#dead = keepList(this.#dead, names)
    const isAlive = (node: string) => node === self || known.get(node)?.isReady !== false
    const checked = this.#checked.get(
      [
        ...[namespaces, collected.map('VirtualNetwork'), collected.map('IPAMBlock')],
        ...[this.#dead, before.virtualNetworks, before.blocks, accepted],
      ],
      () => checkNetworks(collected, this.#options, { ...before, namespaces }, accepted, isAlive),
    )
    const rejected = [...files.flatMap(({ rejections }) => rejections), ...collected.doubles, ...checked.rejected]
    const routers = new Map<string, VirtualRouter>()
    const losers = sharedAddresses(known, isAlive, self, collected, rejected)
    for (const [name, router] of known)
      if (!losers.has(name)) routers.set(name, asPublished(router, before.routers.get(name)))
    return {
      namespaces,
      virtualNetworks: checked.virtualNetworks,
      blocks: checked.blocks,
      interfaces: kept(before.interfaces, collected.map('VirtualMachineInterface')),
      routers: kept(before.routers, routers),
      networkRouters: kept(before.networkRouters, collected.map('VirtualNetworkRouter')),
      ...(this.#options.serviceRanges !== undefined && servicesOf(collected, this.#options.serviceRanges, before)),
      pods: before.pods,
      rejected: isEqual(before.rejected, rejected) ? before.rejected : rejected,
    }
  }
}

/** One state; see Assembler for a series of them. */
export function assemble(
  files: readonly LoadedFile[],
  options: AssembleOptions,
  before: SourceState,
  accepted: ReadonlyMap<FqName, VirtualNetwork> = before.virtualNetworks,
): SourceState {
  return new Assembler(options).assemble(files, before, accepted)
}

interface Checked extends Pick<SourceState, 'virtualNetworks' | 'blocks'> {
  readonly rejected: readonly Rejection[]
}

/** Networks and blocks that count. */
function checkNetworks(
  collected: Collected,
  options: AssembleOptions,
  before: Pick<SourceState, 'namespaces' | 'virtualNetworks' | 'blocks'>,
  accepted: ReadonlyMap<FqName, VirtualNetwork>,
  isAlive: IsAlive,
): Checked {
  const rejected: Rejection[] = []
  const blocks = new Map(collected.map('IPAMBlock'))
  const virtualNetworks = new Map(collected.map('VirtualNetwork'))
  const builtIn = new Map<FqName, VirtualNetwork>()
  for (const network of builtInNetworks(options.cluster, options.defaultSubnets, before.namespaces.values())) {
    const shown = virtualNetworks.get(network.fqName)
    if (shown !== undefined && !isShownBuiltIn(shown))
      rejected.push({ object: nameOf(shown), message: `is built in (${network.fqName}): choose another name` })
    const whole = shown !== undefined && isShownBuiltIn(shown) ? withShown(network, shown) : network
    builtIn.set(network.fqName, keepEqual(before.virtualNetworks.get(network.fqName), whole))
  }
  // An object may outlive its built-in network for a while: it doesn't make it an ordinary one.
  for (const [fqName, network] of virtualNetworks) if (isShownBuiltIn(network)) virtualNetworks.delete(fqName)
  for (const [fqName, network] of builtIn) virtualNetworks.set(fqName, network)
  keepDeletedNetworks(virtualNetworks, blocks, accepted, rejected)
  keepCarvedNetworks(virtualNetworks, blocks, accepted, collected, rejected)
  dropOverlappingBlocks(blocks, virtualNetworks, isAlive, collected, rejected)
  return {
    virtualNetworks: kept(before.virtualNetworks, virtualNetworks),
    blocks: kept(before.blocks, blocks),
    rejected,
  }
}

function servicesOf(collected: Collected, configured: readonly Cidr[], before: SourceState): Partial<SourceState> {
  const ranges = [...collected.map('ServiceCIDR').values()].flatMap(({ cidrs }) => cidrs)
  return {
    services: kept(before.services, collected.map('Service')),
    slices: kept(before.slices, collected.map('EndpointSlice')),
    serviceRanges: keepEqual(before.serviceRanges, serviceRanges(ranges, configured)),
    pools: kept(before.pools, collected.map('LoadBalancerPool')),
  }
}

function kept<V>(before: ReadonlyMap<string, V> | undefined, after: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
  return before !== undefined && isSameMap(before, after) ? before : after
}

function nameOf(vn: VirtualNetwork): string {
  return `VirtualNetwork ${vn.namespace}/${vn.name}`
}

function isShownBuiltIn(vn: VirtualNetwork): boolean {
  return vn.labels?.[BUILT_IN_LABEL] === 'true'
}

/** A built-in network with what its object adds: labels, SNAT and VNI. */
function withShown(network: VirtualNetwork, { labels = {}, fabricSnat, vni }: VirtualNetwork): VirtualNetwork {
  const { [BUILT_IN_LABEL]: _, ...others } = labels
  return {
    ...network,
    ...(Object.keys(others).length > 0 && { labels: others }),
    ...(fabricSnat !== undefined && { fabricSnat }),
    ...(vni !== undefined && { vni }),
  }
}

/** A network that is gone stays in force while nodes hold blocks of it, or its pods would lose their gateway. It takes no new ones. */
function keepDeletedNetworks(
  networks: Map<FqName, VirtualNetwork>,
  blocks: ReadonlyMap<string, IpamBlock>,
  accepted: ReadonlyMap<FqName, VirtualNetwork>,
  rejected: Rejection[],
): void {
  const gone = [...accepted.values()].filter((vn) => !networks.has(vn.fqName))
  if (gone.length === 0) return
  const carved = new Set([...blocks.values()].map((block) => block.vn))
  for (const vn of gone) {
    if (!carved.has(vn.fqName)) continue
    networks.set(vn.fqName, vn.isDeleted === true ? vn : { ...vn, isDeleted: true })
    rejected.push({
      object: nameOf(vn),
      message:
        'is gone (deleted, or its namespace is no longer isolated), but nodes hold blocks of it: ' +
        'its pods keep their network, and it takes no new ones',
    })
  }
}

/** Nodes hand out addresses of blocks: a change of the subnet that they lie in would cut off their pods. */
function keepCarvedNetworks(
  networks: Map<FqName, VirtualNetwork>,
  blocks: ReadonlyMap<string, IpamBlock>,
  accepted: ReadonlyMap<FqName, VirtualNetwork>,
  collected: Collected,
  rejected: Rejection[],
): void {
  const changed = [...networks.values()].filter((vn) => {
    const before = accepted.get(vn.fqName)
    return vn.isDeleted !== true && before !== undefined && before !== vn && !isEqual(before, vn)
  })
  if (changed.length === 0) return
  const blocksOf = Map.groupBy(blocks.values(), (block) => block.vn)
  for (const vn of changed) {
    const { isDeleted: _, ...before } = accepted.get(vn.fqName)!
    const prefixes = (blocksOf.get(vn.fqName) ?? []).map(prefixOf)
    const change = disruption(before, vn, prefixes)
    if (change === undefined) continue
    networks.set(vn.fqName, isEqual(accepted.get(vn.fqName), before) ? accepted.get(vn.fqName)! : before)
    rejected.push({
      object: nameOf(vn),
      file: collected.fileOf('VirtualNetwork', vn.fqName),
      ...change,
      message: `${change.message}, but nodes hold blocks of it: the old definition stays in force until its pods and blocks are gone`,
    })
  }
}

function disruption(
  before: VirtualNetwork,
  after: VirtualNetwork,
  blocks: readonly Prefix[],
): { readonly field: string; readonly value: string; readonly message: string } | undefined {
  for (const subnet of before.subnets) {
    const prefix = prefixOf(subnet)
    if (!blocks.some((block) => contains(prefix, block))) continue
    const index = after.subnets.findIndex((other) => other.cidr === subnet.cidr)
    const field = `spec.subnets[${index}]`
    if (index < 0) {
      const cidrs = after.subnets.map((other) => other.cidr).join(', ')
      return { field: 'spec.subnets', value: cidrs, message: `no longer holds ${subnet.cidr}` }
    }
    for (const key of ['gateway', 'service'] as const) {
      const value = after.subnets[index]![key]
      if (value !== subnet[key]) return { field: `${field}.${key}`, value, message: `was ${subnet[key]}` }
    }
    const size = prefix.family === 4 ? 'blockSize4' : 'blockSize6'
    if (before[size] !== after[size]) {
      return { field: `spec.${size}`, value: String(after[size]), message: `was ${before[size]}` }
    }
  }
  return undefined
}

/** Whether a node is ready, or nobody says that it isn't. */
type IsAlive = (node: string) => boolean

interface Claim {
  readonly block: IpamBlock
  readonly prefix: Prefix
}

/**
 * Two nodes that hand out the same addresses: the block of a node that is alive counts, of two such the larger one, of equal ones that whose
 * name comes first. A block of one address may lie in another node's block: that is a pod with a fixed address.
 */
function dropOverlappingBlocks(
  blocks: Map<string, IpamBlock>,
  networks: ReadonlyMap<FqName, VirtualNetwork>,
  isAlive: IsAlive,
  collected: Collected,
  rejected: Rejection[],
): void {
  const drop = ({ block }: Claim, rival: Claim) => {
    blocks.delete(block.name)
    rejected.push({
      object: `IPAMBlock ${block.name}`,
      file: collected.fileOf('IPAMBlock', block.name),
      field: 'spec.cidr',
      value: block.cidr,
      message: `overlaps IPAMBlock ${rival.block.name} (${rival.block.cidr}) of node ${rival.block.node}, which counts: remove one of them`,
    })
  }
  const poolsOf = Map.groupBy(blocks.values(), (block) => {
    const vn = networks.get(block.vn)
    return vn === undefined ? block.vn : poolOf(vn)
  })
  for (const pool of poolsOf.values()) {
    const sorted = pool
      .map((block): Claim => ({ block, prefix: prefixOf(block) }))
      .sort((a, b) => compare(a.prefix, b.prefix) || (a.block.name < b.block.name ? -1 : 1))
    const hosts = sorted.filter(({ prefix }) => isHost(prefix))
    const ranges = hosts.length === 0 ? sorted : sorted.filter(({ prefix }) => !isHost(prefix))
    for (const claims of [ranges, hosts]) {
      const alive = claims.filter(({ block }) => isAlive(block.node))
      const counting = largestOf(alive, drop)
      if (alive.length === claims.length) continue
      const dead = claims.filter(({ block }) => !isAlive(block.node))
      largestOf(beyond(counting, dead, drop), drop)
    }
  }
}

function isHost(prefix: Prefix): boolean {
  return prefix.length === bitsOf(prefix.family)
}

/** Of sorted claims those that don't lie in another owner's. */
function largestOf(claims: readonly Claim[], drop: (claim: Claim, rival: Claim) => void): Claim[] {
  let last: Claim | undefined
  return claims.filter((claim) => {
    if (last === undefined || !contains(last.prefix, claim.prefix)) {
      last = claim
      return true
    }
    if (isSameOwner(last.block, claim.block)) return true
    drop(claim, last)
    return false
  })
}

/** Of sorted claims those that overlap none of another owner that counts (`largestOf`: in each other lie only those of one owner). */
function beyond(
  counting: readonly Claim[],
  claims: readonly Claim[],
  drop: (claim: Claim, rival: Claim) => void,
): Claim[] {
  let root: Claim | undefined
  const roots = counting.filter((claim) => {
    if (root !== undefined && contains(root.prefix, claim.prefix)) return false
    root = claim
    return true
  })
  let next = 0
  return claims.filter((claim) => {
    while (next < roots.length && compare(roots[next]!.prefix, claim.prefix) < 0) next++
    const around = next > 0 && contains(roots[next - 1]!.prefix, claim.prefix) ? roots[next - 1] : undefined
    let rival = around !== undefined && !isSameOwner(around.block, claim.block) ? around : undefined
    for (let i = next; rival === undefined && i < roots.length && contains(claim.prefix, roots[i]!.prefix); i++)
      if (!isSameOwner(roots[i]!.block, claim.block)) rival = roots[i]
    if (rival === undefined) return true
    drop(claim, rival)
    return false
  })
}

function isSameOwner(a: IpamBlock, b: IpamBlock): boolean {
  return a.node === b.node && a.vn === b.vn
}

function compare(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family
  if (a.value !== b.value) return a.value < b.value ? -1 : 1
  return Number(sizeOf(b) > sizeOf(a)) - Number(sizeOf(a) > sizeOf(b))
}

/**
 * Two nodes with one underlay address (a node that got another name leaves its old object): the node that looks counts, then one that is alive, of two
 * such that whose name comes first.
 */
function sharedAddresses(
  known: ReadonlyMap<string, KnownRouter>,
  isAlive: IsAlive,
  self: string | undefined,
  collected: Collected,
  rejected: Rejection[],
): ReadonlySet<string> {
  const rank = (name: string) => (name === self ? 0 : isAlive(name) ? 1 : 2)
  const owners = new Map<string, string>()
  const losers = new Set<string>()
  for (const name of [...known.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))) {
    const { address } = known.get(name)!
    const owner = owners.get(address)
    if (owner === undefined) {
      owners.set(address, name)
      continue
    }
    losers.add(name)
    rejected.push({
      object: `VirtualRouter ${name}`,
      file: collected.fileOf('VirtualRouter', name),
      field: 'spec.address',
      value: address,
      message: `is the address of VirtualRouter ${owner} too, which counts: give each node an address of its own`,
    })
  }
  return losers
}

const published = new WeakMap<KnownRouter, VirtualRouter>()

/** The router as its node wrote it: whether it is ready changes no table, and is nothing that the node would have to put right. */
function asPublished(router: KnownRouter, before: VirtualRouter | undefined): VirtualRouter {
  if (router.isReady === undefined) return router
  let same = published.get(router)
  if (same === undefined) {
    const { isReady: _, ...rest } = router
    same = keepEqual(before, rest)
    published.set(router, same)
  }
  return same
}
