/**
 * Bridge tables: in every VRF the router's MAC, the MACs of its pods on this node, and of its network's pods on the others (remote-macs.ts). A MAC that
 * this node has is nobody else's, whatever other nodes say.
 */
import { isSameList, keepEqual, keepList } from './equal.ts'
import type { Ids } from './ids.ts'
import { firstOf, type LocalPod } from './interfaces.ts'
import * as keys from './keys.ts'
import { ROUTER_MAC } from './names.ts'
import type { FqName, Mac } from './objects.ts'
import { RemoteMacs } from './remote-macs.ts'
import type { RemotePods } from './remote-pods.ts'
import type { BridgeRoute, Problem, Vrf } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'
import { FABRIC_POLICY_VRF_ID, FABRIC_VRF_ID } from './vrfs.ts'

export interface BridgeInput {
  readonly vrfs: readonly Vrf[]
  /** Those whose tap is there; the same list as long as they are the same. */
  readonly pods: (vn: FqName) => readonly LocalPod[]
  readonly remote: (vn: FqName) => RemotePods
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly nicMac: Mac
  readonly l2Receive: number
}

/** What one VRF's table was made of. */
interface Known {
  /** VRF, MACs and pods of `own`; empty: some got no number. */
  readonly inputs: readonly unknown[]
  readonly own: readonly BridgeRoute[]
  readonly routes: readonly BridgeRoute[]
}

const NO_PODS: readonly LocalPod[] = []

export class BridgeTable {
  #tables = new Map<number, Known>()
  #remote = new Map<FqName, RemoteMacs>();

  /** By VRF, sorted by MAC. Yields now and then. */
  *compute(
    { vrfs, pods, remote, nodes, nicMac, l2Receive }: BridgeInput,
    ids: Ids,
    now: number,
    problems: Problem[],
  ): Generator<void, ReadonlyMap<number, readonly BridgeRoute[]>> {
    const tables = new Map<number, Known>()
    const networks = new Map<FqName, RemoteMacs>()
    /** A tenth is left for what this node has itself. */
    let room = Math.floor(ids.limits.bridge * 0.9)
    for (const vrf of vrfs) {
      const isFabric = vrf.id === FABRIC_VRF_ID || vrf.id === FABRIC_POLICY_VRF_ID
      const podsHere = isFabric || vrf.vn === undefined ? NO_PODS : pods(vrf.vn)
      const inputs = [vrf, nicMac, podsHere, l2Receive]
      const before = this.#tables.get(vrf.id)
      let own = before?.own
      if (own === undefined || !isSameList(before!.inputs, inputs)) {
        const macs = isFabric ? [ROUTER_MAC, nicMac] : [ROUTER_MAC]
        const made = ownRoutes(vrf, macs, podsHere, l2Receive, ids, now, problems)
        own = keptRoutes(before?.own, made)
        // What got no number is tried again.
        if (made.length < macs.length + podsHere.length) inputs.length = 0
      }
      let routes = own
      if (!isFabric && vrf.vn !== undefined) {
        const remotePods = remote(vrf.vn)
        if (remotePods.size <= room) {
          room -= remotePods.size
          const known = this.#remote.get(vrf.vn) ?? new RemoteMacs()
          networks.set(vrf.vn, known)
          routes = known.known(remotePods, nodes, own) ?? (yield* known.compute(remotePods, nodes, own))
          problems.push(...known.problems)
        } else {
          problems.push({
            object: `VRF ${vrf.name}`,
            message:
              `no room is left in the bridge table for ${remotePods.size} remote pods (limit ${ids.limits.bridge}): ` +
              'they are reached by their addresses alone; raise limits.routes',
            table: 'bridge',
          })
        }
      }
      tables.set(vrf.id, { inputs, own, routes })
    }
    this.#tables = tables
    this.#remote = networks
    return new Map([...tables].map(([vrf, { routes }]) => [vrf, routes]))
  }

  /** Positions in the table that `Ids` gave out. */
  *indices(): Generator<number> {
    for (const { own } of this.#tables.values()) for (const { index } of own) yield index
  }
}

/** Sorted by MAC. */
function ownRoutes(
  vrf: Vrf,
  macs: readonly Mac[],
  pods: readonly LocalPod[],
  l2Receive: number,
  ids: Ids,
  now: number,
  problems: Problem[],
): BridgeRoute[] {
  const routes: BridgeRoute[] = []
  for (const mac of macs) {
    const index = ids.allocate('bridge', keys.bridgeKey(vrf.name, mac), now)
    if (index === undefined) {
      problems.push({
        object: `VRF ${vrf.name}`,
        message: `no bridge index is left (limit ${ids.limits.bridge})`,
        table: 'bridge',
      })
    } else routes.push({ mac, index, nexthop: l2Receive, floodDhcp: false, peer: 'Local_Vm' })
  }
  for (const { port, bridgeIndex, bridgeNexthop } of pods) {
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
  return routes.sort((a, b) => (a.mac < b.mac ? -1 : 1))
}

/** Entries and lists that say the same as before are those of before. */
function keptRoutes(before: readonly BridgeRoute[] | undefined, made: readonly BridgeRoute[]): readonly BridgeRoute[] {
  const known = new Map(before?.map((route) => [route.mac, route]))
  const kept = made.map((route) => keepEqual(known.get(route.mac), route))
  return keepList(before, kept)
}
