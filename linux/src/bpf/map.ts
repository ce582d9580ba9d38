/**
 * One bpf map: look up, update, delete, walk. Keys and values are bytes; codecs are the caller's.
 *
 * A map owns one attribute block, one key and one value at fixed addresses, so that a call costs the system call and two small
 * copies, about 2 µs. It belongs to the thread that opened it.
 *
 * Per-CPU maps: a value is `valueSize` bytes for each possible CPU, each padded to a multiple of 8; `lookupPerCpu` splits them.
 */

import { readFileSync } from 'node:fs'
import { SystemError } from '../errors.ts'
import { allocate, bpf, close, duplicate, type Memory } from '../ffi.ts'
import {
  BpfCommand,
  type MapInfo,
  type MapSpec,
  MapType,
  mapCreate,
  mapInfo,
  objGet,
  objPin,
  possibleCpus,
  UpdateFlag,
} from './syscall.ts'

const ENOENT = 2
const EAGAIN = 11
const EINVAL = 22
const ENOSPC = 28
const EOPNOTSUPP = 95
const ENOTSUPP = 524
const EFAULT = 14

/** Element commands use the first 32 bytes of the attribute block, batch commands 56. */
const ELEMENT_ATTR_SIZE = 32
const DELETE_ATTR_SIZE = 16
const BATCH_ATTR_SIZE = 56
const OFFSET_KEY = 8
const OFFSET_VALUE = 16
const OFFSET_FLAGS = 24

/** Entries asked for at once. A page is at most this many elements and about 128 KiB. */
const PAGE_ENTRIES = 4096
const PAGE_BYTES = 1 << 17

const ZEROS = Buffer.alloc(PAGE_BYTES)

function isZero(bytes: Uint8Array, start = 0, length = bytes.length): boolean {
  for (let at = start; at < start + length; at++) if (bytes[at] !== 0) return false
  return true
}

export interface MapEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** Entries one behind the other, without gaps. */
export interface RawEntries {
  readonly count: number
  readonly keys: Uint8Array
  readonly values: Uint8Array
}

export class BpfMap implements Disposable {
  readonly fd: number
  readonly id: number
  readonly type: number
  readonly keySize: number
  /** Of one CPU's value for per-CPU maps. */
  readonly valueSize: number
  readonly maxEntries: number
  readonly name: string
  readonly isPerCpu: boolean
  /** Bytes of a whole value as the kernel copies it: `valueSize`, or all CPUs' padded values. */
  readonly elementSize: number

  readonly #attr: Memory = allocate(ELEMENT_ATTR_SIZE)
  readonly #key: Memory
  readonly #value: Memory
  #flags: number = 0
  #batchAttr: Memory | undefined
  #canBatch: boolean
  #open = true

  private constructor(fd: number, info: MapInfo) {
    this.fd = fd
    this.id = info.id
    this.type = info.type
    this.keySize = info.keySize
    this.valueSize = info.valueSize
    this.maxEntries = info.maxEntries
    this.name = info.name
    this.isPerCpu =
      info.type === MapType.PERCPU_HASH || info.type === MapType.PERCPU_ARRAY || info.type === MapType.LRU_PERCPU_HASH
    this.elementSize = this.isPerCpu ? align8(info.valueSize) * possibleCpus() : info.valueSize
    this.#canBatch = info.type !== MapType.QUEUE && info.type !== MapType.STACK
    this.#key = allocate(info.keySize)
    this.#value = allocate(this.elementSize)
    this.#attr.view.setUint32(0, fd, true)
    this.#attr.view.setBigUint64(OFFSET_KEY, info.keySize > 0 ? this.#key.address : 0n, true)
    this.#attr.view.setBigUint64(OFFSET_VALUE, this.#value.address, true)
  }

  static openPinned(path: string, options: { readonly readOnly?: boolean } = {}): BpfMap {
    return BpfMap.#adopt(objGet(path, options))
  }

  /** Takes a duplicate of `fd`, which stays the caller's. */
  static fromFd(fd: number): BpfMap {
    return BpfMap.#adopt(duplicate(fd))
  }

  static create(spec: MapSpec): BpfMap {
    return BpfMap.#adopt(mapCreate(spec))
  }

  static #adopt(fd: number): BpfMap {
    try {
      return new BpfMap(fd, mapInfo(fd))
    } catch (error) {
      close(fd)
      throw error
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return
    this.#open = false
    close(this.fd)
  }

