/**
 * Carries flows from a former table into the new one, while the datapath works with both: `import.bpf.c` enters each pair under handles of the new
 * table. May be done again and again: what was carried over before is skipped, so what came since is quickly found.
 */
import { join } from 'node:path'
import { type Field, layoutOfMap } from '@kube-vrouter/linux/bpf/layout'
import { BpfMap, type MapEntry } from '@kube-vrouter/linux/bpf/map'
import type { BpfObject } from '@kube-vrouter/linux/bpf/object'
import { programTestRun } from '@kube-vrouter/linux/bpf/syscall'
import { AF_INET, AF_INET6 } from '@kube-vrouter/linux/netlink/family'
import { FLOW_EVICT_CANDIDATE, FLOW_NONE, FLOW_SOURCES, VIF_ID_FIRST_POD } from '../../maps/constants.ts'
import type { PinnedMaps } from '../../maps/open.ts'
import { encode, u32Codec } from '../../maps/table.ts'
import { vifById } from '../../maps/vifs.ts'
import type { MapSet } from '../map-set.ts'
import { type Carrier, carrier, fieldOf } from './carry.ts'
import { FLOWS } from './migrations.ts'

export const IMPORT_OBJECT = 'import.bpf.o'
/** Not pinned: it is needed as long as the upgrade takes. */
export const IMPORT_MAP = 'flow_imports'
const IMPORT_PROGRAM = 'import_flows'

/** enum import_result. */
const IMPORT_DONE = 1
const IMPORT_EXISTS = 2

export interface FlowsCarried {
  /** Pairs, or directions whose other one is gone. */
  readonly carried: number
  /** The new table had one of their keys, or no room. */
  readonly known: number
  readonly refused: number
}

/** What this needs of the set. */
type MapsUsed = Pick<MapSet, 'former' | 'map' | 'typed'>

/** One of the two tables, as it was and as it is. */
interface Family {
  readonly number: number
  readonly map: BpfMap
  readonly key: Carrier
  readonly flow: Carrier
  readonly index: number
  readonly rindex: number
  readonly flags: number
  readonly gen: number
  readonly vif: number
  /** Of the key in a slot. */
  readonly slotKey: number
}

export class FlowImporter implements Disposable {
  readonly #families: readonly Family[]
  readonly #slots: BpfMap
  /** Where an old slot has its group; undefined: it had none. */
  readonly #group: number | undefined
  readonly #maps: PinnedMaps
  readonly #imports: BpfMap
  readonly #program: number
  readonly #into: ImportLayout
  /** Generation + 1 of the old handles that were carried over. */
  readonly #seen: Uint16Array
  #batch: MapEntry[] = []
  #result = { carried: 0, known: 0, refused: 0 }

  private constructor(
    maps: MapsUsed,
    object: BpfObject,
    slots: BpfMap,
    slotFields: readonly Field[],
    families: Family[],
  ) {
    this.#maps = maps.typed
    this.#imports = BpfMap.fromFd(object.mapFd(IMPORT_MAP))
    this.#program = object.programFd(IMPORT_PROGRAM)
    this.#into = importLayout(this.#imports)
    this.#slots = slots
    this.#group = fieldOf(slotFields, 'group')?.offset
    this.#families = families
    this.#seen = new Uint16Array(slots.maxEntries)
  }

  /** Undefined: there is no former flow table, or nobody knows its layout. `load` gives the object, which must outlive this. */
  static open(maps: MapsUsed, load: () => BpfObject): FlowImporter | undefined {
    const slots = maps.former('flow_slots')
    const slotFields = slots && layoutOfMap(slots.fd)?.value
    if (!slots || !slotFields) return undefined
    const families: Family[] = []
    for (const [name, number, member] of [
      ['flow4', AF_INET, 'k4'],
      ['flow6', AF_INET6, 'k6'],
    ] as const) {
      const map = maps.former(name)
      const old = map && layoutOfMap(map.fd)
      const now = layoutOfMap(maps.map(name).fd)
      const slotKey = slotFields.find((field) => field.name.startsWith(`${member}.`))?.offset
      if (!map || !old || !now || slotKey === undefined) return undefined
      const offset = (field: string) => fieldOf(old.value, FLOWS.renamed?.[field] ?? field)?.offset
      const [index, rindex, flags, gen, vif] = ['index', 'rindex', 'flags', 'gen', 'vif'].map(offset)
      if (index === undefined || rindex === undefined || flags === undefined || gen === undefined || vif === undefined)
        return undefined
      const key = carrier(old.key, now.key, FLOWS.renamed)
      const flow = carrier(old.value, now.value, FLOWS.renamed)
      families.push({ number, map, key, flow, index, rindex, flags, gen, vif, slotKey })
    }
    return new FlowImporter(maps, load(), slots, slotFields, families)
  }

  /** Fields that this version doesn't know, and those that it has in addition. */
  get difference(): { readonly dropped: readonly string[]; readonly added: readonly string[] } {
    return this.#families[0]!.flow
  }

