/**
 * The model's tables as the entries of the maps: key bytes -> value bytes, both as latin1 strings (see delta.ts). Pure.
 *
 * Lists of routes are large and mostly the same from one set of tables to the next: the model tells what is different, and only that is encoded again.
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
  VRF_TAKES_OUTSIDE,
  VRF_VALID,
} from '../maps/constants.ts'
import type { MapName } from '../maps/definitions.ts'
import {
  bridgeEntryCodec,
  bridgeKeyCodec,
  type Codec,
  compositeCodec,
  nexthopCodec,
  peer4KeyCodec,
  peer6KeyCodec,
  peerCodec,
  type RouteStruct,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  route6LpmKeyCodec,
  routeCodec,
  type VifStruct,
  vifAddressKeyCodec,
  vifCodec,
  vrfCodec,
} from '../maps/structs.ts'
import { u32Codec } from '../maps/table.ts'
import { vifAddressKey } from '../maps/vifs.ts'
import { compareLists } from '../model/rib/route-changes.ts'
import type { BridgeRoute, Nexthop, Route, RouteLog, Tables, TunnelPeer, Vif, Vrf } from '../model/tables.ts'
import { encodeComposite, encodeNexthop, vifTypeNumbers } from './encode-nexthop.ts'

/** The maps that hold desired state, in the order in which they are written; deletions go the other way round. */
export const TABLE_MAPS = [
  'peers4',
  'peers6',
  'vrfs',
  'composites',
  'nexthops',
  'mpls',
  'bridge',
  'route6_lpm',
  'route6_host',
  'route4_lpm',
  'route4_host',
  'vif_addresses',
  'vif_devices',
  'vifs',
] as const satisfies readonly MapName[]

export type TableMap = (typeof TABLE_MAPS)[number]

export type EncodedTables = { readonly [map in TableMap]: ReadonlyMap<string, string> }

type Entries = Map<string, string>

/** Tables of which only some entries are different from those of the call before, and which. The maps are the same maps. */
export type Touched = { readonly [map in TableMap]?: ReadonlySet<string> }

export interface Encoding {
  readonly tables: EncodedTables
  readonly touched: Touched
}

/** For one set of tables; see Encoder for a series of them. */
export function* encodeTables(tables: Tables): Generator<void, EncodedTables> {
  return (yield* new Encoder().encode(tables)).tables
}

/** Encodes one set of tables after the other. Of lists of routes, only what is different from the last one is encoded. */
export class Encoder {
  readonly #routes4 = new RouteEncoder(4, 'route4_host', 'route4_lpm', encodeRoute4)
  readonly #routes6 = new RouteEncoder(6, 'route6_host', 'route6_lpm', encodeRoute6)
  readonly #nexthops = new NexthopEncoder()
  #peers: { readonly list: readonly TunnelPeer[]; readonly peers4: Entries; readonly peers6: Entries } | undefined

  /** Yields now and then, so that the caller can give the event loop a turn. The maps of routes are those of the next call, too. */
  encode(tables: Tables): Generator<void, Encoding> {
    return this.#steps(tables)
  }

  *#steps(tables: Tables): Generator<void, Encoding> {
    const encoded = Object.fromEntries(TABLE_MAPS.map((name) => [name, new Map()])) as { [map in TableMap]: Entries }

    for (const vrf of tables.vrfs) encoded.vrfs.set(text(u32Codec, vrf.id), text(vrfCodec, encodeVrf(vrf)))
    yield
    yield* this.#nexthops.encode(tables, encoded)
    for (const { label, nexthop } of tables.labels) encoded.mpls.set(text(u32Codec, label), text(u32Codec, nexthop))
    for (const vif of tables.vifs) {
      encoded.vifs.set(text(u32Codec, vif.ifindex), text(vifCodec, encodeVif(vif)))
      for (const address of vif.moreAddresses ?? [])
        encoded.vif_addresses.set(text(vifAddressKeyCodec, vifAddressKey(vif.id, address)), text(u32Codec, 1))
      encoded.vif_devices.set(text(u32Codec, vif.id), text(u32Codec, vif.ifindex))
    }
    yield
    for (const [vrf, routes] of tables.bridge) {
      for (const route of routes) {
        const key = text(bridgeKeyCodec, { mac: macBytes(route.mac), vrf })
        encoded.bridge.set(key, text(bridgeEntryCodec, encodeBridgeRoute(route)))
      }
      yield
    }
    const inet = yield* this.#routes4.encode(tables.inet, tables.routeLog)
    const inet6 = yield* this.#routes6.encode(tables.inet6, tables.routeLog)
    const peers = this.#encodePeers(tables.peers)
    return {
      tables: { ...encoded, ...peers.tables, ...inet.tables, ...inet6.tables },
      touched: { ...peers.touched, ...inet.touched, ...inet6.touched },
    }
  }

  #encodePeers(list: readonly TunnelPeer[]): {
    readonly tables: Pick<EncodedTables, 'peers4' | 'peers6'>
    readonly touched: Touched
  } {
    const isSame = this.#peers?.list === list
    if (!isSame) {
      const [peers4, peers6]: [Entries, Entries] = [new Map(), new Map()]
      for (const { address, address6 } of list) {
        const value = text(peerCodec, { node: ip4Number(address) })
        peers4.set(text(peer4KeyCodec, { ip: ip4Number(address) }), value)
        if (address6 !== undefined) peers6.set(text(peer6KeyCodec, { ip: ip6Bytes(address6) }), value)
      }
      this.#peers = { list, peers4, peers6 }
    }
    const { peers4, peers6 } = this.#peers!
    const none = new Set<string>()
    return { tables: { peers4, peers6 }, touched: isSame ? { peers4: none, peers6: none } : {} }
  }
}

