/** The label table: vhost0's label, one of each VN's VRF, one of each pod whose tap is there. */
import { isEqual, keepList } from './equal.ts'
import type { LocalPod } from './interfaces.ts'
import type { LabelEntry } from './tables.ts'
import type { NetworkVrf } from './vrfs.ts'

export class LabelTable {
  #entries: readonly LabelEntry[] = []

  /** Sorted by label. */
  compute(
    vhost: { readonly label: number | undefined; readonly nexthop: number },
    vrfs: Iterable<NetworkVrf>,
    pods: readonly LocalPod[],
  ): readonly LabelEntry[] {
    const entries: LabelEntry[] = []
    if (vhost.label !== undefined) entries.push({ label: vhost.label, nexthop: vhost.nexthop })
    for (const { label, nexthop } of vrfs) entries.push({ label, nexthop })
    for (const { label, nexthop } of pods) entries.push({ label, nexthop })
    entries.sort((a, b) => a.label - b.label)
    const known = new Map(this.#entries.map((entry) => [entry.label, entry]))
    this.#entries = keepList(
      this.#entries,
      entries.map((entry) => (isEqual(known.get(entry.label), entry) ? known.get(entry.label)! : entry)),
    )
    return this.#entries
  }
}
