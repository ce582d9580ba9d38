/**
 * Address management, pure. A node owns blocks of a VN's subnets (IPAMBlock objects; whoever creates the object of a name owns
 * it) and hands out the addresses inside them alone, so a pod's ADD asks nobody. This module says which address is next, or which
 * block to claim; the caller claims, writes the record, and asks again.
 *
 * What is never handed out: network address, IPv4 broadcast, gateway and service address of the subnet, addresses in use, and
 * those that a longer block of another node covers (a fixed address, see `allocate`).
 */

import { createHash } from 'node:crypto'
import {
  bitsOf,
  blockCount,
  contains,
  type Family,
  formatAddress,
  formatCidr,
  hostPrefix,
  mustParseAddress,
  networkOf,
  nthBlock,
  overlaps,
  type ParsedAddress,
  type Prefix,
  parseAddress,
  sizeOf,
} from './address.ts'
import { type ModelError, modelError } from './errors.ts'
import { blockName } from './names.ts'
import type { Address, IpamBlock, Subnet, VirtualNetwork } from './objects.ts'
import { prefixOf } from './prefix-of.ts'

export interface PodAddress {
  readonly address: Address
  /** Of the subnet. */
  readonly prefixLength: number
  readonly gateway: Address
  readonly service: Address
}

export interface AllocationRequest {
  readonly vn: VirtualNetwork
  readonly node: string
  /** All blocks of the VN's pool (`blocksOfPool`), of every node. */
  readonly blocks: readonly IpamBlock[]
  /** Addresses of the pool that are in use: this node's records, and what other nodes published. */
  readonly used: ReadonlySet<Address>
  /** Given back a short while ago: handed out only when nothing else is left in this node's blocks. */
  readonly recent?: ReadonlySet<Address>
  /** Addresses that the pod must get; families that aren't named get a free one. */
  readonly fixed?: readonly Address[]
  /** Addresses that the pod must have besides, of any family of the VN. */
  readonly more?: readonly Address[]
}

export type Allocation =
  /** One address for each family that the VN has, IPv4 first. */
  | { readonly kind: 'addresses'; readonly addresses: readonly PodAddress[]; readonly more: readonly Address[] }
  /** This node needs another block: create the first of `candidates` that nobody has, then ask again. Evaluated lazily. */
  | { readonly kind: 'claim'; readonly family: Family; readonly candidates: Iterable<IpamBlock> }
  | { readonly kind: 'failed'; readonly error: ModelError }

export function poolOf(vn: VirtualNetwork): string {
  return vn.ipam ?? vn.fqName
}

/** The blocks that compete with those of `vn`: its own, and those of VNs which draw from the same pool. */
export function blocksOfPool(
  vn: VirtualNetwork,
  blocks: Iterable<IpamBlock>,
  networks: ReadonlyMap<string, VirtualNetwork>,
): IpamBlock[] {
  const pool = poolOf(vn)
  return [...blocks].filter((block) => {
    const owner = networks.get(block.vn)
    return block.vn === vn.fqName || (owner !== undefined && poolOf(owner) === pool)
  })
}

/** Prefix length of this subnet's blocks: the VN's, or a quarter of a subnet that is small. */
export function blockLength(vn: VirtualNetwork, subnet: Prefix): number {
  const wanted = subnet.family === 4 ? vn.blockSize4 : vn.blockSize6
  const bits = bitsOf(subnet.family)
  const quarter = Math.min(subnet.length + 2, bits - 2)
  return Math.max(wanted, quarter, subnet.length)
}

/** Addresses of the subnet that no pod ever gets. */
export function reservedAddresses(subnet: Subnet): Set<Address> {
  const prefix = prefixOf(subnet)
  const reserved = new Set([subnet.gateway, subnet.service])
  const hostBits = bitsOf(prefix.family) - prefix.length
  if (hostBits >= 2) {
    reserved.add(formatAddress(prefix))
    if (prefix.family === 4) reserved.add(formatAddress({ family: 4, value: prefix.value + sizeOf(prefix) - 1n }))
  }
  return reserved
}

interface ParsedBlock {
  readonly block: IpamBlock
  readonly prefix: Prefix
}

