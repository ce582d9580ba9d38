/** Small parts that all routes are made of, shared so that twenty thousand of them stay small. */
import type { FqName } from './objects.ts'
import type { Path, Peer, RouteFlags } from './tables.ts'

export const NO_FLAGS: RouteFlags = { arpProxy: false, arpFlood: false, arpTrap: false }
export const PROXY: RouteFlags = { arpProxy: true, arpFlood: false, arpTrap: false }
export const FLOOD: RouteFlags = { arpProxy: false, arpFlood: true, arpTrap: false }

/** Preference of a path whose owner is known to live here, and of any other. */
export const PREFERENCE_LIVE = 200
export const PREFERENCE = 100

/** Label of a path that ends on this node itself, as the vRouter shows it. */
export const NATIVE_LABEL = 0

export function path(peer: Peer, nexthop: number, vn: FqName, label?: number, preference = PREFERENCE): Path {
  return label === undefined ? { peer, nexthop, preference, vn } : { peer, nexthop, label, preference, vn }
}
