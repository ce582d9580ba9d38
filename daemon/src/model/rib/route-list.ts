/**
 * A table's routes in the order of the prefix tree, as a list that is never changed: a change makes a new list, and for a while is remembered with it, so
 * that whoever has worked with one list learns what is different in a later one without looking at all of it.
 */
import type { Family } from '../address.ts'
import type { Route, RouteChange } from '../tables.ts'
import { foldChanges, orderOf } from './route-changes.ts'

/** Steps, and changes in all of them together, that are remembered: beyond that comparing is as cheap. */
const MAX_STEPS = 64
const MAX_CHANGES = 4096

const EMPTY: readonly Route[] = []

interface PlacedChange extends RouteChange {
  readonly order: number | bigint
  readonly prefixLength: number
}

export class RouteList {
  readonly #family: Family
  #routes = EMPTY
  #version = 0
  readonly #versions = new WeakMap<readonly Route[], number>()
  /** The last steps; each leads to one version more, the last one to the present. */
  #steps: (readonly RouteChange[])[] = []

  constructor(family: Family) {
    this.#family = family
  }

  get routes(): readonly Route[] {
    return this.#routes
  }

  /** Each prefix is changed once at most. `before` is what the list has. */
  apply(changes: readonly RouteChange[]): void {
    if (changes.length === 0) return
    const placed = changes.map((change) => this.#place(change)).sort(comparePlaces)
    const old = this.#routes
    // Of its size from the start: a list that grows leaves copies behind, and tens of thousands of routes are half a megabyte.
    const routes = new Array<Route>(old.length + grownBy(changes))
    let from = 0
    let to = 0
    for (const { order, prefixLength, before, after } of placed) {
      const at = this.#find(order, prefixLength, from)
      while (from < at) routes[to++] = old[from++]!
      if (before !== undefined) from++
      if (after !== undefined) routes[to++] = after
    }
    while (from < old.length) routes[to++] = old[from++]!
    this.#routes = routes
    this.#versions.set(routes, ++this.#version)
    this.#remember(changes)
  }

  /** Undefined: not known. */
  changesBetween(before: readonly Route[], after: readonly Route[]): readonly RouteChange[] | undefined {
    if (before === after) return []
    const [from, to] = [this.#versions.get(before), this.#versions.get(after)]
    if (from === undefined || to === undefined || from > to) return undefined
    const first = this.#version - this.#steps.length
    return from < first ? undefined : foldChanges(this.#steps.slice(from - first, to - first))
  }

  #remember(changes: readonly RouteChange[]): void {
    this.#steps.push(changes)
    let total = this.#steps.reduce((sum, { length }) => sum + length, 0)
    while (this.#steps.length > MAX_STEPS || (total > MAX_CHANGES && this.#steps.length > 0))
      total -= this.#steps.shift()!.length
  }

  #place(change: RouteChange): PlacedChange {
    const { address, prefixLength } = (change.after ?? change.before)!
    return { ...change, order: orderOf(address, this.#family), prefixLength }
  }

  /** Where a prefix is in the list, or would be; not before `from`. */
  #find(order: number | bigint, prefixLength: number, from: number): number {
    let low = from
    let high = this.#routes.length
    while (low < high) {
      const middle = (low + high) >> 1
      const route = this.#routes[middle]!
      const other = orderOf(route.address, this.#family)
      const isBelow = other === order ? route.prefixLength < prefixLength : other < order
      if (isBelow) low = middle + 1
      else high = middle
    }
    return low
  }
}

function grownBy(changes: readonly RouteChange[]): number {
  return changes.reduce((sum, { before, after }) => sum + Number(after !== undefined) - Number(before !== undefined), 0)
}

function comparePlaces(a: PlacedChange, b: PlacedChange): number {
  return a.order < b.order ? -1 : a.order > b.order ? 1 : a.prefixLength - b.prefixLength
}
