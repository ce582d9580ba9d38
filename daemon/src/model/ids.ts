/**
 * Stable numbers for the vRouter's objects. An object is known by an identity string (a VRF's name, an attachment's uuid, a
 * tunnel's ends); the same identity has the same number for as long as it lives, over restarts too (`toJSON`, `adopt`).
 *
 * A number that is given back isn't used by another identity before its quarantine is over: other nodes may still send packets
 * with a freed label, and cached flows may still name a freed nexthop. An identity that comes back within it gets its number
 * again. Among the numbers free to use the lowest is taken. Pure: time comes from the caller.
 */
import { LABEL_FIRST, VIF_ID_FIRST_POD } from '../maps/constants.ts'

export const ID_KINDS = ['vrf', 'nexthop', 'label', 'vif', 'bridge', 'service'] as const
export type IdKind = (typeof ID_KINDS)[number]

/** First number that is given out: those below are fixed (VRF 0 and 1, nexthop 0 and 1, vif 0 to 2) or reserved (RFC 3032 labels). */
export const FIRST_ID: Readonly<Record<IdKind, number>> = {
  vrf: 2,
  nexthop: 2,
  label: LABEL_FIRST,
  vif: VIF_ID_FIRST_POD,
  bridge: 1,
  service: 1,
}

/** Milliseconds that a freed number rests. Labels longest: other nodes learn late that they are gone. */
export const QUARANTINE_MS: Readonly<Record<IdKind, number>> = {
  vrf: 60_000,
  nexthop: 60_000,
  label: 120_000,
  vif: 30_000,
  bridge: 30_000,
  service: 60_000,
}

/** Table sizes: numbers go up to size - 1. */
export type IdLimits = Readonly<Record<IdKind, number>>

export interface IdsOptions {
  readonly limits: IdLimits
  readonly quarantineMs?: Partial<Record<IdKind, number>>
}

interface Released {
  readonly id: number
  /** Milliseconds since the epoch. */
  readonly at: number
}

export interface SerialisedIds {
  readonly version: 1
  readonly kinds: Readonly<
    Record<IdKind, { readonly used: Record<string, number>; readonly released: Record<string, Released> }>
  >
}

/** An identity got this number, or gave it back. */
export interface IdChange {
  readonly kind: IdKind
  readonly key: string
  readonly id: number
  /** Given back then, milliseconds since the epoch; absent: it has the number from now on. */
  readonly at?: number
}

/** A file of ids that can't be used; `code` is IDS_CORRUPT. */
export class IdsCorruptError extends Error {
  readonly code = 'IDS_CORRUPT'
}

export class Ids {
  readonly limits: IdLimits
  readonly #pools: Readonly<Record<IdKind, Pool>>
  #revision = 0
  #changes: IdChange[] = []

  constructor(options: IdsOptions) {
    this.limits = options.limits
    const pool = (kind: IdKind) =>
      new Pool(FIRST_ID[kind], options.limits[kind], options.quarantineMs?.[kind] ?? QUARANTINE_MS[kind])
    this.#pools = {
      vrf: pool('vrf'),
      nexthop: pool('nexthop'),
      label: pool('label'),
      vif: pool('vif'),
      bridge: pool('bridge'),
      service: pool('service'),
    }
  }

  /** Raised by every change that a restart must not forget: the caller writes `toJSON` before it programs the kernel. */
  get revision(): number {
    return this.#revision
  }

  /** Number of this identity, given out now if it has none. Undefined: the table is full, or what is free still rests. */
  allocate(kind: IdKind, key: string, now: number): number | undefined {
    const pool = this.#pools[kind]
    const known = pool.used.get(key)
    if (known !== undefined) return known
    const id = pool.allocate(key, now)
    if (id !== undefined) this.#changed({ kind, key, id })
    return id
  }

  get(kind: IdKind, key: string): number | undefined {
    return this.#pools[kind].used.get(key)
  }

  release(kind: IdKind, key: string, now: number): void {
    const id = this.#pools[kind].release(key, now)
    if (id !== undefined) this.#changed({ kind, key, id, at: now })
  }

  /** Releases every identity of the kind that `isAlive` doesn't know. */
  sweep(kind: IdKind, isAlive: (key: string, id: number) => boolean, now: number): void {
    const pool = this.#pools[kind]
    for (const [key, id] of pool.used) if (!isAlive(key, id)) this.release(kind, key, now)
  }

  /**
   * Takes over a number that the kernel holds for this identity. False, and nothing changes, when the number is out of range or
   * another identity's, or when the identity has another one already.
   */
  adopt(kind: IdKind, key: string, id: number): boolean {
    const pool = this.#pools[kind]
    const known = pool.used.get(key)
    if (known !== undefined) return known === id
    if (!pool.adopt(key, id)) return false
    this.#changed({ kind, key, id })
    return true
  }

  /** What has changed since the last call, in order: applied to what `toJSON` gave then, it makes what it gives now (but for rests that are over). */
  takeChanges(): readonly IdChange[] {
    const changes = this.#changes
    this.#changes = []
    return changes
  }

  /** Applies a change that `takeChanges` told. Throws IdsCorruptError when it can't be one. */
  apply(change: unknown): void {
    const { kind, key, id, at } = (change ?? {}) as Partial<IdChange>
    const pool = ID_KINDS.find((one) => one === kind) && this.#pools[kind!]
    const isWhole = typeof key === 'string' && Number.isSafeInteger(id) && (at === undefined || Number.isFinite(at))
    if (pool === undefined || !isWhole || id! < FIRST_ID[kind!])
      throw new IdsCorruptError(`a change isn't complete: ${JSON.stringify(change)}`)
    if (id! >= pool.limit) return
    if (!pool.put(key, { id: id!, at })) throw new IdsCorruptError(`${kind}: id ${id} is another identity's`)
  }

  #changed(change: IdChange): void {
    this.#revision++
    this.#changes.push(change)
  }

  used(kind: IdKind): ReadonlyMap<string, number> {
    return this.#pools[kind].used
  }

  toJSON(): SerialisedIds {
    const kinds = {} as Record<IdKind, { used: Record<string, number>; released: Record<string, Released> }>
    for (const kind of ID_KINDS) {
      const pool = this.#pools[kind]
      kinds[kind] = { used: Object.fromEntries(pool.used), released: Object.fromEntries(pool.released) }
    }
    return { version: 1, kinds }
  }

  /** Throws IdsCorruptError when `data` isn't what `toJSON` made. A number above today's limits is forgotten, not an error. */
  static fromJSON(data: unknown, options: IdsOptions): Ids {
    const ids = new Ids(options)
    const root = data as SerialisedIds | null
    if (typeof root !== 'object' || root === null || root.version !== 1 || typeof root.kinds !== 'object') {
      throw new IdsCorruptError('not a version 1 table of ids')
    }
    for (const kind of ID_KINDS) {
      // A file of before there were Services.
      if (kind === 'service' && root.kinds?.[kind] === undefined) continue
      const pool = ids.#pools[kind]
      const { used, released } = root.kinds?.[kind] ?? {}
      if (!isRecord(used) || !isRecord(released)) throw new IdsCorruptError(`kinds.${kind} isn't complete`)
      for (const [key, id] of Object.entries(used)) {
        if (!Number.isSafeInteger(id) || id < FIRST_ID[kind])
          throw new IdsCorruptError(`kinds.${kind}: ${key} has id ${id}`)
        if (id < pool.limit && !pool.adopt(key, id)) throw new IdsCorruptError(`kinds.${kind}: id ${id} occurs twice`)
      }
      for (const [key, entry] of Object.entries(released)) {
        if (
          !isRecord(entry) ||
          !Number.isSafeInteger(entry.id) ||
          !Number.isFinite(entry.at) ||
          entry.id < FIRST_ID[kind]
        ) {
          throw new IdsCorruptError(`kinds.${kind}: released ${key} isn't complete`)
        }
        if (entry.id < pool.limit && !pool.rest(key, entry)) {
          throw new IdsCorruptError(`kinds.${kind}: id ${entry.id} occurs twice`)
        }
      }
    }
    return ids
  }
}

