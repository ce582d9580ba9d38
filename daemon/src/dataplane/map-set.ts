/**
 * The maps of this vRouter: those that are pinned are used again, those that are missing or don't fit are made by the first object
 * that is loaded (`adopt`), which gives them their BTF.
 *
 * A map that doesn't fit (another layout after an upgrade, another limit in the configuration) stays where it is, serving the programs that run. The new
 * one is filled beside it, in `maps-new`; once that is done all of them move to `maps-swap` in one step (`beginSwap`), then the new programs replace the
 * old ones, and the new maps take the old ones' places (`commit`). Whoever is killed before `beginSwap` leaves the old maps in service, and the next
 * daemon starts over; from there on the new ones are, and the next daemon goes on with them. What was in the old ones: upgrade/.
 */
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { layoutOfMap } from '@kube-vrouter/linux/bpf/layout'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { linkInfo, objGet, programFdById, programInfo } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import type { Config } from '../config/config.ts'
import type { Log } from '../log.ts'
import { DATAPATH_ABI } from '../maps/constants.ts'
import { type MapName, mapDefinitions } from '../maps/definitions.ts'
import { layoutDifference, type PinnedMaps, typedMaps } from '../maps/open.ts'
import { globalsCodec } from '../maps/structs.ts'
import { decode } from '../maps/table.ts'
import { type Pins, pinAt } from './pins.ts'
import { removePins } from './remove-pins.ts'
import { maxEntriesOf } from './sizes.ts'
import { GROUPS } from './upgrade/migrations.ts'

export const MAP_NAMES = Object.keys(mapDefinitions) as MapName[]

export class MapSet implements Disposable {
  readonly #pins: Pins
  readonly #limits: Config['limits']
  readonly #maps = new Map<MapName, BpfMap>()
  /** Those that are replaced: what is in them is carried over. */
  readonly #former = new Map<MapName, BpfMap>()
  /** Made by this daemon. */
  readonly #made = new Set<MapName>()
  /** Not yet where the tools look. */
  readonly #uncommitted = new Set<MapName>()
  #isSwapping = false

