/**
 * All maps that hold desired state, as one: written from what is referred to towards what refers to it, swept the other way round, so
 * that at no moment an entry points at nothing, and none that stays is ever missing.
 */

import { Pace } from '../ground/pace.ts'
import type { Log } from '../log.ts'
import { flowCounters } from '../maps/flows.ts'
import { frontCodec } from '../maps/structs.ts'
import { decode, u32Codec } from '../maps/table.ts'
import type { MovedAddress } from '../model/tables.ts'
import { type Encoding, TABLE_MAPS, type TableMap } from './encode-tables.ts'
import type { MapSet } from './map-set.ts'
import { MovedAddresses } from './moved-addresses.ts'
import type { TableFailure } from './table-failure.ts'
import { type OnChange, TableWriter } from './table-writer.ts'

export interface TableUsage {
  /** `flow_slots` is filled by the datapath, the others by the daemon. */
  readonly table: TableMap | 'flow_slots'
  readonly used: number
  readonly max: number
}

/** Share of a table that is worth a warning. */
const NEARLY_FULL = 0.8

/** What flows look up: when one of these changes, they have to look again. */
const ROUTING: ReadonlySet<TableMap> = new Set([
  'route4_lpm',
  'route4_host',
  'route6_lpm',
  'route6_host',
  'bridge',
  'peers4',
  'peers6',
])

/** Swept after the flows were told to look again: a flow may still refer to them until then. */
const REFERRED_TO: ReadonlySet<TableMap> = new Set(['vrfs', 'composites', 'nexthops', 'mpls'])

export interface SweepResult {
  readonly deleted: number
  readonly removedNexthops: readonly number[]
}

export class KernelTables {
  readonly #writers: ReadonlyMap<TableMap, TableWriter>
  readonly #maps: MapSet
  readonly #log: Log
  readonly #moved = new MovedAddresses()
  /** Service ports whose counters are to begin at zero. */
  readonly #newServices = new Set<number>()
  /** What belongs in there isn't known: they stay as they are. */
  #unknown: ReadonlySet<TableMap> = new Set()
  readonly #warned = new Set<TableUsage['table']>()

  constructor(maps: MapSet, log: Log) {
    this.#maps = maps
    this.#log = log
    const note: OnChange = (...change) => this.#moved.note(...change)
    this.#writers = new Map(TABLE_MAPS.map((name) => [name, new TableWriter(name, maps.map(name), note)]))
  }

  /** Reads what the kernel holds. Returns the tables in which entries weren't what they were believed to be, and how many. */
  async readBack(pace: Pace): Promise<ReadonlyMap<TableMap, number>> {
    const differences = new Map<TableMap, number>()
    for (const [name, writer] of this.#writers) {
      const count = await writer.readBack(pace)
      if (count > 0) differences.set(name, count)
    }
    return differences
  }

