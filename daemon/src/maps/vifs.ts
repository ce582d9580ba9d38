/** The vifs. The datapath finds them by ifindex; people name them by id. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { type VifStateStruct, type VifStruct, vifCodec, vifStateCodec } from './structs.ts'
import { Table, u32Codec } from './table.ts'

/** ifindex -> vif. */
export type VifTable = Table<number, VifStruct>

export function vifTable(map: BpfMap): VifTable {
  return new Table(map, u32Codec, vifCodec)
}

/** vif id -> what the datapath keeps per vif: flows in use, trap budget. */
export type VifStateTable = Table<number, VifStateStruct>

export function vifStateTable(map: BpfMap): VifStateTable {
  return new Table(map, u32Codec, vifStateCodec)
}

/** vif id -> ifindex of its device; 0 = none. */
export type VifDeviceTable = Table<number, number>

export function vifDeviceTable(map: BpfMap): VifDeviceTable {
  return new Table(map, u32Codec, u32Codec)
}

/** Every vif, by id. */
export function listVifs(vifs: VifTable): VifStruct[] {
  return [...vifs.entries()].map(([, vif]) => vif).sort((a, b) => a.id - b.id)
}

/** Undefined: there is no vif with that id. */
export function vifById(vifs: VifTable, devices: VifDeviceTable, id: number): VifStruct | undefined {
  const ifindex = id < devices.maxEntries ? devices.get(id) : undefined
  const vif = ifindex ? vifs.get(ifindex) : undefined
  return vif?.id === id ? vif : undefined
}
