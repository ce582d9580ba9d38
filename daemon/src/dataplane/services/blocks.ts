/**
 * Room for blocks in a flat array: which elements are free. First fit, lowest first, in sizes of a few classes, so that a block that is given back fits the
 * next one of about its size, and just as large as they must be where room is scarce; neighbours that are free become one again. Pure.
 */

export interface Block {
  readonly first: number
  /** Elements that it holds, a few of which may be unused. */
  readonly size: number
}

/** Sizes in use between one power of two and the next: at most a fifth of a block is unused. */
const CLASSES = 4

/** The size that a block of `count` elements gets. */
export function sizeClass(count: number): number {
  if (count <= 2 * CLASSES) return count
  const step = 2 ** (Math.ceil(Math.log2(count)) - 1) / CLASSES
  return Math.ceil(count / step) * step
}

export class Blocks {
  readonly capacity: number
  /** Runs of free elements, by place, no two of them neighbours. */
  readonly #runs: { first: number; size: number }[]
  #free: number

  constructor(capacity: number) {
    this.capacity = capacity
    this.#runs = capacity > 0 ? [{ first: 0, size: capacity }] : []
    this.#free = capacity
  }

  /** Free elements, wherever they lie. */
  get free(): number {
    return this.#free
  }

  /** The most elements that one block could have. */
  get largest(): number {
    return this.#runs.reduce((most, { size }) => Math.max(most, size), 0)
  }

  /** Undefined: no run of so many elements is free. `most`: what the block may take of the free ones; `below`: in front of that place only. */
  allocate(count: number, { most = this.#free, below = Number.POSITIVE_INFINITY } = {}): Block | undefined {
    const size = this.#free > this.capacity / 4 ? Math.max(count, Math.min(sizeClass(count), most)) : count
    return this.#take(size, below) ?? this.#take(count, below)
  }

  /** Takes just these elements. False: one of them isn't free, and none was taken. */
  reserve({ first, size }: Block): boolean {
    const at = this.#runs.findIndex((run) => run.first <= first && first + size <= run.first + run.size)
    if (at < 0) return false
    const run = this.#runs[at]!
    const rest = [
      { first: run.first, size: first - run.first },
      { first: first + size, size: run.first + run.size - first - size },
    ]
    this.#runs.splice(at, 1, ...rest.filter((part) => part.size > 0))
    this.#free -= size
    return true
  }

  release({ first, size }: Block): void {
    let [low, high] = [0, this.#runs.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#runs[middle]!.first < first) low = middle + 1
      else high = middle
    }
    const [before, after] = [this.#runs[low - 1], this.#runs[low]]
    const joinsBefore = before !== undefined && before.first + before.size === first
    const joinsAfter = after !== undefined && first + size === after.first
    const run = {
      first: joinsBefore ? before.first : first,
      size: size + (joinsBefore ? before.size : 0) + (joinsAfter ? after.size : 0),
    }
    this.#runs.splice(low - (joinsBefore ? 1 : 0), (joinsBefore ? 1 : 0) + (joinsAfter ? 1 : 0), run)
    this.#free += size
  }

  #take(size: number, below: number): Block | undefined {
    for (const [at, run] of this.#runs.entries()) {
      if (run.first + size > below) return undefined
      if (run.size < size) continue
      const block = { first: run.first, size }
      run.first += size
      run.size -= size
      if (run.size === 0) this.#runs.splice(at, 1)
      this.#free -= size
      return block
    }
    return undefined
  }
}