  pin(path: string): void {
    objPin(this.fd, path)
  }

  // ---- one element

  /** A copy of the value, or undefined when the key isn't there. */
  lookup(key: Uint8Array): Uint8Array | undefined {
    return this.#find(key) ? this.#value.bytes.slice() : undefined
  }

  /** Copies the value into `into`; false when the key isn't there. Allocates nothing. */
  lookupInto(key: Uint8Array, into: Uint8Array): boolean {
    if (!this.#find(key)) return false
    into.set(this.#value.bytes)
    return true
  }

  /** The value of each possible CPU, or undefined when the key isn't there. */
  lookupPerCpu(key: Uint8Array): Uint8Array[] | undefined {
    const value = this.lookup(key)
    return value && this.splitPerCpu(value)
  }

  /** Views of each CPU's value in a whole per-CPU element. */
  splitPerCpu(element: Uint8Array): Uint8Array[] {
    const stride = align8(this.valueSize)
    return Array.from({ length: element.length / stride }, (_, cpu) =>
      element.subarray(cpu * stride, cpu * stride + this.valueSize),
    )
  }

  /**
   * Sets an element. `flags`: UpdateFlag.NOEXIST throws EEXIST when it is there, EXIST throws ENOENT when it isn't. E2BIG: the map is full.
   * A per-CPU map takes the value of one CPU for all of them, or a whole element.
   */
  update(key: Uint8Array, value: Uint8Array, flags: number = UpdateFlag.ANY): void {
    this.#setKey(key)
    this.#setValue(value)
    const result = this.#call(BpfCommand.MAP_UPDATE_ELEM, flags)
    if (result < 0) throw this.#failure(-result, 'update')
  }

  /** False when the key wasn't there. */
  delete(key: Uint8Array): boolean {
    this.#setKey(key)
    const result = this.#call(BpfCommand.MAP_DELETE_ELEM, 0)
    if (result === -ENOENT) return false
    if (result < 0) throw this.#failure(-result, 'delete from')
    return true
  }

  /** Takes the element out and returns it (hash maps; queues and stacks with an empty key). */
  take(key: Uint8Array = new Uint8Array(0)): Uint8Array | undefined {
    this.#setKey(key)
    const result = this.#call(BpfCommand.MAP_LOOKUP_AND_DELETE_ELEM, 0)
    if (result === -ENOENT) return undefined
    if (result < 0) throw this.#failure(-result, 'take from')
    return this.#value.bytes.slice()
  }

  // ---- walks

  /**
   * All keys. Entries that stay are seen; such that come or go meanwhile may be seen or not; the walk always ends. When the key it
   * stands on is deleted the kernel starts over, so a walk one by one keeps track and doesn't hand out a key twice.
   */
  *keys(): Generator<Uint8Array> {
    if (this.#canBatch) {
      for (const { key } of this.entries()) yield key
      return
    }
    yield* this.#walkKeys()
  }

  /** All entries, a page at a time; per-CPU values whole. Robust against concurrent changes as `keys` is. */
  *entries(): Generator<MapEntry> {
    for (const page of this.pages()) yield* page
  }

  /**
   * Entries as arrays of up to `size`, so that a caller can yield to its event loop in between. `skipZero` leaves out entries whose value is all zero:
   * of an array that is mostly empty nothing but what is in use is made into objects.
   */
  *pages(size = PAGE_ENTRIES, { skipZero = false } = {}): Generator<MapEntry[]> {
    if (this.#canBatch) {
      const started = yield* this.#batchPages(size, skipZero)
      if (started) return
    }
    let page: MapEntry[] = []
    for (const key of this.#walkKeys()) {
      const value = this.lookup(key)
      if (value && !(skipZero && isZero(value))) page.push({ key, value })
      if (page.length < size) continue
      yield page
      page = []
    }
    if (page.length > 0) yield page
  }

  /** All entries in one array. */
  lookupBatch(): MapEntry[] {
    return Array.from(this.entries())
  }

  count(): number {
    let count = 0
    for (const page of this.pages()) count += page.length
    return count
  }

  *#walkKeys(): Generator<Uint8Array> {
    const fresh = new FreshKeys(this.name)
    for (let key = this.#nextKey(undefined); key !== undefined; key = this.#nextKey(key)) {
      if (fresh.add(key)) yield key
    }
  }

  #nextKey(key: Uint8Array | undefined): Uint8Array | undefined {
    const { view } = this.#attr
    if (key) this.#setKey(key)
    else view.setBigUint64(OFFSET_KEY, 0n, true)
    const next = allocate(this.keySize)
    view.setBigUint64(OFFSET_VALUE, next.address, true)
    const result = this.#call(BpfCommand.MAP_GET_NEXT_KEY, 0, [this, next])
    view.setBigUint64(OFFSET_KEY, this.#key.address, true)
    view.setBigUint64(OFFSET_VALUE, this.#value.address, true)
    if (result === -ENOENT) return undefined
    if (result < 0) throw this.#failure(-result, 'walk')
    return next.bytes
  }

  /** Returns false, having yielded nothing, when this map's type has no batches. */
  *#batchPages(size: number, skipZero: boolean): Generator<MapEntry[], boolean> {
    let room = Math.max(1, Math.min(size, this.maxEntries, Math.floor(PAGE_BYTES / (this.keySize + this.elementSize))))
    let cursor: Memory | undefined
    // The cursor is a bucket number in hash maps, and a key in the others: a key that goes makes the kernel start over.
    const fresh = this.type === MapType.LPM_TRIE ? new FreshKeys(this.name) : undefined
    let keys: Memory | undefined
    let values: Memory | undefined
    for (;;) {
      keys ??= allocate(room * this.keySize)
      values ??= allocate(room * this.elementSize)
      const next = allocate(Math.max(4, this.keySize))
      const { result, count } = this.#batch(BpfCommand.MAP_LOOKUP_BATCH, keys, values, room, cursor, next)
      if (result === -ENOSPC && count === 0) {
        // One bucket of the hash holds more than fits: nothing was copied, ask again with more room.
        room *= 2
        keys = values = undefined
        continue
      }
      if (cursor === undefined && isUnsupported(result)) {
        this.#canBatch = false
        return false
      }
      if (result < 0 && result !== -ENOENT) throw this.#failure(-result, 'read')
      const page = this.#split(keys.bytes, values.bytes, count, skipZero)
      const news = fresh ? page.filter(({ key }) => fresh.add(key)) : page
      if (page.length > 0) keys = values = undefined // the entries are views of them
      if (news.length > 0) yield news
      if (result === -ENOENT) return true
      cursor = next
    }
  }

  /** Bytes that the kernel says the map takes: of tables that get memory with each entry it tells how many there are, at once. */
  memoryUsage(): number | undefined {
    const text = readFileSync(`/proc/self/fdinfo/${this.fd}`, 'latin1')
    const found = /^memlock:\s*(\d+)/m.exec(text)
    return found === null ? undefined : Number(found[1])
  }

  /**
   * All entries, or the first `limit` of an array, as the kernel copies them, many at a time, without an object for each: for those who
   * only want to know whether something is different.
   * The bytes are good until the next step. False: this map's type has no batches, nothing was yielded. An entry that comes, goes or moves meanwhile may
   * be missed or seen twice.
   */
  *chunks(limit = Number.POSITIVE_INFINITY): Generator<RawEntries, boolean> {
    const most = Math.floor(PAGE_BYTES / (this.keySize + this.elementSize))
    let room = Math.max(1, Math.min(PAGE_ENTRIES, this.maxEntries, most, limit))
    let seen = 0
    let keys = allocate(room * this.keySize)
    let values = allocate(room * this.elementSize)
    let cursor: Memory | undefined
    let next = allocate(Math.max(4, this.keySize))
    for (;;) {
      const { result, count } = this.#batch(BpfCommand.MAP_LOOKUP_BATCH, keys, values, room, cursor, next)
      if (result === -ENOSPC && count === 0) {
        room *= 2
        keys = allocate(room * this.keySize)
        values = allocate(room * this.elementSize)
        continue
      }
      if (cursor === undefined && isUnsupported(result)) return false
      if (result < 0 && result !== -ENOENT) throw this.#failure(-result, 'read')
      if (count > 0) {
        yield {
          count,
          keys: keys.bytes.subarray(0, count * this.keySize),
          values: values.bytes.subarray(0, count * this.elementSize),
        }
      }
      seen += count
      // A walk that others make start over ends nevertheless.
      if (result === -ENOENT || seen >= limit || seen > 2 * this.maxEntries) return true
      const former = cursor ?? allocate(next.bytes.length)
      cursor = next
      next = former
    }
  }

  #split(keys: Uint8Array, values: Uint8Array, count: number, skipZero: boolean): MapEntry[] {
    const { keySize, elementSize } = this
    const entries: MapEntry[] = []
    // Most pages of an array that is mostly empty.
    const size = count * elementSize
    if (skipZero && size <= ZEROS.length && ZEROS.compare(values, 0, size, 0, size) === 0) return entries
    for (let i = 0; i < count; i++) {
      if (skipZero && isZero(values, i * elementSize, elementSize)) continue
      entries.push({
        key: keys.subarray(i * keySize, (i + 1) * keySize),
        value: values.subarray(i * elementSize, (i + 1) * elementSize),
      })
    }
    return entries
  }

