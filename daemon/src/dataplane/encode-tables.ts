/**
 * The model's tables as the entries of the maps: key bytes -> value bytes, both as latin1 strings (see delta.ts). Pure.
 *
 * Lists are long and mostly the same from one set of tables to the next: only what is different is encoded again. Of routes the model tells what that is.
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
import { type MapName, mapDefinitions } from '../maps/definitions.ts'
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
import { bridgeChanges } from '../model/bridge-list.ts'
import { compareLists } from '../model/rib/route-changes.ts'
import type {
  BridgeRoute,
  LabelEntry,
  NumberedNexthop,
  Route,
  RouteLog,
  Tables,
  TunnelPeer,
  Vif,
  Vrf,
} from '../model/tables.ts'
import {
  encodeComposite,
  encodeNexthop,
  isComposite,
  type NumberedComposite,
  vifOf,
  vifTypeNumbers,
} from './encode-nexthop.ts'
import { type Entries, ListEncoder } from './list-encoder.ts'
import { type Held, ServiceEncoder, type ServiceEncoderOptions, type ServiceMap } from './services/service-encoder.ts'

/** The maps that hold desired state, in the order in which they are written; deletions go the other way round. */
export const TABLE_MAPS = [
  'peers4',
  'peers6',
  'vrfs',
  'composites',
  'nexthops',
  'mpls',
  'service_backs',
  'service_ranges',
  'service_fronts',
  'node_ports',
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

/** What isn't known, such as what Services there are, is absent: those maps stay as they are. */
export type EncodedTables = { readonly [map in Exclude<TableMap, ServiceMap>]: ReadonlyMap<string, string> } & {
  readonly [map in ServiceMap]?: ReadonlyMap<string, string>
}

/** Tables of which only some entries are different from those of the call before, and which. The maps are the same maps. */
export type Touched = { readonly [map in TableMap]?: ReadonlySet<string> }

export interface Encoding {
  readonly tables: EncodedTables
  readonly touched: Touched
  /** Numbers of service ports that are new: what was counted under them isn't theirs. */
  readonly newServices: readonly number[]
}

const NOTHING_HELD: Held = { known: () => new Map() }

/** For one set of tables; see Encoder for a series of them. */
export function* encodeTables(tables: Tables): Generator<void, EncodedTables> {
  return (yield* new Encoder().encode(tables)).tables
}

/** Encodes one set of tables after the other, of each only what is different from the last one. */
export class Encoder {
  readonly services: ServiceEncoder
  readonly #routes4 = new VrfListEncoder<'route4_host' | 'route4_lpm', Route>({
    maps: ['route4_host', 'route4_lpm'],
    keyOf: keyOfRoute4,
    encode: (route) => text(routeCodec, encodeRoute(route)),
  })
  readonly #routes6 = new VrfListEncoder<'route6_host' | 'route6_lpm', Route>({
    maps: ['route6_host', 'route6_lpm'],
    keyOf: keyOfRoute6,
    encode: (route) => text(routeCodec, encodeRoute(route)),
  })
  readonly #bridge = new VrfListEncoder<'bridge', BridgeRoute>({
    maps: ['bridge'],
    keyOf: (vrf, { mac }) => ['bridge', text(bridgeKeyCodec, { mac: macBytes(mac), vrf })],
    encode: (entry) => text(bridgeEntryCodec, encodeBridgeRoute(entry)),
  })
  readonly #vrfs = new ListEncoder<Vrf>({
    encode: (vrf) => [text(u32Codec, vrf.id), text(vrfCodec, encodeVrf(vrf))],
  })
  readonly #nexthops = new ListEncoder<NumberedNexthop>({
    encode: (nexthop) => [text(u32Codec, nexthop.id), text(nexthopCodec, encodeNexthop(nexthop, this.#byId))],
    basisOf: ({ nexthop }) => this.#byId.get(vifOf(nexthop) ?? -1),
  })
  readonly #composites = new ListEncoder<NumberedComposite>({
    encode: ({ id, nexthop }) => [text(u32Codec, id), text(compositeCodec, encodeComposite(nexthop))],
  })
  readonly #labels = new ListEncoder<LabelEntry>({
    encode: ({ label, nexthop }) => [text(u32Codec, label), text(u32Codec, nexthop)],
  })
  readonly #vifs = new ListEncoder<Vif>({
    encode: (vif) => [text(u32Codec, vif.ifindex), text(vifCodec, encodeVif(vif))],
  })
  readonly #vifDevices = new ListEncoder<Vif>({
    encode: (vif) => [text(u32Codec, vif.id), text(u32Codec, vif.ifindex)],
  })
  #byId: ReadonlyMap<number, Vif> = new Map()
  #peers: { readonly list: readonly TunnelPeer[]; readonly peers4: Entries; readonly peers6: Entries } | undefined
  /** The last call came to its end: what it told of changes was heard. */
  #isWhole = false

  constructor(services: ServiceEncoderOptions = { capacity: mapDefinitions.service_backs.maxEntries }) {
    this.services = new ServiceEncoder(services)
  }

  /**
   * Yields now and then, so that the caller can give the event loop a turn. The maps are those of the next call, too. `held`: what the kernel is known
   * to hold.
   */
  encode(tables: Tables, held: Held = NOTHING_HELD): Generator<void, Encoding> {
    return this.#steps(tables, held)
  }

  *#steps(tables: Tables, held: Held): Generator<void, Encoding> {
    const wasWhole = this.#isWhole
    this.#isWhole = false
    this.#byId = new Map(tables.vifs.map((vif) => [vif.id, vif]))
    const lists = {
      vrfs: this.#vrfs.encode(tables.vrfs),
      nexthops: this.#nexthops.encode(tables.nexthops),
      composites: this.#composites.encode(tables.nexthops.filter(isComposite)),
      mpls: this.#labels.encode(tables.labels),
      vifs: this.#vifs.encode(tables.vifs),
      vif_devices: this.#vifDevices.encode(tables.vifs),
    }
    const encoded = mapValues(lists, ({ entries }) => entries)
    // Hardly a pod has any.
    const vifAddresses: Entries = new Map()
    for (const { id, moreAddresses = [] } of tables.vifs)
      for (const address of moreAddresses)
        vifAddresses.set(text(vifAddressKeyCodec, vifAddressKey(id, address)), text(u32Codec, 1))
    yield
    const bridge = yield* this.#bridge.encode(tables.bridge, entryChanges)
    const inet = yield* this.#routes4.encode(tables.inet, routeChanges(4, tables.routeLog))
    const inet6 = yield* this.#routes6.encode(tables.inet6, routeChanges(6, tables.routeLog))
    const peers = this.#encodePeers(tables.peers)
    const services = yield* this.services.encode(tables.fronts, held)
    this.#isWhole = true
    return {
      tables: {
        ...encoded,
        ...{ vif_addresses: vifAddresses },
        ...bridge.tables,
        ...peers.tables,
        ...inet.tables,
        ...inet6.tables,
        ...services?.tables,
      },
      touched: wasWhole
        ? {
            ...mapValues(lists, (list) => list.touched),
            ...bridge.touched,
            ...peers.touched,
            ...inet.touched,
            ...inet6.touched,
            ...services?.touched,
          }
        : {},
      newServices: services?.fresh ?? [],
    }
  }

  #encodePeers(list: readonly TunnelPeer[]): {
    readonly tables: Pick<EncodedTables, 'peers4' | 'peers6'>
    readonly touched: Touched
  } {
    const isSame = this.#peers?.list === list
    if (!isSame) {
      const [peers4, peers6]: [Entries, Entries] = [new Map(), new Map()]
      for (const { address, address6, nexthop } of list) {
        const value = text(peerCodec, { node: ip4Number(address), nh: nexthop ?? 0 })
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

// ---- lists of a VRF --------------------------------------------------------------------------------------------------

/** Changes encoded before the event loop gets a turn. */
const SLICE = 1000

/** What became of an object of a list: absent before, it is new; absent after, it is gone. */
interface Change<T> {
  readonly before?: T | undefined
  readonly after?: T | undefined
}

interface VrfListOptions<M extends TableMap, T> {
  readonly maps: readonly M[]
  readonly keyOf: (vrf: number, object: T) => readonly [map: M, key: string]
  readonly encode: (object: T) => string
}

/** A list of each VRF as entries of some maps: what the list of the pass before had, too, is not encoded again. */
class VrfListEncoder<M extends TableMap, T> {
  readonly #options: VrfListOptions<M, T>
  readonly #tables: { readonly [map in M]: Entries }
  #lists = new Map<number, readonly T[]>()
  /** The maps say what the lists do. */
  #isWhole = false

  constructor(options: VrfListOptions<M, T>) {
    this.#options = options
    this.#tables = perMap(options.maps, () => new Map<string, string>())
  }

  *encode(
    lists: ReadonlyMap<number, readonly T[]>,
    changesOf: (vrf: number, before: readonly T[], after: readonly T[]) => Iterable<Change<T>>,
  ): Generator<
    void,
    { readonly tables: { readonly [map in M]: Entries }; readonly touched: { readonly [map in M]: Set<string> } }
  > {
    const { maps, keyOf, encode } = this.#options
    if (!this.#isWhole) {
      this.#lists = new Map()
      for (const name of maps) this.#tables[name].clear()
    }
    this.#isWhole = false
    const touched = perMap(maps, () => new Set<string>())
    for (const vrf of new Set([...this.#lists.keys(), ...lists.keys()])) {
      const [before, after] = [this.#lists.get(vrf) ?? [], lists.get(vrf) ?? []]
      if (before === after) continue
      let count = 0
      for (const change of changesOf(vrf, before, after)) {
        const [name, key] = keyOf(vrf, (change.after ?? change.before)!)
        if (change.after === undefined) this.#tables[name].delete(key)
        else this.#tables[name].set(key, encode(change.after))
        touched[name].add(key)
        if (++count % SLICE === 0) yield
      }
      yield
    }
    this.#lists = new Map(lists)
    this.#isWhole = true
    return { tables: this.#tables, touched }
  }
}

function perMap<M extends TableMap, V>(maps: readonly M[], make: () => V): { readonly [map in M]: V } {
  return Object.fromEntries(maps.map((name) => [name, make()])) as { [map in M]: V }
}

/** By the log of the RIB, where it reaches back to the list of the pass before. */
function routeChanges(family: 4 | 6, log: RouteLog | undefined) {
  return (vrf: number, before: readonly Route[], after: readonly Route[]): Iterable<Change<Route>> =>
    log?.changesBetween(vrf, family, before, after) ?? compareLists(before, after)
}

function entryChanges(_: number, before: readonly BridgeRoute[], after: readonly BridgeRoute[]) {
  return bridgeChanges(before, after)
}

function keyOfRoute4(vrf: number, { address, prefixLength }: Route): readonly ['route4_host' | 'route4_lpm', string] {
  const ip = ip4Number(address)
  return prefixLength === 32
    ? ['route4_host', text(route4KeyCodec, { vrf, ip })]
    : ['route4_lpm', text(route4LpmKeyCodec, { prefixlen: 32 + prefixLength, vrf, ip })]
}

function keyOfRoute6(vrf: number, { address, prefixLength }: Route): readonly ['route6_host' | 'route6_lpm', string] {
  const ip = ip6Bytes(address)
  return prefixLength === 128
    ? ['route6_host', text(route6KeyCodec, { vrf, ip })]
    : ['route6_lpm', text(route6LpmKeyCodec, { prefixlen: 32 + prefixLength, vrf, ip })]
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

function mapValues<K extends string, A, B>(
  object: { readonly [key in K]: A },
  change: (value: A) => B,
): { [key in K]: B } {
  return Object.fromEntries(Object.entries<A>(object).map(([key, value]) => [key, change(value)])) as { [key in K]: B }
}
