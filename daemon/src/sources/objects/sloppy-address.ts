/**
 * Addresses and CIDRs as Services and EndpointSlices may have them: what an API server of former years let in (leading zeros, host bits, spaces) stays
 * valid for ever. Read as it reads them, and written in the one way that all tables use. Pure.
 */
import {
  formatAddress,
  formatCidr,
  networkOf,
  type ParsedAddress,
  type Prefix,
  parseAddress,
  parseCidrLoosely,
} from '../../model/address.ts'
import type { Address, Cidr } from '../../model/objects.ts'

/** The one text of an address; undefined: it is none. */
export function sloppyAddress(text: string): Address | undefined {
  const parsed = parseAddress(withoutZeros(text))
  return parsed === undefined ? undefined : formatAddress(unmapped(parsed))
}

/** The network of a CIDR, in its one text; undefined: it is none. */
export function sloppyCidr(text: string): Cidr | undefined {
  const [address = '', length = '', ...rest] = text.trim().split('/')
  if (rest.length > 0) return undefined
  const prefix = parseCidrLoosely(`${withoutZeros(address)}/${length.replace(/^0+(?=\d)/, '')}`)
  return prefix === undefined ? undefined : formatCidr(networkOf(unmapped(prefix)))
}

/** Decimal numbers of dotted quads, as the API server reads them: 010.0.0.1 is 10.0.0.1. */
function withoutZeros(text: string): string {
  return text.includes('.') ? text.replace(/(^|[.:])0+(?=\d{1,3}(\.|$))/g, '$1') : text
}

/** ::ffff:10.0.0.1 is an IPv4 address to Kubernetes. */
function unmapped<T extends ParsedAddress | Prefix>(parsed: T): T {
  if (parsed.family === 4 || parsed.value >> 32n !== 0xffffn) return parsed
  const value = parsed.value & 0xffff_ffffn
  if (!('length' in parsed)) return { ...parsed, family: 4, value }
  return parsed.length < 96 ? parsed : { ...parsed, family: 4, value, length: parsed.length - 96 }
}
