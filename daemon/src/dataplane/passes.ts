/**
 * One pass: the kernel is brought to the tables, in an order in which no packet meets a half-made state. What is referred to is written before what
 * refers to it, nothing that stays is ever missing, and flows look up their nexthops again (`globals.epoch`) between the removal of routes and the
 * removal of nexthops. The first one reads back what is there, adopts what matches, writes what is missing, attaches, and only then removes the rest;
 * every later one works on the difference, or, as a resync, on the kernel as it is found. What can't be done doesn't stop the rest: it is a failure.
 */
import type { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { Pace } from '../ground/pace.ts'
import type { Log } from '../log.ts'
import { readGlobals } from '../maps/globals.ts'
import type { PinnedMaps } from '../maps/open.ts'
import type { MovedAddress, Problem, Tables } from '../model/tables.ts'
import { ensureAgentDevice } from './agent-device.ts'
import { Attachments } from './attachments.ts'
import { DamageWatch } from './damage.ts'
import { Encoder } from './encode-tables.ts'
import { Exits, exitsOf } from './exits.ts'
import { FlowEviction } from './flow-eviction.ts'
import { forgetPeers, raiseEpoch, writeGlobals } from './globals-writer.ts'
import { HostRoutes } from './host-routes.ts'
import { KernelTables } from './kernel-tables.ts'
import { LinkPromotion } from './link-promotion.ts'
import type { Links } from './links.ts'
import { Neighbours } from './neighbours.ts'
import type { NodeWatch } from './node-watch.ts'
import { PassOutcome } from './pass-outcome.ts'
import type { Programs } from './programs.ts'
import { PortReservation } from './reserved-ports.ts'
import { FlowEnding } from './services/flow-ending.ts'
import { GoneBacks } from './services/gone-backs.ts'
import type { TableFailure } from './table-failure.ts'
import { ChangeOver } from './upgrade/change-over.ts'

/** What looking at all attachments in a resync may cost at a time: new pods don't wait longer for it. */
const RESYNC_SLICE_MS = 50

export interface ApplyResult {
  readonly written: number
  readonly deleted: number
  readonly attached: number
  /** What could not be brought into the kernel; it is tried again. */
  readonly problems: readonly Problem[]
}

export interface PassOptions {
  readonly config: Pick<Config, 'paths' | 'limits' | 'ageing' | 'snat' | 'tunnels'> & {
    readonly underlay: Pick<Config['underlay'], 'agent'>
  }
  readonly log: Log
  /** False: the taps of new pods get their links at once, because plugins of others need the device's traffic control for themselves. */
  readonly quickTaps?: boolean
}

/** What a pass works with, and doesn't own. */
export interface Kernel {
  readonly route: RouteSocket
  readonly programs: Programs
  readonly links: Links
  readonly watch: NodeWatch
}

/** Passes never overlap. */
export class Passes implements AsyncDisposable {
  readonly tables: KernelTables
  readonly attachments: Attachments
  readonly outcome: PassOutcome
  readonly damage: DamageWatch
  readonly #options: PassOptions
  readonly #log: Log
  readonly #kernel: Kernel
  readonly #maps: PinnedMaps
  readonly #encoder: Encoder
  readonly #neighbours: Neighbours
  readonly #hostRoutes: HostRoutes
  readonly #exits: Exits
  readonly #reservation: PortReservation
  readonly #changeOver: ChangeOver
  readonly #promotion: LinkPromotion
  readonly #eviction: FlowEviction
  readonly #flowEnding: FlowEnding
  readonly #onMoved = new Set<(moved: readonly MovedAddress[], tables: Tables) => void>()
  #hasReadBack = false
  /** Routes or peers are others, and flows haven't been told to look again. */
  #isEpochDue = false
  /** Flows that an earlier daemon has left were looked through. */
  #hasLookedForStale = false

  /** `repair` asks for a resync. */
  constructor(options: PassOptions, kernel: Kernel, repair: () => void) {
    const { config, log } = options
    const { route, programs, links, watch } = kernel
    const maps = programs.maps.typed
    this.#maps = maps
    this.#options = options
    const gone = new GoneBacks()
    this.#encoder = new Encoder({
      capacity: maps.services.backs.maxEntries,
      onChange: (before, after) => gone.note(before, after),
    })
    this.#flowEnding = new FlowEnding(maps.flows, gone, () => programs.flowEnder(), log)
    this.#log = log
    this.#kernel = kernel
    this.tables = new KernelTables(programs.maps, log)
    this.#neighbours = new Neighbours(route)
    this.#hostRoutes = new HostRoutes(route)
    this.#exits = new Exits(route, links, maps.exits, log)
    this.attachments = new Attachments(route, links, log, options.quickTaps ?? true)
    this.#reservation = new PortReservation(config, log)
    this.#changeOver = new ChangeOver(programs, links)
    this.#promotion = new LinkPromotion(links)
    this.#eviction = new FlowEviction(maps.flows, log)
    this.outcome = new PassOutcome(log)
    const watched = { tables: this.tables, maps, programs, links, node: watch }
    this.damage = new DamageWatch(
      { ...watched, hostRoutes: this.#hostRoutes, neighbours: this.#neighbours },
      log,
      repair,
    )
  }

  /** A pass has got so far that it knows what is in the kernel. */
  get hasReadBack(): boolean {
    return this.#hasReadBack
  }

  /** `callback` hears, once the tables are in the kernel, of addresses that other pods have now. */
  onMoved(callback: (moved: readonly MovedAddress[], tables: Tables) => void): void {
    this.#onMoved.add(callback)
  }

  async run(tables: Tables, isResync: boolean): Promise<ApplyResult> {
    const started = performance.now()
    const pace = new Pace()
    const { programs, watch } = this.#kernel
    const maps = this.#maps
    const isFirst = !this.#hasReadBack
    const again = isFirst || isResync
    const { vhost } = watch.facts

    const changed = isFirst ? [] : this.tables.withOtherCount()
    if (changed.length > 0) this.damage.tablesDiffer(changed)
    if (again || changed.length > 0) await this.#readBack(pace, isFirst)
    if (isFirst) forgetPeers(programs.maps.map('peer_cache'))
    writeGlobals(maps, watch.facts, this.#options.config, tables)
    const settings = readGlobals(maps.globals)
    this.damage.expect(settings)
    const hasSnat = settings.snatPorts > 0
    const portFailures = this.#reservation.ensure(hasSnat, again)
    const neighbourFailures = this.#neighbours.ensure(vhost.ifindex, tables.neighbours, again)
    const routeFailures = this.#hostRoutes.ensure(vhost.ifindex, tables.hostRoutes, again)

    const encoded = await pace.run(this.#encoder.encode(tables, this.tables))
    const { written, routing } = await this.tables.write(encoded, pace)
    this.#isEpochDue ||= routing
    await this.#changeOver.begin(pace)
    if (isResync) this.attachments.checkAll()
    const attached = await this.attachments.attach(tables.vifs, pace, { isFirst, checkMs: RESYNC_SLICE_MS })
    if (attached > 0) this.#promotion.later()
    const exitFailures = this.#ensureExits(hasSnat, again)
    this.#changeOver.commit()

    const detached = await this.attachments.sweep(tables.vifs, pace)
    const swept = await this.tables.sweepRouting(pace)
    this.#isEpochDue ||= swept.routing
    if (this.#isEpochDue) raiseEpoch(maps)
    this.#isEpochDue = false
    const { deleted, removedNexthops } = await this.tables.sweepReferredTo(pace)
    this.#encoder.services.settle(this.tables)
    this.#neighbours.prune(tables.neighbours)
    const moved = this.tables.takeMoved()
    if (moved.length > 0) for (const callback of this.#onMoved) callback(moved, tables)

    this.tables.markCounts()
    const failures = [
      ...this.#encoder.services.explain(this.tables.failures),
      ...this.#encoder.services.failures,
      ...this.attachments.failures,
      ...neighbourFailures,
      ...routeFailures,
      ...portFailures,
      ...exitFailures,
    ]
    this.outcome.settle(tables, failures)
    const result = { written, deleted: deleted + swept.deleted, attached, problems: this.outcome.problems }
    const ms = Math.round(performance.now() - started)
    if (written + result.deleted + attached + detached > 0 || isFirst) {
      const { problems: _, ...counts } = result
      this.#log.info(
        { ...counts, detached, problems: this.outcome.problems.length, ms },
        'the kernel has the desired tables',
      )
    }
    this.tables.warnOfFullTables()
    if (removedNexthops.length > 0) this.#eviction.evict(removedNexthops)
    if (tables.fronts !== undefined && !this.#hasLookedForStale) {
      this.#hasLookedForStale = true
      this.#flowEnding.findStale(tables.fronts)
    }
    this.#flowEnding.soon()
    return result
  }

  /** No pass is under way, and none comes. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#promotion[Symbol.dispose]()
    await this.#eviction[Symbol.asyncDispose]()
    await this.#flowEnding[Symbol.asyncDispose]()
  }

  async #readBack(pace: Pace, isFirst: boolean): Promise<void> {
    this.damage.repairBegins()
    const differences = await this.tables.readBack(pace)
    // From here on damage is repaired by another pass, so what happened before is looked for below.
    this.#hasReadBack = true
    this.damage.begin()
    if (!isFirst) {
      this.damage.found(differences)
      for (const pin of this.#kernel.programs.repairPins()) this.#log.warn(`the ${pin} was missing: it is back`)
    }
    ensureAgentDevice(this.#options.config.underlay.agent)
    this.#kernel.watch.refresh()
  }

  /** SNAT leaves by the node's other devices, too, while there is any. */
  #ensureExits(isWanted: boolean, again: boolean): readonly TableFailure[] {
    const devices = isWanted
      ? exitsOf(this.#kernel.watch.facts.otherDevices ?? [], this.#options.config.snat.interfaces)
      : []
    return this.#exits.ensure(devices, again, () => raiseEpoch(this.#maps))
  }
}
