/** Who uses a nexthop: the tools' Ref_cnt, counted from the tables themselves. */
import type { PinnedMaps } from '../maps/open.ts'

/** Number of table entries that name each nexthop id: routes, bridge entries, labels, VRFs, vifs, members of composites. */
export function nexthopReferences(maps: PinnedMaps): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  const count = (nexthop: number) => {
    if (nexthop !== 0) counts.set(nexthop, (counts.get(nexthop) ?? 0) + 1)
  }
  const { host4, lpm4, host6, lpm6 } = maps.routes
  for (const table of [host4, lpm4, host6, lpm6]) for (const [, route] of table.entries()) count(route.nh)
  for (const [, entry] of maps.bridge.entries()) count(entry.nh)
  for (const [, nexthop] of maps.mpls.entries()) count(nexthop)
  for (const [, vrf] of maps.vrfs.entries()) count(vrf.nh)
  for (const [, vif] of maps.vifs.entries()) count(vif.nhId)
  for (const [, composite] of maps.composites.entries()) {
    for (const member of composite.members.slice(0, composite.count)) count(member.nh)
  }
  return counts
}
