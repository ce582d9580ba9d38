/** The way out of a network with the node's address, and the ranges that it doesn't lead to: cluster IPs. */

import { NH_ID_DISCARD } from '../../maps/constants.ts'
import { familyOf, mustParseCidr } from '../address.ts'
import type { VirtualNetwork } from '../objects.ts'
import { path } from '../paths.ts'
import { type Contributor, type Offer, offerOfPath } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_NETWORK } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'

export interface WayOutInput {
  readonly network: VirtualNetwork | undefined
  /** Nexthop of what no other route knows. Absent: nowhere. */
  readonly snatNexthop: number | undefined
  /** Ranges that it doesn't lead to. */
  readonly insideRanges: readonly string[]
  /** Whether the node has an IPv6 address: without one there is nothing to leave with. */
  readonly hasInet6: boolean
}

export class WayOut {
  readonly #offers: OfferSet
  readonly #vn: string

  constructor(rib: VrfRib) {
    this.#offers = new OfferSet(rib)
    this.#vn = rib.vrf.vn
  }

  update(input: WayOutInput): void {
    const { network, snatNexthop, insideRanges, hasInet6 } = input
    this.#offers.setFrom([network, snatNexthop, insideRanges, hasInet6], () => this.#list(input))
  }

  *#list({ network, snatNexthop, insideRanges, hasInet6 }: WayOutInput): Generator<Offer> {
    if (snatNexthop === undefined) return
    const prefixes = ['0.0.0.0/0', '::/0'].filter((cidr) => hasInet6 || familyOf(cidr) === 4)
    for (const cidr of prefixes) yield this.#offer(cidr, snatNexthop, IN_NETWORK['way-out'])
    for (const range of insideRanges) {
      if (familyOf(range) === 6 && !hasInet6) continue
      // Its own subnet discards what nobody has anyway, and answers for those who are there.
      if (network?.subnets.some(({ cidr }) => cidr === range)) continue
      yield this.#offer(range, NH_ID_DISCARD, IN_NETWORK['inside-range'])
    }
  }

  #offer(cidr: string, nexthop: number, by: Contributor): Offer {
    const address = cidr.slice(0, cidr.indexOf('/'))
    const only = path('Local', nexthop, this.#vn)
    return offerOfPath({ by, source: 'way-out' }, address, mustParseCidr(cidr).length, only, 'snat')
  }
}
