/** Bridge tables: the router's MAC in every VRF, and the MACs of local pods in theirs. */
import { isEqual, isSameList } from './equal.ts'
import type { Ids } from './ids.ts'
import { firstOf, type LocalPod } from './interfaces.ts'
import * as keys from './keys.ts'
import { ROUTER_MAC } from './names.ts'
import type { Mac } from './objects.ts'
import type { BridgeRoute, Problem, Vrf } from './tables.ts'
import { FABRIC_POLICY_VRF_ID, FABRIC_VRF_ID } from './vrfs.ts'

export class BridgeTable {
  #tables = new Map<number, readonly BridgeRoute[]>()

  /** By VRF, sorted by MAC. `pods`: those whose tap is there. */
  compute(
    vrfs: readonly Vrf[],
    pods: readonly LocalPod[],
    nicMac: Mac,
    l2Receive: number,
    ids: Ids,
    now: number,
    problems: Problem[],
  ): ReadonlyMap<number, readonly BridgeRoute[]> {
    const tables = new Map<number, readonly BridgeRoute[]>()
    const podsOf = Map.groupBy(pods, (pod) => pod.vrf.id)
    for (const vrf of vrfs) {
      const isFabric = vrf.id === FABRIC_VRF_ID || vrf.id === FABRIC_POLICY_VRF_ID
      const routes: BridgeRoute[] = []
      for (const mac of isFabric ? [ROUTER_MAC, nicMac] : [ROUTER_MAC]) {
        const index = ids.allocate('bridge', keys.bridgeKey(vrf.name, mac), now)
        if (index === undefined) {
          problems.push({
            object: `VRF ${vrf.name}`,
            message: `no bridge index is left (limit ${ids.limits.bridge})`,
            table: 'bridge',
          })
        } else routes.push({ mac, index, nexthop: l2Receive, floodDhcp: false, peer: 'Local_Vm' })
      }
      for (const { port, bridgeIndex, bridgeNexthop } of podsOf.get(vrf.id) ?? []) {
        const address = firstOf(port.addresses, 4) ?? firstOf(port.addresses, 6)
        routes.push({
          mac: port.mac,
          index: bridgeIndex,
          nexthop: bridgeNexthop,
          floodDhcp: false,
          peer: 'EVPN',
          address,
        })
      }
      routes.sort((a, b) => (a.mac < b.mac ? -1 : 1))
      const before = this.#tables.get(vrf.id)
      const known = new Map(before?.map((route) => [route.mac, route]))
      const kept = routes.map((route) => (isEqual(known.get(route.mac), route) ? known.get(route.mac)! : route))
      tables.set(vrf.id, before !== undefined && isSameList(before, kept) ? before : kept)
    }
    this.#tables = tables
    return tables
  }
}
