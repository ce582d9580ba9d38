/**
 * How many table entries name a nexthop or a vif, as the tools and pages show it. By one rule, here for the model's tables and in maps/references.ts
 * for the kernel's: a nexthop is named by routes, bridge entries, labels, VRFs, vifs and members of composites; a vif by itself and by the receive,
 * encap and tunnel nexthops that lead out of it. NumberedNexthop.references holds the former; compute.ts counts them as routes change.
 */
import { VIF_ID_FABRIC } from '../maps/constants.ts'
import type { Tables } from './tables.ts'

const counted = new WeakMap<Tables, ReadonlyMap<number, number>>()

/** By vif id. */
export function vifReferences(tables: Tables): ReadonlyMap<number, number> {
  const known = counted.get(tables)
  if (known !== undefined) return known
  const counts = new Map(tables.vifs.map(({ id }) => [id, 1]))
  for (const { nexthop } of tables.nexthops) {
    const vif =
      nexthop.type === 'receive' || nexthop.type === 'encap'
        ? nexthop.vif
        : nexthop.type === 'tunnel'
          ? VIF_ID_FABRIC
          : undefined
    if (vif !== undefined) counts.set(vif, (counts.get(vif) ?? 1) + 1)
  }
  counted.set(tables, counts)
  return counts
}
