/** Flows of nexthops that are gone: their ids will be used again, and must not meet flows of those who had them before. */
import { errorFields, type Log } from '../log.ts'
import type { FlowTables } from '../maps/flows.ts'
import type { FlowStruct } from '../maps/structs.ts'
import type { Table } from '../maps/table.ts'

/** In the background: a large flow table takes its time, and nobody waits for it. */
export class FlowEviction implements AsyncDisposable {
  readonly #flows: FlowTables
  readonly #log: Log
  #work: Promise<void> = Promise.resolve()

  constructor(flows: FlowTables, log: Log) {
    this.#flows = flows
    this.#log = log
  }

  /** One set of nexthops after the other. */
  evict(nexthops: readonly number[]): void {
    this.#work = this.#work
      .then(() => evictFlows(this.#flows, new Set(nexthops)))
      .then(
        (flows) => {
          if (flows === 0) return
          this.#log.info({ flows, nexthops: nexthops.length }, 'flows of removed interfaces and tunnels were deleted')
        },
        (error: unknown) =>
          this.#log.error({ err: errorFields(error) }, 'flows of removed nexthops could not be deleted'),
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#work
  }
}

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
