/**
 * `rt`: the routes and bridge entries of one VRF (vRouter reference §3.2).
 *
 * The vRouter kept routes in tries of 8-bit steps and dumped their leaves. Here each programmed route is one row under its own
 * prefix, ordered by prefix; the destination's length therefore always equals PPL. What a trie's empty root stood for, the way of
 * packets that no route covers, is shown as the last resort that it is: 0.0.0.0/0 (::/0) to the discard nexthop, PPL 0.
 */
import { ip4Number, ip4Text, ip6Bytes, ip6Text, macText, mask4, mask6 } from '../maps/addresses.ts'
import { bridgeEntry } from '../maps/bridge.ts'
import { BRIDGE_LABEL_VALID, LABEL_NONE, NH_ID_DISCARD, ROUTE_HAS_MAC, ROUTE_LABEL_VALID } from '../maps/constants.ts'
import type { PinnedMaps } from '../maps/open.ts'
import type { RouteTables } from '../maps/routes.ts'
import type { RouteStruct } from '../maps/structs.ts'
import { vrfById } from '../maps/vrfs.ts'
import { notSupportedError, responseError, usageError } from './errors.ts'
import {
  type BridgeRow,
  formatBridge,
  formatBridgeHeader,
  formatBridgeRow,
  formatMatch,
  formatRoutes,
  type InetFamily,
  type RouteRow,
} from './format-rt.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: rt --dump <vrf_id> [--family <inet|inet6|bridge>]
       rt --get <address/plen|mac> --vrf <vrf_id> [--family <inet|inet6|bridge>]
       rt --help

