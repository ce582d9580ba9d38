/**
 * Brings one map to its desired contents. It never clears what is desired: entries are overwritten in place, and only such that
 * nobody wants are removed. An entry that is refused is reported and stays pending; the others go on.
 */
import type { BpfMap, MapEntry } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno, SystemError } from '@kube-vrouter/linux/errors'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Pace } from '../ground/pace.ts'
import { decode, u32Codec } from '../maps/table.ts'
import { Delta } from './delta.ts'
import { forgetLearntMac } from './encode-nexthop.ts'
import { BRIDGE_COUNTER_AT, type TableMap } from './encode-tables.ts'
import { describeEntry, subjectOf } from './subject.ts'
import { hashOfBytes } from './table-digest.ts'
import type { TableFailure } from './table-failure.ts'

export interface TableChanges {
  readonly written: number
  readonly deleted: number
}

export type OnChange = (map: TableMap, key: string, before: string | undefined, after: string | undefined) => void

const PAGE = 1024

export class TableWriter {
  readonly name: TableMap
  readonly delta: Delta
  readonly #map: BpfMap
  /** An element of an array can't be deleted: all zero means that there is none. */
  readonly #isArray: boolean
  readonly #zero: Buffer
  /** Of a value, those that the daemon alone writes. */
  readonly #valueBytes: number
  /** Memory that the kernel's entries took after our last change, and which change that was. */
  #size: { readonly bytes: number | undefined; readonly version: number } | undefined
  readonly #failures = new Map<string, TableFailure>()
  readonly #onChange: OnChange | undefined