  constructor(pins: Pins, limits: Config['limits'], log: Log) {
    this.#pins = pins
    this.#limits = limits
    removePins(pins.newMaps)
    mkdirSync(pins.newMaps, { recursive: true, mode: 0o700 })
    const swapping = swappingMaps(pins)
    if (swapping.size > 0) log.info({ maps: [...swapping] }, 'an upgrade was interrupted: it goes on')
    for (const name of MAP_NAMES) {
      const former = openIfPinned(join(pins.maps, name))
      const swapped = swapping.has(name) ? openIfPinned(join(pins.swapMaps, name)) : undefined
      if (swapped) {
        if (former) this.#former.set(name, former)
        this.#maps.set(name, swapped)
        this.#uncommitted.add(name)
      } else if (former) this.#maps.set(name, former)
    }
    for (const [name, map] of this.#maps) {
      const difference = this.#difference(name, map)
      if (!difference) continue
      log.info({ map: name, difference }, `map ${name} is made anew: the pinned one has ${difference}`)
      this.#replace(name)
    }
    const globals = this.#maps.get('globals')?.lookup(new Uint8Array(4))
    const abi = globals && decode(globalsCodec, globals).abi
    if (abi !== undefined && abi !== 0 && abi !== DATAPATH_ABI) {
      log.warn({ abi, expected: DATAPATH_ABI }, 'the pinned maps are of another datapath version: all are made anew')
      for (const name of MAP_NAMES) this.#replace(name)
      this.#forgetFormer()
    }
    for (const group of GROUPS)
      if (group.some((name) => !this.#maps.has(name))) for (const name of group) this.#replace(name)
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
    this.#made.add(name)
    this.#uncommitted.add(name)
    map.pin(join(this.#pins.newMaps, name))
  }

  map(name: MapName): BpfMap {
    const map = this.#maps.get(name)
    if (!map) throw new Error(`map ${name} was used before it was made`)
    return map
  }

  /** The map that `name` replaces; undefined: none. */
  former(name: MapName): BpfMap | undefined {
    return this.#former.get(name)
  }

  /** Made by this daemon, and empty but for what it has written. */
  isNew(name: MapName): boolean {
    return this.#made.has(name)
  }

  /** No map has to be made. */
  get isComplete(): boolean {
    return this.#maps.size === MAP_NAMES.length && this.#made.size === 0
  }

  get ids(): ReadonlySet<number> {
    return new Set([...this.#maps.values()].map(({ id }) => id))
  }

  get typed(): PinnedMaps {
    return typedMaps((name) => this.map(name), this)
  }

  /** All is filled, and programs that use the new maps come into service: from here on there is no way back to the old ones. */
  beginSwap(): void {
    if (this.#made.size === 0 || this.#isSwapping) return
    this.#isSwapping = true
    if (!existsSync(this.#pins.swapMaps)) renameSync(this.#pins.newMaps, this.#pins.swapMaps)
    else for (const name of this.#made) renameSync(join(this.#pins.newMaps, name), join(this.#pins.swapMaps, name))
    mkdirSync(this.#pins.newMaps, { recursive: true, mode: 0o700 })
  }

  /** The programs in service use these maps from now on: puts the new ones where the tools look, and lets go of the old ones. */
  commit(): void {
    for (const name of this.#uncommitted) {
      renameSync(join(this.#pins.swapMaps, name), join(this.#pins.maps, name))
      this.#uncommitted.delete(name)
    }
    removePins(this.#pins.swapMaps)
    this.#forgetFormer()
    this.#made.clear()
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
    this.#forgetFormer()
    for (const map of this.#maps.values()) map[Symbol.dispose]()
    this.#maps.clear()
  }

  #difference(name: MapName, map: BpfMap): string | undefined {
    const expected = mapDefinitions[name]
    const difference = layoutDifference(expected, map)
    if (difference) return difference
    const digest = layoutOfMap(map.fd)?.digest
    if (digest !== undefined && digest !== expected.layout) return 'other fields'
    const wanted = maxEntriesOf(name, this.#limits)
    return map.maxEntries === wanted ? undefined : `room for ${map.maxEntries} entries instead of ${wanted}`
  }

  #replace(name: MapName): void {
    const map = this.#maps.get(name)
    if (!map) return
    this.#former.get(name)?.[Symbol.dispose]()
    this.#former.set(name, map)
    this.#maps.delete(name)
    this.#uncommitted.delete(name)
  }

  #forgetFormer(): void {
    for (const map of this.#former.values()) map[Symbol.dispose]()
    this.#former.clear()
  }
}

/** The maps that an interrupted upgrade has put into service. Those of one that nobody uses any more, because an older daemon ran since, go. */
function swappingMaps(pins: Pins): ReadonlySet<string> {
  if (!existsSync(pins.swapMaps)) return new Set()
  const names = readdirSync(pins.swapMaps)
  const used = mapsInService(pins)
  const isInService = names.some((name) => {
    using map = openIfPinned(join(pins.swapMaps, name))
    return map !== undefined && used.has(map.id)
  })
  if (isInService) return new Set(names)
  removePins(pins.swapMaps)
  return new Set()
}

/** Ids of the maps that programs on devices use. */
function mapsInService(pins: Pins): ReadonlySet<number> {
  using undo = new DisposableStack()
  const opened = (fd: number): number => {
    undo.defer(() => close(fd))
    return fd
  }
  const programs = readdirSync(pins.links).map((name) => linkInfo(opened(objGet(join(pins.links, name)))).programId)
  return new Set([...new Set(programs)].flatMap((id) => programInfo(opened(programFdById(id))).mapIds))
}

function openIfPinned(path: string): BpfMap | undefined {
  try {
    return BpfMap.openPinned(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}
