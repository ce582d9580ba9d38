/** In VRF 0, pods of every network but the default one: this node's own way to them (../node-to-pods.ts). */
import { NH_ID_DISCARD } from '../../maps/constants.ts'
import { bitsOf, familyOf } from '../address.ts'
import type { LocalPod } from '../interfaces.ts'
import { FABRIC_VN, NODE_GATEWAY } from '../names.ts'
import type { ReachedPod } from '../node-to-pods.ts'
import type { Address } from '../objects.ts'
import { PREFERENCE_LIVE, PROXY, path } from '../paths.ts'
import type { Offer } from '../rib/offer.ts'
import { OfferSet, OffersOfEach } from '../rib/offer-set.ts'
import type { VrfRib } from '../rib/rib.ts'
import { fabricOffer } from './underlay.ts'

export class TenantPods {
  readonly #pods: OffersOfEach<ReachedPod>
  readonly #gateway: OfferSet

  constructor(rib: VrfRib) {
    this.#pods = new OffersOfEach(rib, ({ pod, address }) => podOffer(pod, address))
    this.#gateway = new OfferSet(rib)
  }

  /** `isAsked6`: other routes of the host's lead to the gateway, too. */
  update(reached: readonly ReachedPod[], isAsked6: boolean): void {
    this.#pods.set(reached)
    // IPv6 has no address that the datapath answers for by itself, as it does for 169.254/16: the gateway needs a route.
    const isNeeded = isAsked6 || reached.some(({ address }) => familyOf(address) === 6)
    this.#gateway.setFrom([isNeeded], () => {
      const discard = path('Local', NH_ID_DISCARD, FABRIC_VN)
      return isNeeded ? [fabricOffer('node-gateway', NODE_GATEWAY[6], 128, discard, 'gateway', PROXY)] : []
    })
  }
}

/**
 * By way of its VRF: what crosses from the underlay's VRF into a tenant's must have the node's own address, for the host forwards
 * nobody else's packets there.
 */
function podOffer({ port, vrf }: LocalPod, address: Address): Offer {
  const only = path('LocalVmPort', vrf.nexthop, port.vn, undefined, PREFERENCE_LIVE)
  return fabricOffer('tenant-pod', address, bitsOf(familyOf(address)), only, 'pod', PROXY)
}
