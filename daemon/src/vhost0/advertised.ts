/**
 * Routes that the kernel learnt from router advertisements. Nobody but the kernel can make one: a copy set by netlink lacks its mark, and when a router
 * has such a route already, with the kernel's own metric, Linux handles nothing of its advertisement behind the default route (ndisc_router_discovery
 * gives up when it can't make its own): the node's addresses would end with their lifetimes. So a copy has a metric of one more, and a protocol that
 * tells it from what it stands for. The next advertisement makes the kernel's own route beside it, and the copy has done its work. Pure.
 */
import { RouteProtocol } from '@kube-vrouter/linux/netlink/route'
import { ADVERTISED_COPY_PROTOCOL } from '../ground/route-protocol.ts'
import { type Route, routeIdentity } from './device-state.ts'

/** The kernel's metric for them where none is set (IP6_RT_PRIO_USER). */
const DEFAULT_METRIC = 1024

/** Network managers that listen to advertisements themselves mark routes so, too, most of them without an end. */
export function isAdvertised({ family, protocol, expires }: Route): boolean {
  return family === 6 && protocol === RouteProtocol.RA && expires !== undefined
}

/** The form in which a route is put on another device. */
export function copyOf(route: Route): Route {
  if (!isAdvertised(route)) return route
  return { ...route, protocol: ADVERTISED_COPY_PROTOCOL, metric: (route.metric ?? DEFAULT_METRIC) + 1 }
}

/** What a route stands for: itself, if it is no copy. */
function originalOf(route: Route): Route {
  if (!isCopy(route)) return route
  return { ...route, protocol: RouteProtocol.RA, metric: (route.metric ?? DEFAULT_METRIC) - 1 }
}

/** What a device's routes stand for, each once: where the kernel has its own beside a copy, its own. */
export function originals(routes: readonly Route[]): Route[] {
  const own = new Set(routes.map(routeIdentity))
  return routes.flatMap((route) => {
    const original = originalOf(route)
    return original !== route && own.has(routeIdentity(original)) ? [] : original
  })
}

/** Copies that the kernel's own route stands beside. */
export function doneCopies(routes: readonly Route[]): Route[] {
  const own = new Set(routes.map(routeIdentity))
  return routes.filter((route) => isCopy(route) && own.has(routeIdentity(originalOf(route))))
}

function isCopy({ protocol }: Route): boolean {
  return protocol === ADVERTISED_COPY_PROTOCOL
}
