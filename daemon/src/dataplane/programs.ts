/**
 * Loads the datapath's objects against one set of maps, and keeps the programs pinned under `<pins>/programs/<program>`.
 *
 * A program that is pinned already and is the same (from the same file; or same instructions, maps and constants) stays in service: a
 * restart of the daemon then changes nothing at all. Otherwise the new one takes over the pin, and links.ts puts it into the links.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { BpfObject, VerifierError } from '@kube-vrouter/linux/bpf/object'
import { mapFdById, objGet, programInfo, programTestRun } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close, duplicate } from '@kube-vrouter/linux/ffi'
import type { Config } from '../config/config.ts'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { initialiseFlows } from './globals-writer.ts'
import { LoadRecord, sha256Of } from './load-record.ts'
import { MAP_NAMES, MapSet } from './map-set.ts'
import { type Pins, pinAt, unpin } from './pins.ts'
import type { FlowEnder } from './services/flow-ending.ts'
import { IMPORT_MAP, IMPORT_OBJECT } from './upgrade/flows.ts'
import { Upgrade } from './upgrade/upgrade.ts'

/** One object and one program each, of the same name: where it attaches is in links.ts. */
export const PROGRAMS = ['tap', 'fabric', 'outside', 'vhost', 'agent'] as const
export type ProgramName = (typeof PROGRAMS)[number]

/** Object and program that start the ageing of flows. */
const AGEING = 'ageing'
const AGEING_PROGRAM = 'start_ageing'

/** Ends flows to endpoints that are gone; loaded when there are any. */
const ENDING_OBJECT = 'endpoints.bpf.o'
const ENDING_PROGRAM = 'end_flows'
const GONE_MAP = 'gone_backs'

/** Maps of an object's own that end with it. */
const UNPINNED: ReadonlySet<string> = new Set([IMPORT_MAP, GONE_MAP])

type PinnedName = ProgramName | typeof AGEING

export class Programs implements Disposable {
  readonly maps: MapSet
  /** What is to be done before the programs are put into service; undefined: the maps are those that the running ones use. */
  readonly upgrade: Upgrade | undefined
  readonly #pins: Pins
  readonly #fds: ReadonlyMap<PinnedName, number>
  readonly #ids: ReadonlyMap<PinnedName, number>
  readonly #owned: DisposableStack
  readonly #loadEnding: () => BpfObject

  private constructor(
    maps: MapSet,
    upgrade: Upgrade | undefined,
    pins: Pins,
    fds: ReadonlyMap<PinnedName, number>,
    owned: DisposableStack,
    loadEnding: () => BpfObject,
  ) {
    this.maps = maps
    this.upgrade = upgrade
    this.#pins = pins
    this.#fds = fds
    this.#ids = new Map([...fds].map(([name, fd]) => [name, programInfo(fd).id]))
    this.#owned = owned
    this.#loadEnding = loadEnding
  }

  static load(
    config: Pick<Config, 'limits'> & { readonly paths: Pick<Config['paths'], 'objects' | 'state'> },
    pins: Pins,
    log: Log,
  ): Programs {
    using undo = new DisposableStack()
    const maps = undo.use(new MapSet(pins, config.limits, log))
    const record = new LoadRecord(config.paths.state)
    const fds = new Map<PinnedName, number>()
    for (const name of [...PROGRAMS, AGEING] as const) {
      const path = join(config.paths.objects, `${name}.bpf.o`)
      const fd = obtain(name, path, maps, pins, record, log)
      undo.defer(() => close(fd))
      fds.set(name, fd)
    }
    for (const name of MAP_NAMES) maps.adopt(name, undefined)
    record.save()
    initialiseFlows(maps.typed)
    const load = () => undo.use(loadObject(join(config.paths.objects, IMPORT_OBJECT), maps, pins, log))
    const upgrade = Upgrade.begin(maps, load, log)
    if (upgrade) undo.use(upgrade)
    const loadEnding = () => loadObject(join(config.paths.objects, ENDING_OBJECT), maps, pins, log)
    return new Programs(maps, upgrade, pins, fds, undo.move(), loadEnding)
  }

  fd(name: ProgramName): number {
    return this.#fds.get(name)!
  }

  /** Kernel id of the program in service. */
  id(name: ProgramName): number {
    return this.#ids.get(name)!
  }

