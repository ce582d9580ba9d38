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
  /** The default pod network. */
  readonly defaultNetwork: FqName
  readonly virtualNetworks: ReadonlyMap<FqName, VirtualNetwork>
  /** Knows the nodes' addresses. */
  readonly refusals: Refusals
}

/** On what the backs of a Service rest: they are looked at again when something of it is another one. */
export interface Grounds {
  /** Of pods and addresses that were looked for (pod-places.ts). */
  readonly keys: readonly string[]
  readonly networks: readonly FqName[]
  readonly nodes: readonly string[]
  /** Some were told by their address alone. */
  readonly isGuessed: boolean
}

export const NO_GROUNDS: Grounds = { keys: [], networks: [], nodes: [], isGuessed: false }

/** While backs are made. What stays of it, for each of ten thousand Services, is small. */
export class FoundGrounds {
  readonly keys = new Set<string>()
  readonly networks = new Set<FqName>()
  readonly nodes = new Set<string>()
  isGuessed = false

  get all(): Grounds {
    const { keys, networks, nodes, isGuessed } = this
    return { keys: [...keys], networks: [...networks], nodes: [...nodes], isGuessed }
  }
}

/** @param network pod network of the Service's namespace */
export function backOf(
  { address, port, endpoint }: PortEndpoint,
  namespace: string,
  network: FqName,
  around: Surroundings,
  grounds: FoundGrounds,
): Back {
  const { places, vrfs, virtualNetworks, refusals } = around
  const { pod } = endpoint
  if (pod !== undefined) {
    const key = podKey(namespace, pod)
    const found = places.find(key, address)
    // The text that is there already: there are a hundred thousand.
    grounds.keys.add(found?.key ?? key)
    if (found !== undefined) return backAt(found, address, port, around, grounds)
  }
  grounds.isGuessed = true
  if (refusals.isNode(address)) return { address, port, isHost: true }
  const isIn = (vn: VirtualNetwork | undefined) => vn !== undefined && isInside(vn, address)
  if (isIn(virtualNetworks.get(network))) {
    if (pod === undefined) {
      grounds.keys.add(addressKey(network, address))
      const found = places.findAddress(network, address)
      if (found !== undefined) return backAt(found, address, port, around, grounds)
    }
    grounds.networks.add(network)
    const vrf = vrfs.get(network)
    return { address, port, ...(vrf !== undefined && { vrf: vrf.id }) }
  }
  // A pod whose interface isn't known yet: what is meant for a tenant's network never goes to the underlay.
  if (pod !== undefined && virtualNetworks.values().some(isIn)) return { address, port }
  return { address, port, isHost: true }
}

function backAt(
  place: PodPlace,
  address: Address,
  port: number,
  { vrfs, nodes, defaultNetwork }: Surroundings,
  grounds: FoundGrounds,
): Back {
  const vn = networkOf(place)
  grounds.networks.add(vn)
  if ('local' in place) return { address, port, vrf: place.local.vrf.id, nexthop: place.local.nexthop }
  const name = place.remote.node
  grounds.nodes.add(name)
  const back = remoteBack(address, port, vrfs.get(vn)?.id, nodes.get(name))
  return vn === defaultNetwork ? back : { ...back, isTenant: true }
}

function remoteBack(address: Address, port: number, vrf: number | undefined, node: RemoteNode | undefined): Back {
  // Written out, of one shape: many live for long.
  if (node === undefined) return vrf === undefined ? { address, port } : { address, port, vrf }
  const { nexthop, router } = node
  const label = router.serviceLabel
  if (label === undefined) return vrf === undefined ? { address, port, nexthop } : { address, port, vrf, nexthop }
  return vrf === undefined ? { address, port, nexthop, label } : { address, port, vrf, nexthop, label }
}

function isInside({ subnets }: VirtualNetwork, address: Address): boolean {
  const parsed = mustParseAddress(address)
  return subnets.some((subnet) => contains(prefixOf(subnet), parsed))
}
