/**
 * The model's tables as the entries of the maps: key bytes -> value bytes, both as latin1 strings (see delta.ts). Pure.
 *
 * Lists of routes are large and mostly the same from one set of tables to the next: a list that the model hands over again is not
 * encoded again.
 */
import { ip4Number, ip6Bytes, macBytes } from '../maps/addresses.ts'
import {
  BRIDGE_FLOOD_DHCP,
  BRIDGE_LABEL_VALID,
  BRIDGE_VALID,
  LABEL_NONE,
  ROUTE_ARP_FLOOD,
  ROUTE_ARP_PROXY,
  ROUTE_ARP_TRAP,
  ROUTE_HAS_MAC,
  ROUTE_LABEL_VALID,
  VRF_VALID,
} from '../maps/constants.ts'
import type { MapName } from '../maps/definitions.ts'
import {
  bridgeEntryCodec,
  bridgeKeyCodec,
  type Codec,
  compositeCodec,
  nexthopCodec,
  type RouteStruct,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  route6LpmKeyCodec,
  routeCodec,
  type VifStruct,
  vifCodec,
  vrfCodec,
} from '../maps/structs.ts'
import { u32Codec } from '../maps/table.ts'
import type { BridgeRoute, Route, Tables, Vif, Vrf } from '../model/tables.ts'
import { encodeComposite, encodeNexthop, vifTypeNumbers } from './encode-nexthop.ts'

/** The maps that hold desired state, in the order in which they are written; deletions go the other way round. */
export const TABLE_MAPS = [
  'vrfs',
  'composites',
  'nexthops',
  'mpls',
  'bridge',
  'route6_lpm',
  'route6_host',
  'route4_lpm',
  'route4_host',
  'vif_devices',
  'vifs',
] as const satisfies readonly MapName[]

export type TableMap = (typeof TABLE_MAPS)[number]

export type EncodedTables = { readonly [map in TableMap]: ReadonlyMap<string, string> }

type Entries = Map<string, string>

/** Yields now and then, so that the caller can give the event loop a turn. */
export function* encodeTables(tables: Tables): Generator<void, EncodedTables> {
  const vifs = new Map(tables.vifs.map((vif) => [vif.id, vif]))
  const encoded = Object.fromEntries(TABLE_MAPS.map((name) => [name, new Map()])) as { [map in TableMap]: Entries }

  for (const vrf of tables.vrfs) encoded.vrfs.set(text(u32Codec, vrf.id), text(vrfCodec, encodeVrf(vrf)))
  for (const nexthop of tables.nexthops) {
    encoded.nexthops.set(text(u32Codec, nexthop.id), text(nexthopCodec, encodeNexthop(nexthop, vifs)))
    const composite = encodeComposite(nexthop)
    if (composite) encoded.composites.set(text(u32Codec, nexthop.id), text(compositeCodec, composite))
  }
  yield
  for (const { label, nexthop } of tables.labels) encoded.mpls.set(text(u32Codec, label), text(u32Codec, nexthop))
  for (const vif of tables.vifs) {
    encoded.vifs.set(text(u32Codec, vif.ifindex), text(vifCodec, encodeVif(vif)))
    encoded.vif_devices.set(text(u32Codec, vif.id), text(u32Codec, vif.ifindex))
  }
  yield
  for (const [vrf, routes] of tables.inet) {
    const { host, lpm } = yield* encodedRoutes(vrf, routes, encodeRoutes4)
    addAll(encoded.route4_host, host)
    addAll(encoded.route4_lpm, lpm)
    yield
  }
  for (const [vrf, routes] of tables.inet6) {
    const { host, lpm } = yield* encodedRoutes(vrf, routes, encodeRoutes6)
    addAll(encoded.route6_host, host)
    addAll(encoded.route6_lpm, lpm)
    yield
  }
  for (const [vrf, routes] of tables.bridge) {
    for (const route of routes) {
      const key = text(bridgeKeyCodec, { mac: macBytes(route.mac), vrf })
      encoded.bridge.set(key, text(bridgeEntryCodec, encodeBridgeRoute(route)))
    }
    yield
  }
  return encoded
}

// ---- routes ----------------------------------------------------------------------------------------------------------

interface RouteEntries {
  readonly host: Entries
  readonly lpm: Entries
}

/** Routes encoded before the event loop gets a turn. */
const SLICE = 1000

const cache = new WeakMap<readonly Route[], { readonly vrf: number; readonly entries: RouteEntries }>()

