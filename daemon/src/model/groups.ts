import { isSameList, keepList } from './equal.ts'
import type { FqName } from './objects.ts'

/** Objects of other nodes by VN. The list of a VN stays the same array while its objects do. */
export class Groups<T extends { readonly vn: FqName; readonly node: string; readonly name: string }> {
  #source: ReadonlyMap<string, T> | undefined
  #isOurs: readonly T[] = []
  #groups = new Map<FqName, readonly T[]>()
  readonly #none: readonly T[] = []
  #nodes = new WeakMap<readonly T[], ReadonlySet<string>>()

  update(source: ReadonlyMap<string, T>, isWanted: (object: T) => boolean): void {
    if (source === this.#source) return
    this.#source = source
    const wanted = [...source.values()].filter(isWanted)
    if (isSameList(this.#isOurs, wanted)) return
    this.#isOurs = wanted
    const groups = new Map<FqName, T[]>()
    for (const object of wanted) {
      const group = groups.get(object.vn)
      if (group === undefined) groups.set(object.vn, [object])
      else group.push(object)
    }
    const before = this.#groups
    this.#groups = new Map()
    for (const [vn, group] of groups) this.#groups.set(vn, keepList(before.get(vn), group))
  }

  of(vn: FqName): readonly T[] {
    return this.#groups.get(vn) ?? this.#none
  }

  nodesOf(vn: FqName): ReadonlySet<string> {
    const group = this.of(vn)
    let nodes = this.#nodes.get(group)
    if (nodes === undefined) {
      nodes = new Set(group.map((object) => object.node))
      this.#nodes.set(group, nodes)
    }
    return nodes
  }
}
