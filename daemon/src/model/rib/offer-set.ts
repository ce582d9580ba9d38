/** All that one contributor offers in one VRF, told anew as a whole: what is the same as before stays, what isn't named any more is withdrawn. */
import { Inputs } from '../equal.ts'
import type { Offer } from './offer.ts'
import type { VrfRib } from './rib.ts'
import { keyOf } from './route-changes.ts'

export class OfferSet {
  readonly #rib: VrfRib
  readonly #inputs = new Inputs()
  #offers = new Map<string, Offer>()

  constructor(rib: VrfRib) {
    this.#rib = rib
  }

  /** What `make` gives; it is asked only where one of the inputs is another one than at the last call. */
  setFrom(inputs: readonly unknown[], make: () => Iterable<Offer>): void {
    if (this.#inputs.areOther(...inputs)) this.set(make())
  }

  /** Of several offers of one contributor and source for one prefix the first counts. */
  set(offers: Iterable<Offer>): void {
    const before = this.#offers
    this.#offers = new Map()
    for (const offer of offers) {
      const { by, source, route } = offer
      const key = `${keyOf(route.address, route.prefixLength)} ${by.name} ${source}`
      if (this.#offers.has(key)) continue
      this.#offers.set(key, offer)
      this.#rib.offer(offer)
    }
    for (const [key, offer] of before)
      if (!this.#offers.has(key)) this.#rib.withdraw(offer.route.address, offer.route.prefixLength, offer)
  }
}

/** An offer for each of some objects, which are never changed: one that was there before isn't looked at again. No two of them offer for one prefix. */
export class OffersOfEach<T extends object> {
  readonly #rib: VrfRib
  readonly #offerOf: (item: T) => Offer
  #offers = new Map<T, Offer>()

  constructor(rib: VrfRib, offerOf: (item: T) => Offer) {
    this.#rib = rib
    this.#offerOf = offerOf
  }

  set(items: Iterable<T>): void {
    const before = this.#offers
    this.#offers = new Map()
    const fresh: T[] = []
    for (const item of items) {
      const known = before.get(item)
      if (known === undefined) fresh.push(item)
      else this.#offers.set(item, known)
    }
    // First: what is new may offer for the same prefix.
    for (const [item, offer] of before)
      if (!this.#offers.has(item)) this.#rib.withdraw(offer.route.address, offer.route.prefixLength, offer)
    for (const item of fresh) {
      const offer = this.#offerOf(item)
      this.#offers.set(item, offer)
      this.#rib.offer(offer)
    }
  }
}
