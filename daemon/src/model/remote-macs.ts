/**
 * Bridge entries of one VRF for the pods of its network on other nodes: through the tunnel to the node, with the pod's label. MPLSoUDP carries no
 * Ethernet header, so what is sent to such a MAC arrives as what is routed there does; ARP says the router's MAC (decision 8).
 *
 * One pod among fifty thousand costs one copy of the list, whose entries aren't looked at one by one.
 */
import { merged, placeOfMac } from './bridge-list.ts'
import { isEqual, keepEqual, keepList } from './equal.ts'
import { firstOf } from './interfaces.ts'
import type { Mac, VirtualMachineInterface } from './objects.ts'
import { compareText } from './order.ts'
import type { RemoteChange, RemotePods } from './remote-pods.ts'
import { ownerOfMac } from './reserved-macs.ts'
import { SLICE, sortInSlices } from './slices.ts'
import type { BridgeRoute, Problem } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'

const NO_ROUTES: readonly BridgeRoute[] = []
const NO_PROBLEMS: readonly Problem[] = []

/** So many changes are made one by one; more are a new beginning. */
const PATCHES = 64

export class RemoteMacs {
  #pods: RemotePods | undefined
  #nodes: ReadonlyMap<string, RemoteNode> = new Map()
  /** Sorted by MAC. */
  #owners: VirtualMachineInterface[] = []
  /** Of these owners, one each; changed in place. */
  #routes: BridgeRoute[] = []
  #own: readonly BridgeRoute[] = NO_ROUTES
  /** `#own` and `#routes` in one, as of the last call. */
  #list = NO_ROUTES
  /** Those without an entry: there is no tunnel to their node. */
  #waiting = new Set<VirtualMachineInterface>()
  #problems: readonly Problem[] = NO_PROBLEMS
  /** Some have no entry because of their MAC: then nothing is patched. */
  #isWhole = true
  /** What a patch that came to no end took out, by uuid. */
  readonly #taken = new Map<string, BridgeRoute>()

  get problems(): readonly Problem[] {
    return this.#problems
  }

  /** As of the last call of `compute`, where that was of the same; undefined: it is to be called. */
  known(
    pods: RemotePods,
    nodes: ReadonlyMap<string, RemoteNode>,
    own: readonly BridgeRoute[],
  ): readonly BridgeRoute[] | undefined {
    const isSame = pods === this.#pods && nodes === this.#nodes && own === this.#own && pods.changes.length === 0
    return isSame ? this.#list : undefined
  }

  /**
   * These entries of this node, sorted by MAC, and with them those of the pods on other nodes; the list of before when it says the same. To be called after each update of
   * the pods. Yields now and then.
   */
  *compute(
    pods: RemotePods,
    nodes: ReadonlyMap<string, RemoteNode>,
    own: readonly BridgeRoute[] = NO_ROUTES,
  ): Generator<void, readonly BridgeRoute[]> {
    const known = this.known(pods, nodes, own)
    if (known !== undefined) return known
    const { changes } = pods
    const isPatched =
      pods === this.#pods &&
      this.#isWhole &&
      changes.length <= PATCHES &&
      hasSameTunnels(this.#nodes, nodes) &&
      this.#patch(changes, nodes)
    if (!isPatched) yield* this.#rebuild(pods, nodes)
    this.#pods = pods
    this.#nodes = nodes
    this.#own = own
    this.#list = keepList(this.#list, merged(own, this.#routes))
    return this.#list
  }

  /** @returns false where somebody's MAC is refused: then all has to be looked at */
  #patch(changes: readonly RemoteChange[], nodes: ReadonlyMap<string, RemoteNode>): boolean {
    const [owners, routes] = [this.#owners, this.#routes]
    for (const { before, after } of changes) {
      let old: BridgeRoute | undefined
      if (before !== undefined && !this.#waiting.delete(before)) {
        const at = placeOfMac(owners, before.mac, macOf)
        if (owners[at] !== before) return false
        owners.splice(at, 1)
        old = routes.splice(at, 1)[0]!
        this.#taken.set(before.uuid, old)
      }
      if (after === undefined) continue
      const node = nodes.get(after.node)
      const at = placeOfMac(owners, after.mac, macOf)
      if (ownerOfMac(after.mac) !== undefined || owners[at]?.mac === after.mac) return false
      if (node === undefined) this.#waiting.add(after)
      else {
        owners.splice(at, 0, after)
        routes.splice(at, 0, routeOf(after, node, old))
      }
    }
    this.#taken.clear()
    return true
  }

  *#rebuild(pods: RemotePods, nodes: ReadonlyMap<string, RemoteNode>): Generator<void> {
    const refused = new Refused()
    const waiting = new Set<VirtualMachineInterface>()
    const wanted: VirtualMachineInterface[] = []
    let count = 0
    for (const owner of pods) {
      const whose = ownerOfMac(owner.mac)
      if (whose !== undefined) refused.tell(owner, whose)
      else if (nodes.has(owner.node)) wanted.push(owner)
      else waiting.add(owner)
      if (++count % SLICE === 0) yield
    }
    const sorted = yield* sortInSlices(wanted, compareOwners)
    const known = new Map<string, number>()
    for (const { uuid } of this.#owners) {
      known.set(uuid, known.size)
      if (++count % SLICE === 0) yield
    }
    const [owners, routes]: [VirtualMachineInterface[], BridgeRoute[]] = [[], []]
    let rival: VirtualMachineInterface | undefined
    for (const owner of sorted) {
      if (++count % SLICE === 0) yield
      if (rival?.mac === owner.mac) refused.double(owner, rival)
      else {
        const node = nodes.get(owner.node)!
        const at = known.get(owner.uuid) ?? -1
        const old = this.#routes[at] ?? this.#taken.get(owner.uuid)
        const isSame = old !== undefined && this.#owners[at] === owner && isByTunnel(old, node)
        owners.push(owner)
        routes.push(isSame ? old : routeOf(owner, node, old))
      }
      rival = owner
    }
    this.#waiting = waiting
    this.#isWhole = refused.isNone
    this.#problems = refused.problems
    this.#owners = owners
    this.#routes = routes
    this.#taken.clear()
  }
}

