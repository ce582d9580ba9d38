/** Requests that list, find, add and delete routes. Pure. */

import { parseAddress } from '../address.ts'
import { type Attribute, bytes, encodeAttributes, nested, present, text, u8, u16, u32, viewOf } from './codec.ts'
import { afOf, type Family, familyOfAddress, Scope } from './family.ts'
import {
  type RouteEncap,
  RouteFlag,
  RouteMetric,
  type RouteMetrics,
  type RouteNexthop,
  RouteProtocol,
  RouteTable,
  RouteType,
  RTA_DST,
  RTA_ENCAP,
  RTA_ENCAP_TYPE,
  RTA_EXPIRES,
  RTA_FLOW,
  RTA_GATEWAY,
  RTA_IIF,
  RTA_METRICS,
  RTA_MULTIPATH,
  RTA_NH_ID,
  RTA_OIF,
  RTA_PREF,
  RTA_PREFSRC,
  RTA_PRIORITY,
  RTA_SRC,
  RTA_TABLE,
  RTA_VIA,
  RTM_DELROUTE,
  RTM_GETROUTE,
  RTM_NEWROUTE,
  RTMSG_SIZE,
  RTNEXTHOP_SIZE,
} from './fib-info.ts'
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, type Request } from './socket.ts'

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
