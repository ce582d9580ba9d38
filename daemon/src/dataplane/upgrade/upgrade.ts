/**
 * From the maps and programs of the build before to those of this one, while packets go on. `begin` and `carry` fill the new maps beside the old ones, which
 * serve until then; `changeOver` puts the new programs in the old ones' places. Its order is such that no packet of an established flow misses either table:
 *
 * 1. what came since is carried over, and the pods' programs change over: from now on no flow is made in the old table that a pod began;
 * 2. what came meanwhile is carried over: the new table has all that the old one has;
 * 3. the programs on the NICs change over. Until now they knew all answers by the old table.
 *
 * New flows to the outside wait for the end of this (`globals.nat_from_ns`), some milliseconds: a flow of the old table that isn't carried over yet would
 * get another port. Whoever sends their first packet sends it again.
 */
import { channel } from 'node:diagnostics_channel'
import { layoutOfMap } from '@kube-vrouter/linux/bpf/layout'
import type { BpfMap, MapEntry } from '@kube-vrouter/linux/bpf/map'
import type { BpfObject } from '@kube-vrouter/linux/bpf/object'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { finish, type Pace } from '../../ground/pace.ts'
import type { Log } from '../../log.ts'
import type { MapName } from '../../maps/definitions.ts'
import { updateGlobals } from '../../maps/globals.ts'
import { flowAllocCodec } from '../../maps/structs.ts'
import { decode, encode, u32Codec } from '../../maps/table.ts'
import type { MapSet } from '../map-set.ts'
import { type Carrier, carrier } from './carry.ts'
import { FlowImporter, type FlowsCarried } from './flows.ts'
import { ENTRIES, FLOW_COUNTS, GLOBALS, KEPT, type Migration } from './migrations.ts'

/** Longer than the change-over takes, and short for those who wait when the daemon is killed in it. */
const NAT_WAITS_NS = 1_000_000_000n

/** The steps by which programs and maps come into service, as they begin: carry, swap, pods, rest, nics, age, commit. */
export const upgradeSteps = channel('kube-vrouter:upgrade')

/** What this needs of the links. */
interface LinksUsed {
  changeOver(isMeant: (program: string) => boolean): void
}

export class Upgrade implements Disposable {
  readonly #maps: MapSet
  readonly #flows: FlowImporter | undefined
  readonly #log: Log

  private constructor(maps: MapSet, flows: FlowImporter | undefined, log: Log) {
    this.#maps = maps
    this.#flows = flows
    this.#log = log
  }

  /** Undefined: no map is replaced. `load` loads `import.bpf.o` for as long as this lives. Writes what the flow table and the settings begin with. */
  static begin(maps: MapSet, load: () => BpfObject, log: Log): Upgrade | undefined {
    const carried = [...Object.keys(ENTRIES), ...Object.keys(KEPT), 'globals', 'flow_alloc']
    if (!carried.some((name) => maps.former(name as MapName))) return undefined
    for (const [name, migration] of Object.entries(KEPT)) carryEntries(maps, name as MapName, migration)
    carryElement(maps, 'globals', GLOBALS)
    const flows = FlowImporter.open(maps, load)
    if (flows) carryCounts(maps)
    else if (maps.former('flow4')) log.warn({}, 'the flow table is of an unknown layout: flows begin anew')
    return new Upgrade(maps, flows, log)
  }

