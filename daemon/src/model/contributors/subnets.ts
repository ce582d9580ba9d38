/** A network's plan of its addresses: its subnets, where an address that nobody has is discarded, with their gateway and service address, which the agent answers. */

import { NH_ID_DISCARD } from '../../maps/constants.ts'
import { bitsOf } from '../address.ts'
import type { VirtualNetwork } from '../objects.ts'
import { FLOOD, PROXY, path } from '../paths.ts'
import { prefixOf } from '../prefix-of.ts'
import type { Offer } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_NETWORK } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'

export class Subnets {
  readonly #offers: OfferSet
  readonly #vn: string

  constructor(rib: VrfRib) {
    this.#offers = new OfferSet(rib)
    this.#vn = rib.vrf.vn
  }

  update(network: VirtualNetwork | undefined, agentNexthop: number): void {
    this.#offers.setFrom([network, agentNexthop], () => this.#list(network, agentNexthop))
  }

  *#list(network: VirtualNetwork | undefined, agentNexthop: number): Generator<Offer> {
    const vn = this.#vn
    for (const subnet of network?.subnets ?? []) {
      const { length, family } = prefixOf(subnet)
      yield {
        by: IN_NETWORK.subnet,
        source: 'subnet',
        route: {
          address: subnet.cidr.slice(0, subnet.cidr.indexOf('/')),
          prefixLength: length,
          paths: [path('Local', NH_ID_DISCARD, vn)],
          nexthop: NH_ID_DISCARD,
          flags: FLOOD,
          kind: 'subnet',
        },
      }
      for (const kind of ['gateway', 'service'] as const) {
        yield {
          by: IN_NETWORK[kind],
          source: kind,
          route: {
            address: subnet[kind],
            prefixLength: bitsOf(family),
            paths: [path('Local', agentNexthop, vn)],
            nexthop: agentNexthop,
            flags: PROXY,
            kind,
          },
        }
      }
    }
  }
}
