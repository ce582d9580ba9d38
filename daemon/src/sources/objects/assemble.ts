/**
 * From what all files say to the state that the model works on: duplicates, and every check that needs several objects. Pure, and
 * independent of the order in which files come. Maps that hold the same as before are the same maps as before.
 */

import { bitsOf, contains, type Prefix, sizeOf } from '../../model/address.ts'
import { builtInNetworks } from '../../model/built-in-networks.ts'
import { isEqual, isSameMap, keepEqual } from '../../model/equal.ts'
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
import { BUILT_IN_LABEL, type Item, idOf, type Kind, type KnownRouter } from './decode.ts'

/** What was read from one place (a file, or the API server's list of a kind). */
export interface LoadedFile {
  /** Where: a file relative to the source's folder; told with what is wrong with its items. */
  readonly path: string
  readonly items: readonly Item[]
  readonly rejections: readonly Rejection[]
}

export interface AssembleOptions {
  readonly cluster: string
  /** Subnets of the default pod network; empty: there is none. */
  readonly defaultSubnets: readonly Cidr[]
  /** The node that looks: it knows that it is alive, whatever the controller says. Absent: none of them. */
  readonly node?: string
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

/** `accepted`: VNs as they were accepted before; what blocks were cut from can't change under them. */
export function assemble(
  files: Iterable<LoadedFile>,
  options: AssembleOptions,
  before: SourceState,
  accepted: ReadonlyMap<FqName, VirtualNetwork> = before.virtualNetworks,
): SourceState {
  const rejected: Rejection[] = []
  const collected = new Collector(rejected)
  for (const file of files) {
    rejected.push(...file.rejections)
    for (const item of file.items) collected.add(item, file.path)
  }
  const namespaces = collected.map('Namespace')
  const blocks = collected.map('IPAMBlock')
  const virtualNetworks = collected.map('VirtualNetwork')
  const builtIn = new Map<FqName, VirtualNetwork>()
  for (const network of builtInNetworks(options.cluster, options.defaultSubnets, namespaces.values())) {
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
  const known = collected.map('VirtualRouter')
  const isAlive = (node: string) => node === options.node || known.get(node)?.isReady !== false
  dropOverlappingBlocks(blocks, virtualNetworks, isAlive, collected, rejected)
  const routers = new Map<string, VirtualRouter>()
  const losers = sharedAddresses(known, isAlive, options.node, collected, rejected)
  for (const [name, router] of known)
    if (!losers.has(name)) routers.set(name, asPublished(router, before.routers.get(name)))
  return {
    namespaces: kept(before.namespaces, namespaces),
    virtualNetworks: kept(before.virtualNetworks, virtualNetworks),
    blocks: kept(before.blocks, blocks),
    interfaces: kept(before.interfaces, collected.map('VirtualMachineInterface')),
    routers: kept(before.routers, routers),
    networkRouters: kept(before.networkRouters, collected.map('VirtualNetworkRouter')),
    pods: before.pods,
    rejected: isEqual(before.rejected, rejected) ? before.rejected : rejected,
  }
}

function kept<V>(before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
  return isSameMap(before, after) ? before : after
}

type ObjectOf<K extends Kind> = Extract<Item, { kind: K }>['object']

/** One object of each identity: of several, that of the file whose name comes first. */
class Collector {
  readonly #rejected: Rejection[]
  readonly #objects = perKind(() => new Map<string, Item['object']>())
  readonly #files = perKind(() => new Map<string, string>())

  constructor(rejected: Rejection[]) {
    this.#rejected = rejected
  }

  add(item: Item, file: string): void {
    const objects = this.#objects[item.kind]
    const key = identityOf(item)
    const known = objects.get(key)
    if (known === undefined) {
      objects.set(key, item.object)
      this.#files[item.kind].set(key, file)
      return
    }
    const rival = { item: { kind: item.kind, object: known } as Item, file: this.fileOf(item.kind, key)! }
    const [winner, loser] = rival.file <= file ? [rival, { item, file }] : [{ item, file }, rival]
    objects.set(key, winner.item.object)
    this.#files[item.kind].set(key, winner.file)
    this.#rejected.push({
      object: idOf(loser.item),
      file: loser.file,
      value: key,
      message: `is defined in ${winner.file} already (${idOf(winner.item)}), which counts: remove one of them`,
    })
  }

  /** All of a kind, for whoever asks to change. */
  map<K extends Kind>(kind: K): Map<string, ObjectOf<K>> {
    return this.#objects[kind] as Map<string, ObjectOf<K>>
  }

  fileOf(kind: Kind, key: string): string | undefined {
    return this.#files[kind].get(key)
  }
}

function perKind<T>(make: () => T): Record<Kind, T> {
  return {
    Namespace: make(),
    VirtualNetwork: make(),
    VirtualNetworkRouter: make(),
    IPAMBlock: make(),
    VirtualMachineInterface: make(),
    VirtualRouter: make(),
  }
}

function identityOf(item: Item): string {
  switch (item.kind) {
    case 'VirtualNetwork':
      return item.object.fqName
    case 'VirtualNetworkRouter':
      return `${item.object.namespace}/${item.object.name}`
    case 'VirtualMachineInterface':
      return item.object.uuid
    case 'Namespace':
    case 'IPAMBlock':
    case 'VirtualRouter':
      return item.object.name
    default:
      return item satisfies never
  }
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
  collected: Collector,
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
  collected: Collector,
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
  collected: Collector,
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
