/** Pods of this node, in the VRF of their network and where that leaks to: those whose tap is there. */
import { bitsOf, familyOf } from '../address.ts'
import type { Port } from '../facts.ts'
import { type LocalPod, podName } from '../interfaces.ts'
import type { Address } from '../objects.ts'
import { PREFERENCE_LIVE, PROXY, path } from '../paths.ts'
import type { Contributor, Offer } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { Problem } from '../tables.ts'
import type { Admission } from './admission.ts'

export class OwnPods {
  readonly #offers: OfferSet
  readonly #rib: VrfRib
  readonly #by: Contributor
  problems: readonly Problem[] = []

  constructor(rib: VrfRib, by: Contributor) {
    this.#offers = new OfferSet(rib)
    this.#rib = rib
    this.#by = by
  }

  /** No interface of another node can be called like this. */
  static sourceOf({ uuid }: Port): string {
    return `here ${uuid}`
  }

  /** `pods`: the same list as long as they are the same pods. */
  update(pods: readonly LocalPod[], admission: Admission): void {
    this.#offers.setFrom([pods, admission], () => this.#list(pods, admission))
  }

  /** For good. */
  withdraw(): void {
    this.#offers.set([])
  }

  *#list(pods: readonly LocalPod[], admission: Admission): Generator<Offer> {
    const problems: Problem[] = []
    this.problems = problems
    for (const pod of pods) {
      for (const address of pod.port.addresses) {
        const refusal = admission(address, undefined)
        if (refusal === undefined) yield this.#offer(pod, address)
        else if (refusal === 'reserved') {
          problems.push({
            object: podName(pod.port),
            message: `${address} is the gateway or service address of ${pod.vrf.vn}`,
            subject: { kind: 'port', uuid: pod.port.uuid },
          })
        }
      }
    }
  }

  #offer({ port, vrf, nexthop, label, bridgeIndex }: LocalPod, address: Address): Offer {
    return {
      by: this.#by,
      source: OwnPods.sourceOf(port),
      route: {
        address,
        prefixLength: bitsOf(familyOf(address)),
        paths: [path('LocalVmPort', nexthop, vrf.vn, label, PREFERENCE_LIVE)],
        nexthop,
        flags: PROXY,
        // Another network's pod is routed to: its MAC stands in another bridge table.
        ...(vrf.id === this.#rib.vrf.id && { stitchedMac: port.mac, bridgeIndex }),
        kind: 'pod',
      },
    }
  }
}
