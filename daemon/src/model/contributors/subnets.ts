/** A network's plan of its addresses: its subnets, where an address that nobody has is discarded, with their gateway and service address, which the agent answers. */

import { NH_ID_DISCARD } from '../../maps/constants.ts'
import { bitsOf } from '../address.ts'
import type { VirtualNetwork } from '../objects.ts'
import { FLOOD, PROXY, path } from '../paths.ts'
import { prefixOf } from '../prefix-of.ts'
import { type Offer, offerOfPath } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_NETWORK } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { RouteFlags } from '../tables.ts'

export class Subnets {
  readonly #offers: OfferSet
  readonly #vn: string

  constructor(rib: VrfRib) {
    this.#offers = new OfferSet(rib)
    this.#vn = rib.vrf.vn
  }

  /**
   * `isShared`: other networks have addresses of its subnets, and their pods may come to it, by a Service. For a pod here they are on its own link: the router answers
   * for them, or the pod would have nobody to answer to.
   */
  update(network: VirtualNetwork | undefined, agentNexthop: number, isShared: boolean): void {
    const flags = isShared ? PROXY : FLOOD
    this.#offers.setFrom([network, agentNexthop, flags], () => this.#list(network, agentNexthop, flags))
  }

  *#list(network: VirtualNetwork | undefined, agentNexthop: number, flags: RouteFlags): Generator<Offer> {
    const vn = this.#vn
    for (const subnet of network?.subnets ?? []) {
      const { length, family } = prefixOf(subnet)
      const address = subnet.cidr.slice(0, subnet.cidr.indexOf('/'))
      const discard = path('Local', NH_ID_DISCARD, vn)
      yield offerOfPath({ by: IN_NETWORK.subnet, source: 'subnet' }, address, length, discard, 'subnet', flags)
      const agent = path('Local', agentNexthop, vn)
      for (const kind of ['gateway', 'service'] as const)
        yield offerOfPath({ by: IN_NETWORK[kind], source: kind }, subnet[kind], bitsOf(family), agent, kind, PROXY)
    }
  }
}
