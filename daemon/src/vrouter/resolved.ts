/** Underlay addresses that packets made us ask the kernel for, and until when they are kept resolved. */
import type { Address } from '../model/objects.ts'
import type { Tables } from '../model/tables.ts'

/** Milliseconds that an underlay address is kept resolved after a packet for it arrived. */
const RESOLVED_MS = 5 * 60_000

/** Underlay addresses that packets may make us resolve: a scan must not fill the neighbour table. */
const MAX_RESOLVED = 256

export class Resolved {
  readonly #until = new Map<Address, number>()

  /** A packet waits for that address. Tells whether it is news: then the neighbours are to be written anew. */
  add(address: Address): boolean {
    const isNew = !this.#until.has(address)
    if (isNew && this.#until.size >= MAX_RESOLVED) return false
    this.#until.set(address, Date.now() + RESOLVED_MS)
    return isNew
  }

  /** The tables, and the neighbours that packets asked for. */
  withNeighbours(tables: Tables): Tables {
    const now = Date.now()
    for (const [address, until] of this.#until) if (until < now) this.#until.delete(address)
    if (this.#until.size === 0) return tables
    return { ...tables, neighbours: [...new Set([...tables.neighbours, ...this.#until.keys()])] }
  }
}
