/** EndpointSlices by the Service that they belong to. */
import type { EndpointSlice } from '../objects.ts'
import { compareText } from '../order.ts'
import { FollowedMap } from './followed-map.ts'

const NONE: readonly EndpointSlice[] = []

export class SliceIndex {
  readonly #slices = new FollowedMap<EndpointSlice>()
  readonly #byService = new Map<string, ReadonlyMap<string, EndpointSlice>>()

  /** @returns keys (`<namespace>/<name>`) of the Services whose slices are others than before */
  update(source: ReadonlyMap<string, EndpointSlice>): ReadonlySet<string> {
    const changed = new Set<string>()
    for (const { key, before, after } of this.#slices.changes(source)) {
      for (const [slice, isThere] of [
        [before, false],
        [after, true],
      ] as const) {
        if (slice === undefined) continue
        const service = `${slice.namespace}/${slice.service}`
        changed.add(service)
        const slices = new Map(this.#byService.get(service))
        if (isThere) slices.set(key, slice)
        else slices.delete(key)
        if (slices.size === 0) this.#byService.delete(service)
        else this.#byService.set(service, slices)
      }
    }
    return changed
  }

  /** By name. */
  of(service: string, family: 4 | 6): readonly EndpointSlice[] {
    const slices = this.#byService.get(service)
    if (slices === undefined) return NONE
    return [...slices.values()].filter((slice) => slice.family === family).sort((a, b) => compareText(a.name, b.name))
  }
}