  /** Once the tables of the model are written: a vif that is written for the first time begins to count at zero. */
  async carry(pace: Pace): Promise<void> {
    const started = performance.now()
    for (const [name, migration] of Object.entries(ENTRIES)) carryEntries(this.#maps, name as MapName, migration)
    if (!this.#flows) return
    const carried = await pace.run(this.#flows.steps())
    const ms = Math.round(performance.now() - started)
    const { added, dropped } = this.#flows.difference
    this.#log.info({ ...carried, added, dropped, ms }, 'flows of the former table are in the new one')
  }

  /** Without a pause. */
  changeOver(links: LinksUsed): void {
    const started = performance.now()
    const { globals } = this.#maps.typed
    updateGlobals(globals, { natFromNs: process.hrtime.bigint() + NAT_WAITS_NS })
    this.#rest()
    upgradeSteps.publish('pods')
    links.changeOver((program) => program === 'tap' || program === 'vhost' || program === 'agent')
    upgradeSteps.publish('rest')
    const { carried, known, refused } = this.#rest()
    upgradeSteps.publish('nics')
    links.changeOver(() => true)
    updateGlobals(globals, { natFromNs: 0n })
    const ms = Math.round((performance.now() - started) * 10) / 10
    this.#log.info({ carried, known, refused, ms }, 'the new programs have taken over')
  }

  #rest(): FlowsCarried {
    return this.#flows ? finish(this.#flows.steps()) : { carried: 0, known: 0, refused: 0 }
  }

  [Symbol.dispose](): void {
    this.#flows?.[Symbol.dispose]()
  }
}

/** How values of a former map become those of the new one; undefined: it isn't replaced, or nobody knows its layout. */
function valuesOf(
  maps: MapSet,
  name: MapName,
  { renamed }: Migration,
): { readonly from: BpfMap; readonly into: BpfMap; readonly key: Carrier; readonly value: Carrier } | undefined {
  const from = maps.former(name)
  if (!from || !maps.isNew(name)) return undefined
  const into = maps.map(name)
  const [old, now] = [layoutOfMap(from.fd), layoutOfMap(into.fd)]
  if (!old || !now) return undefined
  return { from, into, key: carrier(old.key, now.key, renamed), value: carrier(old.value, now.value, renamed) }
}

function carryElement(maps: MapSet, name: MapName, migration: Migration): void {
  const way = valuesOf(maps, name, migration)
  const old = way?.from.lookup(encode(u32Codec, 0))
  if (!way || !old) return
  const value = new Uint8Array(way.into.valueSize)
  way.value.copy(old, value)
  way.into.update(encode(u32Codec, 0), value)
}

/** Of `flow_alloc`: what the tools show. What is in use is counted as flows come. */
function carryCounts(maps: MapSet): void {
  const way = valuesOf(maps, 'flow_alloc', FLOW_COUNTS)
  const old = way?.from.lookup(encode(u32Codec, 0))
  if (!way || !old) return
  const { alloc } = maps.typed.flows
  const value = new Uint8Array(way.into.valueSize)
  way.value.copy(old, value)
  const { created, changed, evicted, aged, deleted } = decode(flowAllocCodec, value)
  const fresh = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
  alloc.update(
    encode(u32Codec, 0),
    encode(flowAllocCodec, { ...fresh, created, changed, evicted, aged, deleted, added: deleted }),
  )
}

/** Into a map that nobody else writes to yet. */
function carryEntries(maps: MapSet, name: MapName, migration: Migration): void {
  const way = valuesOf(maps, name, migration)
  if (!way) return
  const { from, into } = way
  for (const page of from.pages(undefined, { skipZero: true })) {
    const entries: MapEntry[] = []
    for (const { key, value } of page) {
      const entry = { key: new Uint8Array(into.keySize), value: new Uint8Array(into.elementSize) }
      way.key.copy(key, entry.key)
      if (isOutOfRange(from, into, entry.key)) continue
      // Of a per-CPU map one after the other.
      const targets = into.isPerCpu ? into.splitPerCpu(entry.value) : [entry.value]
      const sources = from.isPerCpu ? from.splitPerCpu(value) : [value]
      sources.forEach((source, cpu) => {
        way.value.copy(source, targets[cpu]!)
      })
      entries.push(entry)
    }
    into.updateBatch(entries)
  }
}

const ARRAYS: readonly number[] = [MapType.ARRAY, MapType.PERCPU_ARRAY]

/** An array of another size: what lies behind its end, and the last element, which is special in some. */
function isOutOfRange(from: BpfMap, into: BpfMap, key: Uint8Array): boolean {
  if (!ARRAYS.includes(into.type) || from.maxEntries === into.maxEntries) return false
  return decode(u32Codec, key) >= Math.min(from.maxEntries, into.maxEntries) - 1
}
