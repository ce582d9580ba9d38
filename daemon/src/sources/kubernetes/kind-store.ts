/**
 * All objects of one kind, as the API server says, with our own writes on top until word of them comes back. An object that can't be
 * accepted is set aside with the reasons; what was last accepted of it stays.
 */
import type { ApiError } from '../../kubernetes/errors.ts'
import { isOlder, type KubeObject, keyOf } from '../../kubernetes/objects.ts'
import type { Handler } from '../../kubernetes/reflector.ts'
import { isEqual } from '../../model/equal.ts'
import type { Rejection } from '../../model/objects.ts'

export type Accepted<T> =
  /** No value: it is in order, and doesn't concern us; what was known under its name is gone. */
  | { readonly ok: true; readonly value: T | undefined }
  | { readonly ok: false; readonly rejections: readonly Rejection[] }

export interface KindStoreOptions<T> {
  readonly decode: (object: KubeObject) => Accepted<T>
  /** Whether this node wrote it: then its uid is kept, to remove it by. */
  readonly isOwn?: (value: T) => boolean
  /** After `value` took the place of `before`; undefined: there is none (any more). */
  readonly onSet: (key: string, value: T | undefined, before: T | undefined, object: KubeObject | undefined) => void
  /** As `onSet`, but for what comes from the API server only, and not from the disk. */
  readonly onNews: (key: string, value: T | undefined) => void
  /** Something is different than before. */
  readonly onFlush: () => void
  readonly onProblem: (problem: ApiError | undefined) => void
}

/** How long older news doesn't undo what we wrote or removed, milliseconds. A cluster that was restored from a backup is older, too. */
const GUARD_MS = 60_000

export class KindStore<T> implements Handler {
  readonly #options: KindStoreOptions<T>
  readonly #values = new Map<string, T>()
  readonly #rejections = new Map<string, readonly Rejection[]>()
  readonly #own = new Map<string, { readonly uid: string; readonly resourceVersion: string | undefined }>()
  /** Version of what we wrote last, and when: older news may still come for a while. */
  readonly #written = new Map<string, { readonly resourceVersion: string; readonly at: number }>()
  /** When we removed the object of a uid. */
  readonly #removed = new Map<string, number>()
  #listed: Set<string> | undefined
  /** A list came to its end: all is as the API server says. */
  #isListed = false
  #hasChanged = false

  constructor(options: KindStoreOptions<T>) {
    this.#options = options
  }

  get values(): ReadonlyMap<string, T> {
    return this.#values
  }

  get rejections(): Rejection[] {
    return [...this.#rejections.values()].flat()
  }

  /** All of them were listed once: what isn't here doesn't exist. */
  get isListed(): boolean {
    return this.#isListed
  }

  /** A list is under way: what is gone isn't known before its end. */
  get isListing(): boolean {
    return this.#listed !== undefined
  }

  ownUid(key: string): string | undefined {
    return this.#own.get(key)?.uid
  }

  beginList(): void {
    this.#listed = new Set()
  }

  listed(object: KubeObject): void {
    this.#listed?.add(keyOf(object))
    this.#put(object)
  }

  endList(resourceVersion: string): void {
    const listed = this.#listed
    this.#listed = undefined
    this.#isListed = true
    for (const known of [this.#values, this.#rejections])
      for (const key of known.keys())
        if (listed?.has(key) !== true && !this.#isOldNews(key, resourceVersion)) this.#remove(key)
    this.#hasChanged = true
  }

  changed(object: KubeObject): void {
    this.#listed?.add(keyOf(object))
    this.#put(object)
  }

  removed(object: KubeObject): void {
    const key = keyOf(object)
    const { resourceVersion } = object.metadata
    // Made again by us since.
    if (this.#isOldNews(key, resourceVersion)) return
    this.#remove(key)
  }

  onProblem(problem: ApiError | undefined): void {
    this.#options.onProblem(problem)
  }

  onFlush(): void {
    if (!this.#hasChanged) return
    this.#hasChanged = false
    this.#options.onFlush()
  }

  /** What the API server answered to a write of ours. */
  wrote(object: KubeObject): void {
    const key = keyOf(object)
    const { resourceVersion } = object.metadata
    // The watch was faster, and others have changed it since.
    if (isOlder(resourceVersion, this.#own.get(key)?.resourceVersion)) return
    this.#put(object)
    if (resourceVersion !== undefined) this.#written.set(key, { resourceVersion, at: performance.now() })
    this.onFlush()
  }

  /** The API server accepted that we removed it. */
  withdrew(key: string, uid: string | undefined): void {
    const now = performance.now()
    for (const [other, at] of this.#removed) if (now - at > GUARD_MS) this.#removed.delete(other)
    if (uid !== undefined) this.#removed.set(uid, now)
    this.#remove(key)
    this.onFlush()
  }

  /** What was kept on disk, where the API server hasn't said anything newer; undefined: it went after that. */
  seed(key: string, value: T | undefined): void {
    if (this.#isListed || this.#listed?.has(key)) return
    const before = this.#values.get(key)
    if (value === undefined) this.#values.delete(key)
    else this.#values.set(key, value)
    this.#options.onSet(key, value, before, undefined)
    this.#hasChanged = true
  }

  #isOldNews(key: string, resourceVersion: string | undefined): boolean {
    const written = this.#written.get(key)
    if (written === undefined) return false
    if (performance.now() - written.at < GUARD_MS) return isOlder(resourceVersion, written.resourceVersion)
    this.#written.delete(key)
    return false
  }

  #put(object: KubeObject): void {
    const key = keyOf(object)
    const { uid, resourceVersion } = object.metadata
    if (this.#isOldNews(key, resourceVersion)) return
    if (uid !== undefined && performance.now() - (this.#removed.get(uid) ?? Number.NEGATIVE_INFINITY) < GUARD_MS) return
    const before = this.#values.get(key)
    const accepted = this.#decode(key, object)
    if (!accepted.ok) {
      const kept = before === undefined ? '' : ' (what was last accepted of it stays in force)'
      const rejections = accepted.rejections.map((one) => ({ ...one, message: `${one.message}${kept}` }))
      if (!isEqual(this.#rejections.get(key), rejections)) this.#hasChanged = true
      this.#rejections.set(key, rejections)
      return
    }
    if (this.#rejections.delete(key)) this.#hasChanged = true
    const { value } = accepted
    if (value === undefined) {
      this.#remove(key)
      return
    }
    if (uid !== undefined && this.#options.isOwn?.(value) === true) this.#own.set(key, { uid, resourceVersion })
    else this.#own.delete(key)
    if (before !== undefined && isEqual(before, value)) return
    this.#values.set(key, value)
    this.#options.onSet(key, value, before, object)
    this.#options.onNews(key, value)
    this.#hasChanged = true
  }

  /** Nothing that somebody writes into the cluster may stop the news of everything else. */
  #decode(key: string, object: KubeObject): Accepted<T> {
    try {
      return this.#options.decode(object)
    } catch (error) {
      return { ok: false, rejections: [{ object: key, message: `cannot be understood: ${(error as Error).message}` }] }
    }
  }

  #remove(key: string): void {
    this.#written.delete(key)
    this.#own.delete(key)
    const before = this.#values.get(key)
    if (this.#rejections.delete(key)) this.#hasChanged = true
    if (!this.#values.delete(key)) return
    this.#options.onSet(key, undefined, before, undefined)
    this.#options.onNews(key, undefined)
    this.#hasChanged = true
  }
}
