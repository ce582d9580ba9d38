/** Routes of the kernel: what RTM_NEWROUTE says about one. Pure, and lossless: `fib-request.ts` can add again what is read here. */

import { formatAddress } from '../address.ts'
import {
  decodeAttributes,
  listAttributes,
  type Message,
  optional,
  readText,
  readU8,
  readU16,
  readU32,
  viewOf,
} from './codec.ts'
import { anyAddress, type Family, familyOfAf } from './family.ts'

export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26

/** RTN_*: what happens to a packet that matches. */
export const RouteType = {
  UNICAST: 1,
  LOCAL: 2,
  BROADCAST: 3,
  ANYCAST: 4,
  MULTICAST: 5,
  BLACKHOLE: 6,
  UNREACHABLE: 7,
  PROHIBIT: 8,
  THROW: 9,
} as const

/** RTPROT_*: who made the route. */
export const RouteProtocol = {
  UNSPEC: 0,
  REDIRECT: 1,
  KERNEL: 2,
  BOOT: 3,
  STATIC: 4,
  RA: 9,
  DHCP: 16,
  BGP: 186,
} as const

export const RouteTable = { UNSPEC: 0, DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const

/** RTNH_F_* of a nexthop and RTM_F_* of a route. */
export const RouteFlag = {
  DEAD: 0x1,
  PERVASIVE: 0x2,
  ONLINK: 0x4,
  OFFLOAD: 0x8,
  LINKDOWN: 0x10,
  CLONED: 0x200,
} as const

/** RTAX_*: keys of `RouteInfo.metrics`. `lock` is a bit mask of the others; 16 is the congestion control algorithm, a name. */
export const RouteMetric = {
  LOCK: 1,
  MTU: 2,
  WINDOW: 3,
  RTT: 4,
  RTTVAR: 5,
  SSTHRESH: 6,
  CWND: 7,
  ADVMSS: 8,
  REORDERING: 9,
  HOPLIMIT: 10,
  INITCWND: 11,
  FEATURES: 12,
  RTO_MIN: 13,
  INITRWND: 14,
  QUICKACK: 15,
  CC_ALGO: 16,
  FASTOPEN_NO_COOKIE: 17,
} as const

/** RouteMetric number -> value. */
export type RouteMetrics = { readonly [metric: number]: number | string }

/** A lightweight tunnel on a route, kept as it is. */
export interface RouteEncap {
  readonly type: number
  readonly data: Uint8Array
}

export interface RouteNexthop {
  readonly oif: number
  /** Of either family: an IPv4 route may have an IPv6 gateway. */
  readonly gateway?: string
  /** 1…256. */
  readonly weight: number
  readonly onlink: boolean
  /** RouteFlag bits. */
  readonly flags: number
  readonly encap?: RouteEncap
}

export interface RouteInfo {
  readonly family: Family
  /** '0.0.0.0' or '::' with prefix length 0 for the default route. */
  readonly destination: string
  readonly prefixLength: number
  /** Source-specific routing (IPv6). */
  readonly sourcePrefix: { readonly address: string; readonly prefixLength: number } | undefined
  /** Of either family: an IPv4 route may have an IPv6 gateway. */
  readonly gateway: string | undefined
  readonly oif: number | undefined
  readonly iif: number | undefined
  /** The preferred source address (prefsrc). */
  readonly source: string | undefined
  /** The priority: lower wins. */
  readonly metric: number | undefined
  /** RouteProtocol number. */
  readonly protocol: number
  /** Scope.* */
  readonly scope: number
  readonly table: number
  /** RouteType number. */
  readonly type: number
  readonly tos: number
  /** RouteFlag bits. */
  readonly flags: number
  readonly onlink: boolean
  /** RTA_METRICS; `mtu` is RouteMetric.MTU of it. */
  readonly metrics: RouteMetrics | undefined
  readonly mtu: number | undefined
  /** Several equal paths; gateway and oif are then undefined. */
  readonly multipath: readonly RouteNexthop[] | undefined
  /** Seconds until it goes, IPv6 routes learnt from router advertisements. */
  readonly expires: number | undefined
  /** Router preference (RFC 4191 §2.1), IPv6: 0 medium, 1 high, 3 low. */
  readonly preference: number | undefined
  readonly nexthopId: number | undefined
  readonly realm: number | undefined
  readonly encap: RouteEncap | undefined
}

export const RTA_DST = 1
export const RTA_SRC = 2
export const RTA_IIF = 3
export const RTA_OIF = 4
export const RTA_GATEWAY = 5
export const RTA_PRIORITY = 6
export const RTA_PREFSRC = 7
export const RTA_METRICS = 8
export const RTA_MULTIPATH = 9
export const RTA_FLOW = 11
export const RTA_CACHEINFO = 12
export const RTA_TABLE = 15
export const RTA_VIA = 18
export const RTA_PREF = 20
export const RTA_ENCAP_TYPE = 21
export const RTA_ENCAP = 22
export const RTA_EXPIRES = 23
export const RTA_NH_ID = 30

export const RTMSG_SIZE = 12
export const RTNEXTHOP_SIZE = 8
/** struct rta_cacheinfo counts its rta_expires in 1/100 s (USER_HZ). */
const CACHEINFO_EXPIRES_OFFSET = 8
const USER_HZ = 100

/** Undefined for families other than IPv4 and IPv6. */
export function decodeRoute(message: Message): RouteInfo | undefined {
  const { payload } = message
  const head = viewOf(payload)
  const family = familyOfAf(head.getUint8(0))
  if (family === undefined) return undefined
  const attributes = decodeAttributes(payload.subarray(RTMSG_SIZE))
  const sourceLength = head.getUint8(2)
  const flags = head.getUint32(8, true)
  const metrics = optional(attributes.get(RTA_METRICS), decodeMetrics)
  return {
    family,
    destination: optional(attributes.get(RTA_DST), formatAddress) ?? anyAddress(family),
    prefixLength: head.getUint8(1),
    sourcePrefix: optional(attributes.get(RTA_SRC), (value) => ({
      address: formatAddress(value),
      prefixLength: sourceLength,
    })),
    gateway: gatewayOf(attributes),
    oif: optional(attributes.get(RTA_OIF), readU32),
    iif: optional(attributes.get(RTA_IIF), readU32),
    source: optional(attributes.get(RTA_PREFSRC), formatAddress),
    metric: optional(attributes.get(RTA_PRIORITY), readU32),
    protocol: head.getUint8(5),
    scope: head.getUint8(6),
    table: optional(attributes.get(RTA_TABLE), readU32) ?? head.getUint8(4),
    type: head.getUint8(7),
    tos: head.getUint8(3),
    flags,
    onlink: (flags & RouteFlag.ONLINK) !== 0,
    metrics,
    mtu: metrics?.[RouteMetric.MTU] as number | undefined,
    multipath: optional(attributes.get(RTA_MULTIPATH), decodeMultipath),
    expires: optional(attributes.get(RTA_CACHEINFO), readExpires),
    preference: optional(attributes.get(RTA_PREF), readU8),
    nexthopId: optional(attributes.get(RTA_NH_ID), readU32),
    realm: optional(attributes.get(RTA_FLOW), readU32),
    encap: encapOf(attributes),
  }
}

function gatewayOf(attributes: ReadonlyMap<number, Uint8Array>): string | undefined {
  const via = attributes.get(RTA_VIA)
  return via ? formatAddress(via.subarray(2)) : optional(attributes.get(RTA_GATEWAY), formatAddress)
}

function encapOf(attributes: ReadonlyMap<number, Uint8Array>): RouteEncap | undefined {
  const type = optional(attributes.get(RTA_ENCAP_TYPE), readU16)
  return type === undefined ? undefined : { type, data: (attributes.get(RTA_ENCAP) ?? new Uint8Array(0)).slice() }
}

function decodeMetrics(value: Uint8Array): RouteMetrics {
  const metrics: { [metric: number]: number | string } = {}
  for (const { type, value: metric } of listAttributes(value)) {
    metrics[type] = type === RouteMetric.CC_ALGO ? readText(metric) : readU32(metric)
  }
  return metrics
}

function readExpires(cacheinfo: Uint8Array): number | undefined {
  const ticks = viewOf(cacheinfo).getInt32(CACHEINFO_EXPIRES_OFFSET, true)
  return ticks === 0 ? undefined : Math.max(1, Math.round(ticks / USER_HZ))
}

/** A list of struct rtnexthop, each followed by its own attributes. */
function decodeMultipath(value: Uint8Array): RouteNexthop[] {
  const view = viewOf(value)
  const nexthops: RouteNexthop[] = []
  for (let offset = 0; offset + RTNEXTHOP_SIZE <= value.length; ) {
    const length = view.getUint16(offset, true)
    if (length < RTNEXTHOP_SIZE || offset + length > value.length) break
    const attributes = decodeAttributes(value.subarray(offset + RTNEXTHOP_SIZE, offset + length))
    const flags = view.getUint8(offset + 2)
    nexthops.push({
      oif: view.getInt32(offset + 4, true),
      gateway: gatewayOf(attributes),
      weight: view.getUint8(offset + 3) + 1,
      onlink: (flags & RouteFlag.ONLINK) !== 0,
      flags,
      encap: encapOf(attributes),
    })
    offset += (length + 3) & ~3
  }
  return nexthops
}
