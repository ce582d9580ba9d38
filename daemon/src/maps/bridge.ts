/** The bridge (layer 2) tables of all VRFs: (MAC, VRF) -> nexthop. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { macBytes, macText } from './addresses.ts'
import { BRIDGE_LABEL_VALID } from './constants.ts'
import { type BridgeEntryStruct, type BridgeKeyStruct, bridgeEntryCodec, bridgeKeyCodec } from './structs.ts'
import { Table } from './table.ts'

export type BridgeTable = Table<BridgeKeyStruct, BridgeEntryStruct>

export function bridgeTable(map: BpfMap): BridgeTable {
  return new Table(map, bridgeKeyCodec, bridgeEntryCodec)
}

export interface BridgeEntry {
  readonly vrf: number
  readonly mac: string
  readonly index: number
  readonly nexthop: number
  readonly label?: number
  /** enum bridge_flags */
  readonly flags: number
  readonly packets: bigint
}

function toEntry([key, value]: readonly [BridgeKeyStruct, BridgeEntryStruct]): BridgeEntry {
  return {
    vrf: key.vrf,
    mac: macText(key.mac),
    index: value.index,
    nexthop: value.nh,
    label: (value.flags & BRIDGE_LABEL_VALID) !== 0 ? value.label : undefined,
    flags: value.flags,
    packets: value.packets,
  }
}

/** Entries of one VRF, or of all, in slices; in no order. */
export async function* listBridge(bridge: BridgeTable, vrf?: number): AsyncGenerator<readonly BridgeEntry[]> {
  for await (const slice of bridge.slices()) {
    const entries = slice.filter(([key]) => vrf === undefined || key.vrf === vrf).map(toEntry)
    if (entries.length > 0) yield entries
  }
}

export function bridgeEntry(bridge: BridgeTable, vrf: number, mac: string): BridgeEntry | undefined {
  const key = { vrf, mac: macBytes(mac) }
  const value = bridge.get(key)
  return value && toEntry([key, value])
}
