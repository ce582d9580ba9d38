/**
 * The default pod network in VRF 0: its pods and the nodes speak to each other without NAT (vRouter introspect reference 3.3). Its subnets, the pods of this node, other
 * nodes' blocks, and those of their pods whose address lies in no block of their node.
 */

import { NH_ID_DISCARD } from '../../maps/constants.ts'
import type { Prefix } from '../address.ts'
import { bitsOf, familyOf, formatAddress, hostPrefix, mustParseAddress, overlaps } from '../address.ts'
import { isEqual, Memo } from '../equal.ts'
import type { NodeFacts } from '../facts.ts'
import type { LocalPod } from '../interfaces.ts'
import type { Address, FqName, IpamBlock, VirtualNetwork } from '../objects.ts'
import { PREFERENCE_LIVE, PROXY, path } from '../paths.ts'
import { prefixOf } from '../prefix-of.ts'
import type { RemotePods } from '../remote-pods.ts'
import type { Offer } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import { IN_FABRIC } from '../rib/preferences.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { Problem } from '../tables.ts'
import { connectedSubnet, type RemoteNode } from '../tunnels.ts'
import { type Admission, admissionOf, insideOf, withinOf } from './admission.ts'
import { BlockIndex } from './block-index.ts'
import { Blocks } from './blocks.ts'
import { RemotePodRoutes } from './remote-pods.ts'
import { fabricOffer } from './underlay.ts'

export interface DefaultNetwork {
  readonly vn: FqName
  /** Absent: its object is gone. */
  readonly network: VirtualNetwork | undefined
  /** Those whose tap is there. */
  readonly pods: readonly LocalPod[]
  /** Of other nodes. */
  readonly blocks: readonly IpamBlock[]
  readonly remote: RemotePods
  readonly nodes: ReadonlyMap<string, RemoteNode>
}

export interface DefaultSubnet {
  readonly prefix: Prefix
  readonly gateway: Address
}

/** What VRF 0 has of it on this node. */
export interface DefaultReach {
  readonly subnets: readonly DefaultSubnet[]
  readonly held: ReadonlyMap<Address, LocalPod>
}

/**
 * Addresses that VRF 0 takes from the default network: those of its subnets; while the network's object is gone, everything but the
 * underlay. Whatever a node publishes, it can't draw the host's own traffic to itself.
 */
type Reach = { readonly only: readonly Prefix[] } | { readonly allBut: Prefix }

export class DefaultNetworkRoutes {
  readonly #own: OfferSet
  readonly #remote: RemotePodRoutes
  readonly #blocks: Blocks
  readonly #isWithin = new Memo<(prefix: Prefix) => boolean>()
  readonly #admission = new Memo<Admission>()
  #reach: Reach = { only: [] }
  /** Of the last update. */
  #before: { readonly reach: Reach; readonly network: DefaultNetwork } | undefined

  constructor(rib: VrfRib) {
    this.#own = new OfferSet(rib)
    this.#remote = new RemotePodRoutes(rib, IN_FABRIC['remote-pod'])
    this.#blocks = new Blocks(rib, IN_FABRIC.block)
  }

  /** `isThere`: this node has pods in it, or the network's object is there. */
  *update(
    network: DefaultNetwork,
    isThere: boolean,
    facts: NodeFacts,
    problems: Problem[],
  ): Generator<void, DefaultReach> {
    const { vn, blocks, nodes, remote } = network
    const subnets = isThere ? defaultSubnets(network, facts, problems) : []
    const reach: Reach = !isThere
      ? { only: [] }
      : network.network === undefined
        ? { allBut: connectedSubnet(facts) }
        : { only: subnets.map(({ prefix }) => prefix) }
    if (!isEqual(this.#reach, reach)) this.#reach = reach
    const isWithin = this.#isWithin.get([this.#reach], () => withinReach(reach))
    const held = new Map<Address, LocalPod>()
    for (const pod of isThere ? network.pods : [])
      for (const address of pod.port.addresses)
        if (!held.has(address) && isWithin(hostPrefix(mustParseAddress(address)))) held.set(address, pod)
    this.#own.set([
      ...[...held].map(([address, pod]) => podOffer(pod, address)),
      ...subnets.flatMap((subnet) => subnetOffers(subnet, vn)),
    ])
    this.#blocks.update({ vn, blocks, nodes, isWanted: isWithin })
    const admission = this.#admission.get([this.#reach, blocks, nodes], () =>
      admissionOf({ isInside: insideReach(reach), covers: new BlockIndex(blocks, nodes, vn) }),
    )
    yield* this.#remote.update({ pods: remote, nodes, admission, isAffected: this.#affected(network) })
    return { subnets, held }
  }

  /** Where blocks alone are different since the last update, and few of them: addresses in those. */
  #affected(network: DefaultNetwork): ((address: Address) => boolean) | undefined {
    const before = this.#before
    this.#before = { reach: this.#reach, network }
    const isSame =
      before?.reach === this.#reach && before.network.nodes === network.nodes && before.network.vn === network.vn
    if (!isSame) return undefined
    const [old, now] = [new Set(before.network.blocks), new Set(network.blocks)]
    const changed = [...old.symmetricDifference(now)]
    return changed.length > FEW_BLOCKS ? undefined : insideOf(changed.map(prefixOf))
  }
}

/** Blocks that may differ for single pods to be looked for: of more, all are asked. */
const FEW_BLOCKS = 8

function withinReach(reach: Reach): (prefix: Prefix) => boolean {
  return 'only' in reach ? withinOf(reach.only) : (prefix) => !overlaps(reach.allBut, prefix)
}

function insideReach(reach: Reach): (address: Address) => boolean {
  if ('only' in reach) return insideOf(reach.only)
  const isUnderlay = insideOf([reach.allBut])
  return (address) => !isUnderlay(address)
}

function podOffer({ port, nexthop, label }: LocalPod, address: Address): Offer {
  const only = path('LocalVmPort', nexthop, port.vn, label, PREFERENCE_LIVE)
  return fabricOffer('pod', address, bitsOf(familyOf(address)), only, 'pod', PROXY)
}

/** The subnet, and its gateway: the host asks for that one's MAC alone, and gets vhost0's, whichever pod it speaks to. */
function subnetOffers({ prefix, gateway }: DefaultSubnet, vn: FqName): Offer[] {
  const discard = path('Local', NH_ID_DISCARD, vn)
  return [
    fabricOffer('subnet', formatAddress(prefix), prefix.length, discard, 'subnet'),
    fabricOffer('gateway', gateway, bitsOf(prefix.family), discard, 'gateway', PROXY),
  ]
}

/**
 * An address of the default network that no pod has is discarded rather than looked for on the underlay. A subnet that overlaps the
 * underlay's own is left out, or the node would cut itself off.
 */
function defaultSubnets({ vn, network }: DefaultNetwork, facts: NodeFacts, problems: Problem[]): DefaultSubnet[] {
  const connected = connectedSubnet(facts)
  return (network?.subnets ?? [])
    .map((subnet) => ({ prefix: prefixOf(subnet), gateway: subnet.gateway }))
    .filter(({ prefix }) => {
      if (!overlaps(prefix, connected)) return true
      problems.push({
        object: `VirtualNetwork ${vn}`,
        message: `its subnet ${formatAddress(prefix)}/${prefix.length} overlaps the underlay of this node; choose another`,
      })
      return false
    })
}
