/**
 * A VRF's routes of one family, in the order of the prefix tree. Routes and lists that say the same as before are the same
 * objects as before.
 */
import { type Family, mustParseAddress } from './address.ts'
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

/** Keeps the routes of a table from pass to pass. */
export class RouteList {
  #routes: readonly Route[] = []
  #known = new Map<string, Route>()

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
