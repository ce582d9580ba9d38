/**
 * What the kernel pages read: kernelOf makes it of the pinned maps, tests make it of plain arrays. Long tables come in slices,
 * the event loop getting its turn after each.
 */
import { addressFamily } from '@kube-vrouter/linux/address'
import { ip4Number, ip6Bytes } from '../maps/addresses.ts'
import { type BridgeEntry, listBridge } from '../maps/bridge.ts'
import { FLOW_ACTIVE } from '../maps/constants.ts'
import {
  type FlowCounters,
  type FlowRecord,
  type FlowTables,
  flowByIndex,
  flowCounters,
  listFlows,
  NO_CONTEXT,
} from '../maps/flows.ts'
import { type Label, listLabels, nexthopOfLabel } from '../maps/mpls.ts'
import { listNexthops, membersOf, nexthopById } from '../maps/nexthops.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { type Family, type KernelRoute, listRoutes, lookupRoute } from '../maps/routes.ts'
import { backsOf, type KernelBack, type KernelFront, listFronts } from '../maps/services.ts'
import type {
  BackSetStruct,
  CompositeMemberStruct,
  NexthopStruct,
  ServiceStatsStruct,
  VifStatsStruct,
  VifStruct,
  VrfStatsStruct,
} from '../maps/structs.ts'
import { listVifs } from '../maps/vifs.ts'
import { listVrfs } from '../maps/vrfs.ts'

export interface KernelState {
  /** By id. */
  vifs(): readonly VifStruct[]
  vifStats(id: number): VifStatsStruct | undefined
  /** Undefined: no such id, or free. */
  nexthop(id: number): NexthopStruct | undefined
  /** By id. */
  nexthops(): AsyncIterable<readonly (readonly [id: number, nexthop: NexthopStruct])[]>
  /** Of a composite nexthop. */
  members(id: number): readonly CompositeMemberStruct[]
  /** Nexthop of a label; undefined: no such label. */
  label(label: number): number | undefined
  /** Ascending. */
  labels(): readonly Label[]
  /** In no order. */
  routes(vrf: number, family: Family): AsyncIterable<readonly KernelRoute[]>
  /** The route that the datapath uses for `address`. */
  route(vrf: number, address: string): KernelRoute | undefined
  /** In no order. */
  bridge(vrf: number): AsyncIterable<readonly BridgeEntry[]>
  /** Ids of the VRFs, ascending. */
  vrfs(): readonly number[]
  vrfStats(id: number): VrfStatsStruct | undefined
  /** Where Services are reached; in no order. */
  fronts(): AsyncIterable<readonly KernelFront[]>
  /** A block of endpoints. */
  backs(set: BackSetStruct, family: Family): readonly KernelBack[]
  /** Of a service port, by its number. */
  serviceCounts(id: number): ServiceStatsStruct | undefined
  /** Packets to a tunnel port that no known node sent: they were given to the host. */
  foreignTunnels(): bigint
  /** Packets dropped by the whole vRouter, by `enum drop_reason`. */
  drops(): readonly bigint[]
  /** Undefined: no active flow has that index. */
  flow(index: number): FlowRecord | undefined
  flowWithKey(key: FlowKey): FlowRecord | undefined
  /** Active flows, in no order. */
  flows(): AsyncIterable<readonly FlowRecord[]>
  /** One more than the highest flow index ever used. */
  flowIndexEnd(): number
  flowCounters(): FlowCounters
}

/** What names a flow: the nexthop stands for the ingress context. */
export type FlowKey = Pick<
  FlowRecord,
  'nexthop' | 'source' | 'destination' | 'sourcePort' | 'destinationPort' | 'protocol'
>

export function kernelOf(maps: PinnedMaps): KernelState {
  return {
    vifs: () => listVifs(maps.vifs),
    vifStats: (id) => maps.vifStats.get(id),
    nexthop: (id) => nexthopById(maps.nexthops, id),
    nexthops: () => listNexthops(maps.nexthops),
    members: (id) => membersOf(maps.composites, id),
    label: (label) => nexthopOfLabel(maps.mpls, label),
    labels: () => listLabels(maps.mpls),
    routes: (vrf, family) => listRoutes(maps.routes, family, vrf),
    route: (vrf, address) => lookupRoute(maps.routes, vrf, address),
    bridge: (vrf) => listBridge(maps.bridge, vrf),
    vrfs: () => listVrfs(maps.vrfs).map(([id]) => id),
    vrfStats: (id) => maps.vrfStats.get(id),
    fronts: () => listFronts(maps.services),
    backs: (set, family) => backsOf(maps.services, set, family),
    serviceCounts: (id) => maps.services.stats.get(id),
    foreignTunnels: () => maps.underlayStats.get(0)?.foreignTunnels ?? 0n,
    drops: () => maps.dropStats.get(0)?.reasons ?? [],
    flow: (index) => onlyActive(flowByIndex(maps.flows, index)),
    flowWithKey: (key) => onlyActive(flowWithKey(maps.flows, key)),
    flows: () => listFlows(maps.flows),
    flowIndexEnd: () => Math.min(flowCounters(maps.flows).next, maps.flows.slots.maxEntries),
    flowCounters: () => flowCounters(maps.flows),
  }
}

function onlyActive(record: FlowRecord | undefined): FlowRecord | undefined {
  return record !== undefined && (record.flow.flags & FLOW_ACTIVE) !== 0 ? record : undefined
}

/** Undefined also when the addresses aren't two of one family. */
function flowWithKey(tables: FlowTables, key: FlowKey): FlowRecord | undefined {
  const ports = { nhId: key.nexthop, sport: key.sourcePort, dport: key.destinationPort, proto: key.protocol }
  const family = addressFamily(key.source)
  if (family === undefined || family !== addressFamily(key.destination)) return undefined
  const flow =
    family === 4
      ? tables.flow4.get({ context: NO_CONTEXT, ...ports, sip: ip4Number(key.source), dip: ip4Number(key.destination) })
      : tables.flow6.get({ context: NO_CONTEXT, ...ports, sip: ip6Bytes(key.source), dip: ip6Bytes(key.destination) })
  return flow && { ...key, family, flow }
}