function isRecord<T>(value: T): value is NonNullable<T> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Numbers first..limit-1. Every number is used, resting, free again, or was never given out. */
class Pool {
  readonly limit: number
  readonly used = new Map<string, number>()
  /** In the order of their release. */
  readonly released = new Map<string, Released>()
  readonly #first: number
  readonly #quarantineMs: number
  /** Used and resting numbers, and whose they are. */
  readonly #taken = new Map<number, string>()
  /** No number below is free. */
  #lowest: number

  constructor(first: number, limit: number, quarantineMs: number) {
    this.#first = first
    this.limit = limit
    this.#quarantineMs = quarantineMs
    this.#lowest = first
  }

  allocate(key: string, now: number): number | undefined {
    const own = this.released.get(key)
    if (own !== undefined) {
      this.released.delete(key)
      this.used.set(key, own.id)
      return own.id
    }
    this.#endQuarantine(now)
    while (this.#lowest < this.limit && this.#taken.has(this.#lowest)) this.#lowest++
    if (this.#lowest >= this.limit) return undefined
    const id = this.#lowest++
    this.#taken.set(id, key)
    this.used.set(key, id)
    return id
  }

  /** The number that is given back, if there was one. */
  release(key: string, now: number): number | undefined {
    const id = this.used.get(key)
    if (id === undefined) return undefined
    this.used.delete(key)
    this.released.set(key, { id, at: now })
    return id
  }

  /** The identity has that number, or gave it back then, whatever it had before. The rest of another one who had it is over. False: another one has it. */
  put(key: string, { id, at }: { readonly id: number; readonly at: number | undefined }): boolean {
    const owner = this.#taken.get(id)
    if (owner !== undefined && owner !== key) {
      if (this.used.has(owner)) return false
      this.released.delete(owner)
    }
    const before = this.used.get(key) ?? this.released.get(key)?.id
    this.used.delete(key)
    this.released.delete(key)
    if (before !== undefined && before !== id) this.#free(before)
    this.#taken.set(id, key)
    if (at === undefined) this.used.set(key, id)
    else this.released.set(key, { id, at })
    return true
  }

  adopt(key: string, id: number): boolean {
    if (!Number.isSafeInteger(id) || id < this.#first || id >= this.limit) return false
    const resting = this.released.get(key)
    if (resting?.id === id) {
      this.released.delete(key)
    } else {
      if (this.#taken.has(id)) return false
      if (resting !== undefined) {
        this.released.delete(key)
        this.#free(resting.id)
      }
      this.#taken.set(id, key)
    }
    this.used.set(key, id)
    return true
  }

  rest(key: string, entry: Released): boolean {
    if (this.#taken.has(entry.id) || this.used.has(key)) return false
    this.#taken.set(entry.id, key)
    this.released.set(key, { id: entry.id, at: entry.at })
    return true
  }

  #endQuarantine(now: number): void {
    for (const [key, { id, at }] of this.released) {
      // A clock that was set back must not make a number rest for years: then it rests from now on.
      if (at > now) this.released.set(key, { id, at: now })
      else if (now - at >= this.#quarantineMs) {
        this.released.delete(key)
        this.#free(id)
      }
    }
  }

  #free(id: number): void {
    this.#taken.delete(id)
    if (id < this.#lowest) this.#lowest = id
  }
}
