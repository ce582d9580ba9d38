/** Flows of nexthops that are gone: their ids will be used again, and must not meet flows of those who had them before. */
import type { FlowTables } from '../maps/flows.ts'
import type { FlowStruct } from '../maps/structs.ts'
import type { Table } from '../maps/table.ts'

/** Deletes the flows that came in by, go out by, or go back by one of `nexthops`. The datapath's ageing gives their indices back. Returns how many. */
export async function evictFlows(flows: FlowTables, nexthops: ReadonlySet<number>): Promise<number> {
  return (await evictFrom(flows.flow4, nexthops)) + (await evictFrom(flows.flow6, nexthops))
}

async function evictFrom<K extends { readonly nhId: number }>(
  table: Table<K, FlowStruct>,
  nexthops: ReadonlySet<number>,
): Promise<number> {
  let evicted = 0
  for await (const slice of table.slices()) {
    for (const [key, flow] of slice) {
      if (!nexthops.has(key.nhId) && !nexthops.has(flow.nh) && !nexthops.has(flow.srcNh)) continue
      if (table.delete(key)) evicted++
    }
  }
  return evicted
}