/** Pods whose MAC isn't bridged to. */
class Refused {
  isNone = true
  readonly #problems: Problem[] = []

  get problems(): readonly Problem[] {
    return this.#problems.sort((one, other) => compareText(one.object, other.object))
  }

  tell({ name, mac }: VirtualMachineInterface, whose: string): void {
    this.isNone = false
    this.#problems.push({
      object: `VirtualMachineInterface ${name}`,
      message: `MAC ${mac} is ${whose}: it isn't bridged to`,
    })
  }

  /** Several objects of one pod, such as one for each of its addresses, say the same. */
  double(one: VirtualMachineInterface, rival: VirtualMachineInterface): void {
    this.isNone = false
    if (rival.node !== one.node || rival.label !== one.label)
      this.tell(one, `that of VirtualMachineInterface ${rival.name}`)
  }
}

function macOf({ mac }: VirtualMachineInterface): Mac {
  return mac
}

function isByTunnel(route: BridgeRoute, { nexthop, peer }: RemoteNode): boolean {
  return route.nexthop === nexthop && isEqual(route.peer, peer)
}

/** Whatever else was different about a node: entries go by its tunnel. */
function isSameTunnel(a: RemoteNode, b: RemoteNode): boolean {
  return a === b || (a.nexthop === b.nexthop && isEqual(a.peer, b.peer))
}

function hasSameTunnels(a: ReadonlyMap<string, RemoteNode>, b: ReadonlyMap<string, RemoteNode>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [name, node] of a) {
    const other = b.get(name)
    if (other === undefined || !isSameTunnel(node, other)) return false
  }
  return true
}

function routeOf(owner: VirtualMachineInterface, node: RemoteNode, old?: BridgeRoute): BridgeRoute {
  const { mac, label, addresses } = owner
  return keepEqual(old, {
    mac,
    index: indexOf(mac),
    nexthop: node.nexthop,
    label,
    floodDhcp: false,
    peer: node.peer,
    address: firstOf(addresses, 4) ?? firstOf(addresses, 6),
  })
}

/** Positions of remote MACs are made of the MAC: nothing refers to them, so they needn't be remembered. Above those of `Ids`. */
function indexOf(mac: Mac): number {
  return 0x4000_0000 + (Number.parseInt(mac.slice(6).replaceAll(':', ''), 16) % 0x3fff_ffff)
}

/** Of several with one MAC the first has it, whatever their order of appearance. */
function compareOwners(a: VirtualMachineInterface, b: VirtualMachineInterface): number {
  return compareText(a.mac, b.mac) || compareText(a.node, b.node) || compareText(a.uuid, b.uuid)
}
