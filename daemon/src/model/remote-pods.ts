/**
 * Interfaces of other nodes by VN: the many objects of a cluster. What a VN has is an object that stays the same while its interfaces do, and that can
 * tell what distinguishes it from the one before; so one pod among fifty thousand costs what one pod costs.
 */
import { familyOf } from './address.ts'
import type { FqName, VirtualMachineInterface } from './objects.ts'

export interface RemoteChange {
  readonly before: VirtualMachineInterface | undefined
  readonly after: VirtualMachineInterface | undefined
}

/** Interfaces of one VN on other nodes. It shows the present: only the latest one of a VN may be read. */
export interface RemotePods extends Iterable<VirtualMachineInterface> {
  readonly size: number
  /** Addresses by family. */
  readonly addresses: Readonly<Record<4 | 6, number>>
  /** Nodes that have one. */
  nodes(): Iterable<string>
  /** In the order in which they came; undefined: not known, everything may be different. */
  changesSince(earlier: RemotePods): readonly RemoteChange[] | undefined
}

/** A map that changes in place may tell which keys are different from those of an earlier state of it. */
export interface ChangeTold<K> {
  /** Undefined: not known, or `earlier` is no state of this map. */
  changedSince(earlier: unknown): Iterable<K> | undefined
}

type Interfaces = ReadonlyMap<string, VirtualMachineInterface>

const NONE: RemotePods = {
  size: 0,
  addresses: { 4: 0, 6: 0 },
  nodes: () => [],
  changesSince: (earlier) => (earlier === NONE ? [] : undefined),
  [Symbol.iterator]: () => [][Symbol.iterator](),
}

export class RemotePodTable {
  readonly #node: string
  #source: Interfaces | undefined
  readonly #networks = new Map<FqName, Network>()
  /** What is in the networks, by uuid. */
  readonly #known = new Map<string, VirtualMachineInterface>()

  /** @param node this node, whose own interfaces aren't remote */
  constructor(node: string) {
    this.#node = node
  }

  update(source: Interfaces): void {
    const before = this.#source
    if (source === before) return
    this.#source = source
    const changed = (source as Partial<ChangeTold<string>>).changedSince?.(before)
    for (const uuid of changed ?? this.#different(source)) this.#put(uuid, source.get(uuid))
    for (const [vn, network] of this.#networks) if (!network.settle()) this.#networks.delete(vn)
  }

  of(vn: FqName): RemotePods {
    return this.#networks.get(vn)?.latest ?? NONE
  }

  /** Without word of what changed: those that are there are in the order of the source then, however they came about. */
  #different(source: Interfaces): Iterable<string> {
    const wanted = [...source].filter(([, { node }]) => node !== this.#node)
    const isSame = wanted.length === this.#known.size && isSameSequence(this.#known.values(), wanted)
    if (isSame) return []
    const keys = new Set(wanted.map(([uuid]) => uuid))
    return [...[...this.#known.keys()].filter((uuid) => !keys.has(uuid)), ...keys]
  }

  #put(uuid: string, object: VirtualMachineInterface | undefined): void {
    const before = this.#known.get(uuid)
    const after = object?.node === this.#node ? undefined : object
    // Taken out and put back: the order is the source's.
    this.#known.delete(uuid)
    if (after !== undefined) this.#known.set(uuid, after)
    if (before !== undefined && before.vn !== after?.vn) this.#networks.get(before.vn)?.change(uuid, before, undefined)
    if (after === undefined) return
    let network = this.#networks.get(after.vn)
    if (network === undefined) {
      network = new Network()
      this.#networks.set(after.vn, network)
    }
    network.change(uuid, before?.vn === after.vn ? before : undefined, after)
  }
}

function isSameSequence<T>(a: Iterable<T>, b: readonly (readonly [unknown, T])[]): boolean {
  let at = 0
  for (const item of a) if (item !== b[at++]![1]) return false
  return true
}

class Network {
  readonly items = new Map<string, VirtualMachineInterface>()
  readonly nodes = new Map<string, number>()
  readonly addresses = { 4: 0, 6: 0 }
  latest: RemotePods = NONE
  #changes: RemoteChange[] = []
  #version = 0

  change(uuid: string, before: VirtualMachineInterface | undefined, after: VirtualMachineInterface | undefined): void {
    if (before !== undefined) this.#count(before, -1)
    if (after !== undefined) this.#count(after, 1)
    this.items.delete(uuid)
    if (after !== undefined) this.items.set(uuid, after)
    if (before !== after) this.#changes.push({ before, after })
  }

  /** Makes a new object of what has changed. @returns false when nothing is left */
  settle(): boolean {
    if (this.#changes.length === 0) return true
    const version = ++this.#version
    this.latest = new View(this, version, this.#changes)
    this.#changes = []
    return this.items.size > 0
  }

  #count({ node, addresses }: VirtualMachineInterface, by: 1 | -1): void {
    for (const address of addresses) this.addresses[familyOf(address)] += by
    const count = (this.nodes.get(node) ?? 0) + by
    if (count === 0) this.nodes.delete(node)
    else this.nodes.set(node, count)
  }
}

class View implements RemotePods {
  readonly network: Network
  readonly version: number
  readonly #changes: readonly RemoteChange[]

  constructor(network: Network, version: number, changes: readonly RemoteChange[]) {
    this.network = network
    this.version = version
    this.#changes = changes
  }

  get size(): number {
    return this.network.items.size
  }

  get addresses(): Readonly<Record<4 | 6, number>> {
    return this.network.addresses
  }

  nodes(): Iterable<string> {
    return this.network.nodes.keys()
  }

  changesSince(earlier: RemotePods): readonly RemoteChange[] | undefined {
    if (earlier === this) return []
    if (!(earlier instanceof View) || earlier.network !== this.network || earlier.version !== this.version - 1)
      return undefined
    return this.#changes
  }

  [Symbol.iterator](): Iterator<VirtualMachineInterface> {
    return this.network.items.values()
  }
}
