/**
 * The nexthop table. A nexthop is known by its identity (keys.ts) and defined anew in each pass; one that no table entry refers
 * to at the pass's end, and that isn't kept on purpose, gives its number back.
 */
import { NH_ID_DISCARD, NH_ID_INVALID } from '../maps/constants.ts'
import { keepEqual, keepList } from './equal.ts'
import type { Ids } from './ids.ts'
import type { CompositeMember, Nexthop, NumberedNexthop } from './tables.ts'

const FIXED: readonly { readonly id: number; readonly nexthop: Nexthop }[] = [
  { id: NH_ID_INVALID, nexthop: { type: 'discard' } },
  { id: NH_ID_DISCARD, nexthop: { type: 'discard' } },
]

interface Definition {
  readonly key: string
  nexthop: Nexthop
  isValid: boolean
}

export class NexthopTable {
  readonly #ids: Ids
  readonly #definitions = new Map<number, Definition>()
  readonly #kept = new Set<string>()
  readonly #held = new Set<number>()
  readonly #groups = new Map<string, ReadonlySet<string>>()
  #entries = new Map<number, NumberedNexthop>()
  #list: readonly NumberedNexthop[] = []

  constructor(ids: Ids) {
    this.#ids = ids
  }

  begin(): void {
    this.#kept.clear()
  }

  /** Number of this nexthop; undefined when the table is full. */
  define(key: string, nexthop: Nexthop, now: number, isValid = true): number | undefined {
    const id = this.#ids.allocate('nexthop', key, now)
    if (id !== undefined) this.#set(id, key, nexthop, isValid)
    return id
  }

  /** As `define`; the number stays while the pass says so, referred to or not. */
  keep(key: string, nexthop: Nexthop, now: number, isValid = true): number | undefined {
    this.#kept.add(key)
    return this.define(key, nexthop, now, isValid)
  }

  /** This defined nexthop stays, in later passes too, until it is let go: for what is made once and then only compared. */
  hold(id: number): void {
    this.#held.add(id)
  }

  /** What was held is of no use any more. */
  letGo(id: number): void {
    this.#held.delete(id)
  }

  /** Of a group of defined nexthops, those whose numbers stay until the group is named again: for the many that are seldom different. */
  keepGroup(group: string, keys: ReadonlySet<string>): void {
    this.#groups.set(group, keys)
  }

  #isKept(key: string, id: number): boolean {
    if (this.#held.has(id) || this.#kept.has(key)) return true
    for (const keys of this.#groups.values()) if (keys.has(key)) return true
    return false
  }

  #set(id: number, key: string, nexthop: Nexthop, isValid: boolean): void {
    const known = this.#definitions.get(id)
    if (known === undefined || known.key !== key) this.#definitions.set(id, { key, nexthop, isValid })
    else {
      known.nexthop = keepEqual(known.nexthop, nexthop)
      known.isValid = isValid
    }
  }

  /** Members of the composites that are referred to, also by other composites: `references` may grow meanwhile. */
  *composites(references: ReadonlyMap<number, number>): Generator<readonly CompositeMember[]> {
    const waiting = new Map<number, readonly CompositeMember[]>()
    for (const [id, { nexthop }] of this.#definitions)
      if (nexthop.type === 'composite') waiting.set(id, nexthop.members)
    for (let isDone = false; !isDone; ) {
      isDone = true
      for (const [id, members] of waiting) {
        if (!references.has(id)) continue
        isDone = false
        waiting.delete(id)
        yield members
      }
    }
  }

  /** `references`: table entries by nexthop. Frees what is unused and returns the table, sorted by number. */
  finish(references: ReadonlyMap<number, number>, now: number): readonly NumberedNexthop[] {
    this.#ids.sweep(
      'nexthop',
      (key, id) => this.#definitions.get(id)?.key === key && (references.has(id) || this.#isKept(key, id)),
      now,
    )
    const numbered: number[] = []
    for (const [id, { key }] of this.#definitions) {
      if (this.#ids.get('nexthop', key) === id) numbered.push(id)
      else this.#definitions.delete(id)
    }
    const entries = new Map<number, NumberedNexthop>()
    const add = (id: number, nexthop: Nexthop, isValid: boolean) => {
      const count = references.get(id) ?? 0
      const known = this.#entries.get(id)
      const isSame = known?.nexthop === nexthop && known.isValid === isValid && known.references === count
      entries.set(id, isSame ? known : { id, nexthop, isValid, references: count })
    }
    for (const { id, nexthop } of FIXED) add(id, nexthop, true)
    for (const id of numbered.sort((a, b) => a - b)) {
      const { nexthop, isValid } = this.#definitions.get(id)!
      add(id, nexthop, isValid)
    }
    this.#entries = entries
    this.#list = keepList(this.#list, [...entries.values()])
    return this.#list
  }
}
