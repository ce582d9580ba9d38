/**
 * The routing information base: all VRFs' routes. Contributors (../contributors/) offer routes for prefixes and withdraw them; the RIB selects, and tells what
 * that changed. Whoever follows it looks at the changes alone.
 */
import { type Family, familyOf } from '../address.ts'
import type { Address } from '../objects.ts'
import type { Problem, Route, RouteChange, RouteLog } from '../tables.ts'
import type { Offer, OfferKey } from './offer.ts'
import { type Compose, RibTable, type RibVrf } from './rib-table.ts'
import { keyOf } from './route-changes.ts'

/** One VRF, as contributors see it. */
export class VrfRib {
  readonly vrf: RibVrf
  readonly tables: Readonly<Record<Family, RibTable>>
  readonly #touched: Set<VrfRib>

  /** `touched`: hears of each that is offered something, or has it withdrawn. */
  constructor(vrf: RibVrf, touched: Set<VrfRib>) {
    this.vrf = vrf
    this.#touched = touched
    this.tables = { 4: new RibTable(vrf, 4), 6: new RibTable(vrf, 6) }
  }

  offer(offer: Offer): void {
    this.#touched.add(this)
    this.tables[familyOf(offer.route.address)].offer(offer)
  }

  withdraw(address: Address, prefixLength: number, who: OfferKey): void {
    this.#touched.add(this)
    this.tables[familyOf(address)].withdraw(keyOf(address, prefixLength), who)
  }

  /** Whether there is something to select. */
  get isPending(): boolean {
    return this.tables[4].isPending || this.tables[6].isPending
  }

  get hasProblems(): boolean {
    return this.tables[4].hasProblems || this.tables[6].hasProblems
  }

  /** All that is offered for a prefix. */
  offersOf(address: Address, prefixLength: number): readonly Offer[] {
    return this.tables[familyOf(address)].offersOf(keyOf(address, prefixLength))
  }
}

const NO_ROUTES: readonly Route[] = []

/** Routes between two turns of the event loop. */
const SLICE = 1024

export class Rib implements RouteLog {
  readonly #vrfs = new Map<number, VrfRib>()
  /** Those in which something may be to be selected: of hundreds of VRFs a few. */
  readonly #touched = new Set<VrfRib>()
  readonly #withProblems = new Set<VrfRib>()
  readonly #references = new Map<number, number>()

  /** The VRF is there from now on, and has nothing yet. Not for one whose number is in use: that one is closed first. */
  open(vrf: RibVrf): VrfRib {
    const rib = new VrfRib(vrf, this.#touched)
    this.#vrfs.set(vrf.id, rib)
    return rib
  }

  /** The VRF is gone with all that was offered there. Yields now and then. */
  *close(id: number): Generator<void> {
    const rib = this.#vrfs.get(id)
    if (rib === undefined) return
    this.#vrfs.delete(id)
    this.#withProblems.delete(rib)
    let count = 0
    for (const family of [4, 6] as const) {
      for (const route of rib.tables[family].list.routes) {
        this.#countRoute(route, -1)
        if (++count % SLICE === 0) yield
      }
    }
  }

  /** Brings the routes to what is offered now. Yields now and then. */
  *commit(compose: Compose): Generator<void> {
    for (const rib of [...this.#touched].sort((a, b) => a.vrf.id - b.vrf.id)) {
      this.#touched.delete(rib)
      // What was closed since isn't counted any more.
      if (this.#vrfs.get(rib.vrf.id) !== rib) continue
      for (const family of [4, 6] as const) yield* rib.tables[family].commit(compose, (changes) => this.#count(changes))
      // What got no number is tried again.
      if (rib.isPending) this.#touched.add(rib)
      if (rib.hasProblems) this.#withProblems.add(rib)
      else this.#withProblems.delete(rib)
    }
  }

  /** Sorted; the same list as long as nothing in it changes. */
  routes(vrf: number, family: Family): readonly Route[] {
    return this.#vrfs.get(vrf)?.tables[family].list.routes ?? NO_ROUTES
  }

  /** What distinguishes two lists that `routes` gave at different times; undefined: not known. */
  changesBetween(
    vrf: number,
    family: Family,
    before: readonly Route[],
    after: readonly Route[],
  ): readonly RouteChange[] | undefined {
    return this.#vrfs.get(vrf)?.tables[family].list.changesBetween(before, after)
  }

  *problems(): Generator<Problem> {
    for (const { tables } of [...this.#withProblems].sort((a, b) => a.vrf.id - b.vrf.id))
      for (const table of [tables[4], tables[6]]) yield* table.problems
  }

  /** Routes and their paths by nexthop (references.ts). */
  get references(): ReadonlyMap<number, number> {
    return this.#references
  }

  #count(changes: readonly RouteChange[]): void {
    for (const { before, after } of changes) {
      if (before !== undefined) this.#countRoute(before, -1)
      if (after !== undefined) this.#countRoute(after, 1)
    }
  }

  #countRoute({ nexthop, paths }: Route, by: 1 | -1): void {
    this.#add(nexthop, by)
    for (const one of paths) if (one.nexthop !== nexthop) this.#add(one.nexthop, by)
  }

  #add(nexthop: number, by: 1 | -1): void {
    const count = (this.#references.get(nexthop) ?? 0) + by
    if (count === 0) this.#references.delete(nexthop)
    else this.#references.set(nexthop, count)
  }
}
