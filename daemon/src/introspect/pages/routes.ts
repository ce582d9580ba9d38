/**
 * Route pages: unicast IPv4 and IPv6, multicast, bridge (two names for one table) and EVPN (introspect reference 2.3, 3).
 */
import type { BridgeRoute, Path, Peer, Route, Tables, Vrf } from '../../model/tables.ts'
import { flag, i32, text, u16 } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { agentError } from '../errors.ts'
import { nexthopOf, vrfOf } from '../lookup.ts'
import { type Filter, listResponse, type PagedTable, type Pager, page, pagerOf } from '../paging.ts'
import { request } from '../request.ts'
import type { Message, Messages, Value } from '../wire.ts'
import { EMPTY_NH, nexthopToSandesh } from './nexthop.ts'
import {
  type pathSandeshData,
  routeEvpnSandeshData,
  routeL2SandeshData,
  routeMcSandeshData,
  routeUcSandeshData,
} from './routes-schema.ts'

type PathSandeshData = Value<typeof pathSandeshData>

const inet4Response = listResponse('Inet4UcRouteResp', 'route_list', routeUcSandeshData)
const inet6Response = listResponse('Inet6UcRouteResp', 'route_list', routeUcSandeshData)
const mplsResponse = listResponse('Inet4MplsUcRouteResp', 'route_list', routeUcSandeshData)
const multicastResponse = listResponse('Inet4McRouteResp', 'route_list', routeMcSandeshData)
const layer2Response = listResponse('Layer2RouteResp', 'route_list', routeL2SandeshData)
const bridgeResponse = listResponse('BridgeRouteResp', 'route_list', routeL2SandeshData)
const evpnResponse = listResponse('EvpnRouteResp', 'route_list', routeEvpnSandeshData)

const unicastArgs = { vrf_index: i32(), src_ip: text, prefix_len: u16(), stale: flag }
const bridgeArgs = { vrf_index: i32(), mac: text, stale: flag }
const multicastArgs = { vrf_index: i32(), stale: flag, src_ip: text, grp_ip: text }

export const routeRequests = [
  request('Inet4UcRouteReq', unicastArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(exact(inet4Table(context, vrf), args), {})),
  ),
  request('Inet4MplsUcRouteReq', unicastArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(mplsTable(vrf), {})),
  ),
  request('Inet6UcRouteReq', unicastArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(exact(inet6Table(context, vrf), args), {})),
  ),
  request('Inet4McRouteReq', multicastArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(multicastTable(vrf), {})),
  ),
  request('Layer2RouteReq', bridgeArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(bridgeTable(context, vrf, layer2Response), {})),
  ),
  request('BridgeRouteReq', bridgeArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(bridgeTable(context, vrf), { mac: args.mac })),
  ),
  request('EvpnRouteReq', bridgeArgs, (args, context) =>
    inVrf(context, args.vrf_index, (vrf) => page(evpnTable(context, vrf), {})),
  ),
  request('UnresolvedRoute', {}, (_, context) => inVrf(context, 0, (vrf) => [unresolvedRoutes(context, vrf)])),
]

function inVrf(context: IntrospectContext, id: number, answer: (vrf: Vrf) => Messages): Messages {
  const vrf = vrfOf(context.tables(), id)
  return vrf === undefined ? agentError() : answer(vrf)
}

/** Routes of the fabric VRF whose nexthop isn't known: one message, not paged. */
function unresolvedRoutes(context: IntrospectContext, vrf: Vrf): Message {
  const tables = context.tables()
  const routes = (tables.inet.get(vrf.id) ?? []).filter((route) => nexthopOf(tables, route.nexthop)?.isValid !== true)
  return inet4Response(routes.map((route) => unicastToSandesh(route, vrf, tables)))
}

/** Endings of the tables' names, behind the VRF's name. */
const TABLES: readonly (readonly [string, (context: IntrospectContext, vrf: Vrf) => Pager])[] = [
  ['.uc.route.0', (context, vrf) => pagerOf(inet4Table(context, vrf))],
  ['.uc.route6.0', (context, vrf) => pagerOf(inet6Table(context, vrf))],
  ['.uc.route.3', (_, vrf) => pagerOf(mplsTable(vrf))],
  ['.mc.route.0', (_, vrf) => pagerOf(multicastTable(vrf))],
  ['.evpn.route.0', (context, vrf) => pagerOf(evpnTable(context, vrf))],
  ['.l2.route.0', (context, vrf) => pagerOf(bridgeTable(context, vrf))],
]

