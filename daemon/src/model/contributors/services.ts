/** Addresses of Services, where a network or the node sees them (../services/service-routes.ts). */
import { NO_FLAGS, PROXY, path } from '../paths.ts'
import { type Contributor, type Offer, offerOfPath } from '../rib/offer.ts'
import { OffersOfEach } from '../rib/offer-set.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { ServiceRoute } from '../services/service-routes.ts'

type Contributors = Readonly<Record<'service-range' | 'service-address', Contributor>>

export class ServiceAddresses {
  readonly #own: OffersOfEach<ServiceRoute>
  readonly #common: OffersOfEach<ServiceRoute>
  #known: readonly (readonly ServiceRoute[])[] = []

  constructor(rib: VrfRib, by: Contributors) {
    // Of one prefix the source that comes first in the alphabet counts.
    this.#own = new OffersOfEach(rib, (route) => offerOf(route, by, '1 own', rib.vrf.vn))
    this.#common = new OffersOfEach(rib, (route) => offerOf(route, by, '2 common', rib.vrf.vn))
  }

  /** Lists that stay the same while what is in them does; a prefix that is in both is the first one's. */
  update(own: readonly ServiceRoute[], common: readonly ServiceRoute[]): void {
    if (this.#known[0] !== own) this.#own.set(own)
    if (this.#known[1] !== common) this.#common.set(common)
    this.#known = [own, common]
  }
}

function offerOf(
  { address, prefixLength, nexthop, isRange }: ServiceRoute,
  by: Contributors,
  source: string,
  vn: string,
): Offer {
  const key = { by: isRange ? by['service-range'] : by['service-address'], source }
  const flags = isRange ? NO_FLAGS : PROXY
  return offerOfPath(key, address, prefixLength, path('Local', nexthop, vn), 'service-network', flags)
}
