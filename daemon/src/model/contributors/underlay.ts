/**
 * VRF 0's own part: this node's addresses, the metadata addresses of its pods, what the kernel's routes on vhost0 say, and the neighbours whose MAC is known.
 */

import { contains, familyOf, formatAddress, hostPrefix, mustParseAddress, type Prefix, sizeOf } from '../address.ts'
import { Inputs } from '../equal.ts'
import type { FabricRoute, NodeFacts } from '../facts.ts'
import type { LocalPod } from '../interfaces.ts'
import { FABRIC_VN, metadataAddress } from '../names.ts'
import type { Address } from '../objects.ts'
import { NATIVE_LABEL, NO_FLAGS, PROXY, path } from '../paths.ts'
import { type Offer, offerOfPath } from '../rib/offer.ts'
import { OfferSet, OffersOfEach } from '../rib/offer-set.ts'
import { IN_FABRIC } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { Path, Route } from '../tables.ts'
import { connectedSubnet, underlayRoutes } from '../tunnels.ts'

export interface UnderlayInput {
  readonly facts: NodeFacts
  readonly receive: number
  /** RCV without policy: broadcast. */
  readonly receiveBroadcast: number
  readonly resolve: number
  /** ENCAP nexthop of an underlay neighbour; undefined when the table is full. */
  readonly neighbour: (address: Address) => number | undefined
  /** Those of many, which stay until it is asked again; one for which the table is full is left out. */
  readonly neighbours: (addresses: readonly Address[]) => ReadonlyMap<Address, number>
  /** All pods whose tap is there. */
  readonly pods: readonly LocalPod[]
}

export class UnderlayRoutes {
  readonly #offers: OfferSet
  readonly #neighbours: OfferSet
  readonly #metadata: OffersOfEach<LocalPod>
  readonly #inputs = new Inputs()
  #isWhole = false

  constructor(rib: VrfRib) {
    this.#offers = new OfferSet(rib)
    this.#neighbours = new OfferSet(rib)
    this.#metadata = new OffersOfEach(rib, metadataOffer)
  }

  /** `subnets`: of the default network, as far as VRF 0 has them. */
  update(input: UnderlayInput, subnets: readonly Prefix[]): void {
    this.#offers.set([...receiveRoutes(input), ...kernelRoutes(input, subnets)])
    this.#metadata.set(input.pods)
    // One for each node, as a rule.
    if (this.#inputs.areOther(input.facts) || !this.#isWhole) this.#offerNeighbours(input)
  }

  #offerNeighbours({ facts, neighbours }: UnderlayInput): void {
    const addresses = neighboursOf(facts)
    const nexthops = neighbours(addresses)
    this.#isWhole = nexthops.size === addresses.length
    this.#neighbours.set(
      [...nexthops].map(([address, nexthop]) =>
        fabricOffer('neighbour', address, 32, path('Local', nexthop, FABRIC_VN), 'neighbour'),
      ),
    )
  }
}

/** A route of VRF 0 with one path. */
export function fabricOffer(
  contributor: keyof typeof IN_FABRIC,
  address: Address,
  prefixLength: number,
  only: Path,
  kind: Route['kind'],
  flags = NO_FLAGS,
): Offer {
  return offerOfPath({ by: IN_FABRIC[contributor], source: contributor }, address, prefixLength, only, kind, flags)
}

function* receiveRoutes({ facts, receive, receiveBroadcast }: UnderlayInput): Generator<Offer> {
  const { address, prefixLength, address6 } = facts.underlay
  const own = path('Local', receive, FABRIC_VN, NATIVE_LABEL)
  yield fabricOffer('receive', address, 32, own, 'receive', PROXY)
  if (prefixLength < 31) {
    const subnet = connectedSubnet(facts)
    const broadcast = formatAddress({ family: 4, value: subnet.value + sizeOf(subnet) - 1n })
    yield fabricOffer('receive', broadcast, 32, path('Local', receiveBroadcast, FABRIC_VN, NATIVE_LABEL), 'receive')
  }
  if (address6 !== undefined) yield fabricOffer('receive', address6, 128, own, 'receive', PROXY)
  yield fabricOffer('receive', '224.0.0.0', 8, own, 'receive')
}

function metadataOffer({ vif, nexthop, label }: LocalPod): Offer {
  const only = path('LinkLocal', nexthop, FABRIC_VN, label)
  return fabricOffer('metadata', metadataAddress(vif), 32, only, 'metadata', PROXY)
}

/** The kernel's routes through vhost0. Those that lead it to the default network's pods are the daemon's own, and no underlay. */
function* kernelRoutes({ facts, resolve, neighbour }: UnderlayInput, subnets: readonly Prefix[]): Generator<Offer> {
  for (const kernel of underlayRoutes(facts)) {
    const prefix = { ...mustParseAddress(kernel.destination), length: kernel.prefixLength }
    if (kernel.gateway === undefined && subnets.some((subnet) => contains(subnet, prefix))) continue
    const only = kernelPath(kernel, resolve, neighbour)
    if (only !== undefined) yield fabricOffer('kernel', kernel.destination, kernel.prefixLength, only, 'fabric')
  }
}

function kernelPath(
  { gateway }: FabricRoute,
  resolve: number,
  neighbour: UnderlayInput['neighbour'],
): Path | undefined {
  if (gateway === undefined) return path('Local', resolve, FABRIC_VN)
  const nexthop = neighbour(gateway)
  return nexthop === undefined ? undefined : { ...path('Local', nexthop, FABRIC_VN), gateway }
}

/** Neighbours that get a route, in the order in which they get their numbers. */
function neighboursOf({ neighbours, underlay }: NodeFacts): Address[] {
  return [...neighbours.keys()]
    .filter((address) => familyOf(address) === 4 && address !== underlay.address)
    .filter((address) => !contains(METADATA, hostPrefix(mustParseAddress(address))))
    .sort()
}

const METADATA: Prefix = { family: 4, value: 0xa9fe0000n, length: 16 }
