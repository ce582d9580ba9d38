/** How many entries of the kernel's tables name a nexthop or a vif, by the rule of model/references.ts: for tools, which work without a daemon. */
import { NH_ENCAP, NH_RCV, NH_TUNNEL } from './constants.ts'
import type { PinnedMaps } from './open.ts'

/** By nexthop id. Where 0 stands for none (labels, VRFs, vifs) it isn't counted. */
export function nexthopReferences(maps: PinnedMaps): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  const count = (nexthop: number) => counts.set(nexthop, (counts.get(nexthop) ?? 0) + 1)
  const countUnlessNone = (nexthop: number) => nexthop !== 0 && count(nexthop)
  const { host4, lpm4, host6, lpm6 } = maps.routes
  for (const table of [host4, lpm4, host6, lpm6]) for (const [, route] of table.entries()) count(route.nh)
  for (const [, entry] of maps.bridge.entries()) count(entry.nh)
  for (const [, nexthop] of maps.mpls.entries({ used: true })) countUnlessNone(nexthop)
  for (const [, vrf] of maps.vrfs.entries({ used: true })) countUnlessNone(vrf.nh)
  for (const [, vif] of maps.vifs.entries()) countUnlessNone(vif.nhId)
  for (const [, composite] of maps.composites.entries()) {
    for (const member of composite.members.slice(0, composite.count)) count(member.nh)
  }
  return counts
}

/** By vif id; one that isn't there has 1, itself. */
export function vifReferences(maps: PinnedMaps): ReadonlyMap<number, number> {
  const counts = new Map<number, number>()
  for (const [, { type, oif }] of maps.nexthops.entries({ used: true })) {
    if (type === NH_RCV || type === NH_ENCAP || type === NH_TUNNEL) counts.set(oif, (counts.get(oif) ?? 1) + 1)
  }
  return counts
}
