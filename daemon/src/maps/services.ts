/**
 * Services: where one is reached (fronts), what is chosen from (backs, in blocks of one array), who may come (ranges), who stays with which endpoint
 * (affinity), and how often (counters). A front names its blocks by index: whoever reads fronts and then backs may meet a block that was exchanged in between.
 */
import { formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { AF_INET, AF_INET6 } from '@kube-vrouter/linux/netlink/family'
import { BACK_HOST, FRONT_DROP_INSIDE, FRONT_DROP_OUTSIDE, FRONT_SOURCE_RANGES, LABEL_NONE } from './constants.ts'
import { CounterTable } from './stats.ts'
import {
  type AffinityKeyStruct,
  type AffinityStruct,
  affinityCodec,
  affinityKeyCodec,
  type BackSetStruct,
  type BackStruct,
  backCodec,
  type FrontKeyStruct,
  type FrontStruct,
  frontCodec,
  frontKeyCodec,
  type NodePortsStruct,
  nodePortsCodec,
  type RangeKeyStruct,
  rangeKeyCodec,
  type ServiceStatsStruct,
  serviceStatsCodec,
} from './structs.ts'
import { Table, u32Codec } from './table.ts'

export interface ServiceTables {
  readonly fronts: Table<FrontKeyStruct, FrontStruct>
  /** An array; index -> one endpoint of a block. */
  readonly backs: Table<number, BackStruct>
  readonly ranges: Table<RangeKeyStruct, number>
  /** An array of one. */
  readonly nodePorts: Table<number, NodePortsStruct>
  readonly affinity: Table<AffinityKeyStruct, AffinityStruct>
  /** By the number of the service port. */
  readonly stats: CounterTable<ServiceStatsStruct>
}

export function serviceTables(
  map: (
    name: 'service_fronts' | 'service_backs' | 'service_ranges' | 'service_affinity' | 'service_stats' | 'node_ports',
  ) => BpfMap,
): ServiceTables {
  return {
    fronts: new Table(map('service_fronts'), frontKeyCodec, frontCodec),
    backs: new Table(map('service_backs'), u32Codec, backCodec),
    ranges: new Table(map('service_ranges'), rangeKeyCodec, u32Codec),
    nodePorts: new Table(map('node_ports'), u32Codec, nodePortsCodec),
    affinity: new Table(map('service_affinity'), affinityKeyCodec, affinityCodec),
    stats: new CounterTable(map('service_stats'), serviceStatsCodec),
  }
}

/** A front as people think of it. */
export interface KernelFront {
  /** Of the service network; 0: the underlay. */
  readonly vrf: number
  readonly address: string
  /** Number; 0, with port 0: the address itself, at which everything else is refused. */
  readonly protocol: number
  readonly port: number
  /** Number of the service port. */
  readonly service: number
  readonly inside: BackSetStruct
  readonly outside: BackSetStruct
  /** What an empty set means. */
  readonly dropsInside: boolean
  readonly dropsOutside: boolean
  readonly hasRanges: boolean
  readonly affinitySeconds: number
}

export interface KernelBack {
  readonly address: string
  readonly port: number
  readonly isHost: boolean
  readonly vrf?: number
  /** 0: by route. */
  readonly nexthop: number
  readonly label?: number
}

/** What an address is called in keys and values: 16 bytes, of IPv4 the first four. */
export function addressBytes(address: string): { readonly family: number; readonly ip: Uint8Array } {
  const bytes = parseAddress(address)
  const ip = new Uint8Array(16)
  ip.set(bytes)
  return { family: bytes.length === 4 ? AF_INET : AF_INET6, ip }
}

export function addressText(family: number, ip: Uint8Array): string {
  return formatAddress(family === AF_INET ? ip.subarray(0, 4) : ip)
}

function toFront([key, front]: readonly [FrontKeyStruct, FrontStruct]): KernelFront {
  return {
    vrf: key.vrf,
    address: addressText(key.family, key.ip),
    protocol: key.proto,
    port: key.port,
    service: front.service,
    inside: front.inside,
    outside: front.outside,
    dropsInside: (front.flags & FRONT_DROP_INSIDE) !== 0,
    dropsOutside: (front.flags & FRONT_DROP_OUTSIDE) !== 0,
    hasRanges: (front.flags & FRONT_SOURCE_RANGES) !== 0,
    affinitySeconds: front.affinityS,
  }
}

/** In slices; in no order (compareFronts sorts). */
export async function* listFronts(tables: ServiceTables): AsyncGenerator<readonly KernelFront[]> {
  for await (const slice of tables.fronts.slices()) yield slice.map(toFront)
}

/** By VRF, then address, then port, then protocol: the address itself first. */
export function compareFronts(a: KernelFront, b: KernelFront): number {
  return (
    a.vrf - b.vrf ||
    Buffer.compare(sortable(a.address), sortable(b.address)) ||
    a.port - b.port ||
    a.protocol - b.protocol
  )
}

function sortable(address: string): Uint8Array {
  const bytes = parseAddress(address)
  return bytes.length === 4 ? Buffer.concat([bytes]) : Buffer.concat([Buffer.from([0xff]), bytes])
}

/** The endpoints of one block, `family` being that of its front. */
export function backsOf(tables: ServiceTables, { first, count }: BackSetStruct, family: 4 | 6): KernelBack[] {
  const backs: KernelBack[] = []
  for (let at = first; at < Math.min(first + count, tables.backs.maxEntries); at++) {
    const back = tables.backs.get(at)
    if (!back) break
    backs.push({
      address: addressText(family === 4 ? AF_INET : AF_INET6, back.ip),
      port: back.port,
      isHost: (back.flags & BACK_HOST) !== 0,
      ...(back.vrf !== LABEL_NONE && { vrf: back.vrf }),
      nexthop: back.nh,
      ...(back.label !== LABEL_NONE && { label: back.label }),
    })
  }
  return backs
}

export interface KernelRange {
  readonly service: number
  /** `address/length`. */
  readonly source: string
}

/** Bits before the address in a range's prefix: service and family. */
export const RANGE_HEAD_BITS = 64

export async function* listRanges(tables: ServiceTables): AsyncGenerator<readonly KernelRange[]> {
  for await (const slice of tables.ranges.slices()) {
    yield slice.map(([{ prefixlen, service, family, ip }]) => ({
      service,
      source: `${addressText(family, ip)}/${prefixlen - RANGE_HEAD_BITS}`,
    }))
  }
}
