/**
 * A VRF's routes of one family, in the order of the prefix tree. Routes and lists that say the same as before are the same
 * objects as before.
 */
import { type Family, familyOf, mustParseAddress } from './address.ts'
import { isEqual, isSameList } from './equal.ts'
import type { Route } from './tables.ts'

export interface RouteEntry {
  /** The address as a number: IPv4 fits into a double, IPv6 doesn't. */
  readonly order: number | bigint
  readonly route: Route
}

export function orderOf(address: string, family: Family): number | bigint {
  const { value } = mustParseAddress(address)
  return family === 4 ? Number(value) : value
}

export function entryOf(route: Route, family: Family): RouteEntry {
  return { order: orderOf(route.address, family), route }
}

export function compareEntries(a: RouteEntry, b: RouteEntry): number {
  return a.order < b.order ? -1 : a.order > b.order ? 1 : a.route.prefixLength - b.route.prefixLength
}

/** What distinguishes two lists of one table, both sorted: a route that took another's place is in both. */
export interface RouteChanges {
  readonly gone: readonly Route[]
  readonly made: readonly Route[]
}

export function changesBetween(before: readonly Route[], after: readonly Route[]): RouteChanges {
  if (before.length === 0) return { gone: [], made: after }
  const gone: Route[] = []
  const made: Route[] = []
  let i = 0
  let j = 0
  while (i < before.length && j < after.length) {
    const [a, b] = [before[i]!, after[j]!]
    if (a === b) {
      i++
      j++
      continue
    }
    const order = comparePrefixes(a, b)
    if (order <= 0) {
      gone.push(a)
      i++
    }
    if (order >= 0) {
      made.push(b)
      j++
    }
  }
  while (i < before.length) gone.push(before[i++]!)
  while (j < after.length) made.push(after[j++]!)
  return { gone, made }
}

function comparePrefixes(a: Route, b: Route): number {
  return compareEntries(entryOf(a, familyOf(a.address)), entryOf(b, familyOf(b.address)))
}

/** Where an entry with that order and prefix length is in a sorted list, or would be. */
export function placeOf<T>(
  list: readonly T[],
  order: number | bigint,
  prefixLength: number,
  entry: (item: T) => RouteEntry,
): { readonly at: number; readonly isThere: boolean } {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    const { order: other, route } = entry(list[middle]!)
    const difference = other < order ? -1 : other > order ? 1 : route.prefixLength - prefixLength
    if (difference === 0) return { at: middle, isThere: true }
    if (difference < 0) low = middle + 1
    else high = middle
  }
  return { at: low, isThere: false }
}

/** Keeps the routes of a table from pass to pass. */
export class RouteList {
  #routes: readonly Route[] = []
  #known = new Map<string, Route>()

  /** As they were last made. */
  get routes(): readonly Route[] {
    return this.#routes
  }

  /** Whether a prefix of the last `settle` came from the others. */
  isOther(address: string, prefixLength: number): boolean {
    return this.#known.has(`${address}/${prefixLength}`)
  }

  /** The list of before with some stable entries taken away or put in: none of them is among the others'. */
  patch(gone: readonly RouteEntry[], made: readonly RouteEntry[], family: Family): readonly Route[] {
    const routes = [...this.#routes]
    const entry = (route: Route) => entryOf(route, family)
    for (const { order, route } of gone) {
      const { at, isThere } = placeOf(routes, order, route.prefixLength, entry)
      if (isThere) routes.splice(at, 1)
    }
    for (const { order, route } of made) {
      const { at, isThere } = placeOf(routes, order, route.prefixLength, entry)
      routes.splice(at, isThere ? 1 : 0, route)
    }
    this.#routes = routes
    return routes
  }

  /**
   * The list made of `stable` entries (sorted, unique, already shared with the previous pass) and a few others, whose first of
   * each prefix counts; a prefix that both have is the others'.
   */
  settle(stable: readonly RouteEntry[], others: readonly RouteEntry[]): readonly Route[] {
    const known = new Map<string, Route>()
    const first: RouteEntry[] = []
    for (const entry of others) {
      const key = `${entry.route.address}/${entry.route.prefixLength}`
      if (known.has(key)) continue
      const before = this.#known.get(key)
      const route = before !== undefined && isEqual(before, entry.route) ? before : entry.route
      known.set(key, route)
      first.push({ order: entry.order, route })
    }
    this.#known = known
    first.sort(compareEntries)
    const routes: Route[] = []
    let i = 0
    for (const entry of stable) {
      while (i < first.length && compareEntries(first[i]!, entry) < 0) routes.push(first[i++]!.route)
      if (i < first.length && compareEntries(first[i]!, entry) === 0) continue
      routes.push(entry.route)
    }
    while (i < first.length) routes.push(first[i++]!.route)
    if (!isSameList(this.#routes, routes)) this.#routes = routes
    return this.#routes
  }
}