  /**
   * Starts the timer that ages flows, or tells the running one to go on with this version's code. It doesn't need the daemon
   * afterwards. Throws OBJECT_REJECTED.
   */
  startAgeing(): void {
    const { retval } = programTestRun(this.#fds.get(AGEING)!, {})
    const result = retval | 0
    if (result < 0)
      throw VrouterError.of('OBJECT_REJECTED', { object: AGEING, reason: `${AGEING_PROGRAM} answers ${result}` })
  }

  /** What ends flows to endpoints that are gone. It lives as long as this. */
  flowEnder(): FlowEnder {
    const object = this.#owned.use(this.#loadEnding())
    const gone = this.#owned.use(BpfMap.fromFd(object.mapFd(GONE_MAP)))
    return { program: object.programFd(ENDING_PROGRAM), gone }
  }

  /** Pins again what somebody has unpinned. Returns what was repaired, in words. */
  repairPins(): string[] {
    const repaired = this.maps.repairPins().map((name) => `pin of map ${name}`)
    for (const [name, fd] of this.#fds) {
      const path = join(this.#pins.programs, name)
      const pinned = getIfPinned(path)
      const isThere = pinned !== undefined && programInfo(pinned).id === this.#ids.get(name)
      if (pinned !== undefined) close(pinned)
      if (isThere) continue
      pinAt(fd, path)
      repaired.push(`pin of program ${name}`)
    }
    return repaired
  }

  /** Whether all pins of maps and programs are there. One look at each. */
  arePinned(): boolean {
    return (
      MAP_NAMES.every((name) => existsSync(join(this.#pins.maps, name))) &&
      [...this.#fds.keys()].every((name) => existsSync(join(this.#pins.programs, name)))
    )
  }

  [Symbol.dispose](): void {
    this.#owned.dispose()
  }
}

/** The pinned program, when it came from this very file or does the same, else the one that the file holds. The descriptor is the caller's. */
function obtain(name: PinnedName, path: string, maps: MapSet, pins: Pins, record: LoadRecord, log: Log): number {
  if (!existsSync(path)) throw VrouterError.of('OBJECTS_MISSING', { path })
  const sha256 = sha256Of(readFileSync(path))
  const pinned = maps.isComplete ? getIfPinned(join(pins.programs, name)) : undefined
  if (pinned !== undefined) {
    if (record.matches(name, pinned, sha256, maps.ids)) return pinned
    close(pinned)
  }
  const started = performance.now()
  using object = loadObject(path, maps, pins, log)
  log.debug({ program: name, ms: Math.round(performance.now() - started) }, `loaded ${path}`)
  const fd = choose(name, object.programFd(name === AGEING ? AGEING_PROGRAM : name), maps, pins, log)
  record.set(name, fd, sha256, maps.ids)
  return fd
}

function loadObject(path: string, maps: MapSet, pins: Pins, log: Log): BpfObject {
  try {
    return loadOnce(path, maps, pins)
  } catch (error) {
    if (!(error instanceof PinnedMapUnfit)) throw rejected(path, error, log)
    log.warn({ map: error.map }, `map ${error.map} is made anew: the pinned one doesn't fit`)
    unpin(join(pins.maps, error.map))
    try {
      return loadOnce(path, maps, pins)
    } catch (again) {
      throw rejected(path, again, log)
    }
  }
}

class PinnedMapUnfit extends Error {
  readonly map: string

  constructor(map: string, cause: unknown) {
    super(`the pinned map ${map} doesn't fit`, { cause })
    this.map = map
  }
}

/** Shared maps are those of maps.h; others belong to the object alone, and are pinned as well: a timer ends with the last pin of its map. */
function loadOnce(path: string, maps: MapSet, pins: Pins): BpfObject {
  using undo = new DisposableStack()
  const { reuse, maxEntries } = maps.options()
  const object = undo.use(BpfObject.open(path))
  const names = object.mapNames()
  const shared = new Set<string>(MAP_NAMES)
  for (const name of names) {
    if (shared.has(name)) {
      const fd = reuse[name]
      if (fd !== undefined) object.reuseMap(name, fd)
      else object.setMaxEntries(name, maxEntries[name]!)
    } else if (!name.includes('.') && !UNPINNED.has(name)) object.setPinPath(name, join(pins.maps, name))
  }
  try {
    object.load()
  } catch (error) {
    const unfit =
      isErrno(error, 'EINVAL') &&
      /couldn't reuse pinned map at '[^']*\/([^/']+)'/.exec(object.messages().join('\n'))?.[1]
    throw unfit ? new PinnedMapUnfit(unfit, error) : error
  }
  for (const name of MAP_NAMES) if (names.includes(name)) maps.adopt(name, object.mapFd(name))
  undo.move()
  return object
}

function rejected(path: string, error: unknown, log: Log): VrouterError {
  if (error instanceof VerifierError) log.debug({ log: error.log }, `the verifier's log of ${path}`)
  if (isErrno(error, 'EPERM'))
    return VrouterError.of('NOT_PERMITTED', { attempted: `loading ${path}` }, { cause: error })
  return VrouterError.of('OBJECT_REJECTED', { object: path, reason: reasonOf(error) }, { cause: error })
}

/** The pinned program when it is the same as the one just loaded, else the loaded one, which is pinned. The descriptor is the caller's. */
function choose(name: PinnedName, loaded: number, maps: MapSet, pins: Pins, log: Log): number {
  const path = join(pins.programs, name)
  const pinned = getIfPinned(path)
  if (pinned !== undefined) {
    if (fingerprint(pinned, maps) === fingerprint(loaded, maps)) return pinned
    close(pinned)
    log.info({ program: name }, `program ${name} has changed: it replaces the running one`)
  }
  pinAt(loaded, path)
  return duplicate(loaded)
}

/** Two programs with the same fingerprint do the same: instructions, shared maps, and the values of their constants. */
function fingerprint(fd: number, maps: MapSet): string {
  const { tag, mapIds } = programInfo(fd)
  const shared = maps.ids
  const hash = createHash('sha256').update(tag)
  for (const id of mapIds) {
    if (shared.has(id)) hash.update(`map ${id};`)
    else hash.update(constantsOf(id))
  }
  return hash.digest('hex')
}

function constantsOf(mapId: number): Uint8Array {
  const fd = mapFdById(mapId)
  try {
    using map = BpfMap.fromFd(fd)
    if (!map.name.endsWith('.rodata')) return Buffer.from(`private map ${map.name};`)
    return map.lookup(new Uint8Array(4)) ?? new Uint8Array(0)
  } finally {
    close(fd)
  }
}

function getIfPinned(path: string): number | undefined {
  try {
    return objGet(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}
