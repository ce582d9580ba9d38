/** The VRFs: an array, VRF id -> label, nexthop and forwarding VRF. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { VRF_VALID } from './constants.ts'
import { type VrfStruct, vrfCodec } from './structs.ts'
import { Table, u32Codec } from './table.ts'

export type VrfTable = Table<number, VrfStruct>

export function vrfTable(map: BpfMap): VrfTable {
  return new Table(map, u32Codec, vrfCodec)
}

/** The VRFs in use, by id. */
export function listVrfs(vrfs: VrfTable): (readonly [id: number, vrf: VrfStruct])[] {
  return [...vrfs.entries({ used: true })].filter(([, vrf]) => (vrf.flags & VRF_VALID) !== 0).sort(([a], [b]) => a - b)
}

/** Undefined: no such VRF. */
export function vrfById(vrfs: VrfTable, id: number): VrfStruct | undefined {
  const vrf = id < vrfs.maxEntries ? vrfs.get(id) : undefined
  return vrf && (vrf.flags & VRF_VALID) !== 0 ? vrf : undefined
}
