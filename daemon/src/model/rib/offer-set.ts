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
