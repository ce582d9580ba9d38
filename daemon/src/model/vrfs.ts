/**
 * The VRF table: 0 (underlay) and 1 (its policy VRF) always, and one for each VN in which this node has a port. A VRF has a
 * label, behind which packets are routed again in it.
 */
import { keepEqual } from './equal.ts'
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
  #byNetwork = new Map<FqName, NetworkVrf>()

  /** VRFs by VN, and the table. VNs for which a number is missing are left out, with a problem. */
  compute(
    ports: readonly Port[],
    defaultVn: FqName,
    ids: Ids,
    nexthops: NexthopTable,
    now: number,
    problems: Problem[],
  ): { readonly byNetwork: ReadonlyMap<FqName, NetworkVrf>; readonly vrfs: readonly Vrf[] } {
    const byNetwork = new Map<FqName, NetworkVrf>()
    for (const vn of [...new Set(ports.map((port) => port.vn))].sort()) {
      const name = vrfOfNetwork(vn)
      const id = ids.allocate('vrf', keys.vrfKey(name), now)
      const label = ids.allocate('label', keys.vrfLabel(name), now)
      const nexthop =
        id === undefined ? undefined : nexthops.keep(keys.vrfNexthop(name), { type: 'vrf-translate', vrf: id }, now)
      if (id === undefined || label === undefined || nexthop === undefined) {
        const kind = id === undefined ? 'vrf' : label === undefined ? 'label' : 'nexthop'
        problems.push({
          object: `VirtualNetwork ${vn}`,
          message: `no ${kind} number is left (limit ${ids.limits[kind]})`,
          subject: { kind: 'network', vn },
          table: kind,
        })
        continue
      }
      const vrf: NetworkVrf = {
        id,
        name,
        uuid: uuidOf('vrf', name),
        vn,
        label,
        nexthop,
        forwardingVrf: id,
        ...(vn === defaultVn && { takesOutside: true }),
      }
      byNetwork.set(vn, keepEqual(this.#byNetwork.get(vn), vrf))
    }
    this.#byNetwork = byNetwork
    return { byNetwork, vrfs: [...FABRIC_VRFS, ...[...byNetwork.values()].sort((a, b) => a.id - b.id)] }
  }
}
