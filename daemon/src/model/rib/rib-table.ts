/**
 * Routes of one family in one VRF: what is offered for each prefix, and what of it is used. An offer only notes that its prefix has changed; `commit` selects.
 * A route that says the same as before stays the same object.
 */
import { COMPOSITE_MAX } from '../../maps/constants.ts'
import type { Family } from '../address.ts'
import { isEqual } from '../equal.ts'
import { path } from '../paths.ts'
import type { CompositeMember, Path, Problem, Route, RouteChange } from '../tables.ts'
import { type Offer, type OfferKey, pathsOf, usedOf } from './offer.ts'
import { keyOf, orderOf } from './route-changes.ts'
import { RouteList } from './route-list.ts'

/** Changes that are worked into the list, and told, at a time: some milliseconds. */
const BATCH = 4096
/** Prefixes between two turns of the event loop. */
const SLICE = 512

export interface RibVrf {
  readonly id: number
  readonly name: string
  /** The network that problems are told of, and that owns what is shared. */
  readonly vn: string
}

/** Gives what several paths share a nexthop; undefined when the table is full. */
export type Compose = (vrf: RibVrf, prefix: string, members: readonly CompositeMember[]) => number | undefined

/** One offer in almost every case. */
type Slot = Offer | readonly Offer[]

const NONE: readonly Offer[] = []

export class RibTable {
  readonly list: RouteList
  readonly #vrf: RibVrf
  readonly #family: Family
  readonly #slots = new Map<string, Slot>()
  /** What is used where a slot is a list. */
  readonly #selected = new Map<string, Route>()
  /** Prefixes whose offers changed, with what was used before. */
  #pending = new Map<string, Route | undefined>()
  readonly #problems = new Map<string, Problem>()
  /** Prefixes whose composite got no number: they are tried again. */
  readonly #unnumbered = new Set<string>()

  constructor(vrf: RibVrf, family: Family) {
    this.#vrf = vrf
    this.#family = family
    this.list = new RouteList(family)
  }

  /** Whether there is something to select. */
  get isPending(): boolean {
    return this.#pending.size > 0 || this.#unnumbered.size > 0
  }

  get hasProblems(): boolean {
    return this.#problems.size > 0
  }

  get problems(): Iterable<Problem> {
    return this.#problems.values()
  }

  offersOf(key: string): readonly Offer[] {
    const slot = this.#slots.get(key)
    return slot === undefined ? NONE : isList(slot) ? slot : [slot]
  }

  offer(offer: Offer): void {
    const key = keyOf(offer.route.address, offer.route.prefixLength)
    if (!this.#slots.has(key)) {
      this.#note(key)
      this.#slots.set(key, isComposite([offer]) ? [offer] : offer)
      return
    }
    const offers = this.offersOf(key)
    const at = offers.findIndex((one) => isOf(one, offer))
    if (at >= 0 && isEqual(offers[at]!.route, offer.route)) return
    this.#put(key, at < 0 ? [...offers, offer] : offers.with(at, offer))
  }

  withdraw(key: string, who: OfferKey): void {
    const offers = this.offersOf(key)
    const at = offers.findIndex((one) => isOf(one, who))
    if (at >= 0) this.#put(key, offers.toSpliced(at, 1))
  }

