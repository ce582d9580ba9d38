/** Who rests on what is found under a key; in almost every case that is one. */
export class Dependents<T extends object> {
  readonly #all = new Map<string, T | Set<T>>()

  of(key: string): Iterable<T> {
    const found = this.#all.get(key)
    return found === undefined ? [] : found instanceof Set ? found : [found]
  }

  add(key: string, one: T): void {
    const found = this.#all.get(key)
    if (found === undefined) this.#all.set(key, one)
    else if (found instanceof Set) found.add(one)
    else if (found !== one) this.#all.set(key, new Set([found, one]))
  }

  delete(key: string, one: T): void {
    const found = this.#all.get(key)
    if (found === one) this.#all.delete(key)
    else if (found instanceof Set && found.delete(one) && found.size === 0) this.#all.delete(key)
  }
}
