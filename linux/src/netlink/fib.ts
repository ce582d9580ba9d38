/** Routes of the kernel: what RTM_NEWROUTE says about one, and the requests that add and delete them. Pure and lossless: what is read can be added again. */

import { formatAddress, parseAddress } from '../address.ts'
import {
  type Attribute,
  bytes,
  decodeAttributes,
  encodeAttributes,
  listAttributes,
  type Message,
  nested,
  optional,
  present,
  readText,
  readU8,
  readU16,
  readU32,
  text,
  u8,
  u16,
  u32,
  viewOf,
} from './codec.ts'
import { afOf, anyAddress, type Family, familyOfAddress, familyOfAf, Scope } from './family.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Request } from './socket.ts'

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

const RTA_DST = 1
const RTA_SRC = 2
const RTA_IIF = 3
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_METRICS = 8
const RTA_MULTIPATH = 9
const RTA_FLOW = 11
const RTA_CACHEINFO = 12
const RTA_TABLE = 15
const RTA_VIA = 18
const RTA_PREF = 20
const RTA_ENCAP_TYPE = 21
const RTA_ENCAP = 22
const RTA_EXPIRES = 23
const RTA_NH_ID = 30

const RTMSG_SIZE = 12
const RTNEXTHOP_SIZE = 8
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

// ---- requests ---------------------------------------------------------------------------------------------------------------

/** A route to add; a RouteInfo with another oif is one, too. */
export interface NewRoute {
  readonly family: Family
  readonly destination: string
  readonly prefixLength: number
  readonly sourcePrefix?: { readonly address: string; readonly prefixLength: number }
  readonly gateway?: string
  readonly oif?: number
  readonly source?: string
  readonly metric?: number
  /** Default: STATIC. */
  readonly protocol?: number
  /** Default: LINK for an IPv4 unicast route without gateway, HOST for LOCAL, else UNIVERSE, as ip-route(8) does. */
  readonly scope?: number
  /** Default: MAIN; LOCAL for local and broadcast routes. */
  readonly table?: number
  /** Default: UNICAST. */
  readonly type?: number
  readonly tos?: number
  readonly onlink?: boolean
  readonly metrics?: RouteMetrics
  /** Overrides RouteMetric.MTU of `metrics`. */
  readonly mtu?: number
  readonly multipath?: readonly (Pick<RouteNexthop, 'oif'> & Partial<RouteNexthop>)[]
  readonly expires?: number
  readonly preference?: number
  readonly nexthopId?: number
  readonly realm?: number
  readonly encap?: RouteEncap
  /** Replaces a route with the same destination, tos and metric instead of failing with EEXIST. */
  readonly replace?: boolean
  /** Adds behind an equal one (IPv4) or as one more path of it (IPv6). */
  readonly append?: boolean
}

export function newRoute(spec: NewRoute): Request {
  const mode = spec.replace ? NLM_F_REPLACE : spec.append ? NLM_F_APPEND : NLM_F_EXCL
  return routeRequest(RTM_NEWROUTE, NLM_F_CREATE | mode, spec, 'add')
}

/** What identifies a route to delete: the more is given, the more has to match. */
export type RouteKey = Omit<NewRoute, 'replace' | 'append'>

export function delRoute(key: RouteKey): Request {
  return routeRequest(RTM_DELROUTE, 0, key, 'delete')
}

function routeRequest(type: number, flags: number, spec: NewRoute, verb: 'add' | 'delete'): Request {
  const table = spec.table ?? defaultTable(spec.type)
  const adding = verb === 'add'
  const metrics = mergeMetrics(spec)
  return {
    type,
    flags,
    fixed: rtmsg(spec, table, adding),
    attributes: present(
      spec.prefixLength > 0 && bytes(RTA_DST, parseAddress(spec.destination)),
      spec.sourcePrefix && bytes(RTA_SRC, parseAddress(spec.sourcePrefix.address)),
      u32(RTA_TABLE, table),
      spec.source !== undefined && bytes(RTA_PREFSRC, parseAddress(spec.source)),
      spec.metric !== undefined && u32(RTA_PRIORITY, spec.metric),
      spec.realm !== undefined && u32(RTA_FLOW, spec.realm),
      adding && metrics.length > 0 && nested(RTA_METRICS, metrics),
      ...pathAttributes(spec, adding),
      adding && spec.expires !== undefined && u32(RTA_EXPIRES, spec.expires),
      adding && spec.preference !== undefined && u8(RTA_PREF, spec.preference),
    ),
    attempted: `cannot ${verb} route ${spec.destination}/${spec.prefixLength} in table ${table}`,
  }
}

/** Where the packets go. A nexthop object stands for all of it: the kernel shows its device and gateway too, but takes only the one or the other. */
function pathAttributes(spec: NewRoute, adding: boolean): Attribute[] {
  if (spec.nexthopId !== undefined) return [u32(RTA_NH_ID, spec.nexthopId)]
  if (spec.multipath !== undefined) return [bytes(RTA_MULTIPATH, encodeMultipath(spec.family, spec.multipath))]
  return [
    ...present(
      spec.gateway !== undefined && gatewayAttribute(spec.family, spec.gateway),
      spec.oif !== undefined && u32(RTA_OIF, spec.oif),
    ),
    ...(adding && spec.encap ? encapAttributes(spec.encap) : []),
  ]
}

