/**
 * Bridge entries of one VRF for the pods of its network on other nodes: through the tunnel to the node, with the pod's label. MPLSoUDP carries no
 * Ethernet header, so what is sent to such a MAC arrives as what is routed there does; ARP says the router's MAC (decision 8).
 *
 * One pod among fifty thousand costs a copy of the list, whose entries aren't looked at one by one.
 */
import { placeOfMac } from './bridge-list.ts'
import { isEqual, keepEqual, keepList } from './equal.ts'
import { firstOf } from './interfaces.ts'
import type { Mac, VirtualMachineInterface } from './objects.ts'
import { compareText } from './order.ts'
import type { RemoteChange, RemotePods } from './remote-pods.ts'
import { ownerOfMac } from './reserved-macs.ts'
import type { BridgeRoute, Problem } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'

interface RemoteMac {
  readonly owner: VirtualMachineInterface
  readonly node: RemoteNode
  readonly route: BridgeRoute
}

/** So many changes are made one by one; more are a new beginning. */
const PATCHES = 64

export class RemoteMacs {
  #pods: RemotePods | undefined
  #nodes: ReadonlyMap<string, RemoteNode> = new Map()
  /** Sorted by MAC. */
  #entries: readonly RemoteMac[] = []
  /** Of these entries. */
  #routes: readonly BridgeRoute[] = []
  /** Those without an entry: there is no tunnel to their node. */
  #waiting = new Set<VirtualMachineInterface>()
  /** Some have no entry because of their MAC: then nothing is patched. */
  #isWhole = true
  readonly problems: Problem[] = []

  /** Sorted by MAC; the array of before when it says the same. To be called after each update of the pods. */
  compute(pods: RemotePods, nodes: ReadonlyMap<string, RemoteNode>): readonly BridgeRoute[] {
    const { changes } = pods
    if (pods === this.#pods && nodes === this.#nodes && changes.length === 0) return this.#routes
    const isPatched =
      pods === this.#pods &&
      this.#isWhole &&
      changes.length <= PATCHES &&
      hasSameTunnels(this.#nodes, nodes) &&
      this.#patch(changes, nodes)
    if (!isPatched) this.#rebuild(pods, nodes)
    this.#pods = pods
    this.#nodes = nodes
    return this.#routes
  }

  /** @returns false where somebody's MAC is refused: then all has to be looked at */
  #patch(changes: readonly RemoteChange[], nodes: ReadonlyMap<string, RemoteNode>): boolean {
    if (changes.length === 0) return true
    const entries = [...this.#entries]
    const routes = [...this.#routes]
    for (const { before, after } of changes) {
      let old: BridgeRoute | undefined
      if (before !== undefined && !this.#waiting.delete(before)) {
        const at = placeOfMac(entries, before.mac, macOfEntry)
        if (entries[at]?.owner !== before) return false
        entries.splice(at, 1)
        old = routes.splice(at, 1)[0]
      }
      if (after === undefined) continue
      const node = nodes.get(after.node)
      const at = placeOfMac(entries, after.mac, macOfEntry)
      if (ownerOfMac(after.mac) !== undefined || entries[at]?.owner.mac === after.mac) return false
      if (node === undefined) this.#waiting.add(after)
      else {
        const entry = entryOf(after, node, old)
        entries.splice(at, 0, entry)
        routes.splice(at, 0, entry.route)
      }
    }
    this.#keep(entries, routes)
    return true
  }

  #rebuild(pods: RemotePods, nodes: ReadonlyMap<string, RemoteNode>): void {
    this.problems.length = 0
    this.#isWhole = true
    this.#waiting = new Set()
    const known = new Map(this.#entries.map((entry) => [entry.owner.uuid, entry]))
    const entries: RemoteMac[] = []
    for (const owner of pods) {
      const node = nodes.get(owner.node)
      const whose = ownerOfMac(owner.mac)
      if (whose !== undefined) this.#refuse(owner, whose)
      else if (node === undefined) this.#waiting.add(owner)
      else {
        const before = known.get(owner.uuid)
        const isSame = before?.owner === owner && isSameTunnel(before.node, node)
        entries.push(isSame ? before : entryOf(owner, node, before?.route))
      }
    }
    entries.sort(compareEntries)
    const accepted = entries.filter((entry, at) => {
      const rival = entries[at - 1]?.owner
      if (rival?.mac !== entry.owner.mac) return true
      this.#isWhole = false
      // Several objects of one pod, such as one for each of its addresses, say the same.
      if (rival.node !== entry.owner.node || rival.label !== entry.owner.label)
        this.#refuse(entry.owner, `that of VirtualMachineInterface ${rival.name}`)
      return false
    })
    this.problems.sort((one, other) => compareText(one.object, other.object))
    this.#keep(
      accepted,
      accepted.map(({ route }) => route),
    )
  }

  #keep(entries: readonly RemoteMac[], routes: readonly BridgeRoute[]): void {
    this.#entries = entries
    this.#routes = keepList(this.#routes, routes)
  }

  #refuse({ name, mac }: VirtualMachineInterface, whose: string): void {
    this.#isWhole = false
    this.problems.push({
      object: `VirtualMachineInterface ${name}`,
      message: `MAC ${mac} is ${whose}: it isn't bridged to`,
    })
  }
}

function macOfEntry({ owner }: RemoteMac): Mac {
  return owner.mac
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

function entryOf(owner: VirtualMachineInterface, node: RemoteNode, old?: BridgeRoute): RemoteMac {
  const { mac, label } = owner
  const route: BridgeRoute = {
    mac,
    index: indexOf(mac),
    nexthop: node.nexthop,
    label,
    floodDhcp: false,
    peer: node.peer,
    address: firstOf(owner.addresses, 4) ?? firstOf(owner.addresses, 6),
  }
  return { owner, node, route: keepEqual(old, route) }
}

/** Positions of remote MACs are made of the MAC: nothing refers to them, so they needn't be remembered. Above those of `Ids`. */
function indexOf(mac: Mac): number {
  return 0x4000_0000 + (Number.parseInt(mac.slice(6).replaceAll(':', ''), 16) % 0x3fff_ffff)
}

/** Of several with one MAC the first has it, whatever their order of appearance. */
function compareEntries({ owner: a }: RemoteMac, { owner: b }: RemoteMac): number {
  return compareText(a.mac, b.mac) || compareText(a.node, b.node) || compareText(a.uuid, b.uuid)
}
