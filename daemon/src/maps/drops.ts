/** Drop counters by reason: of the whole vRouter (`drop_stats`, one element) and of each vif (`vif_drop_stats`, by vif id). */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { CounterTable } from './stats.ts'
import { type DropStatsStruct, dropStatsCodec } from './structs.ts'

export type DropStatsTable = CounterTable<DropStatsStruct>

export function dropStatsTable(map: BpfMap): DropStatsTable {
  return new CounterTable(map, dropStatsCodec)
}

/** Packets per `enum drop_reason`, of reasons that occurred. */
export function reasonsSeen(stats: DropStatsStruct): ReadonlyMap<number, bigint> {
  return new Map(stats.reasons.flatMap((packets, reason) => (packets > 0n ? [[reason, packets] as const] : [])))
}
