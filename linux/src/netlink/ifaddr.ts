/** Addresses of devices: what RTM_NEWADDR says about one, and the requests that add and delete them. Pure and lossless: what is read can be added again. */

import { formatAddress, parseAddress } from '../address.ts'
import {
  bytes,
  decodeAttributes,
  type Message,
  optional,
  present,
  readText,
  readU8,
  readU32,
  text,
  u8,
  u32,
  viewOf,
} from './codec.ts'
import { afOf, type Family, familyOfAddress, familyOfAf, Scope } from './family.ts'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Request } from './socket.ts'

export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22

/** IFA_F_* (if_addr.h). */
export const AddressFlag = {
  SECONDARY: 0x01,
  NODAD: 0x02,
  OPTIMISTIC: 0x04,
  DADFAILED: 0x08,
  HOMEADDRESS: 0x10,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  MANAGETEMPADDR: 0x100,
  NOPREFIXROUTE: 0x200,
  MCAUTOJOIN: 0x400,
  STABLE_PRIVACY: 0x800,
} as const

/** The flags that a caller may set; the others are the kernel's statements about the address. */
const SETTABLE_FLAGS =
  AddressFlag.NODAD |
  AddressFlag.OPTIMISTIC |
  AddressFlag.HOMEADDRESS |
  AddressFlag.MANAGETEMPADDR |
  AddressFlag.NOPREFIXROUTE |
  AddressFlag.MCAUTOJOIN

export const LIFETIME_FOREVER = 0xffffffff

export interface AddressInfo {
  readonly index: number
  readonly family: Family
  /** The device's own address. */
  readonly address: string
  readonly prefixLength: number
  /** The other end, on point-to-point addresses. */
  readonly peer: string | undefined
  readonly broadcast: string | undefined
  /** IPv4: the device's name at the time it was added, or an old-style alias such as 'eth0:1'. Leave the former out when moving the address. */
  readonly label: string | undefined
  /** Scope.* */
  readonly scope: number
  /** AddressFlag bits. */
  readonly flags: number
  /** Seconds; LIFETIME_FOREVER when unlimited. */
  readonly validLifetime: number
  readonly preferredLifetime: number
  /** Metric of the prefix route; undefined for the default. */
  readonly metric: number | undefined
  /** IFAPROT_*: who added it (0 unspecified, 2 router advertisement, 3 link-local). */
  readonly protocol: number | undefined
}

const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_LABEL = 3
const IFA_BROADCAST = 4
const IFA_CACHEINFO = 6
const IFA_FLAGS = 8
const IFA_RT_PRIORITY = 9
const IFA_PROTO = 11

const IFADDRMSG_SIZE = 8

/** Undefined for families other than IPv4 and IPv6. */
export function decodeAddress(message: Message): AddressInfo | undefined {
  const { payload } = message
  const head = viewOf(payload)
  const family = familyOfAf(head.getUint8(0))
  if (family === undefined) return undefined
  const attributes = decodeAttributes(payload.subarray(IFADDRMSG_SIZE))
  const remote = optional(attributes.get(IFA_ADDRESS), formatAddress)
  const local = optional(attributes.get(IFA_LOCAL), formatAddress)
  const address = local ?? remote ?? ''
  const cache = attributes.get(IFA_CACHEINFO)
  return {
    index: head.getUint32(4, true),
    family,
    address,
    prefixLength: head.getUint8(1),
    peer: remote !== address ? remote : undefined,
    broadcast: optional(attributes.get(IFA_BROADCAST), formatAddress),
    label: optional(attributes.get(IFA_LABEL), readText),
    scope: head.getUint8(3),
    flags: optional(attributes.get(IFA_FLAGS), readU32) ?? head.getUint8(2),
    preferredLifetime: cache ? readU32(cache) : LIFETIME_FOREVER,
    validLifetime: cache ? readU32(cache.subarray(4)) : LIFETIME_FOREVER,
    metric: optional(attributes.get(IFA_RT_PRIORITY), readU32),
    protocol: optional(attributes.get(IFA_PROTO), readU8),
  }
}

