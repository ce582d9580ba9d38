/**
 * Fronts of the model as entries of the maps of services. What a front may choose from is a block of one flat array; a block that a front in the kernel
 * names is never written to: another set gets another block, then the front names that one, and the former block rests before others get it. Sets that
 * are one object share a block. At the start blocks that the kernel holds already are used again where their contents are wanted. Pure.
 */
import { VrouterError } from '../../errors.ts'
import type { BackSetStruct } from '../../maps/structs.ts'
import type { BackSet, Front, Subject } from '../../model/tables.ts'
import type { Entries } from '../list-encoder.ts'
import type { TableFailure } from '../table-failure.ts'
import { type Block, Blocks } from './blocks.ts'
import { Counts } from './counts.ts'
import {
  BACK_BYTES,
  backValues,
  type FrontSets,
  frontKey,
  frontValue,
  indexKey,
  NO_BACKS,
  namesBlock,
  PROTOCOL_NUMBERS,
  RANGE_VALUE,
  rangeKey,
  setsOf,
} from './encode-front.ts'
import { changesOf } from './front-list.ts'
import { HeldBlocks } from './held-blocks.ts'
import { describeService } from './names.ts'
import { NODE_PORTS_KEY, NodePorts } from './node-ports.ts'

export const SERVICE_MAPS = ['service_backs', 'service_ranges', 'service_fronts', 'node_ports'] as const
export type ServiceMap = (typeof SERVICE_MAPS)[number]

/** What the kernel holds, as far as is known. */
export interface Held {
  known(map: ServiceMap): ReadonlyMap<string, string>
}

export interface ServiceEncoding {
  /** In the same maps each time. */
  readonly tables: { readonly [map in ServiceMap]: Entries }
  /** Keys that may be other ones than after the last call. Undefined: all. */
  readonly touched: { readonly [map in ServiceMap]: ReadonlySet<string> } | undefined
  /** Numbers of service ports that nobody had before: they count from zero. */
  readonly fresh: readonly number[]
}

/** Where a set is. */
interface Placed {
  readonly set: BackSet
  readonly block: Block
  /** Backs in there: all of the set, or as many as there was room for. */
  readonly count: number
  /** Fronts that name it, each way counted. */
  users: number
  /** Those that did, by key. */
  readonly former: Set<string>
}

/** A front, and the blocks that it names. */
interface Placing {
  readonly front: Front
  readonly inside: Placed | undefined
  readonly outside: Placed | undefined
  readonly local: Placed | undefined
}

/** A block that no front is to name any more. */
interface Leaving {
  readonly block: Block
  /** Keys of those that did: while the kernel's still do, it isn't free. */
  readonly former: ReadonlySet<string>
  freeAtMs?: number
}

export interface ServiceEncoderOptions {
  /** Elements of the array of backs. */
  readonly capacity: number
  readonly nowMs?: () => number
  /** Hears of fronts that come, go, or are others: first of those that went. What the kernel had already is nothing new. */
  readonly onChange?: (before: Front | undefined, after: Front | undefined) => void
}

/** Far longer than a program takes from the front to the back that it chooses. */
const REST_MS = 1000
/** Of the array: kept for sets that take the place of others, so that a full table still follows what changes. */
const RESERVE = 1 / 16
/** Fronts between two turns of the event loop. */
const SLICE = 500
/** Blocks that are moved at a time, to make room. */
const MOVES = 256

export class ServiceEncoder {
  readonly #options: ServiceEncoderOptions
  readonly #nowMs: () => number
  #blocks: Blocks
  #tables = emptyTables()
  #touched = emptyTouched()
  #fresh: number[] = []
  #came: (readonly [before: Front | undefined, after: Front])[] = []
  #list: readonly Front[] = []
  #placings = new Map<string, Placing>()
  #sets = new Map<BackSet, Placed>()
  /** Sets of which not all is in the array. */
  #short = new Set<BackSet>()
  #leaving: Leaving[] = []
  #held: HeldBlocks | undefined
  #services = new Counts<number>()
  #rangeUsers = new Counts<string>()
  #nodePorts = new NodePorts()
  /** Somebody hears which entries are others. */
  #isTold = false
  /** The last call came to its end. */
  #isWhole = false

