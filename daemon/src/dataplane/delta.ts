/**
 * Desired against known: the one way in which this folder finds out what to write. Pure.
 *
 * `desired` is what should be in the kernel, `known` what is believed to be there: read back at the start and by every resync, and
 * kept up to date by those who write. The difference is the pending work, and nothing else decides it: an operation that
 * failed is simply still pending.
 *
 * Keys and values are strings, because strings compare and hash by content: map entries are their bytes as latin1.
 */
export class Delta {
  #desired: ReadonlyMap<string, string> = new Map()
  readonly #known = new Map<string, string>()
  readonly #isSame: (desired: string, known: string) => boolean

  /** `isSame` may overlook what the kernel itself changes in an entry, such as counters. */
  constructor(isSame: (desired: string, known: string) => boolean = (a, b) => a === b) {
    this.#isSame = isSame
  }

  get desired(): ReadonlyMap<string, string> {
    return this.#desired
  }

  get known(): ReadonlyMap<string, string> {
    return this.#known
  }

  setDesired(desired: ReadonlyMap<string, string>): void {
    this.#desired = desired
  }

  /** An entry was written, or seen. */
  setKnown(key: string, value: string): void {
    this.#known.set(key, value)
  }

  /** An entry is gone. */
  deleteKnown(key: string): void {
    this.#known.delete(key)
  }

  /** All that is there, after a full read. Returns how many entries weren't what was known: damage done by others. */
  replaceKnown(found: ReadonlyMap<string, string>): number {
    let differences = 0
    for (const [key, value] of found) {
      const known = this.#known.get(key)
      if (known === undefined || !this.#isSame(known, value)) differences++
    }
    for (const key of this.#known.keys()) if (!found.has(key)) differences++
    this.#known.clear()
    for (const [key, value] of found) this.#known.set(key, value)
    return differences
  }

  /** Entries to be written: missing, or different. Entries may be marked known while this runs. */
  *writes(): Generator<readonly [key: string, value: string]> {
    for (const entry of this.#desired) {
      const known = this.#known.get(entry[0])
      if (known === undefined || !this.#isSame(entry[1], known)) yield entry
    }
  }

  /** Keys to be deleted. Entries may be marked gone while this runs. */
  *deletions(): Generator<string> {
    for (const key of this.#known.keys()) if (!this.#desired.has(key)) yield key
  }

  get isSettled(): boolean {
    return this.writes().next().done === true && this.deletions().next().done === true
  }
}
