/** The one struct of settings that every program reads. The dataplane alone writes it. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { type GlobalsStruct, globalsCodec } from './structs.ts'
import { Table, u32Codec } from './table.ts'

export type GlobalsTable = Table<number, GlobalsStruct>

export function globalsTable(map: BpfMap): GlobalsTable {
  return new Table(map, u32Codec, globalsCodec)
}

export function readGlobals(globals: GlobalsTable): GlobalsStruct {
  return globals.get(0)!
}

/** Changes the named fields and keeps the others. Not atomic against a second writer: there is one daemon per map set. */
export function updateGlobals(globals: GlobalsTable, change: Partial<GlobalsStruct>): void {
  globals.set(0, { ...readGlobals(globals), ...change })
}
