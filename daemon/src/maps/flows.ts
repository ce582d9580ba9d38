/**
 * The flow table. Each direction of a connection is an entry of `flow4` or `flow6`; `flow_slots` gives it the index (handle)
 * that the tools print and by which the reverse flow is named.
 */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { AF_INET, AF_INET6 } from '@kube-vrouter/linux/netlink/family'
import { ip4Text, ip6Text } from './addresses.ts'
import { FLOW_ACTIVE, FLOW_NONE, FLOW_SLOT_STATE } from './constants.ts'
import {
  type Flow4KeyStruct,
  type Flow6KeyStruct,
  type FlowAllocStruct,
  type FlowSlotStruct,
  type FlowStruct,
  flow4KeyCodec,
  flow6KeyCodec,
  flowAllocCodec,
  flowCodec,
  flowSlotCodec,
} from './structs.ts'
import { decode, encode, Table, u32Codec } from './table.ts'

/** Values of flow_slot.family, without FLOW_SLOT_STATE. */

export interface FlowTables {
  readonly flow4: Table<Flow4KeyStruct, FlowStruct>
  readonly flow6: Table<Flow6KeyStruct, FlowStruct>
  readonly slots: BpfMap
  readonly alloc: BpfMap
}

export function flowTables(map: (name: 'flow4' | 'flow6' | 'flow_slots' | 'flow_alloc') => BpfMap): FlowTables {
  return {
    flow4: new Table(map('flow4'), flow4KeyCodec, flowCodec),
    flow6: new Table(map('flow6'), flow6KeyCodec, flowCodec),
    slots: map('flow_slots'),
    alloc: map('flow_alloc'),
  }
}

/** `context` of the key of a flow that no other node has handed over. */
export const NO_CONTEXT = new Uint8Array(3)

export interface FlowRecord {
  readonly family: 4 | 6
  readonly nexthop: number
  readonly source: string
  readonly destination: string
  readonly sourcePort: number
  readonly destinationPort: number
  readonly protocol: number
  readonly flow: FlowStruct
}

function toRecord4([key, flow]: readonly [Flow4KeyStruct, FlowStruct]): FlowRecord {
  return {
    family: 4,
    nexthop: key.nhId,
    source: ip4Text(key.sip),
    destination: ip4Text(key.dip),
    sourcePort: key.sport,
    destinationPort: key.dport,
    protocol: key.proto,
    flow,
  }
}

function toRecord6([key, flow]: readonly [Flow6KeyStruct, FlowStruct]): FlowRecord {
  return {
    family: 6,
    nexthop: key.nhId,
    source: ip6Text(key.sip),
    destination: ip6Text(key.dip),
    sourcePort: key.sport,
    destinationPort: key.dport,
    protocol: key.proto,
    flow,
  }
}

/** All active flows, IPv4 first, in slices; in no order. */
export async function* listFlows(tables: FlowTables): AsyncGenerator<readonly FlowRecord[]> {
  const isActive = ({ flow }: FlowRecord) => (flow.flags & FLOW_ACTIVE) !== 0
  for await (const slice of tables.flow4.slices()) yield slice.map(toRecord4).filter(isActive)
  for await (const slice of tables.flow6.slices()) yield slice.map(toRecord6).filter(isActive)
}

function slotOf(tables: FlowTables, index: number): FlowSlotStruct | undefined {
  if (index >= tables.slots.maxEntries) return undefined
  const bytes = tables.slots.lookup(encode(u32Codec, index))
  return bytes && decode(flowSlotCodec, bytes)
}

/** The flow with that index; undefined: the slot is free, or the flow went away meanwhile. */
export function flowByIndex(tables: FlowTables, index: number): FlowRecord | undefined {
  const slot = slotOf(tables, index)
  if (!slot) return undefined
  const family = slot.family & ~FLOW_SLOT_STATE
  if (family === AF_INET) {
    const flow = tables.flow4.get(slot.k4)
    return flow?.index === index ? toRecord4([slot.k4, flow]) : undefined
  }
  if (family === AF_INET6) {
    const flow = tables.flow6.get(slot.k6)
    return flow?.index === index ? toRecord6([slot.k6, flow]) : undefined
  }
  return undefined
}

/** The other direction. */
export function reverseOf(tables: FlowTables, record: FlowRecord): FlowRecord | undefined {
  return record.flow.rindex === FLOW_NONE ? undefined : flowByIndex(tables, record.flow.rindex)
}

/**
 * Deletes both directions of the flow with that index; their handles are given back by the datapath. Whoever sends another packet of it
 * begins anew. Returns the flow, or undefined: there is none.
 */
export function deleteFlow(tables: FlowTables, index: number): FlowRecord | undefined {
  const slot = slotOf(tables, index)
  const record = flowByIndex(tables, index)
  if (!slot || !record) return undefined
  const reverse = record.flow.rindex === FLOW_NONE ? undefined : slotOf(tables, record.flow.rindex)
  const isPair = reverse && reverseOf(tables, record)?.flow.rindex === index
  for (const { k4, k6 } of isPair ? [slot, reverse] : [slot]) {
    if (record.family === 4) tables.flow4.delete(k4)
    else tables.flow6.delete(k6)
  }
  return record
}

export interface FlowCounters extends FlowAllocStruct {
  /** Entries in use: added − deleted. */
  readonly inUse: bigint
}

export function flowCounters(tables: FlowTables): FlowCounters {
  const alloc = decode(flowAllocCodec, tables.alloc.lookup(encode(u32Codec, 0))!)
  return { ...alloc, inUse: alloc.added - alloc.deleted }
}