--dump    Dumps the routing table corresponding to vrf_id
--get     Displays routing information for <address/plen> or <mac> in vrf_id
--family  inet, inet6 or bridge (default: inet)
--json    Prints JSON
--pins DIR  Folder of the vRouter's pins (default: VROUTER_PINS)
--help    Prints this help message
`

export const tool: Tool = {
  name: 'rt',
  usage,
  usageStatus: 1,
  options: [
    { long: 'dump', short: 'b', takesValue: true },
    { long: 'get', takesValue: true },
    { long: 'vrf', short: 'v', takesValue: true },
    { long: 'family', short: 'f', takesValue: true },
    { long: 'monitor' },
    { long: 'cmd' },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

type Family = InetFamily | 'bridge'

/** By name, and by the number that the short option -f takes. */
const FAMILIES: Readonly<Record<string, Family>> = {
  inet: 'inet',
  inet6: 'inet6',
  bridge: 'bridge',
  0: 'inet',
  1: 'bridge',
  2: 'inet6',
}

async function run(request: Request): Promise<void> {
  const verb = requireVerb(tool, request, ['dump', 'get', 'monitor', 'cmd'])
  if (verb === 'monitor')
    throw notSupportedError('rt --monitor', 'repeat rt --dump, or watch the Inet4UcRouteReq page of introspect')
  if (verb === 'cmd') throw notSupportedError('rt --cmd', 'routes belong to the daemon: change the object behind them')
  const familyText = request.options.get('family') ?? 'inet'
  const family = Object.hasOwn(FAMILIES, familyText) ? FAMILIES[familyText]! : undefined
  if (!family) throw usageError(`rt: unknown family '${familyText}'`)
  const vrf = numberOption(tool, request, verb === 'dump' ? 'dump' : 'vrf')
  if (vrf === undefined) throw usageError('rt: --get needs --vrf')
  const query = request.options.get('get')
  const target = query === undefined ? undefined : parseTarget(family, query)
  const maps = request.maps()
  if (!vrfById(maps.vrfs, vrf)) throw responseError('ENOENT')
  if (target) get(request, maps, vrf, target)
  else dump(request, maps, vrf, family)
}

/* ---- dump --------------------------------------------------------------------------------------------------------- */

function dump(request: Request, maps: PinnedMaps, vrf: number, family: Family): void {
  if (family === 'bridge') {
    const rows = bridgeRows(maps, vrf)
    if (request.isJson) request.printJson({ vrf, family, entries: rows })
    else request.print(formatBridge(vrf, rows))
    return
  }
  const rows = family === 'inet' ? routes4(maps.routes, vrf) : routes6(maps.routes, vrf)
  if (request.isJson) request.printJson({ vrf, family, routes: rows })
  else request.print(formatRoutes(family, vrf, rows))
}

function routes4(tables: RouteTables, vrf: number): RouteRow[] {
  const found: { readonly ip: number; readonly length: number; readonly route: RouteStruct }[] = []
  for (const [key, route] of tables.lpm4.entries()) {
    if (key.vrf === vrf) found.push({ ip: key.ip, length: key.prefixlen - VRF_BITS, route })
  }
  for (const [key, route] of tables.host4.entries()) if (key.vrf === vrf) found.push({ ip: key.ip, length: 32, route })
  found.sort((a, b) => a.ip - b.ip || a.length - b.length)
  return withDefault(
    found.map(({ ip, length, route }) => toRow(ip4Text(ip), length, route)),
    '0.0.0.0',
  )
}

function routes6(tables: RouteTables, vrf: number): RouteRow[] {
  const found: { readonly ip: Uint8Array; readonly length: number; readonly route: RouteStruct }[] = []
  for (const [key, route] of tables.lpm6.entries()) {
    if (key.vrf === vrf) found.push({ ip: key.ip, length: key.prefixlen - VRF_BITS, route })
  }
  for (const [key, route] of tables.host6.entries()) if (key.vrf === vrf) found.push({ ip: key.ip, length: 128, route })
  found.sort((a, b) => Buffer.compare(a.ip, b.ip) || a.length - b.length)
  return withDefault(
    found.map(({ ip, length, route }) => toRow(ip6Text(ip), length, route)),
    '::',
  )
}

/** Prefix lengths in the LPM maps count the VRF too. */
const VRF_BITS = 32

function toRow(address: string, prefixLength: number, route: RouteStruct): RouteRow {
  const hasMac = (route.flags & ROUTE_HAS_MAC) !== 0 && route.macIndex !== LABEL_NONE
  return {
    address,
    prefixLength,
    programmedPrefixLength: route.plen,
    flags: route.flags,
    label: (route.flags & ROUTE_LABEL_VALID) !== 0 ? route.label : undefined,
    nexthop: route.nh,
    stitchedMac: hasMac ? macText(route.mac) : undefined,
    macIndex: hasMac ? route.macIndex : undefined,
  }
}

function withDefault(rows: RouteRow[], unspecified: string): RouteRow[] {
  return rows[0]?.prefixLength === 0 ? rows : [lastResort(unspecified), ...rows]
}

/** What happens to packets that no route covers. */
function lastResort(unspecified: string): RouteRow {
  return { address: unspecified, prefixLength: 0, programmedPrefixLength: 0, flags: 0, nexthop: NH_ID_DISCARD }
}

function bridgeRows(maps: PinnedMaps, vrf: number): BridgeRow[] {
  const rows: BridgeRow[] = []
  for (const [key, entry] of maps.bridge.entries()) {
    if (key.vrf !== vrf) continue
    const { index, flags, nh: nexthop, packets } = entry
    const label = (flags & BRIDGE_LABEL_VALID) !== 0 ? entry.label : undefined
    rows.push({ index, mac: macText(key.mac), flags, label, nexthop, packets })
  }
  return rows.sort((a, b) => a.index - b.index)
}

/* ---- get ---------------------------------------------------------------------------------------------------------- */

/** What --get asks for; addresses with the bits behind the prefix cleared. */
type Target =
  | { readonly family: 'inet'; readonly ip: number; readonly length: number }
  | { readonly family: 'inet6'; readonly ip: Uint8Array; readonly length: number }
  | { readonly family: 'bridge'; readonly mac: string }

function parseTarget(family: Family, text: string): Target {
  if (family === 'bridge') {
    const octets = text.split(':')
    if (octets.length !== 6 || !octets.every((octet) => /^[0-9a-f]{1,2}$/i.test(octet))) {
      throw usageError(`rt: '${text}' is not a MAC address`)
    }
    return { family, mac: octets.map((octet) => octet.padStart(2, '0').toLowerCase()).join(':') }
  }
  const [address = '', lengthText] = text.split('/')
  const bits = family === 'inet' ? 32 : 128
  const length = lengthText === undefined ? bits : /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : Number.NaN
  if (!(length <= bits)) throw usageError(`rt: the prefix length of '${text}' is not a number from 0 to ${bits}`)
  try {
    if (family === 'inet') return { family, ip: mask4(ip4Number(address), length), length }
    return { family, ip: mask6(ip6Bytes(address), length), length }
  } catch {
    throw usageError(`rt: '${address}' is not an ${family} address`)
  }
}

function get(request: Request, maps: PinnedMaps, vrf: number, target: Target): void {
  if (target.family === 'bridge') {
    const entry = bridgeEntry(maps.bridge, vrf, target.mac)
    if (!entry) throw responseError('ENOENT')
    // The vRouter answers this request without the packet count.
    if (request.isJson) request.printJson({ vrf, family: target.family, entry })
    else
      request.print(
        formatMatch('bridge', vrf, target.mac) + formatBridgeHeader(vrf) + formatBridgeRow({ ...entry, packets: 0 }),
      )
    return
  }
  const row = target.family === 'inet' ? lookup4(maps.routes, vrf, target) : lookup6(maps.routes, vrf, target)
  const asked = `${target.family === 'inet' ? ip4Text(target.ip) : ip6Text(target.ip)}/${target.length}`
  if (request.isJson) request.printJson({ vrf, family: target.family, match: asked, route: row })
  else request.print(formatMatch(target.family, vrf, asked) + formatRoutes(target.family, vrf, [row]))
}

/** As the datapath looks up: the host route, then the longest prefix. A shorter question finds no longer prefix than itself. */
export function lookup4(tables: RouteTables, vrf: number, { ip, length }: { ip: number; length: number }): RouteRow {
  const host = length === 32 ? tables.host4.get({ vrf, ip }) : undefined
  if (host) return toRow(ip4Text(ip), 32, host)
  const route = tables.lpm4.get({ prefixlen: VRF_BITS + length, vrf, ip })
  return route ? toRow(ip4Text(mask4(ip, route.plen)), route.plen, route) : lastResort('0.0.0.0')
}

export function lookup6(
  tables: RouteTables,
  vrf: number,
  { ip, length }: { ip: Uint8Array; length: number },
): RouteRow {
  const host = length === 128 ? tables.host6.get({ vrf, ip }) : undefined
  if (host) return toRow(ip6Text(ip), 128, host)
  const route = tables.lpm6.get({ prefixlen: VRF_BITS + length, vrf, ip })
  return route ? toRow(ip6Text(mask6(ip, route.plen)), route.plen, route) : lastResort('::')
}
