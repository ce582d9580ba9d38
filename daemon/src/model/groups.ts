/** What each VN has. The list of a VN stays the same array while what is in it does. */
import { isSameList, keepList } from './equal.ts'
import type { LocalPod } from './interfaces.ts'
import type { FqName, IpamBlock } from './objects.ts'

type Groups<T> = ReadonlyMap<FqName, readonly T[]>

function groupedBy<T>(vnOf: (item: T) => FqName, items: readonly T[], before: Groups<T>): Groups<T> {
  const groups = Map.groupBy(items, vnOf)
  return new Map([...groups].map(([vn, group]) => [vn, keepList(before.get(vn), group)]))
}

const NO_PODS: readonly LocalPod[] = []
const NO_BLOCKS: readonly IpamBlock[] = []

/** Pods of this node. */
export class PodsByNetwork {
  #groups: Groups<LocalPod> = new Map()

  update(pods: readonly LocalPod[]): void {
    this.#groups = groupedBy(({ vrf }) => vrf.vn, pods, this.#groups)
  }

  of(vn: FqName): readonly LocalPod[] {
    return this.#groups.get(vn) ?? NO_PODS
  }
}

/** Blocks of other nodes. */
export class BlocksByNetwork {
  #source: ReadonlyMap<string, IpamBlock> | undefined
  #others: readonly IpamBlock[] = []
  #groups: Groups<IpamBlock> = new Map()
  readonly #nodes = new WeakMap<readonly IpamBlock[], ReadonlySet<string>>()

  /** `node`: this one. */
  update(source: ReadonlyMap<string, IpamBlock>, node: string): void {
    if (source === this.#source) return
    this.#source = source
    const others = [...source.values()].filter((block) => block.node !== node)
    if (isSameList(this.#others, others)) return
    this.#others = others
    this.#groups = groupedBy(({ vn }) => vn, others, this.#groups)
  }

  of(vn: FqName): readonly IpamBlock[] {
    return this.#groups.get(vn) ?? NO_BLOCKS
  }

  nodesOf(vn: FqName): ReadonlySet<string> {
    const group = this.of(vn)
    let nodes = this.#nodes.get(group)
    if (nodes === undefined) {
      nodes = new Set(group.map((block) => block.node))
      this.#nodes.set(group, nodes)
    }
    return nodes
  }
}
