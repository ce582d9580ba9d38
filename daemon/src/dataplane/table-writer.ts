/**
 * Brings one map to its desired contents. It never clears what is desired: entries are overwritten in place, and only such that
 * nobody wants are removed. An entry that is refused is reported and stays pending; the others go on.
 */
import type { BpfMap, MapEntry } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Subject } from '../model/tables.ts'
import { Delta } from './delta.ts'
import { BRIDGE_COUNTER_AT, type TableMap } from './encode-tables.ts'
import type { Pace } from './pace.ts'
import { describeEntry, subjectOf } from './subject.ts'

export interface TableFailure {
  readonly subject: Subject
  /** The same, in words. */
  readonly object: string
  readonly error: Error
  /** Passes by itself: no error for the log. */
  readonly isExpected?: boolean
}

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
  readonly #failures = new Map<string, TableFailure>()
  readonly #onChange: OnChange | undefined

  /** `onChange` hears of each entry that was written or deleted. */
  constructor(name: TableMap, map: BpfMap, onChange?: OnChange) {
    this.name = name
    this.#onChange = onChange
    this.#map = map
    this.#isArray = map.type === MapType.ARRAY
    this.#zero = Buffer.alloc(map.valueSize)
    this.delta = new Delta(name === 'bridge' ? isSameBridgeEntry : undefined)
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

  async *#pages(pace: Pace): AsyncGenerator<readonly MapEntry[]> {
    for (const page of this.#map.pages(PAGE, { skipZero: this.#isArray })) {
      yield page
      if (pace.isDue) await pace.rest()
    }
  }

  /** Writes what is missing or different. `prepare` is done before an entry that wasn't there; without it the entry isn't written either. */
  async write(pace: Pace, prepare?: (key: string) => void): Promise<number> {
    let written = 0
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

function isSameBridgeEntry(a: string, b: string): boolean {
  return a.slice(0, BRIDGE_COUNTER_AT) === b.slice(0, BRIDGE_COUNTER_AT)
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}

function latin1(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')
}
