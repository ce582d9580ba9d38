/** Devices other than the underlay's by which SNAT leaves the node: a hash, ifindex -> the node's addresses there. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { type ExitStruct, exitCodec } from './structs.ts'
import { Table, u32Codec } from './table.ts'

export type ExitTable = Table<number, ExitStruct>

export function exitTable(map: BpfMap): ExitTable {
  return new Table(map, u32Codec, exitCodec)
}
