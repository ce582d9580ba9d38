/**
 * Desired against known: the one way in which this folder finds out what to write. Pure.
 *
 * `desired` is what should be in the kernel, `known` what is believed to be there: read back at the start and by every resync, and
 * kept up to date by those who write. The difference is the pending work, and nothing else decides it: an operation that
 * failed is simply still pending. Once all entries were compared, only those are looked at again of which somebody says that they may differ.
 *
 * Keys and values are strings, because strings compare and hash by content: map entries are their bytes as latin1.
 */
import { hashOfText } from './table-digest.ts'

export class Delta {
  #desired: ReadonlyMap<string, string> = new Map()
  readonly #known = new Map<string, string>()
  /** Keys outside of which nothing differs; undefined: not known, all are looked at. */
  #suspects: Set<string> | undefined
  /** Keys that differed when all were looked at. */
  readonly #found = new Set<string>()
  #hasLookedAtAll = false
  readonly #valueBytes: number
  #digest = 0
  #version = 0

  /** `valueBytes`: of a value only so many bytes count; what is behind them the kernel itself changes, such as counters. */
  constructor(valueBytes = Number.POSITIVE_INFINITY) {
    this.#valueBytes = valueBytes
  }

  /** Of all that is known (table-digest.ts). */
  get digest(): number {
    return this.#digest
  }

  /** Another one whenever what is known has changed. */
  get version(): number {
    return this.#version
  }

  #isSame(a: string, b: string): boolean {
    return a === b || (a.length > this.#valueBytes && a.slice(0, this.#valueBytes) === b.slice(0, this.#valueBytes))
  }

  /** Keeps number and digest; `undefined`: it is gone. */
  #note(key: string, value: string | undefined): void {
    const before = this.#known.get(key)
    this.#version++
    if (before !== undefined) this.#digest = (this.#digest - hashOfText(key, before, this.#valueBytes)) >>> 0
    if (value === undefined) this.#known.delete(key)
    else {
      this.#digest = (this.#digest + hashOfText(key, value, this.#valueBytes)) >>> 0
      this.#known.set(key, value)
    }
  }

  get desired(): ReadonlyMap<string, string> {
    return this.#desired
  }

  get known(): ReadonlyMap<string, string> {
    return this.#known
  }

  /** `touched`: it is the map of before, and only these keys of it may be different now. */
  setDesired(desired: ReadonlyMap<string, string>, touched?: Iterable<string>): void {
    if (touched === undefined || desired !== this.#desired) this.#suspectAll()
    else if (this.#suspects !== undefined) for (const key of touched) this.#suspects.add(key)
    else this.#suspectAll()
    this.#desired = desired
  }

  /** An entry was written, or seen. */
  setKnown(key: string, value: string): void {
    this.#note(key, value)
    this.#suspects?.add(key)
  }

  /** An entry is gone. */
  deleteKnown(key: string): void {
    this.#note(key, undefined)
    this.#suspects?.add(key)
  }

  /** What is there, entry by entry. @returns whether it wasn't known, or not like this: damage done by others */
  see(key: string, value: string): boolean {
    const known = this.#known.get(key)
    if (known !== undefined && this.#isSame(known, value)) return false
    this.setKnown(key, value)
    return true
  }

  /** All that is there, after a full read. Returns how many entries weren't what was known: damage done by others. */
  replaceKnown(found: ReadonlyMap<string, string>): number {
    let differences = 0
    for (const [key, value] of found) {
      const known = this.#known.get(key)
      if (known === undefined || !this.#isSame(known, value)) differences++
    }
    for (const key of this.#known.keys()) if (!found.has(key)) differences++
    this.#suspectAll()
    this.#known.clear()
    this.#digest = 0
    this.#version++
    for (const [key, value] of found) this.#note(key, value)
    return differences
  }

  /** Entries to be written: missing, or different. Entries may be marked known while this runs. */
  *writes(): Generator<readonly [key: string, value: string]> {
    if (this.#suspects !== undefined) {
      for (const key of [...this.#suspects]) {
        const value = this.#desired.get(key)
        if (!this.#differs(key)) this.#suspects.delete(key)
        else if (value !== undefined) yield [key, value]
      }
      return
    }
    for (const entry of this.#desired) {
      const known = this.#known.get(entry[0])
      if (known !== undefined && this.#isSame(entry[1], known)) continue
      this.#found.add(entry[0])
      yield entry
    }
    this.#hasLookedAtAll = true
  }

  /** Keys to be deleted. Entries may be marked gone while this runs. */
  *deletions(): Generator<string> {
    if (this.#suspects !== undefined) {
      for (const key of [...this.#suspects]) if (this.#known.has(key) && !this.#desired.has(key)) yield key
      return
    }
    for (const key of this.#known.keys()) {
      if (this.#desired.has(key)) continue
      this.#found.add(key)
      yield key
    }
    if (!this.#hasLookedAtAll) return
    this.#suspects = new Set([...this.#found].filter((key) => this.#differs(key)))
    this.#found.clear()
  }

  get isSettled(): boolean {
    return this.writes().next().done === true && this.deletions().next().done === true
  }

  #differs(key: string): boolean {
    const [desired, known] = [this.#desired.get(key), this.#known.get(key)]
    return desired === undefined || known === undefined ? desired !== known : !this.#isSame(desired, known)
  }

  #suspectAll(): void {
    this.#suspects = undefined
    this.#found.clear()
    this.#hasLookedAtAll = false
  }
}