  // ---- many elements

  /** Sets many elements; those before a refused one are set. One by one where the map's type has no batches. */
  updateBatch(entries: readonly MapEntry[], flags: number = UpdateFlag.ANY): void {
    const step = this.#step()
    for (let start = 0; start < entries.length; start += step) {
      const part = entries.slice(start, start + step)
      if (!this.#canBatch || !this.#updatePart(part, flags))
        for (const { key, value } of part) this.update(key, value, flags)
    }
  }

  #updatePart(part: readonly MapEntry[], flags: number): boolean {
    const keys = allocate(part.length * this.keySize)
    const values = allocate(part.length * this.elementSize)
    part.forEach(({ key, value }, i) => {
      this.#checkKey(key)
      keys.bytes.set(key, i * this.keySize)
      this.#writeValue(values.bytes.subarray(i * this.elementSize, (i + 1) * this.elementSize), value)
    })
    const { result } = this.#batch(BpfCommand.MAP_UPDATE_BATCH, keys, values, part.length, undefined, undefined, flags)
    if (isUnsupported(result)) return false
    if (result < 0) throw this.#failure(-result, 'update')
    return true
  }

  /** Deletes many; keys that aren't there are fine. Returns how many were. */
  deleteBatch(keys: readonly Uint8Array[]): number {
    let deleted = 0
    const step = this.#step()
    for (let start = 0; start < keys.length; start += step) deleted += this.#deletePart(keys.slice(start, start + step))
    return deleted
  }

