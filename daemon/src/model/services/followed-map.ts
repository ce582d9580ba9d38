/** Which entries of the source's map are other ones than at the last look: told by the map itself where it can, else found by comparing. */
import type { ChangeTold } from '../remote-pods.ts'

export interface Change<V> {
  readonly key: string
  readonly before: V | undefined
  readonly after: V | undefined
}

export class FollowedMap<V> {
  #source: ReadonlyMap<string, V> | undefined
  readonly #known = new Map<string, V>()

  get size(): number {
    return this.#known.size
  }

  get(key: string): V | undefined {
    return this.#known.get(key)
  }

  /** Each entry once, those that are gone first where all are compared. */
  *changes(source: ReadonlyMap<string, V>): Generator<Change<V>> {
    const earlier = this.#source
    if (source === earlier) return
    this.#source = source
    for (const key of (source as Partial<ChangeTold<string>>).changedSince?.(earlier) ?? this.#different(source)) {
      const [before, after] = [this.#known.get(key), source.get(key)]
      if (before === after) continue
      if (after === undefined) this.#known.delete(key)
      else this.#known.set(key, after)
      yield { key, before, after }
    }
  }

  *#different(source: ReadonlyMap<string, V>): Generator<string> {
    for (const key of this.#known.keys()) if (!source.has(key)) yield key
    for (const [key, value] of source) if (this.#known.get(key) !== value) yield key
  }
}
