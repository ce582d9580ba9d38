/**
 * Finding things in the model's tables, which are sorted by id.
 */
import type { NumberedNexthop, Tables, Vif, Vrf } from '../model/tables.ts'

export function byId<T extends { readonly id: number }>(sorted: readonly T[], id: number): T | undefined {
  let low = 0
  let high = sorted.length - 1
  while (low <= high) {
    const middle = (low + high) >>> 1
    const found = sorted[middle]!
    if (found.id === id) return found
    if (found.id < id) low = middle + 1
    else high = middle - 1
  }
  return undefined
}

export function vrfOf(tables: Tables, id: number): Vrf | undefined {
  return byId(tables.vrfs, id)
}

export function vifOf(tables: Tables, id: number): Vif | undefined {
  return byId(tables.vifs, id)
}

export function nexthopOf(tables: Tables, id: number): NumberedNexthop | undefined {
  return byId(tables.nexthops, id)
}

export const NIL_UUID = '00000000-0000-0000-0000-000000000000'

/** Text of the `vn` of VRFs without one. */
export const NO_VN = 'N/A'
