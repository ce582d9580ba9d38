/** This node, which every network reaches, so that what it asks of a pod is answered; in the default pod network the other nodes, too. */
import { addressesOf, bitsOf, familyOf } from '../address.ts'
import type { Address } from '../objects.ts'
import { NATIVE_LABEL, PROXY, path } from '../paths.ts'
import type { Offer } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_NETWORK } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { RemoteNode } from '../tunnels.ts'

export interface Host {
  readonly address: Address
  readonly address6: Address | undefined
  readonly nexthop: number
}

export class Nodes {
  readonly #offers: OfferSet
  readonly #vn: string

  constructor(rib: VrfRib) {
    this.#offers = new OfferSet(rib)
    this.#vn = rib.vrf.vn
  }

  /** `others`: undefined where only this node is reached. */
  update(host: Host, others: ReadonlyMap<string, RemoteNode> | undefined): void {
    const { address, address6, nexthop } = host
    this.#offers.setFrom([address, address6, nexthop, others], () => this.#list(host, others))
  }

  *#list(host: Host, others: ReadonlyMap<string, RemoteNode> | undefined): Generator<Offer> {
    const vn = this.#vn
    const by = others === undefined ? IN_NETWORK['own-node'] : IN_NETWORK.node
    const offer = (address: Address, only: ReturnType<typeof path>, label?: number): Offer => ({
      by,
      source: 'node',
      route: {
        address,
        prefixLength: bitsOf(familyOf(address)),
        paths: [only],
        nexthop: only.nexthop,
        ...(label !== undefined && { label }),
        flags: PROXY,
        kind: 'node',
      },
    })
    for (const own of addressesOf(host)) yield offer(own, path('Local', host.nexthop, vn, NATIVE_LABEL))
    for (const { router, nexthop, peer } of others?.values() ?? [])
      for (const address of addressesOf(router))
        yield offer(address, path(peer, nexthop, vn, router.vhostLabel), router.vhostLabel)
  }
}
