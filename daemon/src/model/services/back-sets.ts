/**
 * The sets that fronts of one service port choose their backs from. A back or set that says the same as before stays the same object, and equal sets are one:
 * whoever writes them looks at those that are new alone.
 */
import { keepEqual, keepList } from '../equal.ts'
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
  #sets: PortSets = { cluster: NONE_REJECT, local: NONE_REJECT, alive: [] }

  update(
    { cluster, local, isAnywhere }: Selection,
    alive: readonly PortEndpoint[],
    backOf: (endpoint: PortEndpoint) => Back,
  ): PortSets {
    const before = [this.#sets.cluster, this.#sets.local]
    const known = new Map<string, Back>()
    for (const { backs } of before) for (const back of backs) known.set(keyOf(back), back)
    const made = new Map<PortEndpoint, Back>()
    const backFor = (endpoint: PortEndpoint) => {
      let back = made.get(endpoint)
      if (back === undefined) {
        back = keepEqual(known.get(keyOf(endpoint)), backOf(endpoint))
        made.set(endpoint, back)
      }
      return back
    }
    const clusterSet = setOf(cluster.map(backFor), NONE_REJECT, before)
    // Silence where others have one: a client that is told nothing tries again, and may be sent elsewhere.
    const localSet = setOf(local.map(backFor), isAnywhere ? NONE_DROP : NONE_REJECT, [clusterSet, ...before])
    const aliveList = () => alive.map(({ address, port }) => ({ address, port }))
    this.#sets = {
      cluster: clusterSet,
      local: localSet,
      // The set is a part of them.
      alive: alive.length === cluster.length ? clusterSet.backs : keepEqual(this.#sets.alive, aliveList()),
    }
    return this.#sets
  }
}

function keyOf({ address, port }: Pick<Back, 'address' | 'port'>): string {
  return `${address} ${port}`
}

function setOf(backs: readonly Back[], empty: BackSet, known: readonly BackSet[]): BackSet {
  if (backs.length === 0) return empty
  return known.find((set) => keepList(set.backs, backs) === set.backs) ?? { backs, whenEmpty: 'reject' }
}
