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

/** Every vif, by id. */
export function listVifs(vifs: VifTable): VifStruct[] {
  return [...vifs.entries()].map(([, vif]) => vif).sort((a, b) => a.id - b.id)
}

/** O(vifs): ids aren't keys. */
export function vifById(vifs: VifTable, id: number): VifStruct | undefined {
  for (const [, vif] of vifs.entries()) if (vif.id === id) return vif
  return undefined
}
