/** EndpointSlices by the Service that they belong to. */
import type { EndpointSlice } from '../objects.ts'
import { compareText } from '../order.ts'
import { FollowedMap } from './followed-map.ts'

const NONE: readonly EndpointSlice[] = []

export class SliceIndex {
  readonly #slices = new FollowedMap<EndpointSlice>()
  /** By name. */
  readonly #byService = new Map<string, readonly EndpointSlice[]>()

  /** @returns keys (`<namespace>/<name>`) of the Services whose slices are others than before */
  update(source: ReadonlyMap<string, EndpointSlice>): ReadonlySet<string> {
    const changed = new Set<string>()
    for (const { before, after } of this.#slices.changes(source)) {
      if (before !== undefined) this.#set(before, [], changed)
      if (after !== undefined) this.#set(after, [after], changed)
    }
    return changed
  }

  #set({ namespace, service, name }: EndpointSlice, now: readonly EndpointSlice[], changed: Set<string>): void {
    const key = `${namespace}/${service}`
    changed.add(key)
    const others = (this.#byService.get(key) ?? NONE).filter((one) => one.name !== name)
    const slices = [...others, ...now].sort((a, b) => compareText(a.name, b.name))
    if (slices.length === 0) this.#byService.delete(key)
    else this.#byService.set(key, slices)
  }

  /** By name. */
  of(service: string, family: 4 | 6): readonly EndpointSlice[] {
    return (this.#byService.get(service) ?? NONE).filter((slice) => slice.family === family)
  }
}