/** The next addresses of a pod on this node. Deterministic; O(blocks + size of the node's blocks). */
export function allocate(request: AllocationRequest): Allocation {
  const blocks = request.blocks
    .map((block) => ({ block, prefix: prefixOf(block) }))
    .sort((a, b) => (a.prefix.value < b.prefix.value ? -1 : a.prefix.value > b.prefix.value ? 1 : 0))
  const fixed = fixedByFamily(request)
  if (fixed instanceof Map) {
    const addresses: PodAddress[] = []
    for (const family of familiesOf(request.vn)) {
      const address = fixed.get(family)
      const step = address ? allocateFixed(request, blocks, address) : allocateFree(request, blocks, family)
      if (step.kind !== 'address') return step
      addresses.push(step.address)
    }
    const more: Address[] = []
    for (const address of request.more ?? []) {
      // The pod may have asked for it as its own, too.
      if (addresses.some((one) => one.address === address)) continue
      const parsed = parseAddress(address)
      if (parsed === undefined) return failed(outside(address, request.vn))
      const step = allocateFixed(request, blocks, parsed)
      if (step.kind !== 'address') return step
      more.push(step.address.address)
    }
    return { kind: 'addresses', addresses, more }
  }
  return failed(fixed)
}

type Step = Exclude<Allocation, { kind: 'addresses' }> | { readonly kind: 'address'; readonly address: PodAddress }

function failed(error: ModelError): { readonly kind: 'failed'; readonly error: ModelError } {
  return { kind: 'failed', error }
}

export function familiesOf(vn: VirtualNetwork): Family[] {
  const families = new Set(vn.subnets.map((subnet) => prefixOf(subnet).family))
  return ([4, 6] as const).filter((family) => families.has(family))
}

function fixedByFamily(request: AllocationRequest): Map<Family, ParsedAddress> | ModelError {
  const families = familiesOf(request.vn)
  const fixed = new Map<Family, ParsedAddress>()
  for (const text of request.fixed ?? []) {
    const address = parseAddress(text)
    if (address === undefined || !families.includes(address.family)) {
      return outside(text, request.vn)
    }
    fixed.set(address.family, address)
  }
  return fixed
}

function outside(address: string, { fqName }: VirtualNetwork): ModelError {
  return modelError('ADDRESS_OUTSIDE', `${address} lies in no subnet of ${fqName}`)
}

function allocateFree(request: AllocationRequest, blocks: readonly ParsedBlock[], family: Family): Step {
  const { vn, node } = request
  for (const isRecentAllowed of [false, true]) {
    for (const subnet of vn.subnets) {
      const prefix = prefixOf(subnet)
      if (prefix.family !== family) continue
      for (const { block, prefix: own } of blocks) {
        const isOurs = block.node === node && block.vn === vn.fqName && own.length < bitsOf(family)
        if (!isOurs || !contains(prefix, own)) continue
        const address = freeAddress(request, blocks, subnet, own, isRecentAllowed)
        if (address !== undefined) return { kind: 'address', address: podAddress(subnet, prefix, address) }
      }
    }
    // Claim a new block rather than use an address again at once; with no block left, use it.
    const candidates = candidateBlocks(request, blocks, family)
    if (candidates[Symbol.iterator]().next().done !== true) return { kind: 'claim', family, candidates }
  }
  return failed(modelError('SUBNET_EXHAUSTED', `${vn.fqName} has no free IPv${family} address left for node ${node}`))
}

function podAddress(subnet: Subnet, prefix: Prefix, address: Address): PodAddress {
  return { address, prefixLength: prefix.length, gateway: subnet.gateway, service: subnet.service }
}

function freeAddress(
  request: AllocationRequest,
  blocks: readonly ParsedBlock[],
  subnet: Subnet,
  own: Prefix,
  isRecentAllowed: boolean,
): Address | undefined {
  const reserved = reservedAddresses(subnet)
  const inner = blocks.filter(({ prefix }) => prefix.length > own.length && contains(own, prefix))
  const end = own.value + sizeOf(own)
  for (let value = own.value; value < end; value++) {
    const parsed = { family: own.family, value }
    const address = formatAddress(parsed)
    if (reserved.has(address) || request.used.has(address) || request.more?.includes(address)) continue
    if (!isRecentAllowed && request.recent?.has(address)) continue
    if (inner.some(({ prefix }) => contains(prefix, parsed))) continue
    return address
  }
  return undefined
}

/**
 * Blocks that this node may try to claim, best first: free ones of the first subnet of the family that has any, starting at a
 * place that depends on node and VN, so that nodes which start together don't all try the same.
 */
