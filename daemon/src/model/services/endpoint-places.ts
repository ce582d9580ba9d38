/**
 * Where an endpoint is. Addresses of networks overlap, so a pod's is found by the pod that its slice names. One without a pod is looked for in the Service's network,
 * then it is the underlay's: a node, or a machine outside.
 */
import { contains, mustParseAddress } from '../address.ts'
import type { Address, FqName, VirtualNetwork } from '../objects.ts'
import { prefixOf } from '../prefix-of.ts'
import type { Back } from '../tables.ts'
import type { RemoteNode } from '../tunnels.ts'
import type { NetworkVrf } from '../vrfs.ts'
import type { PortEndpoint } from './endpoints.ts'
import { addressKey, networkOf, type PodPlace, type PodPlaces, podKey } from './pod-places.ts'
import type { Refusals } from './refusals.ts'

export interface Surroundings {
  readonly places: PodPlaces
  readonly vrfs: ReadonlyMap<FqName, NetworkVrf>
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly virtualNetworks: ReadonlyMap<FqName, VirtualNetwork>
  /** Knows the nodes' addresses. */
  readonly refusals: Refusals
}

/** On what the backs of a Service rest: they are looked at again when something of it is another one. */
export class Grounds {
  /** Of pods and addresses that were looked for (pod-places.ts). */
  readonly keys = new Set<string>()
  readonly networks = new Set<FqName>()
  readonly nodes = new Set<string>()
  /** Some were told by their address alone. */
  isGuessed = false
}

/** @param network pod network of the Service's namespace */
export function backOf(
  { address, port, endpoint }: PortEndpoint,
  namespace: string,
  network: FqName,
  around: Surroundings,
  grounds: Grounds,
): Back {
  const { places, vrfs, virtualNetworks, refusals } = around
  const { pod } = endpoint
  if (pod !== undefined) {
    grounds.keys.add(podKey(namespace, pod))
    const found = places.find(namespace, pod, address)
    if (found !== undefined) return { address, port, ...where(found, around, grounds) }
  }
  grounds.isGuessed = true
  if (refusals.isNode(address)) return { address, port, isHost: true }
  const isIn = (vn: VirtualNetwork | undefined) => vn !== undefined && isInside(vn, address)
  if (isIn(virtualNetworks.get(network))) {
    if (pod === undefined) {
      grounds.keys.add(addressKey(network, address))
      const found = places.findAddress(network, address)
      if (found !== undefined) return { address, port, ...where(found, around, grounds) }
    }
    grounds.networks.add(network)
    const vrf = vrfs.get(network)
    return { address, port, ...(vrf !== undefined && { vrf: vrf.id }) }
  }
  // A pod whose interface isn't known yet: what is meant for a tenant's network never goes to the underlay.
  if (pod !== undefined && virtualNetworks.values().some(isIn)) return { address, port }
  return { address, port, isHost: true }
}

function where(place: PodPlace, { vrfs, nodes }: Surroundings, grounds: Grounds): Partial<Back> {
  const vn = networkOf(place)
  grounds.networks.add(vn)
  if ('local' in place) return { vrf: place.local.vrf.id, nexthop: place.local.nexthop }
  const { node: name, label } = place.remote
  grounds.nodes.add(name)
  const [vrf, node] = [vrfs.get(vn), nodes.get(name)]
  return { ...(vrf !== undefined && { vrf: vrf.id }), ...(node !== undefined && { nexthop: node.nexthop, label }) }
}

function isInside({ subnets }: VirtualNetwork, address: Address): boolean {
  const parsed = mustParseAddress(address)
  return subnets.some((subnet) => contains(prefixOf(subnet), parsed))
}
