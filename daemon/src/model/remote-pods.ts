/**
 * Interfaces of other nodes by VN: the many objects of a cluster. Those of a VN tell what the last update changed; so one pod among fifty thousand costs
 * what one pod costs.
 */
import { familyOf } from './address.ts'
import type { FqName, VirtualMachineInterface } from './objects.ts'

export interface RemoteChange {
  readonly before: VirtualMachineInterface | undefined
  readonly after: VirtualMachineInterface | undefined
}

/** Interfaces of one VN on other nodes, as of the table's last update. */
export interface RemotePods extends Iterable<VirtualMachineInterface> {
  readonly size: number
  /** Addresses by family. */
  readonly addresses: Readonly<Record<4 | 6, number>>
  /** Nodes that have one. */
  nodes(): Iterable<string>
  get(uuid: string): VirtualMachineInterface | undefined
  /** What the last update changed. */
  readonly changes: readonly RemoteChange[]
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
  get: () => undefined,
  changes: [],
  [Symbol.iterator]: () => [][Symbol.iterator](),
}

/** Interfaces between two turns of the event loop. */
const SLICE = 512

export class RemotePodTable {
  readonly #node: string
  #source: Interfaces | undefined
  readonly #networks = new Map<FqName, Network>()
  /** Those that the last update changed. */
  readonly #changed = new Set<Network>()
  /** What is in the networks, by uuid. */
  readonly #known = new Map<string, VirtualMachineInterface>()

  /** @param node this node, whose own interfaces aren't remote */
  constructor(node: string) {
    this.#node = node
  }

  /**
   * Yields now and then. Should the source's map change in the meantime, then an interface is taken as it was or as it is, and the next update, which
   * is told of it, takes it as it is.
   */
  *update(source: Interfaces): Generator<void> {
    this.settle()
    for (const [vn, { size }] of this.#networks) if (size === 0) this.#networks.delete(vn)
    const before = this.#source
    if (source === before) return
    this.#source = source
    let count = 0
    for (const uuid of (source as Partial<ChangeTold<string>>).changedSince?.(before) ?? this.#all(source)) {
      this.#put(uuid, source.get(uuid))
      if (++count % SLICE === 0) yield
    }
  }

  /** What the last update changed was heard by all: it isn't kept. */
  settle(): void {
    for (const network of this.#changed) network.changes = []
    this.#changed.clear()
  }

  /** Those of all networks. */
  all(): Iterable<VirtualMachineInterface> {
    return this.#known.values()
  }

  /** What the last update changed in any network; one that went from one to another is gone there, and new here. */
  *changes(): Generator<RemoteChange> {
    for (const { changes } of this.#changed) yield* changes
  }

  of(vn: FqName): RemotePods {
    return this.#networks.get(vn) ?? NONE
  }

  /** Without word of what changed; those that are gone first. */
  *#all(source: Interfaces): Generator<string> {
    yield* this.#known.keys()
    yield* source.keys()
  }

  #put(uuid: string, object: VirtualMachineInterface | undefined): void {
    const before = this.#known.get(uuid)
    const after = object?.node === this.#node ? undefined : object
    if (before === after) return
    if (after === undefined) this.#known.delete(uuid)
    else this.#known.set(uuid, after)
    if (before !== undefined && before.vn !== after?.vn) this.#change(before.vn, uuid, before, undefined)
    if (after !== undefined) this.#change(after.vn, uuid, before?.vn === after.vn ? before : undefined, after)
  }

  #change(
    vn: FqName,
    uuid: string,
    before: VirtualMachineInterface | undefined,
    after: VirtualMachineInterface | undefined,
  ): void {
    let network = this.#networks.get(vn)
    if (network === undefined) {
      network = new Network()
      this.#networks.set(vn, network)
    }
    network.change(uuid, before, after)
    this.#changed.add(network)
  }
}

class Network implements RemotePods {
  readonly addresses = { 4: 0, 6: 0 }
  changes: RemoteChange[] = []
  readonly #items = new Map<string, VirtualMachineInterface>()
  readonly #nodes = new Map<string, number>()

  get size(): number {
    return this.#items.size
  }

  nodes(): Iterable<string> {
    return this.#nodes.keys()
  }

  get(uuid: string): VirtualMachineInterface | undefined {
    return this.#items.get(uuid)
  }

  [Symbol.iterator](): Iterator<VirtualMachineInterface> {
    return this.#items.values()
  }

  change(uuid: string, before: VirtualMachineInterface | undefined, after: VirtualMachineInterface | undefined): void {
    if (before !== undefined) this.#count(before, -1)
    if (after !== undefined) this.#count(after, 1)
    if (after === undefined) this.#items.delete(uuid)
    else this.#items.set(uuid, after)
    this.changes.push({ before, after })
  }

  #count({ node, addresses }: VirtualMachineInterface, by: 1 | -1): void {
    for (const address of addresses) this.addresses[familyOf(address)] += by
    const count = (this.#nodes.get(node) ?? 0) + by
    if (count === 0) this.#nodes.delete(node)
    else this.#nodes.set(node, count)
  }
}
