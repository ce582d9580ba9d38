/** Labels: an array, label -> nexthop id; 0 = free. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { Table, u32Codec } from './table.ts'

export type MplsTable = Table<number, number>

export function mplsTable(map: BpfMap): MplsTable {
  return new Table(map, u32Codec, u32Codec)
}

export interface Label {
  readonly label: number
  readonly nexthop: number
}

/** The labels in use, ascending. */
export function listLabels(mpls: MplsTable): Label[] {
  return [...mpls.entries({ used: true })]
    .filter(([, nexthop]) => nexthop !== 0)
    .map(([label, nexthop]) => ({ label, nexthop }))
    .sort((a, b) => a.label - b.label)
}

/** Nexthop id of `label`; undefined: no such label. */
export function nexthopOfLabel(mpls: MplsTable, label: number): number | undefined {
  const nexthop = label < mpls.maxEntries ? mpls.get(label) : undefined
  return nexthop === 0 ? undefined : nexthop
}
