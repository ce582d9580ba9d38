/**
 * The VRF table: 0 (underlay) and 1 (its policy VRF) always, and one for each VN in which this node has a port. A VRF has a
 * label, behind which packets are routed again in it.
 */
import type { Port } from './facts.ts'
import type { Ids } from './ids.ts'
import * as keys from './keys.ts'
import { FABRIC_POLICY_VRF, FABRIC_VN, FABRIC_VRF, uuidOf, vrfOfNetwork } from './names.ts'
import type { NexthopTable } from './nexthops.ts'
import type { FqName } from './objects.ts'
import type { Problem, Vrf } from './tables.ts'

export const FABRIC_VRF_ID = 0
export const FABRIC_POLICY_VRF_ID = 1

const FABRIC_VRFS: readonly Vrf[] = [
  {
    id: FABRIC_VRF_ID,
    name: FABRIC_VRF,
    uuid: uuidOf('vrf', FABRIC_VRF),
    forwardingVrf: FABRIC_VRF_ID,
    takesOutside: true,
  },
  {
    id: FABRIC_POLICY_VRF_ID,
    name: FABRIC_POLICY_VRF,
    uuid: uuidOf('vrf', FABRIC_POLICY_VRF),
    vn: FABRIC_VN,
    forwardingVrf: FABRIC_VRF_ID,
    takesOutside: true,
  },
]

/** A VN's VRF on this node: all its numbers are there. */
export interface NetworkVrf extends Vrf {
  readonly vn: FqName
  readonly label: number
  readonly nexthop: number
}

export class VrfTable {
  #byNetwork: ReadonlyMap<FqName, NetworkVrf> = new Map()
  #vrfs: readonly Vrf[] = FABRIC_VRFS

  /**
   * VRFs by VN, and the table; both the same as before while they say the same. VNs for which a number is missing are left out, with a problem. One
   * that was there in the last call has its numbers still: they are given back only when it isn't.
   */
  compute(
    ports: readonly Port[],
    defaultVn: FqName,
    ids: Ids,
    nexthops: NexthopTable,
    now: number,
    problems: Problem[],
  ): { readonly byNetwork: ReadonlyMap<FqName, NetworkVrf>; readonly vrfs: readonly Vrf[] } {
    const vns = new Set<FqName>()
    for (const { vn } of ports) vns.add(vn)
    const before = this.#byNetwork
    if (vns.size === before.size && vns.isSubsetOf(before)) return { byNetwork: before, vrfs: this.#vrfs }
    const byNetwork = new Map<FqName, NetworkVrf>()
    for (const vn of [...vns].sort()) {
      const vrf = before.get(vn) ?? this.#make(vn, vn === defaultVn, ids, nexthops, now, problems)
      if (vrf !== undefined) byNetwork.set(vn, vrf)
    }
    for (const [vn, { nexthop }] of before) if (!byNetwork.has(vn)) nexthops.letGo(nexthop)
    this.#byNetwork = byNetwork
    this.#vrfs = [...FABRIC_VRFS, ...[...byNetwork.values()].sort((a, b) => a.id - b.id)]
    return { byNetwork, vrfs: this.#vrfs }
  }

  #make(
    vn: FqName,
    isDefault: boolean,
    ids: Ids,
    nexthops: NexthopTable,
    now: number,
    problems: Problem[],
  ): NetworkVrf | undefined {
    const name = vrfOfNetwork(vn)
    const id = ids.allocate('vrf', keys.vrfKey(name), now)
    const label = ids.allocate('label', keys.vrfLabel(name), now)
    const nexthop =
      id === undefined ? undefined : nexthops.define(keys.vrfNexthop(name), { type: 'vrf-translate', vrf: id }, now)
    if (id === undefined || label === undefined || nexthop === undefined) {
      const kind = id === undefined ? 'vrf' : label === undefined ? 'label' : 'nexthop'
      problems.push({
        object: `VirtualNetwork ${vn}`,
        message: `no ${kind} number is left (limit ${ids.limits[kind]})`,
        subject: { kind: 'network', vn },
        table: kind,
      })
      return undefined
    }
    nexthops.hold(nexthop)
    const uuid = uuidOf('vrf', name)
    return { id, name, uuid, vn, label, nexthop, forwardingVrf: id, ...(isDefault && { takesOutside: true }) }
  }
}