/** The route table with that name, for PageReq. */
export function routePager(context: IntrospectContext, name: string): Pager | undefined {
  for (const [ending, pager] of TABLES) {
    if (!name.endsWith(ending)) continue
    const vrfName = name.slice(0, -ending.length)
    const vrf = context.tables().vrfs.find((candidate) => candidate.name === vrfName)
    return vrf && pager(context, vrf)
  }
  return undefined
}

/** With a source address: that very prefix. The page keys don't carry this filter. */
function exact(
  table: PagedTable<Route>,
  { src_ip, prefix_len }: { src_ip: string; prefix_len: number },
): PagedTable<Route> {
  if (src_ip === '') return table
  const isAsked = (route: Route) => route.address === src_ip && route.prefixLength === prefix_len
  return { ...table, matches: (filter) => table.matches(filter).filter(isAsked) }
}

function inet4Table(context: IntrospectContext, vrf: Vrf): PagedTable<Route> {
  return unicastTable(context, vrf, `${vrf.name}.uc.route.0`, context.tables().inet.get(vrf.id) ?? [], inet4Response)
}

function inet6Table(context: IntrospectContext, vrf: Vrf): PagedTable<Route> {
  return unicastTable(context, vrf, `${vrf.name}.uc.route6.0`, context.tables().inet6.get(vrf.id) ?? [], inet6Response)
}

function unicastTable(
  context: IntrospectContext,
  vrf: Vrf,
  name: string,
  routes: readonly Route[],
  response: typeof inet4Response,
): PagedTable<Route> {
  const tables = context.tables()
  return {
    name,
    size: routes.length,
    filterKeys: [],
    matches: () => routes,
    response: (rows) => response(rows.map((route) => unicastToSandesh(route, vrf, tables))),
  }
}

/** Labelled unicast and multicast routes don't exist yet: their tables are empty. */
function mplsTable(vrf: Vrf): PagedTable<never> {
  return { name: `${vrf.name}.uc.route.3`, size: 0, filterKeys: [], matches: () => [], response: mplsResponse }
}

function multicastTable(vrf: Vrf): PagedTable<never> {
  return { name: `${vrf.name}.mc.route.0`, size: 0, filterKeys: [], matches: () => [], response: multicastResponse }
}

function bridgeTable(context: IntrospectContext, vrf: Vrf, response = bridgeResponse): PagedTable<BridgeRoute> {
  const tables = context.tables()
  const routes = tables.bridge.get(vrf.id) ?? []
  return {
    name: `${vrf.name}.l2.route.0`,
    size: routes.length,
    filterKeys: ['mac'],
    matches: ({ mac = '' }: Filter) => routes.filter((route) => route.mac.includes(mac)),
    response: (rows) =>
      response(
        rows.map((route) => ({
          mac: route.mac,
          src_vrf: vrf.name,
          path_list: [bridgePath(route, route.peer, vrf, tables)],
        })),
      ),
  }
}

/** An EVPN entry: a MAC alone, or a MAC with an address of its owner. */
interface EvpnRoute {
  readonly route: BridgeRoute
  readonly address: string
  readonly prefixLength: number
}

function evpnTable(context: IntrospectContext, vrf: Vrf): PagedTable<EvpnRoute> {
  const tables = context.tables()
  const rows = (tables.bridge.get(vrf.id) ?? []).flatMap(evpnRoutes)
  return {
    name: `${vrf.name}.evpn.route.0`,
    size: rows.length,
    filterKeys: [],
    matches: () => rows,
    response: (shown) =>
      evpnResponse(
        shown.map(({ route, address, prefixLength }) => ({
          mac: `0-${route.mac}-${address}/${prefixLength}`,
          src_vrf: '',
          ip_addr: address,
          path_list: [bridgePath(route, route.peer === 'EVPN' ? 'LocalVmPort' : route.peer, vrf, tables)],
        })),
      ),
  }
}

function evpnRoutes(route: BridgeRoute): EvpnRoute[] {
  const macOnly = { route, address: '0.0.0.0', prefixLength: 0 }
  if (route.address === undefined) return [macOnly]
  return [macOnly, { route, address: route.address, prefixLength: route.address.includes(':') ? 128 : 32 }]
}