function candidateBlocks(
  request: AllocationRequest,
  blocks: readonly ParsedBlock[],
  family: Family,
): Iterable<IpamBlock> {
  const { vn, node } = request
  return {
    *[Symbol.iterator]() {
      for (const subnet of vn.subnets) {
        const prefix = prefixOf(subnet)
        if (prefix.family !== family) continue
        const length = blockLength(vn, prefix)
        const count = blockCount(prefix, length)
        const start = hashOf(`${node}\0${vn.fqName}`) % (count < START_SPREAD ? count : START_SPREAD)
        const reserved = [...reservedAddresses(subnet)].map(mustParseAddress)
        // Of the same length almost always: a set. Single addresses don't hinder: `freeAddress` steps over them.
        const taken = new Set(
          blocks.filter((other) => other.prefix.length === length).map((other) => other.prefix.value),
        )
        const others = blocks.filter(({ prefix: other }) => other.length !== length && other.length < bitsOf(family))
        for (let i = 0n; i < count; i++) {
          const candidate = nthBlock(prefix, length, (start + i) % count)
          if (taken.has(candidate.value) || others.some((other) => overlaps(candidate, other.prefix))) continue
          const unusable = reserved.filter((address) => contains(candidate, address)).length
          if (sizeOf(candidate) <= BigInt(unusable)) continue
          yield newBlock(vn, node, candidate)
        }
      }
    },
  }
}

/** The block of ordinary size that holds an address of the VN; undefined outside its subnets. */
export function blockOf(vn: VirtualNetwork, node: string, address: ParsedAddress): IpamBlock | undefined {
  for (const one of vn.subnets) {
    const subnet = prefixOf(one)
    if (!contains(subnet, address)) continue
    return newBlock(vn, node, networkOf({ ...address, length: blockLength(vn, subnet) }))
  }
  return undefined
}

/** First choices lie in the first blocks of a large IPv6 subnet: people read these addresses. */
const START_SPREAD = 65_536n

function newBlock(vn: VirtualNetwork, node: string, prefix: Prefix): IpamBlock {
  const cidr = formatCidr(prefix)
  return { name: blockName(poolOf(vn), cidr), vn: vn.fqName, cidr, node }
}

function hashOf(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE()
}

/**
 * A fixed address comes from this node's block where that holds it. Anywhere else the node claims it as a block of one address,
 * so a pod keeps its address when it moves to another node; `idleBlocks` names such blocks once no pod uses them.
 */
function allocateFixed(request: AllocationRequest, blocks: readonly ParsedBlock[], wanted: ParsedAddress): Step {
  const { vn, node } = request
  const address = formatAddress(wanted)
  const subnet = vn.subnets.find((one) => contains(prefixOf(one), wanted))
  if (subnet === undefined) return failed(outside(address, vn))
  if (reservedAddresses(subnet).has(address)) {
    return failed(modelError('ADDRESS_RESERVED', `${address} is reserved in ${subnet.cidr} of ${vn.fqName}`))
  }
  if (request.used.has(address)) return failed(modelError('ADDRESS_IN_USE', `${address} is in use in ${vn.fqName}`))
  const host = hostPrefix(wanted)
  const holders = blocks
    .filter(({ prefix }) => contains(prefix, host))
    .sort((a, b) => b.prefix.length - a.prefix.length)
  const closest = holders[0]
  if (closest !== undefined && closest.prefix.length === host.length && closest.block.node !== node) {
    return failed(modelError('ADDRESS_IN_USE', `${address} of ${vn.fqName} is held by node ${closest.block.node}`))
  }
  if (closest !== undefined && closest.block.node === node && closest.block.vn === vn.fqName) {
    return { kind: 'address', address: podAddress(subnet, prefixOf(subnet), address) }
  }
  return { kind: 'claim', family: wanted.family, candidates: [newBlock(vn, node, host)] }
}

/** Whether the block was claimed for one pod that asked for its address. */
export function isSingle(block: Pick<IpamBlock, 'cidr'>): boolean {
  const { family, length } = prefixOf(block)
  return length === bitsOf(family)
}

/** Names of those blocks: they are asked for again and again, and each costs a hash. */
const singleNames = new WeakMap<
  readonly Address[],
  { readonly vn: VirtualNetwork; readonly names: readonly string[] }
>()

/** The blocks of these single addresses that there are, whoever has them. */
export function singleBlocksOf(
  vn: VirtualNetwork,
  addresses: readonly Address[],
  blocks: ReadonlyMap<string, IpamBlock>,
): IpamBlock[] {
  let known = singleNames.get(addresses)
  if (known?.vn !== vn) {
    known = { vn, names: addresses.map((address) => newBlock(vn, '', hostPrefix(mustParseAddress(address))).name) }
    singleNames.set(addresses, known)
  }
  return known.names.flatMap((name) => blocks.get(name) ?? [])
}

/**
 * Blocks of `node` without a used address: it should give them back. `blocks` and `used` are those of one VN. For a slow timer, and
 * never while an allocation is under way.
 */
export function idleBlocks(node: string, blocks: Iterable<IpamBlock>, used: ReadonlySet<Address>): IpamBlock[] {
  const addresses = [...used].map(mustParseAddress)
  return [...blocks].filter((block) => {
    const prefix = prefixOf(block)
    return block.node === node && !addresses.some((address) => contains(prefix, address))
  })
}
