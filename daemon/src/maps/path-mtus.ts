/** What routers of the underlay said about the MTU on the way to other nodes, by the node's underlay address. Written by the datapath. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { type Codec, type PathMtuStruct, pathMtuCodec } from './structs.ts'
import { Table } from './table.ts'

const addressCodec: Codec<number> = {
  size: 4,
  decode: (view, offset = 0) => view.getUint32(offset),
  encode: (value, into, offset = 0) => into.setUint32(offset, value),
}

export type PathMtuTable = Table<number, PathMtuStruct>

export function pathMtuTable(map: BpfMap): PathMtuTable {
  return new Table(map, addressCodec, pathMtuCodec)
}