/** struct rtmsg. A request to delete leaves what isn't given open, so that any matches. */
function rtmsg(spec: NewRoute, table: number, adding: boolean): Uint8Array {
  const fixed = new Uint8Array(RTMSG_SIZE)
  fixed[0] = afOf(spec.family)
  fixed[1] = spec.prefixLength
  fixed[2] = spec.sourcePrefix?.prefixLength ?? 0
  fixed[3] = spec.tos ?? 0
  fixed[4] = table < 256 ? table : 0
  fixed[5] = spec.protocol ?? (adding ? RouteProtocol.STATIC : RouteProtocol.UNSPEC)
  fixed[6] = spec.scope ?? (adding ? defaultScope(spec) : Scope.NOWHERE)
  fixed[7] = spec.type ?? (adding ? RouteType.UNICAST : 0)
  viewOf(fixed).setUint32(8, spec.onlink ? RouteFlag.ONLINK : 0, true)
  return fixed
}

function defaultTable(type: number | undefined): number {
  return type === RouteType.LOCAL || type === RouteType.BROADCAST || type === RouteType.ANYCAST
    ? RouteTable.LOCAL
    : RouteTable.MAIN
}

function defaultScope(spec: NewRoute): number {
  if (spec.family === 6) return Scope.UNIVERSE
  const type = spec.type ?? RouteType.UNICAST
  if (type === RouteType.LOCAL) return Scope.HOST
  if (type === RouteType.BROADCAST || type === RouteType.MULTICAST || type === RouteType.ANYCAST) return Scope.LINK
  const direct = spec.gateway === undefined && spec.multipath === undefined && spec.nexthopId === undefined
  return type === RouteType.UNICAST && direct ? Scope.LINK : Scope.UNIVERSE
}

function gatewayAttribute(family: Family, gateway: string): Attribute {
  const address = parseAddress(gateway)
  const gatewayFamily = familyOfAddress(gateway)
  if (gatewayFamily === family) return bytes(RTA_GATEWAY, address)
  return bytes(RTA_VIA, Uint8Array.of(afOf(gatewayFamily), 0, ...address))
}

function encapAttributes(encap: RouteEncap): Attribute[] {
  return [u16(RTA_ENCAP_TYPE, encap.type), bytes(RTA_ENCAP, encap.data)]
}

function mergeMetrics(spec: NewRoute): Attribute[] {
  const metrics = { ...spec.metrics, ...(spec.mtu === undefined ? {} : { [RouteMetric.MTU]: spec.mtu }) }
  return Object.entries(metrics).map(([metric, value]) =>
    typeof value === 'string' ? text(Number(metric), value) : u32(Number(metric), value),
  )
}

function encodeMultipath(family: Family, nexthops: NonNullable<NewRoute['multipath']>): Uint8Array {
  return Buffer.concat(
    nexthops.map((nexthop) => {
      const attributes = encodeAttributes([
        ...present(nexthop.gateway !== undefined && gatewayAttribute(family, nexthop.gateway)),
        ...(nexthop.encap ? encapAttributes(nexthop.encap) : []),
      ])
      const head = new Uint8Array(RTNEXTHOP_SIZE)
      const view = viewOf(head)
      view.setUint16(0, RTNEXTHOP_SIZE + attributes.length, true)
      view.setUint8(2, nexthop.onlink ? RouteFlag.ONLINK : 0)
      view.setUint8(3, (nexthop.weight ?? 1) - 1)
      view.setInt32(4, nexthop.oif, true)
      return Buffer.concat([head, attributes])
    }),
  )
}

export interface RouteFilter {
  readonly table?: number
  readonly family?: Family
  readonly oif?: number
  /** RouteProtocol number. */
  readonly protocol?: number
}

/**
 * A dump of the routes of one family; the kernel filters (strict checking), except that IPv4's filter by device misses multipath
 * routes whose first path is another one, which is why `RouteSocket.routes` filters by device itself.
 */
export function getRoutes(family: Family, filter: Omit<RouteFilter, 'family' | 'oif'> = {}): Request {
  const fixed = new Uint8Array(RTMSG_SIZE)
  fixed[0] = afOf(family)
  fixed[5] = filter.protocol ?? 0
  return {
    type: RTM_GETROUTE,
    flags: 0,
    fixed,
    attributes: present(filter.table !== undefined && u32(RTA_TABLE, filter.table)),
    attempted: `cannot list the IPv${family} routes`,
  }
}

/** Asks the kernel which route it would take to `destination`. */
export function lookupRoute(
  destination: string,
  options: { readonly source?: string; readonly oif?: number; readonly iif?: number } = {},
): Request {
  const fixed = new Uint8Array(RTMSG_SIZE)
  const family = familyOfAddress(destination)
  fixed[0] = afOf(family)
  fixed[1] = family === 4 ? 32 : 128
  fixed[2] = options.source === undefined ? 0 : family === 4 ? 32 : 128
  return {
    type: RTM_GETROUTE,
    flags: 0,
    fixed,
    attributes: present(
      bytes(RTA_DST, parseAddress(destination)),
      options.source !== undefined && bytes(RTA_SRC, parseAddress(options.source)),
      options.oif !== undefined && u32(RTA_OIF, options.oif),
      options.iif !== undefined && u32(RTA_IIF, options.iif),
    ),
    attempted: `cannot find the route to ${destination}`,
  }
}
