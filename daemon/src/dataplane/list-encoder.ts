/**
 * A list of the model as entries of one map, pass after pass: an object that was in the list before is not encoded again, and what became of the entries
 * is told. Bytes are latin1 strings (see delta.ts). Pure.
 */

export type Entries = Map<string, string>

interface Encoded {
  readonly key: string
  /** What else it was made of. */
  readonly basis: unknown
  /** The last pass that it was seen in. */
  pass: number
}

export interface ListEncoderOptions<T> {
  readonly encode: (object: T) => readonly [key: string, value: string]
  /** An object beside `object` that the entry depends on: with another one it is made anew. */
  readonly basisOf?: (object: T) => unknown
}

/** An object may not be changed, and is in a list once. */
export class ListEncoder<T extends object> {
  readonly #options: ListEncoderOptions<T>
  readonly #entries: Entries = new Map()
  readonly #encoded = new Map<T, Encoded>()
  /** Whose an entry is: one key may go from an object to another within a pass. */
  readonly #owners = new Map<string, Encoded>()
  #pass = 0
  /** Of the last call that came to its end. */
  #list: readonly T[] | undefined

  constructor(options: ListEncoderOptions<T>) {
    this.#options = options
  }

  /** All entries, in the same map each time, and the keys of those that may be other ones than after the last call. Of one key the last entry counts. */
  encode(list: readonly T[]): { readonly entries: Entries; readonly touched: ReadonlySet<string> } {
    const touched = new Set<string>()
    if (list === this.#list && this.#options.basisOf === undefined) return { entries: this.#entries, touched }
    this.#list = undefined
    this.#encodeNew(list, touched)
    // Two of the list have one key, or had.
    if (this.#owners.size !== this.#encoded.size) {
      for (const key of this.#entries.keys()) touched.add(key)
      this.#encoded.clear()
      this.#owners.clear()
      this.#entries.clear()
      this.#encodeNew(list, touched)
    }
    this.#list = list
    return { entries: this.#entries, touched }
  }

  #encodeNew(list: readonly T[], touched: Set<string>): void {
    const { encode, basisOf } = this.#options
    this.#pass++
    for (const object of list) {
      const known = this.#encoded.get(object)
      const basis = basisOf?.(object)
      if (known !== undefined && known.basis === basis) {
        known.pass = this.#pass
        continue
      }
      const [key, value] = encode(object)
      const encoded = { key, basis, pass: this.#pass }
      this.#encoded.set(object, encoded)
      this.#owners.set(key, encoded)
      this.#entries.set(key, value)
      touched.add(key)
    }
    for (const [object, encoded] of this.#encoded) {
      if (encoded.pass !== this.#pass) this.#encoded.delete(object)
    }
    for (const [key, owner] of this.#owners) {
      if (owner.pass === this.#pass) continue
      this.#owners.delete(key)
      this.#entries.delete(key)
      touched.add(key)
    }
  }
}
