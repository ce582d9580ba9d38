/** Blocks of backs that fronts in the kernel name when nobody knows what was given to whom: by their contents, for who wants just those. Pure. */
import type { Block } from './blocks.ts'
import { decodeFront, indexKey } from './encode-front.ts'

export interface HeldBlock {
  readonly block: Block
  /** Keys of the fronts that name it. */
  readonly former: ReadonlySet<string>
  /** What is in there. */
  readonly values: ReadonlyMap<number, string>
}

export class HeldBlocks {
  /** Keys of all fronts. */
  readonly fronts: ReadonlySet<string>
  /** Numbers of service ports that have a front. */
  readonly services: ReadonlySet<number>
  readonly #blocks = new Set<HeldBlock>()
  readonly #byContents = new Map<string, HeldBlock[]>()
  /** Only of those that can be used. */
  readonly #byFront = new Map<string, HeldBlock[]>()

  /** `fronts` and `backs` as they are in the kernel; what lies behind `capacity` is none. */
  constructor(fronts: ReadonlyMap<string, string>, backs: ReadonlyMap<string, string>, capacity: number) {
    const services = new Set<number>()
    const named = new Map<string, { readonly first: number; readonly end: number; readonly former: Set<string> }>()
    for (const [key, value] of fronts) {
      const { service, inside, outside } = decodeFront(value)
      services.add(service)
      for (const { first, count } of [inside, outside]) {
        const end = Math.min(first + count, capacity)
        if (first >= end) continue
        const at = `${first} ${end}`
        const known = named.get(at)
        if (known === undefined) named.set(at, { first, end, former: new Set([key]) })
        else known.former.add(key)
      }
    }
    this.services = services
    this.fronts = new Set(fronts.keys())
    this.#add([...named.values()], backs)
  }

  /** All that nobody has taken. */
  all(): Iterable<HeldBlock> {
    return this.#blocks
  }

  /** A block with these contents, that of the front with that key first: it is the caller's from now on. */
  take(contents: string, front: string): HeldBlock | undefined {
    const same = this.#byContents.get(contents) ?? []
    const isFree = (held: HeldBlock) => this.#blocks.has(held)
    const held = this.#byFront.get(front)?.find((one) => isFree(one) && same.includes(one)) ?? same.find(isFree)
    if (held !== undefined) this.#blocks.delete(held)
    return held
  }

  /** Blocks that overlap, which nobody made on purpose, are one that nobody can use. */
  #add(
    named: { readonly first: number; readonly end: number; readonly former: ReadonlySet<string> }[],
    backs: ReadonlyMap<string, string>,
  ): void {
    named.sort((a, b) => a.first - b.first || b.end - a.end)
    for (let at = 0; at < named.length; ) {
      const first = named[at]!.first
      let end = named[at]!.end
      const former = new Set(named[at]!.former)
      let next = at + 1
      for (; next < named.length && named[next]!.first < end; next++) {
        end = Math.max(end, named[next]!.end)
        for (const key of named[next]!.former) former.add(key)
      }
      const values = new Map<number, string>()
      for (let index = first; index < end; index++) {
        const value = backs.get(indexKey(index))
        if (value !== undefined) values.set(index, value)
      }
      const held: HeldBlock = { block: { first, size: end - first }, former, values }
      this.#blocks.add(held)
      if (next === at + 1 && values.size === end - first) this.#offer([...values.values()].join(''), held)
      at = next
    }
  }

  #offer(contents: string, held: HeldBlock): void {
    append(this.#byContents, contents, held)
    for (const key of held.former) append(this.#byFront, key, held)
  }
}

function append<V>(lists: Map<string, V[]>, key: string, value: V): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}
