/** The routes that a pod gets with its interface. */

import { contains, familyOf, mustParseAddress } from '../model/address.ts'
import type { PodAddress } from '../model/ipam.ts'
import type { VirtualNetwork } from '../model/objects.ts'
import { prefixOf } from '../model/prefix-of.ts'
import type { PortRecord } from './records.ts'

const DEFAULT_ROUTE = { 4: '0.0.0.0/0', 6: '::/0' } as const

/** The pod's first interface leads everywhere. */
export function defaultRoutes(addresses: readonly PodAddress[]): NonNullable<PortRecord['routes']> {
  return addresses.map(({ gateway }) => ({ destination: DEFAULT_ROUTE[familyOf(gateway)], gateway }))
}

/** An interface beside the pod's first leads to its own network: what isn't on its link goes by its gateway. */
export function routesWithin(
  { subnets }: VirtualNetwork,
  addresses: readonly PodAddress[],
): NonNullable<PortRecord['routes']> {
  return addresses.flatMap(({ address, gateway }) => {
    const own = mustParseAddress(address)
    return subnets
      .filter((subnet) => prefixOf(subnet).family === own.family && !contains(prefixOf(subnet), own))
      .map(({ cidr }) => ({ destination: cidr, gateway }))
  })
}