  /** Carries over what wasn't yet; a step is a page of a table. Whoever takes all steps at once has waited for no event in between. */
  *steps(): Generator<void, FlowsCarried> {
    this.#result = { carried: 0, known: 0, refused: 0 }
    for (const family of this.#families) {
      for (const { count, keys, values } of family.map.chunks()) {
        const { keySize, valueSize } = family.map
        const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
        for (let i = 0; i < count; i++) {
          const at = i * valueSize
          const index = view.getUint32(at + family.index, true)
          if (this.#isSeen(index, view.getUint8(at + family.gen))) continue
          const key = keys.subarray(i * keySize, (i + 1) * keySize)
          this.#take(family, key, values.subarray(at, at + valueSize), index)
        }
        yield
      }
    }
    this.#flush()
    return this.#result
  }

  [Symbol.dispose](): void {
    this.#imports[Symbol.dispose]()
  }

  #isSeen(index: number, gen: number): boolean {
    if (index >= this.#seen.length || this.#seen[index] === gen + 1) return true
    this.#seen[index] = gen + 1
    return false
  }

  #take(family: Family, key: Uint8Array, flow: Uint8Array, index: number): void {
    const view = new DataView(flow.buffer, flow.byteOffset, flow.byteLength)
    if ((view.getUint32(family.flags, true) & FLOW_EVICT_CANDIDATE) !== 0) return
    const record = new Uint8Array(this.#imports.valueSize)
    const into = new DataView(record.buffer)
    const { sides } = this.#into
    const put = (side: number, itsKey: Uint8Array, itsFlow: Uint8Array, itsIndex: number) => {
      const place = sides[side]!
      family.key.copy(itsKey, record.subarray(place.key))
      family.flow.copy(itsFlow, record.subarray(place.flow))
      const vif = new DataView(itsFlow.buffer, itsFlow.byteOffset).getUint32(family.vif, true)
      into.setUint32(place.group, this.#groupOf(itsIndex, vif), true)
    }
    put(0, key, flow, index)
    const reverse = this.#reverse(family, index, view.getUint32(family.rindex, true))
    if (reverse) put(1, reverse.key, reverse.flow, reverse.index)
    into.setUint32(this.#into.family, family.number, true)
    into.setUint32(this.#into.count, reverse ? 2 : 1, true)
    this.#batch.push({ key: encode(u32Codec, this.#batch.length), value: record })
    if (this.#batch.length === this.#imports.maxEntries) this.#flush()
  }

  /** The other direction; undefined: it is gone. */
  #reverse(
    family: Family,
    index: number,
    rindex: number,
  ): { readonly key: Uint8Array; readonly flow: Uint8Array; readonly index: number } | undefined {
    if (rindex === FLOW_NONE || rindex >= this.#slots.maxEntries) return undefined
    const slot = this.#slots.lookup(encode(u32Codec, rindex))
    const key = slot?.subarray(family.slotKey, family.slotKey + family.map.keySize)
    const flow = key && family.map.lookup(key)
    if (!flow) return undefined
    const view = new DataView(flow.buffer)
    if (view.getUint32(family.index, true) !== rindex || view.getUint32(family.rindex, true) !== index) return undefined
    this.#isSeen(rindex, view.getUint8(family.gen))
    return { key, flow, index: rindex }
  }

  /** What an entry counts against beside its vif: as its slot says, or, of a version that had no such thing, as good as can be told. */
  #groupOf(index: number, vif: number): number {
    if (this.#group !== undefined) {
      const slot = this.#slots.lookup(encode(u32Codec, index))
      if (slot) return new DataView(slot.buffer).getUint32(this.#group, true)
    }
    if (vif < VIF_ID_FIRST_POD) return index % FLOW_SOURCES
    return vifById(this.#maps.vifs, this.#maps.vifDevices, vif)?.vrf ?? 0
  }

  #flush(): void {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#imports.updateBatch(batch)
    const context = new Uint8Array(8)
    new DataView(context.buffer).setBigUint64(0, BigInt(batch.length), true)
    programTestRun(this.#program, { context })
    for (const { key } of batch) {
      const result = new DataView(this.#imports.lookup(key)!.buffer).getUint32(this.#into.result, true)
      if (result === IMPORT_DONE) this.#result.carried++
      else if (result === IMPORT_EXISTS) this.#result.known++
      else this.#result.refused++
    }
  }
}

interface ImportLayout {
  readonly family: number
  readonly count: number
  readonly result: number
  readonly sides: readonly { readonly key: number; readonly group: number; readonly flow: number }[]
}

/** Where struct flow_import has what. */
function importLayout(imports: BpfMap): ImportLayout {
  const fields = layoutOfMap(imports.fd)?.value ?? []
  const offset = (name: string): number => {
    const field = fields.find((one) => one.name === name || one.name.startsWith(`${name}.`))
    if (!field) throw new Error(`${join(IMPORT_OBJECT, IMPORT_MAP)} has no ${name}`)
    return field.offset
  }
  const side = (n: number) => ({
    key: offset(`side.${n}.key`),
    group: offset(`side.${n}.group`),
    flow: offset(`side.${n}.flow`),
  })
  return { family: offset('family'), count: offset('sides'), result: offset('result'), sides: [side(0), side(1)] }
}
