/**
 * The sets that fronts of one service port choose their backs from. A back or set that says the same as before stays the same object, and equal sets are one:
 * whoever writes them looks at those that are new alone.
 */
import { isEqual, keepEqual, keepList } from '../equal.ts'
import type { Back, BackSet, EndpointAddress } from '../tables.ts'
import type { PortEndpoint } from './endpoints.ts'
import type { Selection } from './selection.ts'

export const NONE_REJECT: BackSet = { backs: [], whenEmpty: 'reject' }
export const NONE_DROP: BackSet = { backs: [], whenEmpty: 'drop' }

export interface PortSets {
  readonly cluster: BackSet
  readonly local: BackSet
  /** Endpoints that flows may go on with. */
  readonly alive: readonly EndpointAddress[]
}

export class BackSets {
  #backs: ReadonlyMap<string, Back> = new Map()
  #sets: PortSets = { cluster: NONE_REJECT, local: NONE_REJECT, alive: [] }

  update(
    { cluster, local, isAnywhere }: Selection,
    alive: readonly PortEndpoint[],
    backOf: (endpoint: PortEndpoint) => Back,
  ): PortSets {
    const backs = new Map<string, Back>()
    const listOf = (endpoints: readonly PortEndpoint[]) =>
      endpoints.map((one) => {
        const key = `${one.address} ${one.port}`
        let back = backs.get(key)
        if (back === undefined) {
          const made = backOf(one)
          const before = this.#backs.get(key)
          back = before !== undefined && isEqual(before, made) ? before : made
          backs.set(key, back)
        }
        return back
      })
    const before = [this.#sets.cluster, this.#sets.local]
    const clusterSet = setOf(listOf(cluster), NONE_REJECT, before)
    // Silence where others have one: a client that is told nothing tries again, and may be sent elsewhere.
    const localSet = setOf(listOf(local), isAnywhere ? NONE_DROP : NONE_REJECT, [clusterSet, ...before])
    this.#backs = backs
    this.#sets = {
      cluster: clusterSet,
      local: localSet,
      // The set is a part of them.
      alive:
        alive.length === cluster.length
          ? clusterSet.backs
          : keepEqual(
              this.#sets.alive,
              alive.map(({ address, port }) => ({ address, port })),
            ),
    }
    return this.#sets
  }
}

function setOf(backs: readonly Back[], empty: BackSet, known: readonly BackSet[]): BackSet {
  if (backs.length === 0) return empty
  return known.find((set) => keepList(set.backs, backs) === set.backs) ?? { backs, whenEmpty: 'reject' }
}