function unicastToSandesh(route: Route, vrf: Vrf, tables: Tables): Value<typeof routeUcSandeshData> {
  return {
    src_ip: route.address,
    src_plen: route.prefixLength,
    src_vrf: vrf.name,
    path_list: route.paths.map((path) => unicastPath(path, route, tables)),
    ipam_subnet_route: route.kind === 'subnet',
    ipam_host_route: isIpamHostRoute(route),
    proxy_arp: route.kind === 'gateway' || route.kind === 'service',
    multicast: false,
    intf_route_type: 'interface',
  }
}

function isIpamHostRoute(route: Route): boolean {
  switch (route.kind) {
    case 'gateway':
    case 'service':
    case 'pod':
    case 'remote-pod':
    case 'ecmp':
      return route.prefixLength === (route.address.includes(':') ? 128 : 32)
    case 'subnet':
    case 'remote-block':
    case 'fabric':
    case 'neighbour':
    case 'metadata':
    case 'receive':
    case 'node':
    case 'snat':
    case 'service-network':
      return false
    default: {
      const never: never = route.kind
      return never
    }
  }
}

function unicastPath(path: Path, route: Route, tables: Tables): PathSandeshData {
  const label = path.label ?? (route.kind === 'receive' ? 0 : -1)
  const indirect = path.gateway === undefined ? {} : indirectFields(path.gateway, tables)
  return {
    ...commonPath(path.peer, label, path.preference, path.vn),
    nh: path.gateway === undefined ? nexthopToSandesh(nexthopOf(tables, path.nexthop), tables) : EMPTY_NH,
    ...indirect,
    ...encapsulations(route.kind),
  }
}

function indirectFields(gateway: string, tables: Tables): PathSandeshData {
  const fabric = tables.inet.get(0) ?? []
  const host = fabric.find((route) => route.address === gateway && route.prefixLength === 32)
  const isResolved = host !== undefined && nexthopOf(tables, host.nexthop)?.isValid === true
  return { unresolved: String(!isResolved), gw_ip: gateway, vrf: vrfOf(tables, 0)?.name ?? '' }
}

/** The bitmap of encapsulations, as text, and the one in use. */
function encapsulations(kind: Route['kind']): PathSandeshData {
  switch (kind) {
    case 'receive':
      return { supported_tunnel_type: 'MPLSoGRE MPLSoUDP VxLANUnderlay', active_tunnel_type: 'Native' }
    case 'fabric':
    case 'neighbour':
      return { supported_tunnel_type: 'Underlay', active_tunnel_type: 'Native' }
    case 'pod':
    case 'remote-pod':
    case 'remote-block':
    case 'node':
    case 'ecmp':
    case 'metadata':
      return { supported_tunnel_type: 'MPLSoGRE MPLSoUDP ', active_tunnel_type: 'MPLSoUDP' }
    case 'subnet':
    case 'gateway':
    case 'service':
    case 'snat':
    case 'service-network':
      return ANY_TUNNEL
    default: {
      const never: never = kind
      return never
    }
  }
}

const ANY_TUNNEL: PathSandeshData = {
  supported_tunnel_type: 'MPLSoGRE MPLSoUDP VxLAN',
  active_tunnel_type: 'MPLSoUDP',
}

/** Preference of a local workload that has been seen sending. */
const SEEN = 200
const UNSEEN = 100

function bridgePath(route: BridgeRoute, peer: Peer, vrf: Vrf, tables: Tables): PathSandeshData {
  const preference = route.peer === 'EVPN' ? SEEN : UNSEEN
  return {
    ...commonPath(peer, route.label ?? -1, preference, vrf.vn ?? ''),
    nh: nexthopToSandesh(nexthopOf(tables, route.nexthop), tables),
    ...ANY_TUNNEL,
  }
}

function commonPath(peer: Peer, label: number, preference: number, vn: string): PathSandeshData {
  return {
    label,
    vxlan_id: 0,
    peer: typeof peer === 'string' ? peer : peer.address,
    dest_vn_list: vn === '' ? [] : [vn],
    unresolved: 'false',
    sg_list: [],
    stale: false,
    path_preference_data: {
      sequence: 0,
      preference,
      ecmp: false,
      ...(typeof peer === 'string' && peer !== 'Ecmp' ? { wait_for_traffic: preference < SEEN } : {}),
    },
    active_label: label,
    ecmp_hashing_fields: 'l3-source-address,l3-destination-address,l4-protocol,l4-source-port,l4-destination-port,',
    communities: [],
    peer_sequence_number: 0,
    tag_list: [],
  }
}
