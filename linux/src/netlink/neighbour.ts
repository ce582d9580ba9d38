/** Neighbours (ARP and ND entries): what RTM_NEWNEIGH says about one, and the requests that set and delete them. Pure. */

import { formatAddress, formatMac, parseAddress, parseMac } from '../address.ts'
import { bytes, decodeAttributes, type Message, optional, present, readU8, readU32, u8, u32, viewOf } from './codec.ts'
import { afOf, type Family, familyOfAddress, familyOfAf } from './family.ts'
import { NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Request } from './socket.ts'

export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30

/** NUD_*. */
export const NeighbourState = {
  NONE: 0x00,
  INCOMPLETE: 0x01,
  REACHABLE: 0x02,
  STALE: 0x04,
  DELAY: 0x08,
  PROBE: 0x10,
  FAILED: 0x20,
  NOARP: 0x40,
  PERMANENT: 0x80,
} as const

/** The states in which `mac` may be used for sending (NUD_VALID). */
export const NEIGHBOUR_VALID =
  NeighbourState.REACHABLE |
  NeighbourState.STALE |
  NeighbourState.DELAY |
  NeighbourState.PROBE |
  NeighbourState.NOARP |
  NeighbourState.PERMANENT

/** NTF_*. */
export const NeighbourFlag = {
  USE: 0x01,
  SELF: 0x02,
  MASTER: 0x04,
  PROXY: 0x08,
  EXT_LEARNED: 0x10,
  OFFLOADED: 0x20,
  STICKY: 0x40,
  ROUTER: 0x80,
} as const

const NTF_EXT_MANAGED = 1

export interface NeighbourInfo {
  readonly index: number
  readonly family: Family
  readonly address: string
  /** The last known one; usable when `state & NEIGHBOUR_VALID`. */
  readonly mac: string | undefined
  /** NeighbourState bits. */
  readonly state: number
  /** NeighbourFlag bits. */
  readonly flags: number
  /** The kernel resolves it and keeps it fresh by itself (NTF_EXT_MANAGED). */
  readonly managed: boolean
  readonly externallyLearned: boolean
  readonly isRouter: boolean
  /** NDA_PROTOCOL: who set it (a RouteProtocol number). */
  readonly protocol: number | undefined
  readonly probes: number | undefined
}

const NDA_DST = 1
const NDA_LLADDR = 2
const NDA_PROBES = 4
const NDA_PROTOCOL = 12
const NDA_FLAGS_EXT = 15
const NDA_IFINDEX = 8

const NDMSG_SIZE = 12

/** Undefined for bridge forwarding entries. */
export function decodeNeighbour(message: Message): NeighbourInfo | undefined {
  const { payload } = message
  const head = viewOf(payload)
  const family = familyOfAf(head.getUint8(0))
  if (family === undefined) return undefined
  const attributes = decodeAttributes(payload.subarray(NDMSG_SIZE))
  const flags = head.getUint8(10)
  const extended = optional(attributes.get(NDA_FLAGS_EXT), readU32) ?? 0
  return {
    index: head.getInt32(4, true),
    family,
    address: optional(attributes.get(NDA_DST), formatAddress) ?? '',
    mac: optional(attributes.get(NDA_LLADDR), formatMac),
    state: head.getUint16(8, true),
    flags,
    managed: (extended & NTF_EXT_MANAGED) !== 0,
    externallyLearned: (flags & NeighbourFlag.EXT_LEARNED) !== 0,
    isRouter: (flags & NeighbourFlag.ROUTER) !== 0,
    protocol: optional(attributes.get(NDA_PROTOCOL), readU8),
    probes: optional(attributes.get(NDA_PROBES), readU32),
  }
}

export interface NewNeighbour {
  readonly index: number
  readonly address: string
  readonly mac?: string
  /** Without one: PERMANENT with a MAC, NONE (the kernel resolves) without or when managed. */
  readonly state?: number
  /** The kernel resolves it now and keeps it fresh until it is deleted. */
  readonly managed?: boolean
  readonly externallyLearned?: boolean
  readonly isRouter?: boolean
  /** NeighbourFlag bits besides the above. */
  readonly flags?: number
  readonly protocol?: number
  /** false: EEXIST when there is an entry already. Default: it is replaced. */
  readonly replace?: boolean
}

export function newNeighbour(spec: NewNeighbour): Request {
  const flags =
    (spec.flags ?? 0) |
    (spec.externallyLearned ? NeighbourFlag.EXT_LEARNED : 0) |
    (spec.isRouter ? NeighbourFlag.ROUTER : 0)
  const state = spec.state ?? (spec.mac === undefined || spec.managed ? NeighbourState.NONE : NeighbourState.PERMANENT)
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | (spec.replace === false ? NLM_F_EXCL : NLM_F_REPLACE),
    fixed: ndmsg(spec, state, flags),
    attributes: present(
      bytes(NDA_DST, parseAddress(spec.address)),
      spec.mac !== undefined && bytes(NDA_LLADDR, parseMac(spec.mac)),
      spec.managed && u32(NDA_FLAGS_EXT, NTF_EXT_MANAGED),
      spec.protocol !== undefined && u8(NDA_PROTOCOL, spec.protocol),
    ),
    attempted: `cannot set neighbour ${spec.address} on link ${spec.index}`,
  }
}

export type NeighbourKey = Pick<NewNeighbour, 'index' | 'address'>

export function delNeighbour(key: NeighbourKey): Request {
  return {
    type: RTM_DELNEIGH,
    flags: 0,
    fixed: ndmsg(key, 0, 0),
    attributes: [bytes(NDA_DST, parseAddress(key.address))],
    attempted: `cannot delete neighbour ${key.address} from link ${key.index}`,
  }
}

/** Neighbours of one device or of all, of one family or both. */
export function getNeighbours(filter: { readonly index?: number; readonly family?: Family } = {}): Request {
  const fixed = new Uint8Array(NDMSG_SIZE)
  fixed[0] = afOf(filter.family)
  return {
    type: RTM_GETNEIGH,
    flags: 0,
    fixed,
    attributes: present(filter.index !== undefined && u32(NDA_IFINDEX, filter.index)),
    attempted: 'cannot list the neighbours',
  }
}

/** struct ndmsg. */
function ndmsg(key: NeighbourKey, state: number, flags: number): Uint8Array {
  const fixed = new Uint8Array(NDMSG_SIZE)
  const view = viewOf(fixed)
  view.setUint8(0, afOf(familyOfAddress(key.address)))
  view.setInt32(4, key.index, true)
  view.setUint16(8, state, true)
  view.setUint8(10, flags)
  return fixed
}
