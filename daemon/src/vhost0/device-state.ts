/**
 * What a device holds of the node's network configuration, in a form that is the same for the NIC and for vhost0: a device's own index
 * is written as SELF, IPv6 routes over several paths are one route per path. Pure; the kernel's side is in kernel.ts.
 */
import {
  AddressFlag,
  type AddressInfo,
  type Family,
  LIFETIME_FOREVER,
  type NeighbourInfo,
  NeighbourState,
  type RouteInfo,
  RouteProtocol,
  RouteTable,
} from '@kube-vrouter/linux/netlink/route'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'

/** Stands for "this device" in `oif` of routes and their paths. */
export const SELF = 0

/** An address in the form that it has on the NIC. `since` is when its lifetimes were read: seconds since boot. */
export type Address = Omit<AddressInfo, 'index'> & { readonly since: number }

/** A route in the form that it has on the NIC; the device's index is SELF. `since`: when `expires` was read. */
export type Route = RouteInfo & { readonly since: number }

export interface Neighbour {
  readonly address: string
  readonly mac: string
  /** Set by somebody, for good; otherwise learnt. */
  readonly isPermanent: boolean
}

export interface DeviceState {
  readonly addresses: readonly Address[]
  readonly routes: readonly Route[]
  readonly neighbours: readonly Neighbour[]
}

export const EMPTY_STATE: DeviceState = { addresses: [], routes: [], neighbours: [] }

/** The state of device `index` out of complete dumps. `names` tells labels that are the device's name from others. */
export function stateOf(
  index: number,
  dumps: {
    readonly addresses: readonly AddressInfo[]
    readonly routes: readonly RouteInfo[]
    readonly neighbours: readonly NeighbourInfo[]
  },
  now: number,
): DeviceState {
  return {
    addresses: dumps.addresses
      .filter((address) => address.index === index && (address.flags & AddressFlag.DADFAILED) === 0)
      .map(({ index: _, ...address }) => ({ ...address, since: now })),
    routes: dumps.routes.flatMap((route) => ownRoutes(route, index)).map((route) => ({ ...route, since: now })),
    neighbours: dumps.neighbours.filter((neighbour) => neighbour.index === index).flatMap(heldNeighbour),
  }
}

/**
 * The route as this device's, or nothing when it is another one's, the daemon's own, or one that the kernel makes for each address (local,
 * broadcast, multicast).
 */
function ownRoutes(route: RouteInfo, index: number): RouteInfo[] {
  // What the daemon itself puts on vhost0 is nothing that the NIC would have.
  if (route.protocol === VROUTER_PROTOCOL) return []
  if (route.table === RouteTable.LOCAL && route.protocol === RouteProtocol.KERNEL) return []
  if (route.multipath === undefined) return route.oif === index ? [{ ...route, oif: SELF, nexthopId: undefined }] : []
  if (!route.multipath.some(({ oif }) => oif === index)) return []
  if (route.family === 6) {
    return route.multipath
      .filter(({ oif }) => oif === index)
      .map(({ gateway, onlink }) => ({
        ...route,
        multipath: undefined,
        nexthopId: undefined,
        gateway,
        onlink,
        oif: SELF,
      }))
  }
  const multipath = route.multipath.map((path) => (path.oif === index ? { ...path, oif: SELF } : path))
  return [{ ...route, multipath, nexthopId: undefined }]
}

function heldNeighbour(neighbour: NeighbourInfo): Neighbour[] {
  const { address, mac, state, managed, externallyLearned } = neighbour
  const usable =
    NeighbourState.REACHABLE |
    NeighbourState.STALE |
    NeighbourState.DELAY |
    NeighbourState.PROBE |
    NeighbourState.PERMANENT
  if (mac === undefined || managed || externallyLearned || (state & usable) === 0) return []
  return [{ address, mac, isPermanent: state === NeighbourState.PERMANENT }]
}

// ---- sameness -------------------------------------------------------------------------------------------------------------

/** What makes an address one and not another on a device. */
export function addressKey({
  address,
  prefixLength,
  peer,
}: Pick<Address, 'address' | 'prefixLength' | 'peer'>): string {
  return `${address}/${prefixLength}${peer === undefined ? '' : ` peer ${peer}`}`
}

/** Routes with one key compete: the first one is used. */
export function routeKey(route: Route): string {
  const { family, destination, prefixLength, sourcePrefix, table, tos, metric } = route
  return JSON.stringify([family, destination, prefixLength, sourcePrefix, table, tos, metric ?? 0])
}

/** Routes with one identity are the same route, though one may have aged. */
export function routeIdentity(route: Route): string {
  const { gateway, oif, source, type, protocol, scope, onlink, multipath } = route
  const paths = multipath?.map((path) => [path.oif, path.gateway, path.weight, path.onlink])
  return JSON.stringify([routeKey(route), gateway, oif, source, type, protocol, scope, onlink, paths])
}

export function familyOf({ address }: { readonly address: string }): Family {
  return address.includes(':') ? 6 : 4
}

// ---- lifetimes ------------------------------------------------------------------------------------------------------------

/** The address with the lifetimes that are left at `now`, or undefined when it is over. */
export function agedAddress(address: Address, now: number): Address | undefined {
  if (address.validLifetime === LIFETIME_FOREVER) return address
  const passed = Math.max(0, Math.round(now - address.since))
  if (address.validLifetime <= passed) return undefined
  const preferred = address.preferredLifetime
  return {
    ...address,
    since: now,
    validLifetime: address.validLifetime - passed,
    preferredLifetime: preferred === LIFETIME_FOREVER ? preferred : Math.max(0, preferred - passed),
  }
}

/** The route with the time that is left at `now`, or undefined when it is over. */
export function agedRoute(route: Route, now: number): Route | undefined {
  if (route.expires === undefined) return route
  const left = route.expires - Math.max(0, Math.round(now - route.since))
  return left > 0 ? { ...route, since: now, expires: left } : undefined
}