function* encodedRoutes(
  vrf: number,
  routes: readonly Route[],
  encodeList: (vrf: number, routes: readonly Route[], into: RouteEntries) => void,
): Generator<void, RouteEntries> {
  const known = cache.get(routes)
  if (known?.vrf === vrf) return known.entries
  const entries: RouteEntries = { host: new Map(), lpm: new Map() }
  for (let at = 0; at < routes.length; at += SLICE) {
    encodeList(vrf, routes.slice(at, at + SLICE), entries)
    yield
  }
  cache.set(routes, { vrf, entries })
  return entries
}

function encodeRoutes4(vrf: number, routes: readonly Route[], into: RouteEntries): void {
  for (const route of routes) {
    const value = text(routeCodec, encodeRoute(route))
    const ip = ip4Number(route.address)
    if (route.prefixLength === 32) into.host.set(text(route4KeyCodec, { vrf, ip }), value)
    else into.lpm.set(text(route4LpmKeyCodec, { prefixlen: 32 + route.prefixLength, vrf, ip }), value)
  }
}

function encodeRoutes6(vrf: number, routes: readonly Route[], into: RouteEntries): void {
  for (const route of routes) {
    const value = text(routeCodec, encodeRoute(route))
    const ip = ip6Bytes(route.address)
    if (route.prefixLength === 128) into.host.set(text(route6KeyCodec, { vrf, ip }), value)
    else into.lpm.set(text(route6LpmKeyCodec, { prefixlen: 32 + route.prefixLength, vrf, ip }), value)
  }
}

const NO_MAC = new Uint8Array(6)

export function encodeRoute(route: Route): RouteStruct {
  return {
    nh: route.nexthop,
    label: route.label ?? LABEL_NONE,
    macIndex: route.stitchedMac === undefined ? LABEL_NONE : (route.bridgeIndex ?? LABEL_NONE),
    mac: route.stitchedMac === undefined ? NO_MAC : macBytes(route.stitchedMac),
    flags:
      (route.label === undefined ? 0 : ROUTE_LABEL_VALID) |
      (route.flags.arpProxy ? ROUTE_ARP_PROXY : 0) |
      (route.flags.arpFlood ? ROUTE_ARP_FLOOD : 0) |
      (route.flags.arpTrap ? ROUTE_ARP_TRAP : 0) |
      (route.stitchedMac === undefined ? 0 : ROUTE_HAS_MAC),
    plen: route.prefixLength,
  }
}

// ---- the other tables ------------------------------------------------------------------------------------------------

export function encodeVif(vif: Vif): VifStruct {
  return {
    id: vif.id,
    ifindex: vif.ifindex,
    flags: vif.flags,
    vrf: vif.vrf,
    nhId: vif.flowNexthop,
    mtu: vif.mtu,
    maxFlows: vif.maxFlows,
    label: vif.label ?? 0,
    type: vifTypeNumbers[vif.type],
    mac: macBytes(vif.mac),
    peerMac: vif.peerMac === undefined ? NO_MAC : macBytes(vif.peerMac),
    ip4: vif.ip4 === undefined ? 0 : ip4Number(vif.ip4),
    ip6: vif.ip6 === undefined ? new Uint8Array(16) : ip6Bytes(vif.ip6),
    name: vif.name,
  }
}

function encodeVrf(vrf: Vrf) {
  return { flags: VRF_VALID, label: vrf.label ?? 0, nh: vrf.nexthop ?? 0, forwardingVrf: vrf.forwardingVrf }
}

function encodeBridgeRoute(route: BridgeRoute) {
  return {
    nh: route.nexthop,
    label: route.label ?? LABEL_NONE,
    flags:
      BRIDGE_VALID | (route.label === undefined ? 0 : BRIDGE_LABEL_VALID) | (route.floodDhcp ? BRIDGE_FLOOD_DHCP : 0),
    index: route.index,
    packets: 0n,
  }
}

/** Bytes of `bridge_entry` that the datapath counts in: not compared, and kept when the rest is rewritten. */
export const BRIDGE_COUNTER_AT = bridgeEntryCodec.size - 8

function text<T>(codec: Codec<T>, value: T): string {
  const bytes = Buffer.allocUnsafe(codec.size)
  codec.encode(value, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  return bytes.toString('latin1')
}

function addAll(target: Entries, source: Entries): void {
  for (const [key, value] of source) target.set(key, value)
}