// ---- nexthops --------------------------------------------------------------------------------------------------------

interface EncodedNexthop {
  readonly nexthop: Nexthop
  readonly isValid: boolean
  readonly key: string
  readonly value: string
  readonly composite: string | undefined
}

/** One for each node and pod: encoded again are those that changed. */
class NexthopEncoder {
  #last: { readonly vifs: readonly Vif[]; readonly encoded: ReadonlyMap<number, EncodedNexthop> } | undefined;

  *encode(
    { nexthops, vifs }: Tables,
    into: Pick<{ [map in TableMap]: Entries }, 'nexthops' | 'composites'>,
  ): Generator<void> {
    // They name devices by their vifs.
    const known = vifs === this.#last?.vifs ? this.#last.encoded : undefined
    const byId = new Map(vifs.map((vif) => [vif.id, vif]))
    const encoded = new Map<number, EncodedNexthop>()
    for (const [at, numbered] of nexthops.entries()) {
      const { id, nexthop, isValid } = numbered
      let entry = known?.get(id)
      if (entry?.nexthop !== nexthop || entry.isValid !== isValid) {
        const composite = encodeComposite(numbered)
        entry = {
          nexthop,
          isValid,
          key: text(u32Codec, id),
          value: text(nexthopCodec, encodeNexthop(numbered, byId)),
          composite: composite && text(compositeCodec, composite),
        }
      }
      encoded.set(id, entry)
      into.nexthops.set(entry.key, entry.value)
      if (entry.composite !== undefined) into.composites.set(entry.key, entry.composite)
      if (at % SLICE === SLICE - 1) yield
    }
    this.#last = { vifs, encoded }
    yield
  }
}

// ---- routes ----------------------------------------------------------------------------------------------------------

type RouteMap = Extract<TableMap, `route${string}`>

/** Routes encoded before the event loop gets a turn. */
const SLICE = 1000

interface EncodedRoute {
  readonly isHost: boolean
  readonly key: string
}

class RouteEncoder<M extends RouteMap> {
  readonly #family: 4 | 6
  readonly #names: readonly [host: M, lpm: M]
  readonly #keyOf: (vrf: number, route: Route) => EncodedRoute
  readonly #host: Entries = new Map()
  readonly #lpm: Entries = new Map()
  #lists = new Map<number, readonly Route[]>()
  /** The maps say what the lists do. */
  #isWhole = false

  constructor(family: 4 | 6, host: M, lpm: M, keyOf: (vrf: number, route: Route) => EncodedRoute) {
    this.#family = family
    this.#names = [host, lpm]
    this.#keyOf = keyOf
  }

  *encode(
    lists: ReadonlyMap<number, readonly Route[]>,
    log: RouteLog | undefined,
  ): Generator<void, { readonly tables: { readonly [map in M]: Entries }; readonly touched: Touched }> {
    const wasWhole = this.#isWhole
    this.#isWhole = false
    if (!wasWhole) {
      this.#lists = new Map()
      this.#host.clear()
      this.#lpm.clear()
    }
    const [host, lpm] = [new Set<string>(), new Set<string>()]
    for (const vrf of new Set([...this.#lists.keys(), ...lists.keys()])) {
      const [before, after] = [this.#lists.get(vrf) ?? [], lists.get(vrf) ?? []]
      if (before === after) continue
      const changes = log?.changesBetween(vrf, this.#family, before, after) ?? compareLists(before, after)
      for (const [at, change] of changes.entries()) {
        const { isHost, key } = this.#keyOf(vrf, (change.after ?? change.before)!)
        const entries = isHost ? this.#host : this.#lpm
        if (change.after === undefined) entries.delete(key)
        else entries.set(key, text(routeCodec, encodeRoute(change.after)))
        if (wasWhole) (isHost ? host : lpm).add(key)
        if (at % SLICE === SLICE - 1) yield
      }
      yield
    }
    this.#lists = new Map(lists)
    this.#isWhole = true
    const [hostName, lpmName] = this.#names
    const tables = { [hostName]: this.#host, [lpmName]: this.#lpm } as { [map in M]: Entries }
    return { tables, touched: wasWhole ? { [hostName]: host, [lpmName]: lpm } : {} }
  }
}

function encodeRoute4(vrf: number, { address, prefixLength }: Route): EncodedRoute {
  const ip = ip4Number(address)
  return prefixLength === 32
    ? { isHost: true, key: text(route4KeyCodec, { vrf, ip }) }
    : { isHost: false, key: text(route4LpmKeyCodec, { prefixlen: 32 + prefixLength, vrf, ip }) }
}

function encodeRoute6(vrf: number, { address, prefixLength }: Route): EncodedRoute {
  const ip = ip6Bytes(address)
  return prefixLength === 128
    ? { isHost: true, key: text(route6KeyCodec, { vrf, ip }) }
    : { isHost: false, key: text(route6LpmKeyCodec, { prefixlen: 32 + prefixLength, vrf, ip }) }
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
  const flags = VRF_VALID | (vrf.takesOutside === true ? VRF_TAKES_OUTSIDE : 0)
  return { flags, label: vrf.label ?? 0, nh: vrf.nexthop ?? 0, forwardingVrf: vrf.forwardingVrf }
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
