/** Comparing and sharing: what didn't change keeps its object, so that whoever diffs can compare by identity first. */

/** Structural equality of plain data: primitives, arrays, objects. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => isEqual(item, b[i]))
  }
  const keys = Object.keys(a) as (keyof typeof a)[]
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]))
}

/** `next`, or `previous` when it says the same. */
export function keepEqual<T>(previous: T | undefined, next: T): T {
  return previous !== undefined && isEqual(previous, next) ? previous : next
}

export function isSameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a === b || (a.length === b.length && a.every((item, i) => item === b[i]))
}

/** `next`, or `previous` when it holds the very same items. */
export function keepList<T>(previous: readonly T[] | undefined, next: readonly T[]): readonly T[] {
  return previous !== undefined && isSameList(previous, next) ? previous : next
}

/** Same keys with the very same values. */
export function isSameMap<K, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value || !b.has(key)) return false
  return true
}

/** Tells whether something has to be done again: the inputs of the last time are remembered, and compared by identity. */
export class Inputs {
  #last: readonly unknown[] | undefined

  /** Whether one of them is another one than at the last call. */
  areOther(...inputs: readonly unknown[]): boolean {
    const isSame = this.#last !== undefined && isSameList(this.#last, inputs)
    this.#last = inputs
    return !isSame
  }
}

/** What was made of some inputs, until one of them is another one. */
export class Memo<T> {
  readonly #inputs = new Inputs()
  #made: { readonly value: T } | undefined

  get(inputs: readonly unknown[], make: () => T): T {
    if (this.#inputs.areOther(...inputs) || this.#made === undefined) this.#made = { value: make() }
    return this.#made.value
  }
}
