/**
 * The unicast routes. Each family has two maps, one of /32s (/128s) and one of shorter prefixes; here they are one table per VRF
 * again, as people think of it.
 */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { ip4Number, ip4Text, ip6Bytes, ip6Text, macText, mask4, mask6 } from './addresses.ts'
import { LABEL_NONE, ROUTE_HAS_MAC, ROUTE_LABEL_VALID } from './constants.ts'
import {
  type Route4KeyStruct,
  type Route4LpmKeyStruct,
  type Route6KeyStruct,
  type Route6LpmKeyStruct,
  type RouteStruct,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  route6LpmKeyCodec,
  routeCodec,
} from './structs.ts'
import { Table } from './table.ts'

export type Family = 4 | 6

export interface RouteTables {
  readonly host4: Table<Route4KeyStruct, RouteStruct>
  readonly lpm4: Table<Route4LpmKeyStruct, RouteStruct>
  readonly host6: Table<Route6KeyStruct, RouteStruct>
  readonly lpm6: Table<Route6LpmKeyStruct, RouteStruct>
}

export function routeTables(
  map: (name: 'route4_host' | 'route4_lpm' | 'route6_host' | 'route6_lpm') => BpfMap,
): RouteTables {
  return {
    host4: new Table(map('route4_host'), route4KeyCodec, routeCodec),
    lpm4: new Table(map('route4_lpm'), route4LpmKeyCodec, routeCodec),
    host6: new Table(map('route6_host'), route6KeyCodec, routeCodec),
    lpm6: new Table(map('route6_lpm'), route6LpmKeyCodec, routeCodec),
  }
}

export interface KernelRoute {
  readonly vrf: number
  readonly address: string
  readonly prefixLength: number
  readonly nexthop: number
  readonly label?: number
  /** enum route_flags */
  readonly flags: number
  readonly stitchedMac?: string
  /** Bridge index of the stitched MAC. */
  readonly bridgeIndex?: number
}

function toRoute(vrf: number, address: string, prefixLength: number, route: RouteStruct): KernelRoute {
  const hasMac = (route.flags & ROUTE_HAS_MAC) !== 0
  return {
    vrf,
    address,
    prefixLength,
    nexthop: route.nh,
    label: (route.flags & ROUTE_LABEL_VALID) !== 0 ? route.label : undefined,
    flags: route.flags,
    stitchedMac: hasMac ? macText(route.mac) : undefined,
    bridgeIndex: hasMac && route.macIndex !== LABEL_NONE ? route.macIndex : undefined,
  }
}

/** Routes of one VRF, or of all, in slices; in no order (compareRoutes sorts). */
export async function* listRoutes(
  tables: RouteTables,
  family: Family,
  vrf?: number,
): AsyncGenerator<readonly KernelRoute[]> {
  const wanted = (route: KernelRoute) => vrf === undefined || route.vrf === vrf
  if (family === 4) {
    for await (const slice of tables.lpm4.slices()) {
      yield slice.map(([key, route]) => toRoute(key.vrf, ip4Text(key.ip), key.prefixlen - 32, route)).filter(wanted)
    }
    for await (const slice of tables.host4.slices()) {
      yield slice.map(([key, route]) => toRoute(key.vrf, ip4Text(key.ip), 32, route)).filter(wanted)
    }
  } else {
    for await (const slice of tables.lpm6.slices()) {
      yield slice.map(([key, route]) => toRoute(key.vrf, ip6Text(key.ip), key.prefixlen - 32, route)).filter(wanted)
    }
    for await (const slice of tables.host6.slices()) {
      yield slice.map(([key, route]) => toRoute(key.vrf, ip6Text(key.ip), 128, route)).filter(wanted)
    }
  }
}

/** The route that the datapath uses for `address`: the exact one, else the longest prefix. Undefined: none. */
export function lookupRoute(tables: RouteTables, vrf: number, address: string): KernelRoute | undefined {
  if (address.includes(':')) {
    const ip = ip6Bytes(address)
    const host = tables.host6.get({ vrf, ip })
    if (host) return toRoute(vrf, ip6Text(ip), 128, host)
    const route = tables.lpm6.get({ prefixlen: 32 + 128, vrf, ip })
    return route && toRoute(vrf, ip6Text(mask6(ip, route.plen)), route.plen, route)
  }
  const ip = ip4Number(address)
  const host = tables.host4.get({ vrf, ip })
  if (host) return toRoute(vrf, address, 32, host)
  const route = tables.lpm4.get({ prefixlen: 32 + 32, vrf, ip })
  return route && toRoute(vrf, ip4Text(mask4(ip, route.plen)), route.plen, route)
}

/** By VRF, then address, then shorter prefix first. */
export function compareRoutes(a: KernelRoute, b: KernelRoute): number {
  return a.vrf - b.vrf || compareAddresses(a.address, b.address) || a.prefixLength - b.prefixLength
}

function compareAddresses(a: string, b: string): number {
  if (!a.includes(':') && !b.includes(':')) return ip4Number(a) - ip4Number(b)
  return Buffer.compare(ip6Bytes(a), ip6Bytes(b))
}
