/**
 * Address arithmetic: IPv4 and IPv6 as big integers. In objects, tables and as a key an address is its text, of which there is one (linux/address.ts reads
 * and writes it for all parts), so that the same address is the same string; a prefix is read once in its object's life (prefix-of.ts).
 */
import { ipv4FromNumber, ipv4ToNumber, ipv6FromWords, ipv6ToWords } from '@kube-vrouter/linux/address'
import type { Address, Cidr } from './objects.ts'

export type Family = 4 | 6

export interface ParsedAddress {
  readonly family: Family
  readonly value: bigint
}

/** The first address of the prefix, and its length in bits; host bits are zero unless it came from `parseCidrLoosely`. */
export interface Prefix {
  readonly family: Family
  readonly value: bigint
  readonly length: number
}

export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128
}

/** Family of an address that is known to be valid. */
export function familyOf(address: Address): Family {
  return address.includes(':') ? 6 : 4
}

/** A node's own, IPv4 first. */
export function addressesOf(node: { readonly address: Address; readonly address6?: Address | undefined }): Address[] {
  return node.address6 === undefined ? [node.address] : [node.address, node.address6]
}

export function parseAddress(text: string): ParsedAddress | undefined {
  if (!text.includes(':')) {
    const value = ipv4ToNumber(text)
    return value === undefined ? undefined : { family: 4, value: BigInt(value) }
  }
  const words = ipv6ToWords(text)
  if (words === undefined) return undefined
  let value = 0n
  for (const word of words) value = (value << 16n) | BigInt(word)
  return { family: 6, value }
}

/** As `parseAddress`, of text that was checked before. Throws a TypeError otherwise. */
export function mustParseAddress(text: string): ParsedAddress {
  const parsed = parseAddress(text)
  if (parsed === undefined) throw new TypeError(`not an IP address: ${text}`)
  return parsed
}

export function formatAddress({ family, value }: ParsedAddress): Address {
  if (family === 4) return ipv4FromNumber(Number(value))
  const words: number[] = []
  for (let shift = 112n; shift >= 0n; shift -= 16n) words.push(Number((value >> shift) & 0xffffn))
  return ipv6FromWords(words)
}

/** The one text that this address has in all tables, or undefined when `text` is no address. */
export function canonicalAddress(text: string): Address | undefined {
  const parsed = parseAddress(text)
  return parsed === undefined ? undefined : formatAddress(parsed)
}

export function hostPrefix(address: ParsedAddress): Prefix {
  return { ...address, length: bitsOf(address.family) }
}

/** `address/length`, host bits allowed. */
export function parseCidrLoosely(text: string): Prefix | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const address = parseAddress(text.slice(0, slash))
  const digits = text.slice(slash + 1)
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined
  const length = Number(digits)
  return length > bitsOf(address.family) ? undefined : { ...address, length }
}

/** `address/length` with the host bits zero, else undefined. */
export function parseCidr(text: string): Prefix | undefined {
  const prefix = parseCidrLoosely(text)
  return prefix !== undefined && networkOf(prefix).value === prefix.value ? prefix : undefined
}

export function mustParseCidr(text: Cidr): Prefix {
  const prefix = parseCidr(text)
  if (prefix === undefined) throw new TypeError(`not a CIDR: ${text}`)
  return prefix
}

export function formatCidr(prefix: Prefix): Cidr {
  return `${formatAddress(prefix)}/${prefix.length}`
}

/** The prefix with its host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const host = BigInt(bitsOf(prefix.family) - prefix.length)
  return { family: prefix.family, value: (prefix.value >> host) << host, length: prefix.length }
}

/** Number of addresses. */
export function sizeOf(prefix: Prefix): bigint {
  return 1n << BigInt(bitsOf(prefix.family) - prefix.length)
}

export function lastOf(prefix: Prefix): ParsedAddress {
  return { family: prefix.family, value: prefix.value + sizeOf(prefix) - 1n }
}

/** Whether `outer` holds all of `inner`: an address or a prefix, of the same family. */
export function contains(outer: Prefix, inner: ParsedAddress | Prefix): boolean {
  if (outer.family !== inner.family) return false
  if ('length' in inner && inner.length < outer.length) return false
  const host = BigInt(bitsOf(outer.family) - outer.length)
  return inner.value >> host === outer.value >> host
}

export function overlaps(a: Prefix, b: Prefix): boolean {
  return contains(a, b) || contains(b, a)
}

/** Address number `n` of the prefix, counted from 0 (its network address). Throws a RangeError beyond its end. */
export function nthAddress(prefix: Prefix, n: bigint | number): ParsedAddress {
  const offset = BigInt(n)
  if (offset < 0n || offset >= sizeOf(prefix)) throw new RangeError(`${formatCidr(prefix)} has no address number ${n}`)
  return { family: prefix.family, value: prefix.value + offset }
}

/** Number of blocks of `length` bits in the subnet. */
export function blockCount(subnet: Prefix, length: number): bigint {
  if (length < subnet.length) throw new RangeError(`a /${length} doesn't fit into ${formatCidr(subnet)}`)
  return 1n << BigInt(length - subnet.length)
}

/** Block number `n` of the subnet, split into blocks of `length` bits. */
export function nthBlock(subnet: Prefix, length: number, n: bigint): Prefix {
  if (n < 0n || n >= blockCount(subnet, length)) throw new RangeError(`${formatCidr(subnet)} has no block number ${n}`)
  return { family: subnet.family, value: subnet.value + (n << BigInt(bitsOf(subnet.family) - length)), length }
}

/** Order of a prefix tree's walk: IPv4 first, by address, then the shorter prefix first. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  if (a.family !== b.family) return a.family - b.family
  if (a.value !== b.value) return a.value < b.value ? -1 : 1
  return a.length - b.length
}

/** The longest of `prefixes` that holds the address: the plain rule, for short lists. */
export function longestMatch<T extends { readonly prefix: Prefix }>(
  entries: Iterable<T>,
  address: ParsedAddress,
): T | undefined {
  let best: T | undefined
  for (const entry of entries) {
    if (contains(entry.prefix, address) && (best === undefined || entry.prefix.length > best.prefix.length))
      best = entry
  }
  return best
}
