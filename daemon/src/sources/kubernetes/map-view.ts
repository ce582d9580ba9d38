/**
 * A map as it is now, under an identity of its own. The map of tens of thousands of interfaces changes in place, and whoever compares
 * by identity still sees that it changed: each state gets a new view of the one map, which knows what is different from the view before.
 * A view shows the present, not the past.
 */
import type { ChangeTold } from '../../model/remote-pods.ts'

/** Views that may lie between two that are compared: whoever looks seldom gets no word of what changed, and compares everything. */
const REMEMBERED = 64
/** More changes than this at once aren't told. */
const MANY = 4096

export class MapView<K, V> implements ReadonlyMap<K, V>, ChangeTold<K> {
  readonly #map: ReadonlyMap<K, V>
  readonly #version: number
  /** Of the views of this map up to this one, the latest last; shared by them. */
  readonly #changes: ReadonlySet<K>[]

  private constructor(map: ReadonlyMap<K, V>, version: number, changes: ReadonlySet<K>[]) {
    this.#map = map
    this.#version = version
    this.#changes = changes
  }

  static of<K, V>(map: ReadonlyMap<K, V>): MapView<K, V> {
    return new MapView(map, 0, [])
  }

  /**
   * The next view; to be asked of the latest one only.
   * @param changed keys that came, went or have another value since this one, in the order of the changes
   */
  next(changed: ReadonlySet<K>): MapView<K, V> {
    // To compare everything costs no more then, and the keys of a whole list needn't be kept.
    if (changed.size > MANY) this.#changes.length = 0
    else this.#changes.push(changed)
    if (this.#changes.length > REMEMBERED) this.#changes.shift()
    return new MapView(this.#map, this.#version + 1, this.#changes)
  }

  /** Of the latest view. */
  changedSince(earlier: unknown): Iterable<K> | undefined {
    if (!(earlier instanceof MapView) || earlier.#map !== this.#map) return undefined
    const steps = this.#version - earlier.#version
    if (steps < 0 || steps > this.#changes.length) return undefined
    const changed = new Set<K>()
    for (const step of this.#changes.slice(this.#changes.length - steps)) {
      for (const key of step) {
        changed.delete(key)
        changed.add(key)
      }
    }
    return changed
  }

  get size(): number {
    return this.#map.size
  }

  get(key: K): V | undefined {
    return this.#map.get(key)
  }

  has(key: K): boolean {
    return this.#map.has(key)
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.#map) callback(value, key, this)
  }

  entries(): MapIterator<[K, V]> {
    return this.#map.entries()
  }

  keys(): MapIterator<K> {
    return this.#map.keys()
  }

  values(): MapIterator<V> {
    return this.#map.values()
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.#map.entries()
  }
}
