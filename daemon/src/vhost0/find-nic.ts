/** Which device is the fabric NIC: the configured one, else the one that vhost0 stands for, else the one with the IPv4 default route. */

import { kernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import { RouteSocket, RouteTable } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { VrouterError } from '../errors.ts'
import { readSnapshot } from './snapshot.ts'

/** Throws UNDERLAY_MISSING when there is no such device, or no default route to tell. */
export function findNic(config: Pick<Config, 'underlay' | 'paths'>): string {
  using route = RouteSocket.open()
  const name = config.underlay.interface || migratedNic(config) || defaultRouteNic(route, config.underlay.vhost)
  if (name === undefined || route.link(name) === undefined) {
    throw VrouterError.of('UNDERLAY_MISSING', { wanted: name ?? 'with an IPv4 default route' })
  }
  return name
}

function migratedNic({ paths }: Pick<Config, 'paths'>): string | undefined {
  return readSnapshot(paths.state, kernelIdentity())?.nic.name
}

function defaultRouteNic(route: RouteSocket, vhost: string): string | undefined {
  const defaults = route
    .routes({ table: RouteTable.MAIN, family: 4 })
    .filter(({ prefixLength, oif }) => prefixLength === 0 && oif !== undefined)
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0))
  for (const { oif } of defaults) {
    const link = route.link(oif!)
    if (link !== undefined && link.name !== vhost) return link.name
  }
  return undefined
}