/** An address to add; an AddressInfo with another index is one, too. */
export interface NewAddress {
  readonly index: number
  readonly address: string
  readonly prefixLength: number
  /** AddressFlag bits; those that only the kernel sets are ignored. */
  readonly flags?: number
  /** Shorthand for the flags NODAD and NOPREFIXROUTE. */
  readonly nodad?: boolean
  readonly noprefixroute?: boolean
  /** Without one: HOST for 127.0.0.0/8, UNIVERSE for the rest of IPv4; the kernel decides for IPv6. */
  readonly scope?: number
  readonly label?: string
  readonly broadcast?: string
  readonly peer?: string
  readonly validLifetime?: number
  readonly preferredLifetime?: number
  readonly metric?: number
  readonly protocol?: number
  /** Changes lifetimes and flags of an address that is there instead of failing with EEXIST. */
  readonly replace?: boolean
}

export function newAddress(spec: NewAddress): Request {
  const flags = addressFlags(spec)
  const lifetimes = spec.validLifetime !== undefined || spec.preferredLifetime !== undefined
  const local = parseAddress(spec.address)
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | (spec.replace ? NLM_F_REPLACE : NLM_F_EXCL),
    fixed: ifaddrmsg(spec, flags),
    attributes: present(
      bytes(IFA_LOCAL, local),
      bytes(IFA_ADDRESS, spec.peer === undefined ? local : parseAddress(spec.peer)),
      spec.broadcast !== undefined && bytes(IFA_BROADCAST, parseAddress(spec.broadcast)),
      spec.label !== undefined && text(IFA_LABEL, spec.label),
      flags !== 0 && u32(IFA_FLAGS, flags),
      lifetimes && bytes(IFA_CACHEINFO, cacheinfo(spec)),
      spec.metric !== undefined && u32(IFA_RT_PRIORITY, spec.metric),
      spec.protocol !== undefined && u8(IFA_PROTO, spec.protocol),
    ),
    attempted: `cannot add address ${spec.address}/${spec.prefixLength} to link ${spec.index}`,
  }
}

/**
 * The order in which addresses, as the kernel lists them, have to be added to be listed the same again: it appends IPv4 addresses and
 * puts IPv6 ones in front, and the order decides which source address is taken.
 */
export function inAddingOrder<T extends { readonly address: string }>(listed: readonly T[]): T[] {
  const isIpv6 = ({ address }: T) => familyOfAddress(address) === 6
  return [...listed.filter((address) => !isIpv6(address)), ...listed.filter(isIpv6).reverse()]
}

export type AddressKey = Pick<NewAddress, 'index' | 'address' | 'prefixLength' | 'peer'>

export function delAddress(key: AddressKey): Request {
  const local = parseAddress(key.address)
  return {
    type: RTM_DELADDR,
    flags: 0,
    fixed: ifaddrmsg(key, 0),
    attributes: [bytes(IFA_LOCAL, local), bytes(IFA_ADDRESS, key.peer === undefined ? local : parseAddress(key.peer))],
    attempted: `cannot delete address ${key.address}/${key.prefixLength} from link ${key.index}`,
  }
}

/** Addresses of one device or of all, of one family or both. */
export function getAddresses(filter: { readonly index?: number; readonly family?: Family } = {}): Request {
  const fixed = new Uint8Array(IFADDRMSG_SIZE)
  fixed[0] = afOf(filter.family)
  viewOf(fixed).setUint32(4, filter.index ?? 0, true)
  return { type: RTM_GETADDR, flags: 0, fixed, attempted: 'cannot list the addresses' }
}

function addressFlags(spec: NewAddress): number {
  const shorthand = (spec.nodad ? AddressFlag.NODAD : 0) | (spec.noprefixroute ? AddressFlag.NOPREFIXROUTE : 0)
  return ((spec.flags ?? 0) & SETTABLE_FLAGS) | shorthand
}

/** struct ifaddrmsg. */
function ifaddrmsg(spec: Pick<NewAddress, 'index' | 'address' | 'prefixLength' | 'scope'>, flags: number): Uint8Array {
  const fixed = new Uint8Array(IFADDRMSG_SIZE)
  fixed[0] = afOf(familyOfAddress(spec.address))
  fixed[1] = spec.prefixLength
  fixed[2] = flags & 0xff
  fixed[3] = spec.scope ?? (spec.address.startsWith('127.') ? Scope.HOST : Scope.UNIVERSE)
  viewOf(fixed).setUint32(4, spec.index, true)
  return fixed
}

/** struct ifa_cacheinfo; the kernel ignores its time stamps. */
function cacheinfo(spec: NewAddress): Uint8Array {
  const valid = spec.validLifetime ?? LIFETIME_FOREVER
  const value = new Uint8Array(16)
  viewOf(value).setUint32(0, spec.preferredLifetime ?? valid, true)
  viewOf(value).setUint32(4, valid, true)
  return value
}