  constructor(options: ServiceEncoderOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#blocks = new Blocks(options.capacity)
  }

  get #reserve(): number {
    return Math.ceil(this.#options.capacity * RESERVE)
  }

  /** Yields now and then. `fronts` undefined: what there is stays; undefined as long as nothing was ever known. */
  *encode(fronts: readonly Front[] | undefined, held: Held): Generator<void, ServiceEncoding | undefined> {
    const wasWhole = this.#isWhole
    if (fronts === undefined && !wasWhole) return undefined
    this.#isWhole = false
    this.#touched = emptyTouched()
    this.#fresh = []
    this.#came = []
    this.#isTold = wasWhole
    if (!wasWhole) this.#begin(held)
    this.#free(held)
    const { made, gone } = changesOf(this.#list, fronts ?? this.#list)
    for (const [at, front] of made.entries()) {
      this.#put(front)
      if (at % SLICE === SLICE - 1) yield
    }
    for (const front of gone) this.#remove(front)
    for (const change of this.#came) this.#options.onChange?.(...change)
    if (this.#held !== undefined) this.#letGo(this.#held)
    if (this.#short.size > 0) this.#makeRoom()
    const ports = this.#nodePorts.changed()
    if (ports?.value !== undefined) this.#set('node_ports', NODE_PORTS_KEY, ports.value)
    else if (ports !== undefined) this.#delete('node_ports', NODE_PORTS_KEY)
    this.#list = fronts ?? this.#list
    this.#isWhole = true
    return { tables: this.#tables, touched: wasWhole ? this.#touched : undefined, fresh: this.#fresh }
  }

  /** The kernel's fronts are written: blocks that none of them names begin to rest. */
  settle(held: Held): void {
    const fronts = held.known('service_fronts')
    for (const leaving of this.#leaving) {
      if (leaving.freeAtMs !== undefined) continue
      const isNamed = [...leaving.former].some((key) => namesBlock(fronts.get(key), leaving.block))
      if (!isNamed) leaving.freeAtMs = this.#nowMs() + REST_MS
    }
  }

  /** Services that have fewer endpoints in the kernel than they should. */
  get failures(): readonly TableFailure[] {
    if (this.#short.size === 0) return []
    const failures = new Map<string, TableFailure>()
    const values = { table: 'service_backs', max: this.#options.capacity }
    for (const { front } of this.#placings.values()) {
      if (!setsOf(front).some((set) => this.#short.has(set))) continue
      const object = describeService(front.service)
      failures.set(object, {
        subject: { kind: 'service', ...front.service },
        object,
        error: VrouterError.of('TABLE_FULL', values),
      })
    }
    return [...failures.values()]
  }

  /** The failures with the names of the Services that they are about. */
  explain(failures: readonly TableFailure[]): readonly TableFailure[] {
    if (!failures.some(({ subject }) => isOfService(subject))) return failures
    const names = new Map<string, string>()
    for (const { front } of this.#placings.values()) {
      const { vrf, address, listener, id, service } = front
      const protocol = listener === undefined ? 0 : PROTOCOL_NUMBERS[listener.protocol]
      names.set(`${vrf} ${address} ${protocol} ${listener?.port ?? 0}`, describeService(service))
      if (front.sourceRanges !== undefined) names.set(`${id}`, describeService(service))
    }
    return failures.map((failure) => {
      const { subject } = failure
      if (!isOfService(subject)) return failure
      const name =
        subject.kind === 'range'
          ? names.get(`${subject.service}`)
          : names.get(`${subject.vrf} ${subject.address} ${subject.protocol} ${subject.port}`)
      return name === undefined ? failure : { ...failure, object: `${name}: ${failure.object}` }
    })
  }

  // ---- fronts

  #put(front: Front): void {
    const key = frontKey(front)
    const former = this.#placings.get(key)
    // Of a front that an earlier daemon wrote nobody knows how much it had.
    const unknown = this.#held?.fronts.has(key) === true ? Number.POSITIVE_INFINITY : 0
    const placing: Placing = {
      front,
      inside: this.#use(front.inside, key, former?.inside, former?.inside?.count ?? unknown),
      outside: this.#use(front.outside, key, former?.outside, former?.outside?.count ?? unknown),
      local: this.#use(front.local, key, former?.local, former?.local?.count ?? unknown),
    }
    this.#placings.set(key, placing)
    if (former?.front !== front && this.#held?.fronts.has(key) !== true) this.#came.push([former?.front, front])
    if (this.#services.add(front.id) && this.#held?.services.has(front.id) !== true) this.#fresh.push(front.id)
    for (const source of front.sourceRanges ?? []) {
      const range = rangeKey(front.id, source)
      if (this.#rangeUsers.add(range)) this.#set('service_ranges', range, RANGE_VALUE)
    }
    this.#set('service_fronts', key, frontValue(front, blocksOf(placing)))
    this.#nodePorts.add(front)
    if (former !== undefined) this.#drop(key, former)
  }

  #remove(front: Front): void {
    const key = frontKey(front)
    const placing = this.#placings.get(key)
    if (placing?.front !== front) return
    this.#placings.delete(key)
    this.#options.onChange?.(front, undefined)
    this.#delete('service_fronts', key)
    this.#drop(key, placing)
  }

  #drop(key: string, { front, inside, outside, local }: Placing): void {
    this.#services.remove(front.id)
    this.#nodePorts.remove(front)
    for (const source of front.sourceRanges ?? []) {
      const range = rangeKey(front.id, source)
      if (this.#rangeUsers.remove(range)) this.#delete('service_ranges', range)
    }
    for (const placed of [inside, outside, local]) {
      if (placed === undefined) continue
      placed.former.add(key)
      if (--placed.users > 0) continue
      this.#leaving.push({ block: placed.block, former: placed.former })
      if (this.#sets.get(placed.set) === placed) this.#sets.delete(placed.set)
    }
  }

  // ---- sets

  /** The block of a set; where there is no room at all, that of the front as it was. */
  #use(set: BackSet, key: string, former: Placed | undefined, had: number): Placed | undefined {
    if (set.backs.length === 0) return undefined
    const placed = this.#sets.get(set) ?? this.#place(set, key, had) ?? former
    if (placed !== undefined) placed.users++
    return placed
  }

  /** `had`: backs that the front had so far. For more than that the reserve isn't touched. */
  #place(set: BackSet, key: string, had: number): Placed | undefined {
    const values = backValues(set.backs)
    const held = this.#held?.take(values, key)
    if (held !== undefined) return this.#fill(set, held.block, values, held.former)
    const wanted = set.backs.length
    const { free } = this.#blocks
    const room = wanted <= had ? free : Math.max(free - this.#reserve, Math.min(free, had))
    const whole = wanted <= room ? this.#blocks.allocate(wanted, { most: room }) : undefined
    if (whole !== undefined) return this.#fill(set, whole, values)
    this.#short.add(set)
    const count = Math.min(wanted, room, this.#blocks.largest)
    // Who comes new gets a part when all others have theirs.
    const part = count > 0 && had > 0 ? this.#blocks.allocate(count, { most: count }) : undefined
    return part && this.#fill(set, part, values.slice(0, count * BACK_BYTES))
  }

  #fill(set: BackSet, block: Block, values: string, former: Iterable<string> = []): Placed {
    const count = values.length / BACK_BYTES
    for (let at = 0; at < count; at++)
      this.#set('service_backs', indexKey(block.first + at), values.slice(at * BACK_BYTES, (at + 1) * BACK_BYTES))
    const placed: Placed = { set, block, count, users: 0, former: new Set(former) }
    this.#sets.set(set, placed)
    return placed
  }

  /** Blocks whose rest is over. */
  #free(held: Held): void {
    this.settle(held)
    const now = this.#nowMs()
    const isDue = ({ freeAtMs }: Leaving) => freeAtMs !== undefined && freeAtMs <= now
    for (const { block } of this.#leaving.filter(isDue)) {
      for (let at = block.first; at < block.first + block.size; at++) this.#delete('service_backs', indexKey(at))
      this.#blocks.release(block)
    }
    this.#leaving = this.#leaving.filter((leaving) => !isDue(leaving))
  }

  /** Gives sets that are short more room, as far as there is some by now; else blocks move towards the beginning, so that there will be. */
  #makeRoom(): void {
    const isUsed = new Set([...this.#placings.values()].flatMap(({ front }) => setsOf(front)))
    const renewed = new Set<BackSet>()
    for (const set of this.#short) {
      if (!isUsed.has(set)) {
        this.#short.delete(set)
        continue
      }
      const count = Math.min(set.backs.length, this.#blocks.largest, this.#blocks.free - this.#reserve)
      const block =
        count > (this.#sets.get(set)?.count ?? 0) ? this.#blocks.allocate(count, { most: count }) : undefined
      if (block === undefined) continue
      if (count === set.backs.length) this.#short.delete(set)
      this.#fill(set, block, backValues(set.backs.slice(0, count)))
      renewed.add(set)
    }
    if (this.#short.size > 0) for (const set of this.#moveDown()) renewed.add(set)
    if (renewed.size === 0) return
    for (const { front } of [...this.#placings.values()])
      if (setsOf(front).some((set) => renewed.has(set))) this.#put(front)
  }

  #moveDown(): readonly BackSet[] {
    const placed = [...this.#sets.values()].sort((a, b) => b.block.first - a.block.first)
    const moved: BackSet[] = []
    for (const { set, block, count } of placed) {
      if (moved.length === MOVES) break
      if (this.#short.has(set)) continue
      const lower = this.#blocks.allocate(count, { most: count, below: block.first })
      if (lower === undefined) continue
      this.#fill(set, lower, backValues(set.backs))
      moved.push(set)
    }
    return moved
  }

  // ---- the kernel's own

  /** From nothing, but for what the kernel holds. */
  #begin(held: Held): void {
    this.#blocks = new Blocks(this.#options.capacity)
    this.#tables = emptyTables()
    this.#list = []
    this.#placings = new Map()
    this.#sets = new Map()
    this.#short = new Set()
    this.#leaving = []
    this.#services = new Counts()
    this.#rangeUsers = new Counts()
    this.#nodePorts = new NodePorts()
    this.#held = new HeldBlocks(held.known('service_fronts'), held.known('service_backs'), this.#options.capacity)
    for (const { block } of this.#held.all()) this.#blocks.reserve(block)
  }

  /** What nobody took of it stays until the fronts that name it are other ones. */
  #letGo(heldBlocks: HeldBlocks): void {
    for (const { block, former, values } of heldBlocks.all()) {
      this.#leaving.push({ block, former })
      for (const [index, value] of values) this.#set('service_backs', indexKey(index), value)
    }
    this.#held = undefined
  }

  // ---- entries

  #set(map: ServiceMap, key: string, value: string): void {
    this.#tables[map].set(key, value)
    if (this.#isTold) this.#touched[map].add(key)
  }

  #delete(map: ServiceMap, key: string): void {
    if (this.#tables[map].delete(key)) this.#touched[map].add(key)
  }
}

function isOfService(subject: Subject): subject is Extract<Subject, { readonly kind: 'front' | 'range' }> {
  return subject.kind === 'front' || subject.kind === 'range'
}

function blocksOf({ inside, outside, local }: Placing): FrontSets {
  return { inside: placeOf(inside), outside: placeOf(outside), local: placeOf(local) }
}

function placeOf(placed: Placed | undefined): BackSetStruct {
  return placed === undefined ? NO_BACKS : { first: placed.block.first, count: placed.count }
}

function emptyTables(): { readonly [map in ServiceMap]: Entries } {
  return { service_backs: new Map(), service_ranges: new Map(), service_fronts: new Map(), node_ports: new Map() }
}

function emptyTouched(): { readonly [map in ServiceMap]: Set<string> } {
  return { service_backs: new Set(), service_ranges: new Set(), service_fronts: new Set(), node_ports: new Set() }
}