  #deletePart(part: readonly Uint8Array[]): number {
    let deleted = 0
    let rest = part
    while (rest.length > 0) {
      const packed = allocate(rest.length * this.keySize)
      rest.forEach((key, i) => {
        this.#checkKey(key)
        packed.bytes.set(key, i * this.keySize)
      })
      const { result, count } = this.#canBatch
        ? this.#batch(BpfCommand.MAP_DELETE_BATCH, packed, undefined, rest.length)
        : { result: -EOPNOTSUPP, count: 0 }
      if (isUnsupported(result)) return deleted + rest.filter((key) => this.delete(key)).length
      if (result < 0 && result !== -ENOENT) throw this.#failure(-result, 'delete from')
      deleted += count
      if (result >= 0) return deleted
      // The batch stops at a missing key: go on behind it.
      rest = rest.slice(count + 1)
    }
    return deleted
  }

  #step(): number {
    return Math.max(1, Math.min(PAGE_ENTRIES, Math.floor(PAGE_BYTES / Math.max(1, this.keySize + this.elementSize))))
  }

  // ---- the calls

  #find(key: Uint8Array): boolean {
    this.#setKey(key)
    const result = this.#call(BpfCommand.MAP_LOOKUP_ELEM, 0)
    if (result === -ENOENT) return false
    if (result < 0) throw this.#failure(-result, 'read')
    return true
  }

  #setKey(key: Uint8Array): void {
    this.#checkKey(key)
    this.#key.bytes.set(key)
  }

  #checkKey(key: Uint8Array): void {
    if (key.length !== this.keySize) {
      throw new RangeError(`a key of map ${this.name} has ${this.keySize} bytes, not ${key.length}`)
    }
  }

  #setValue(value: Uint8Array): void {
    this.#writeValue(this.#value.bytes, value)
  }

  #writeValue(target: Uint8Array, value: Uint8Array): void {
    if (value.length === this.elementSize) {
      target.set(value)
      return
    }
    if (!this.isPerCpu || value.length !== this.valueSize) {
      throw new RangeError(`a value of map ${this.name} has ${this.elementSize} bytes, not ${value.length}`)
    }
    const stride = align8(this.valueSize)
    for (let offset = 0; offset < this.elementSize; offset += stride) target.set(value, offset)
  }

  #call(command: number, flags: number, held: unknown = this): number {
    if (!this.#open) throw new SystemError('bpf', 9, `cannot use map ${this.name}`, 'it is closed')
    if (flags !== this.#flags) {
      this.#attr.view.setUint32(OFFSET_FLAGS, flags, true)
      this.#flags = flags
    }
    // A deletion's attributes end with the key: the kernel refuses (EINVAL) anything set behind it.
    const size = command === BpfCommand.MAP_DELETE_ELEM ? DELETE_ATTR_SIZE : ELEMENT_ATTR_SIZE
    let result = bpf(command, this.#attr, size, held)
    const isRead = command === BpfCommand.MAP_LOOKUP_ELEM || command === BpfCommand.MAP_GET_NEXT_KEY
    for (let again = 0; isRead && isSpoilt(result) && again < RETRIES; again++)
      result = bpf(command, this.#attr, size, held)
    return result
  }

  #batch(
    command: number,
    keys: Memory,
    values: Memory | undefined,
    count: number,
    from?: Memory,
    next?: Memory,
    flags = 0,
  ): { result: number; count: number } {
    if (!this.#open) throw new SystemError('bpf', 9, `cannot use map ${this.name}`, 'it is closed')
    this.#batchAttr ??= allocate(BATCH_ATTR_SIZE)
    const { view } = this.#batchAttr
    view.setBigUint64(0, from?.address ?? 0n, true)
    view.setBigUint64(8, next?.address ?? 0n, true)
    view.setBigUint64(16, keys.address, true)
    view.setBigUint64(24, values?.address ?? 0n, true)
    view.setUint32(32, count, true)
    view.setUint32(36, this.fd, true)
    view.setBigUint64(40, BigInt(flags), true)
    view.setBigUint64(48, 0n, true)
    const held = [this, keys, values, from, next]
    let result = bpf(command, this.#batchAttr, BATCH_ATTR_SIZE, held)
    for (let again = 0; command === BpfCommand.MAP_LOOKUP_BATCH && isSpoilt(result) && again < RETRIES; again++) {
      view.setUint32(32, count, true)
      result = bpf(command, this.#batchAttr, BATCH_ATTR_SIZE, held)
    }
    // On EFAULT the kernel leaves the count as it was.
    return { result, count: result === -EFAULT ? 0 : view.getUint32(32, true) }
  }

  #failure(errno: number, verb: string): SystemError {
    return new SystemError('bpf', errno, `cannot ${verb} map ${this.name}`)
  }
}

/** A walk over a changing map may start over and over. After this many times it gives up, rather than end early without saying so. */
const WALK_RESTARTS = 64

/** Tells new keys from those that a walk has seen before the kernel made it start over. */
class FreshKeys {
  readonly #seen = new Set<string>()
  readonly #map: string
  #restarts = 0
  #repeating = false

  constructor(map: string) {
    this.#map = map
  }

  add(key: Uint8Array): boolean {
    const id = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
    const repeated = this.#seen.has(id)
    if (repeated && !this.#repeating && ++this.#restarts > WALK_RESTARTS) {
      throw new SystemError('bpf', EAGAIN, `cannot walk map ${this.#map}`, 'it changes too fast')
    }
    this.#repeating = repeated
    if (!repeated) this.#seen.add(id)
    return !repeated
  }
}

/** What a read is repeated for, and how often. */
const RETRIES = 3
const EINTR = 4
const ETIMEDOUT = 110

/**
 * Every walk ends with a failing call (ENOENT). Between a call and the look at errno the engine may stop this thread for a moment, by a futex, which leaves
 * an errno of its own.
 */
function isSpoilt(result: number): boolean {
  return result === -EAGAIN || result === -EINTR || result === -ETIMEDOUT
}

function align8(size: number): number {
  return (size + 7) & ~7
}

/** A map type without batch commands answers ENOTSUPP, older kernels EINVAL. */
function isUnsupported(result: number): boolean {
  return result === -ENOTSUPP || result === -EOPNOTSUPP || result === -EINVAL
}
