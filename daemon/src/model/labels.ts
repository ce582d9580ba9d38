/** The label table: vhost0's label, that of what other nodes hand over to Services, one of each VN's VRF, one of each pod whose tap is there. */
import { keepList } from './equal.ts'
import type { LocalPod } from './interfaces.ts'
import type { LabelEntry } from './tables.ts'
import type { NetworkVrf } from './vrfs.ts'

export class LabelTable {
  #entries: readonly LabelEntry[] = []

  /** Sorted by label. */
  compute(
    own: readonly ({ readonly label: number | undefined; readonly nexthop: number } | undefined)[],
    vrfs: Iterable<NetworkVrf>,
    pods: readonly LocalPod[],
  ): readonly LabelEntry[] {
    const known = new Map(this.#entries.map((entry) => [entry.label, entry]))
    const entries: LabelEntry[] = []
    const add = (label: number, nexthop: number) => {
      const before = known.get(label)
      entries.push(before?.nexthop === nexthop ? before : { label, nexthop })
    }
    for (const one of own) if (one?.label !== undefined) add(one.label, one.nexthop)
    for (const { label, nexthop } of vrfs) add(label, nexthop)
    for (const { label, nexthop } of pods) add(label, nexthop)
    entries.sort((a, b) => a.label - b.label)
    this.#entries = keepList(this.#entries, entries)
    return this.#entries
  }
}
