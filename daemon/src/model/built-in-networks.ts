/**
 * The networks that nobody writes a manifest for: the default pod network, and the pod network of each isolated namespace. They
 * all draw from one IPAM, so that their addresses are unique in the cluster (kubernetes reference 2.2).
 */
import { formatAddress, formatCidr, mustParseCidr, nthAddress, sizeOf } from './address.ts'
import { defaultPodNetwork, HOME_NAMESPACE, isolatedPodNetwork, podIpam, podNetworkName, uuidOf } from './names.ts'
import { isIsolated, snatOfNamespace } from './namespace-network.ts'
import type { Cidr, FqName, Namespace, Subnet, VirtualNetwork } from './objects.ts'

/** Prefix length of a node's block where the VN doesn't say. */
export const BLOCK_SIZE_4 = 26
export const BLOCK_SIZE_6 = 122

/** The subnet with its default gateway (first host address) and service address (second). */
export function defaultSubnet(cidr: Cidr, gateway?: string, service?: string): Subnet {
  const prefix = mustParseCidr(cidr)
  const host = (n: number) => formatAddress(nthAddress(prefix, sizeOf(prefix) > n ? n : 0))
  return { cidr: formatCidr(prefix), gateway: gateway ?? host(1), service: service ?? host(2) }
}

/**
 * All built-in networks. `subnets` empty: there is no default network, and none of isolated namespaces. A namespace's annotations
 * say whether its own network has SNAT.
 */
export function builtInNetworks(
  cluster: string,
  subnets: readonly Cidr[],
  namespaces: Iterable<Namespace>,
): VirtualNetwork[] {
  if (subnets.length === 0) return []
  const all = [...namespaces]
  const network = (namespace: string, fqName: FqName, owner: Namespace | undefined): VirtualNetwork => ({
    namespace,
    name: podNetworkName(cluster, namespace),
    fqName,
    uuid: uuidOf('vn', fqName),
    subnets: subnets.map((cidr) => defaultSubnet(cidr)),
    blockSize4: BLOCK_SIZE_4,
    blockSize6: BLOCK_SIZE_6,
    ipam: podIpam(cluster),
    ...optional(owner && snatOfNamespace(owner)),
  })
  const home = all.find(({ name }) => name === HOME_NAMESPACE)
  const networks = [network(HOME_NAMESPACE, defaultPodNetwork(cluster), home)]
  for (const namespace of all) {
    if (namespace.name === HOME_NAMESPACE || !isIsolated(namespace)) continue
    networks.push(network(namespace.name, isolatedPodNetwork(cluster, namespace.name), namespace))
  }
  return networks
}

function optional(fabricSnat: boolean | undefined): Pick<VirtualNetwork, 'fabricSnat'> {
  return fabricSnat === undefined ? {} : { fabricSnat }
}