  #put(key: string, offers: readonly Offer[]): void {
    this.#note(key)
    if (offers.length === 0) this.#slots.delete(key)
    else this.#slots.set(key, offers.length > 1 || isComposite(offers) ? offers : offers[0]!)
  }

  #note(key: string): void {
    if (!this.#pending.has(key)) this.#pending.set(key, this.#usedRoute(key))
  }

  /** As of the last commit; where a single offer changed since, what it says now. */
  #usedRoute(key: string): Route | undefined {
    const selected = this.#selected.get(key)
    if (selected !== undefined) return selected
    const slot = this.#slots.get(key)
    return slot === undefined || isList(slot) ? undefined : slot.route
  }

  /** Selects for all prefixes that changed. `told` hears of what that changes. */
  *commit(compose: Compose, told: (changes: readonly RouteChange[]) => void): Generator<void> {
    for (const key of this.#unnumbered) this.#note(key)
    if (this.#pending.size === 0) return
    const pending = this.#pending
    this.#pending = new Map()
    let changes: RouteChange[] = []
    const flush = () => {
      this.list.apply(changes)
      told(changes)
      changes = []
    }
    const shared: (readonly [
      order: number | bigint,
      key: string,
      used: readonly Offer[],
      before: Route | undefined,
    ])[] = []
    let count = 0
    for (const [key, before] of pending) {
      if (++count % SLICE === 0) yield
      const slot = this.#slots.get(key)
      this.#problems.delete(key)
      this.#unnumbered.delete(key)
      if (slot !== undefined && isList(slot)) {
        const used = usedOf(slot)
        if (isComposite(used)) shared.push([orderOf(used[0]!.route.address, this.#family), key, used, before])
        else this.#change(changes, key, before, keep(before, used[0]!.route))
      } else {
        this.#selected.delete(key)
        const after = slot && keep(before, slot.route)
        if (after !== undefined && after !== slot!.route) this.#slots.set(key, { ...slot!, route: after })
        if (after !== before) changes.push({ before, after })
      }
      if (changes.length < BATCH) continue
      flush()
      yield
    }
    // Composites get their numbers in the order of prefixes, however the offers came about.
    shared.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] < b[1] ? -1 : 1))
    for (const [, key, used, before] of shared) {
      if (++count % SLICE === 0) yield
      this.#change(changes, key, before, keep(before, this.#sharedRoute(key, used, compose)))
      if (changes.length === BATCH) flush()
    }
    flush()
  }

  #change(changes: RouteChange[], key: string, before: Route | undefined, after: Route): void {
    this.#selected.set(key, after)
    if (after !== before) changes.push({ before, after })
  }

  /** ECMP over the paths of all these offers; over the best alone while the nexthop table is full. */
  #sharedRoute(key: string, used: readonly Offer[], compose: Compose): Route {
    const { address, prefixLength, flags } = used[0]!.route
    const object = `VirtualNetwork ${this.#vrf.vn}`
    const paths = pathsOf(used)
    const members = paths.slice(0, COMPOSITE_MAX).map(memberOf)
    if (paths.length > COMPOSITE_MAX) {
      const message = `${key} has ${paths.length} owners; ${COMPOSITE_MAX} of them are used`
      this.#problems.set(key, { object, message })
    }
    const composite = compose(this.#vrf, key, members)
    if (composite === undefined) {
      this.#unnumbered.add(key)
      this.#problems.set(key, {
        object,
        message: `no nexthop number is left for the owners of ${key}`,
        table: 'nexthop',
      })
      const [{ nexthop, label }] = members as [CompositeMember]
      return { address, prefixLength, paths, nexthop, ...(label !== undefined && { label }), flags, kind: 'ecmp' }
    }
    const ecmp = path('Ecmp', composite, this.#vrf.vn)
    return { address, prefixLength, paths: [ecmp, ...paths], nexthop: composite, flags, kind: 'ecmp' }
  }
}

function isList(slot: Slot): slot is readonly Offer[] {
  return Array.isArray(slot)
}

function isComposite(used: readonly Offer[]): boolean {
  return used[0]!.by.isShared === true && (used.length > 1 || used[0]!.route.paths.length > 1)
}

function isOf(offer: Offer, { by, source }: OfferKey): boolean {
  return offer.source === source && offer.by === by
}

function keep(before: Route | undefined, route: Route): Route {
  return before !== undefined && isEqual(before, route) ? before : route
}

/** A label is for another node; what ends here needs none. */
function memberOf({ peer, nexthop, label }: Path): CompositeMember {
  return typeof peer === 'object' && label !== undefined ? { nexthop, label } : { nexthop }
}
