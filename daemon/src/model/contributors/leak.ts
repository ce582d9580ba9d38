/**
 * What another network gives to a VRF (../leaks.ts): its subnets, and its pods and blocks inside them. It is offered by the same contributors as at home, with less
 * preference than the VRF's own.
 */

import { NH_ID_DISCARD } from '../../maps/constants.ts'
import { formatAddress, type Prefix } from '../address.ts'
import { Memo } from '../equal.ts'
import type { LocalPod } from '../interfaces.ts'
import type { FqName, IpamBlock, VirtualNetwork } from '../objects.ts'
import { path } from '../paths.ts'
import type { RemotePods } from '../remote-pods.ts'
import { type Contributor, type Offer, offerOfPath } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_NETWORK } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { RemoteNode } from '../tunnels.ts'
import { type Admission, admissionOf, insideOf, prefixesOf, withinOf } from './admission.ts'
import { BlockIndex } from './block-index.ts'
import { Blocks } from './blocks.ts'
import { OwnPods } from './own-pods.ts'
import { RemotePodRoutes } from './remote-pods.ts'

export interface LeakedNetwork {
  readonly network: VirtualNetwork
  readonly pods: readonly LocalPod[]
  readonly blocks: readonly IpamBlock[]
  readonly remote: RemotePods
}

export class Leak {
  readonly #subnets: OfferSet
  readonly #bySubnet: Contributor
  readonly #pods: OwnPods
  readonly #remote: RemotePodRoutes
  readonly #blocks: Blocks
  readonly #prefixes = new Memo<readonly Prefix[]>()
  readonly #admission = new Memo<Admission>()
  readonly #isWanted = new Memo<(block: Prefix) => boolean>()

  constructor(rib: VrfRib, vn: FqName) {
    // Each leak is a contributor of its own: what one withdraws another may offer.
    const by = (kind: 'leaked-pod' | 'leaked-subnet' | 'leaked-block') => ({
      ...IN_NETWORK[kind],
      name: `${kind} of ${vn}`,
    })
    this.#subnets = new OfferSet(rib)
    this.#bySubnet = by('leaked-subnet')
    const pods = by('leaked-pod')
    this.#pods = new OwnPods(rib, pods)
    this.#remote = new RemotePodRoutes(rib, pods)
    this.#blocks = new Blocks(rib, by('leaked-block'))
  }

  /** `isCompact`: pods that their node's block covers are left out. */
  *update(leaked: LeakedNetwork, nodes: ReadonlyMap<string, RemoteNode>, isCompact: boolean): Generator<void> {
    const { network, pods, blocks, remote } = leaked
    const vn = network.fqName
    const subnets = this.#prefixes.get([network], () => prefixesOf(network))
    this.#subnets.setFrom([network], () => this.#subnetOffers(vn, subnets))
    const admission = this.#admission.get(isCompact ? [network, blocks, nodes] : [network], () =>
      admissionOf({
        reserved: network,
        isInside: insideOf(subnets),
        covers: isCompact ? new BlockIndex(blocks, nodes, vn) : undefined,
      }),
    )
    this.#pods.update(pods, admission)
    yield* this.#remote.update({ pods: remote, nodes, admission })
    const isWanted = this.#isWanted.get([subnets], () => withinOf(subnets))
    this.#blocks.update({ vn, blocks, nodes, isWanted })
  }

  /** For good: what leaks again later is another leak. */
  *withdraw(remote: RemotePods): Generator<void> {
    this.#subnets.set([])
    this.#pods.withdraw()
    yield* this.#remote.withdraw(remote)
    this.#blocks.withdraw()
  }

  /** An address that nobody has is discarded, and not looked for elsewhere. They aren't on link here. */
  #subnetOffers(vn: FqName, subnets: readonly Prefix[]): Offer[] {
    const key = { by: this.#bySubnet, source: 'subnet' }
    const discard = path('Local', NH_ID_DISCARD, vn)
    return subnets.map((prefix) => offerOfPath(key, formatAddress(prefix), prefix.length, discard, 'subnet'))
  }
}