  /** `onChange` hears of each entry that was written or deleted. */
  constructor(name: TableMap, map: BpfMap, onChange?: OnChange) {
    this.name = name
    this.#onChange = onChange
    this.#map = map
    this.#isArray = map.type === MapType.ARRAY
    this.#zero = Buffer.alloc(map.valueSize)
    this.#valueBytes = name === 'bridge' ? BRIDGE_COUNTER_AT : map.valueSize
    this.delta = new Delta(this.#valueBytes)
  }

  get used(): number {
    return this.delta.known.size
  }

  get maxEntries(): number {
    return this.#map.maxEntries
  }

  /** Entries that could not be written or deleted at the last attempt. */
  get failures(): readonly TableFailure[] {
    return [...this.#failures.values()]
  }

  /** Reads the whole map. Returns how many entries weren't what they were believed to be. */
  async readBack(pace: Pace): Promise<number> {
    let seen = 0
    let differences = 0
    for await (const page of this.#pages(pace)) {
      for (const { key, value } of page) if (this.delta.see(latin1(key), latin1(value))) differences++
      seen += page.length
    }
    // As many as are known, each of them known: none is missing. That is how it is, and no second list of all entries is made.
    if (seen === this.delta.known.size) return differences
    const found = new Map<string, string>()
    for await (const page of this.#pages(pace)) {
      for (const { key, value } of page) found.set(latin1(key), latin1(value))
    }
    return differences + this.delta.replaceKnown(found)
  }

  /** To be called after changes: as many entries as now there should be at the next `hasOtherCount`. */
  markCount(): void {
    if (this.#size?.version === this.delta.version) return
    this.#size = { bytes: this.#map.memoryUsage(), version: this.delta.version }
  }

  /** Somebody else has added or removed entries. Tables that have their memory from the start don't show it. */
  get hasOtherCount(): boolean {
    if (this.#size?.bytes === undefined || this.#size.version !== this.delta.version) return false
    return this.#map.memoryUsage() !== this.#size.bytes
  }

  /** Reads what the kernel holds, in slices. Whether it is what is believed to be there; undefined: that changed meanwhile. */
  async isIntact(pace: Pace): Promise<boolean | undefined> {
    const { version } = this.delta
    const { keySize, valueSize } = this.#map
    let digest = 0
    let count = 0
    // Of an array no more is read than is in use, and the page in which that ends.
    const limit = this.#isArray ? this.#used() : Number.POSITIVE_INFINITY
    const chunks = this.#map.chunks(limit)
    for (;;) {
      const { value: chunk, done } = chunks.next()
      if (done) {
        if (!chunk) return undefined
        break
      }
      for (let at = 0; at < chunk.count; at++) {
        if (this.#isArray && isZero(chunk.values, at * valueSize, valueSize)) continue
        this.#forgetLearnt(chunk.keys.subarray(at * keySize, (at + 1) * keySize), chunk.values, at * valueSize)
        digest += hashOfBytes(chunk.keys, at * keySize, keySize, chunk.values, at * valueSize, this.#valueBytes)
        count++
      }
      digest >>>= 0
      if (!pace.isDue) continue
      await pace.rest()
      if (this.delta.version !== version) return undefined
    }
    return digest === this.delta.digest && count === this.delta.known.size
  }

  /** Elements of an array up to the last one in use. */
  #used(): number {
    let last = 0
    for (const key of this.delta.known.keys()) last = Math.max(last, decode(u32Codec, bytes(key)))
    return last + 1
  }

  /** What the datapath itself changes in entries is no difference. */
  #forgetLearnt(key: Uint8Array, values: Uint8Array, at: number): void {
    if (this.name === 'nexthops') forgetLearntMac(values, at, this.delta.known.get(latin1(key)))
  }

  async *#pages(pace: Pace): AsyncGenerator<readonly MapEntry[]> {
    for (const page of this.#map.pages(PAGE, { skipZero: this.#isArray })) {
      for (const { key, value } of page) this.#forgetLearnt(key, value, 0)
      yield page
      if (pace.isDue) await pace.rest()
    }
  }

  /** Writes what is missing or different. `prepare` is done before an entry that wasn't there; without it the entry isn't written either. */
  async write(pace: Pace, prepare?: (key: string) => void): Promise<number> {
    let written = await this.#writeAtOnce(pace)
    this.#failures.clear()
    for (const [key, value] of this.delta.writes()) {
      const put = (): void => {
        if (!this.delta.known.has(key)) prepare?.(key)
        this.#map.update(bytes(key), bytes(this.#withCounters(key, value)))
      }
      if (this.#attempt(key, put)) {
        this.#onChange?.(this.name, key, this.delta.known.get(key), value)
        this.delta.setKnown(key, value)
        written++
      }
      if (pace.isDue) await pace.rest()
    }
    return written
  }

  /** Backs of services, of which there are many: with one call for a page of them. What is refused so is left to be written one by one. */
  async #writeAtOnce(pace: Pace): Promise<number> {
    if (this.name !== 'service_backs') return 0
    let written = 0
    let page: [key: string, value: string][] = []
    const flush = async (): Promise<void> => {
      try {
        this.#map.updateBatch(page.map(([key, value]) => ({ key: bytes(key), value: bytes(value) })))
      } catch (error) {
        if (!(error instanceof SystemError)) throw error
        page = []
        return
      }
      for (const [key, value] of page) this.delta.setKnown(key, value)
      written += page.length
      page = []
      if (pace.isDue) await pace.rest()
    }
    for (const [key, value] of this.delta.writes()) {
      page.push([key, value])
      if (page.length === PAGE) await flush()
    }
    if (page.length > 0) await flush()
    return written
  }

  /** Removes what nobody wants. */
  async sweep(pace: Pace): Promise<number> {
    let deleted = 0
    for (const key of this.delta.deletions()) {
      const remove = () => (this.#isArray ? this.#map.update(bytes(key), this.#zero) : this.#map.delete(bytes(key)))
      if (this.#attempt(key, remove)) {
        this.#onChange?.(this.name, key, this.delta.known.get(key), undefined)
        this.delta.deleteKnown(key)
        deleted++
      }
      if (pace.isDue) await pace.rest()
    }
    return deleted
  }

  #attempt(key: string, operation: () => unknown): boolean {
    try {
      operation()
      return true
    } catch (error) {
      const isFull = isErrno(error, 'E2BIG', 'ENOSPC')
      this.#failures.set(key, {
        subject: subjectOf(this.name, key),
        object: describeEntry(this.name, key),
        error: isFull
          ? VrouterError.of('TABLE_FULL', { table: this.name, max: this.#map.maxEntries }, { cause: error })
          : Error.isError(error)
            ? error
            : new Error(reasonOf(error)),
      })
      return false
    }
  }

  /** A bridge entry that changes keeps the packets that it counted so far. */
  #withCounters(key: string, value: string): string {
    if (this.name !== 'bridge') return value
    const old = this.#map.lookup(bytes(key))
    return old ? value.slice(0, BRIDGE_COUNTER_AT) + latin1(old).slice(BRIDGE_COUNTER_AT) : value
  }
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function latin1(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
}

function isZero(values: Uint8Array, from: number, length: number): boolean {
  for (let at = from; at < from + length; at++) if (values[at] !== 0) return false
  return true
}
