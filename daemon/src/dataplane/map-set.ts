/**
 * The maps of this vRouter: those that are pinned are used again, those that are missing or don't fit are made by the first object
 * that is loaded (`adopt`), which gives them their BTF.
 *
 * A map that doesn't fit (another layout after an upgrade, another limit in the configuration) stays where it is, serving the
 * programs that run; the new one is filled beside it in `maps-new`, and takes its place (`commit`) once the new programs have
 * replaced the old ones. Flows start anew with it; nothing else is lost.
 */
import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { isErrno } from '@kube-vrouter/linux/errors'
import type { Config } from '../config/config.ts'
import type { Log } from '../log.ts'
import { DATAPATH_ABI } from '../maps/constants.ts'
import { type MapName, mapDefinitions } from '../maps/definitions.ts'
import { layoutDifference, type PinnedMaps, typedMaps } from '../maps/open.ts'
import { globalsCodec } from '../maps/structs.ts'
import { decode } from '../maps/table.ts'
import { type Pins, pinAt, unpin } from './pins.ts'
import { maxEntriesOf } from './sizes.ts'

export const MAP_NAMES = Object.keys(mapDefinitions) as MapName[]

/** Maps that refer to each other by index: when one starts anew, all do. */
const FLOW_MAPS: readonly MapName[] = [
  'flow4',
  'flow6',
  'flow_slots',
  'flow_free',
  'flow_closed',
  'flow_alloc',
  'flow_sources',
  'snat_shares',
  'vif_state',
  'vrf_flows',
]

export class MapSet implements Disposable {
  readonly #pins: Pins
  readonly #limits: Config['limits']
  readonly #maps = new Map<MapName, BpfMap>()
  /** Made by this daemon, and not yet where the tools look. */
  readonly #uncommitted = new Set<MapName>()

  constructor(pins: Pins, limits: Config['limits'], log: Log) {
    this.#pins = pins
    this.#limits = limits
    for (const leftover of readdirSync(pins.newMaps)) unpin(join(pins.newMaps, leftover))
    for (const name of MAP_NAMES) {
      const map = openIfPinned(join(pins.maps, name))
      const difference = map && this.#difference(name, map)
      if (difference) {
        log.warn({ map: name, difference }, `map ${name} is made anew: the pinned one has ${difference}`)
        map[Symbol.dispose]()
      } else if (map) this.#maps.set(name, map)
    }
    const globals = this.#maps.get('globals')?.lookup(new Uint8Array(4))
    const abi = globals && decode(globalsCodec, globals).abi
    if (abi !== undefined && abi !== 0 && abi !== DATAPATH_ABI) {
      log.warn({ abi, expected: DATAPATH_ABI }, 'the pinned maps are of another datapath version: all are made anew')
      this.#forget(MAP_NAMES)
    }
    if (FLOW_MAPS.some((name) => !this.#maps.has(name))) this.#forget(FLOW_MAPS)
  }

  /** What objects have to be loaded with: descriptors of the maps that exist, sizes of those that don't. */
  options(): { readonly reuse: { [map: string]: number }; readonly maxEntries: { [map: string]: number } } {
    const missing = MAP_NAMES.filter((name) => !this.#maps.has(name))
    return {
      reuse: Object.fromEntries([...this.#maps].map(([name, map]) => [name, map.fd])),
      maxEntries: Object.fromEntries(missing.map((name) => [name, maxEntriesOf(name, this.#limits)])),
    }
  }

  /** Takes over a map that an object has made, or makes it, when no object did. */
  adopt(name: MapName, fd: number | undefined): void {
    if (this.#maps.has(name)) return
    const definition = { ...mapDefinitions[name], maxEntries: maxEntriesOf(name, this.#limits), name }
    const map = fd === undefined ? BpfMap.create(definition) : BpfMap.fromFd(fd)
    this.#maps.set(name, map)
    this.#uncommitted.add(name)
    map.pin(join(this.#pins.newMaps, name))
  }

  map(name: MapName): BpfMap {
    const map = this.#maps.get(name)
    if (!map) throw new Error(`map ${name} was used before it was made`)
    return map
  }

  /** No map has to be made. */
  get isComplete(): boolean {
    return this.#maps.size === MAP_NAMES.length && this.#uncommitted.size === 0
  }

  get ids(): ReadonlySet<number> {
    return new Set([...this.#maps.values()].map(({ id }) => id))
  }

  get typed(): PinnedMaps {
    return typedMaps((name) => this.map(name), this)
  }

  /** The programs in service use these maps from now on: puts the new ones where the tools look. */
  commit(): void {
    for (const name of this.#uncommitted) {
      renameSync(join(this.#pins.newMaps, name), join(this.#pins.maps, name))
      this.#uncommitted.delete(name)
    }
  }

  /** Pins again what somebody has unpinned. Returns the names of those maps. */
  repairPins(): MapName[] {
    const repaired: MapName[] = []
    for (const [name, map] of this.#maps) {
      if (this.#uncommitted.has(name)) continue
      const path = join(this.#pins.maps, name)
      using found = openIfPinned(path)
      if (found?.id === map.id) continue
      pinAt(map.fd, path)
      repaired.push(name)
    }
    return repaired
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps.values()) map[Symbol.dispose]()
    this.#maps.clear()
  }

  #difference(name: MapName, map: BpfMap): string | undefined {
    const difference = layoutDifference(mapDefinitions[name], map)
    if (difference) return difference
    const wanted = maxEntriesOf(name, this.#limits)
    return map.maxEntries === wanted ? undefined : `room for ${map.maxEntries} entries instead of ${wanted}`
  }

  #forget(names: readonly MapName[]): void {
    for (const name of names) {
      this.#maps.get(name)?.[Symbol.dispose]()
      this.#maps.delete(name)
    }
  }
}

function openIfPinned(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}
