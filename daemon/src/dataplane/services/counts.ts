/** How often something is used. Pure. */
export class Counts<T> {
  readonly #counts = new Map<T, number>()

  /** How many things are used. */
  get size(): number {
    return this.#counts.size
  }

  /** True: nobody did. */
  add(what: T): boolean {
    const count = this.#counts.get(what) ?? 0
    this.#counts.set(what, count + 1)
    return count === 0
  }

  /** True: nobody does any more. */
  remove(what: T): boolean {
    const count = this.#counts.get(what) ?? 0
    if (count > 1) this.#counts.set(what, count - 1)
    else this.#counts.delete(what)
    return count === 1
  }
}