  /** Writes all that is missing or different. Returns the number of entries, and whether flows have to look again. */
  async write(
    { tables, touched, newServices }: Encoding,
    pace: Pace,
  ): Promise<{ readonly written: number; readonly routing: boolean }> {
    let written = 0
    let routing = false
    for (const service of newServices) this.#newServices.add(service)
    this.#unknown = new Set(TABLE_MAPS.filter((name) => tables[name] === undefined))
    // All of them first: what was touched is told once.
    for (const [name, writer] of this.#writers) {
      const desired = tables[name]
      if (desired !== undefined) writer.delta.setDesired(desired, touched[name])
    }
    for (const [name, writer] of this.#writers) {
      if (this.#unknown.has(name)) continue
      // A front may name none but whole blocks.
      if (name === 'service_fronts' && this.#writer('service_backs').failures.length > 0) continue
      const count = await writer.write(pace, this.#preparation(name))
      written += count
      routing ||= count > 0 && ROUTING.has(name)
    }
    return { written, routing }
  }

  /** Removes vifs, routes and bridge entries that nobody wants. */
  async sweepRouting(pace: Pace): Promise<{ readonly deleted: number; readonly routing: boolean }> {
    let deleted = 0
    let routing = false
    for (const name of TABLE_MAPS.toReversed()) {
      if (REFERRED_TO.has(name) || this.#unknown.has(name)) continue
      const count = await this.#writer(name).sweep(pace)
      deleted += count
      routing ||= count > 0 && ROUTING.has(name)
    }
    return { deleted, routing }
  }

  /** Removes labels, nexthops and VRFs that nobody wants. To be called after the epoch was raised. */
  async sweepReferredTo(pace: Pace): Promise<SweepResult> {
    const removedNexthops = [...this.#writer('nexthops').delta.deletions()].map(idOf)
    let deleted = 0
    for (const name of TABLE_MAPS.toReversed())
      if (REFERRED_TO.has(name)) deleted += await this.#writer(name).sweep(pace)
    return { deleted, removedNexthops }
  }

  /** What is known to be in the kernel. */
  known(map: TableMap): ReadonlyMap<string, string> {
    return this.#writer(map).delta.known
  }

  /** Addresses that got a new owner since the last call. */
  takeMoved(): readonly MovedAddress[] {
    return this.#moved.take()
  }

  /** To be called at the end of a pass. */
  markCounts(): void {
    for (const writer of this.#writers.values()) writer.markCount()
  }

  withOtherCount(): TableMap[] {
    return [...this.#writers.values()].filter((writer) => writer.hasOtherCount).map(({ name }) => name)
  }

  async withOtherContents(isAborted: () => boolean): Promise<TableMap[]> {
    const pace = new Pace()
    const found: TableMap[] = []
    for (const [name, writer] of this.#writers) {
      await pace.rest()
      if (isAborted()) return []
      // One that is being written to is read again at the next time.
      if ((await writer.isIntact(pace)) === false) found.push(name)
    }
    return found
  }

  get failures(): readonly TableFailure[] {
    return [...this.#writers.values()].flatMap((writer) => writer.failures)
  }

  usage(): TableUsage[] {
    const tables = [...this.#writers.values()].flatMap(({ name, used, maxEntries }) =>
      maxEntries > 1 ? [{ table: name, used, max: maxEntries }] : [],
    )
    const flows = flowCounters(this.#maps.typed.flows)
    return [...tables, { table: 'flow_slots', used: Number(flows.inUse), max: flows.size }]
  }

  /** Warns once when a table gets nearly full, and again when it has been emptier meanwhile. */
  warnOfFullTables(): void {
    for (const { table, used, max } of this.usage()) {
      if (used < max * NEARLY_FULL) this.#warned.delete(table)
      else if (!this.#warned.has(table)) {
        this.#warned.add(table)
        this.#log.warn({ table, used, max }, `table ${table} is nearly full: ${used} of ${max} entries`)
      }
    }
  }

  #writer(name: TableMap): TableWriter {
    return this.#writers.get(name)!
  }

  /** Who gets a number that others had before starts counting at zero. */
  #preparation(name: TableMap): ((key: string) => void) | undefined {
    switch (name) {
      case 'vif_devices': {
        const { vifStats, vifDropStats } = this.#maps.typed
        return (key) => {
          vifStats.clear(idOf(key))
          vifDropStats.clear(idOf(key))
        }
      }
      case 'vrfs': {
        const { vrfStats } = this.#maps.typed
        return (key) => vrfStats.clear(idOf(key))
      }
      case 'service_fronts': {
        const { stats } = this.#maps.typed.services
        return (key) => {
          const value = this.#writer(name).delta.desired.get(key)
          const service = value === undefined ? undefined : decode(frontCodec, Buffer.from(value, 'latin1')).service
          if (service === undefined || !this.#newServices.has(service)) return
          stats.clear(service)
          this.#newServices.delete(service)
        }
      }
      default:
        return undefined
    }
  }
}

function idOf(key: string): number {
  return decode(u32Codec, Buffer.from(key, 'latin1'))
}
