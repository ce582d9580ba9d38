/**
 * Keeps the kernel as the model wants it. Owns the maps, programs, links, pkt0's device, and the managed neighbours of one vRouter; the
 * network outlives it: disposing closes descriptors and changes nothing.
 *
 * `open` loads the datapath and looks at the node, but puts nothing into service. The first `apply` reads back what is there, adopts
 * what matches, writes what is missing, attaches, and only then removes the rest; every later one works on the difference. Within a
 * pass: what is referred to is written before what refers to it, nothing that stays is ever missing, and flows look up their
 * nexthops again (`globals.epoch`) between the removal of routes and the removal of nexthops.
 *
 * What can't be done doesn't stop the rest: it is a problem until it works, tried again with growing waits. Every `RESYNC_MS`, and when
 * a device of ours was touched or others have changed a table (table-watch.ts), everything is read anew and damage done by others repaired.
 */
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { reasonOf } from '../errors.ts'
import { BackOff } from '../ground/back-off.ts'
import { Gathering } from '../ground/gathering.ts'
import { Pace } from '../ground/pace.ts'
import { errorFields, type Log } from '../log.ts'
import { readGlobals } from '../maps/globals.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { type GlobalsStruct, globalsCodec } from '../maps/structs.ts'
import { encode, u32Codec } from '../maps/table.ts'
import type { NodeFacts } from '../model/facts.ts'
import type { MovedAddress, Problem, Tables } from '../model/tables.ts'
import { parsePortRange } from '../schema/port-range.ts'
import { ensureAgentDevice } from './agent-device.ts'
import { Attachments } from './attachments.ts'
import { Encoder } from './encode-tables.ts'
import { Exits, exitsOf } from './exits.ts'
import { evictFlows } from './flow-eviction.ts'
import { forgetPeers, markAlive, raiseEpoch, writeGlobals } from './globals-writer.ts'
import { HostRoutes } from './host-routes.ts'
import { KernelTables, type TableUsage } from './kernel-tables.ts'
import { Links } from './links.ts'
import { Neighbours } from './neighbours.ts'
import { type Loss, NodeWatch } from './node-watch.ts'
import { openPins } from './pins.ts'
import { faultsByVif } from './port-faults.ts'
import { Programs } from './programs.ts'
import { reservePorts } from './reserved-ports.ts'
import { TableWatch } from './table-watch.ts'
import type { TableFailure } from './table-writer.ts'
import { upgradeSteps } from './upgrade/upgrade.ts'
import { type Findings, verifyPort } from './verify-port.ts'

export interface DataplaneOptions {
  readonly config: Pick<Config, 'node' | 'paths' | 'limits' | 'ageing' | 'snat' | 'tunnels'> & {
    readonly underlay: Pick<Config['underlay'], 'vhost' | 'agent'>
  }
  /** The fabric NIC, by name: found by vhost0/. */
  readonly nic: string
  readonly log: Log
  /** False: the taps of new pods get their links at once, because plugins of others need the device's traffic control for themselves. */
  readonly quickTaps?: boolean
  /** Milliseconds between full resyncs. */
  readonly resyncMs?: number
}

const RESYNC_MS = 60_000
const ALIVE_MS = 1_000
/** The datapath itself fills the flow table: no pass tells of that. */
const USAGE_MS = 5_000
/** No event tells that a link was detached, and a pod without its program must not stay so for long. */
const LINK_CHECK_MS = 3_000
/** What that, and looking at all attachments in a resync, may cost at a time: new pods don't wait longer for it. */
const LINK_CHECK_SLICE_MS = 5
const RESYNC_SLICE_MS = 50
/** Quiet time after which new pods' taps get their links, and the pause between two of them. */
const PROMOTE_MS = 2_000
const PROMOTE_PAUSE_MS = 25
/** Damage comes in bursts. */
const DAMAGE_MS = 100

export interface ApplyResult {
  readonly written: number
  readonly deleted: number
  readonly attached: number
  /** What could not be brought into the kernel; it is tried again. */
  readonly problems: readonly Problem[]
}

const NOTHING_DONE: ApplyResult = { written: 0, deleted: 0, attached: 0, problems: [] }

/** How far one attachment is: in the kernel with all that it needs, or kept from there by a failure that is tried again. */
export type PortState =
  | { readonly isWritten: true; readonly vif: number; readonly vrf: number }
  | { readonly isWritten: false; readonly fault: Problem; readonly isExpected: boolean }

export class Dataplane implements AsyncDisposable {
  /** The maps in use. */
  readonly maps: PinnedMaps
  readonly watch: NodeWatch
  readonly #options: DataplaneOptions
  readonly #log: Log
  readonly #neighbours: Neighbours
  readonly #hostRoutes: HostRoutes
  readonly #exits: Exits
  readonly #programs: Programs
  readonly #links: Links
  readonly #attachments: Attachments
  readonly #tables: KernelTables
  readonly #encoder = new Encoder()
  readonly #owned: AsyncDisposableStack
  readonly #backOff = new BackOff({ firstMs: 200, maxMs: 30_000 })
  readonly #onMoved = new Set<(moved: readonly MovedAddress[], tables: Tables) => void>()
  readonly #onProblems = new Set<(problems: readonly Problem[]) => void>()
  #desired: Tables | undefined
  /** What the last pass that came to its end has worked on, and the failures that are left of it. */
  #applied: Tables | undefined
  #failures: readonly TableFailure[] = []
  #problems: readonly Problem[] = []
  /** By vif id; made when somebody asks. */
  #faults: ReadonlyMap<number, TableFailure> | undefined
  readonly #passes: Gathering<ApplyResult>
  #evicting: Promise<void> = Promise.resolve()
  #hasReadBack = false
  #isResyncDue = false
  /** Routes or peers are others, and flows haven't been told to look again. */
  #isEpochDue = false
  /** The programs of this version run on all devices that had one; and their maps are where the tools look. */
  #isChangedOver = false
  #isCommitted = false
  #resync: NodeJS.Timeout | undefined
  #repair: NodeJS.Timeout | undefined
  #promotion: NodeJS.Timeout | undefined
  readonly #tableWatch: TableWatch
  readonly #onDamage = new Set<(damage: string | undefined) => void>()
  #damage: string | undefined
  #isRepairDue = false
  /** What the programs were told last. */
  #settings: GlobalsStruct | undefined
  #isClosed = false
  #reservation: { readonly isWanted: boolean; readonly failures: readonly TableFailure[] } = {
    isWanted: false,
    failures: [],
  }

  private constructor(
    options: DataplaneOptions,
    parts: { route: RouteSocket; programs: Programs; links: Links; watch: NodeWatch; owned: AsyncDisposableStack },
  ) {
    this.#options = options
    this.#log = options.log
    this.#neighbours = new Neighbours(parts.route)
    this.#hostRoutes = new HostRoutes(parts.route)
    this.#programs = parts.programs
    this.#owned = parts.owned
    this.watch = parts.watch
    this.maps = parts.programs.maps.typed
    this.#tables = new KernelTables(parts.programs.maps, options.log)
    this.#links = parts.links
    this.#exits = new Exits(parts.route, parts.links, this.maps.exits, options.log)
    this.#attachments = new Attachments(parts.route, parts.links, options.log, options.quickTaps ?? true)
    this.#passes = new Gathering({
      work: () => this.#pass(),
      onError: () => {
        // What it had to repair isn't.
        this.#isResyncDue = this.#hasReadBack
        this.#retryLater()
      },
    })
    this.#every(ALIVE_MS, () => markAlive(this.maps))
    this.#every(USAGE_MS, () => this.#tables.warnOfFullTables())
    this.#every(LINK_CHECK_MS, () => this.#checkLinks(parts.links))
    this.#tableWatch = new TableWatch(this.#tables, {
      difference: (tables) => this.#tablesDiffer(tables),
      same: () => this.#tablesAreWhole(),
      error: (error) => this.#log.warn({ err: errorFields(error) }, 'the tables could not be compared; trying again'),
    })
    this.#every(ALIVE_MS, () => this.#checkSettings())
    this.watch.onDamage((loss) => this.#isDamage(loss) && this.#repairSoon())
  }

  /** Throws a VrouterError. vhost0 must exist. */
  static async open(options: DataplaneOptions): Promise<Dataplane> {
    await using undo = new AsyncDisposableStack()
    const { config, log, nic } = options
    const { vhost, agent } = config.underlay
    const pins = openPins(config.paths.pins)
    ensureAgentDevice(agent)
    const route = undo.use(RouteSocket.open())
    const programs = undo.use(Programs.load(config, pins, log))
    const links = undo.use(new Links(pins, programs, route, log))
    const watch = undo.use(await NodeWatch.open(route, config.node, { nic, vhost, agent }, log))
    if (!programs.upgrade) programs.startAgeing()
    return new Dataplane(options, { route, programs, links, watch, owned: undo.move() })
  }

  facts(): NodeFacts {
    return this.watch.facts
  }

  onFacts(callback: (facts: NodeFacts) => void): void {
    this.watch.onFacts(callback)
  }

  /** What is wrong at the moment. */
  problems(): readonly Problem[] {
    return this.#problems
  }

  onProblems(callback: (problems: readonly Problem[]) => void): void {
    this.#onProblems.add(callback)
  }

  /** `callback` hears, once the tables are in the kernel, of addresses that other pods have now. */
  onMoved(callback: (moved: readonly MovedAddress[], tables: Tables) => void): void {
    this.#onMoved.add(callback)
  }

  /** Called when somebody else has changed tables in the kernel, with what in words, and with undefined when all is as it should be again. */
  onDamage(callback: (damage: string | undefined) => void): void {
    this.#onDamage.add(callback)
  }

  usage(): readonly TableUsage[] {
    return this.#tables.usage()
  }

  /**
   * Brings the kernel to these tables. Resolves when a pass with them, or with later ones, is over; problems don't reject. Calls that come
   * while a pass runs share the next one.
   */
  apply(tables: Tables): Promise<ApplyResult> {
    this.#desired = tables
    return this.#enqueue()
  }

  /**
   * What has become of a port (Port.uuid) whose tap has that ifindex: whether its vif and program, nexthops, label, routes and bridge entries are written.
   * Undefined: no pass has been over it yet.
   */
  stateOf(port: string, ifindex: number): PortState | undefined {
    const vif = this.#applied?.vifs.find((one) => one.port === port)
    if (this.#applied === undefined || vif?.ifindex !== ifindex) return undefined
    this.#faults ??= faultsByVif(this.#applied, this.#failures)
    const fault = this.#faults.get(vif.id)
    if (fault === undefined) return { isWritten: true, vif: vif.id, vrf: vif.vrf }
    return { isWritten: false, fault: problemOf(fault), isExpected: fault.isExpected === true }
  }

  /** Looks in the kernel for all that a port (Port.uuid) needs, by the tables of the last `apply`. Changes nothing. */
  verifyPort(port: string): Findings {
    if (!this.#desired) return { verified: [], mismatches: ['nothing is programmed yet'] }
    const devices = new Map(this.#desired.vifs.map(({ id, name }) => [id, name]))
    return verifyPort(port, this.#desired, {
      lookup: (map, key) => this.#programs.maps.map(map).lookup(key),
      programFault: (vif, ifindex) =>
        this.#links.faultOf({ program: 'tap', vif, ifindex, device: devices.get(vif) ?? `ifindex ${ifindex}` }),
    })
  }

  /** Reads the kernel anew and repairs it: the tables in one pass, the devices in as many as it takes, between which others are served. */
  async resync(): Promise<ApplyResult> {
    this.#isResyncDue = true
    let result = await this.#enqueue()
    while (this.#attachments.unchecked > 0 && !this.#isClosed) result = await this.#enqueue()
    return result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#resync)
    clearTimeout(this.#repair)
    clearTimeout(this.#promotion)
    // Those who detach everything afterwards look for links.
    while (this.#links.promote());
    await this.#tableWatch[Symbol.asyncDispose]()
    await this.#passes[Symbol.asyncDispose]()
    await this.#evicting
    await this.#owned.disposeAsync()
  }

  async #enqueue(inMs = 0): Promise<ApplyResult> {
    return (await this.#passes.outcome({ inMs })) ?? NOTHING_DONE
  }

  async #pass(): Promise<ApplyResult> {
    const tables = this.#desired
    if (this.#isClosed || !tables) return NOTHING_DONE
    const started = performance.now()
    const pace = new Pace()
    const maps = this.maps
    const isResync = this.#isResyncDue
    const isFirst = !this.#hasReadBack
    const again = isFirst || isResync
    this.#isResyncDue = false
    const { vhost } = this.facts()

    const changed = isFirst ? [] : this.#tables.withOtherCount()
    if (changed.length > 0) this.#tablesDiffer(changed)
    if (again || changed.length > 0) await this.#readBack(pace, isFirst)
    if (isFirst) forgetPeers(this.#programs.maps.map('peer_cache'))
    writeGlobals(maps, this.facts(), this.#options.config, tables)
    this.#settings = readGlobals(maps.globals)
    const portFailures = this.#reservePorts(again)
    const neighbourFailures = this.#neighbours.ensure(vhost.ifindex, tables.neighbours, again)
    const routeFailures = this.#hostRoutes.ensure(vhost.ifindex, tables.hostRoutes, again)

    const encoded = await pace.run(this.#encoder.encode(tables))
    const { written, routing } = await this.#tables.write(encoded, pace)
    this.#isEpochDue ||= routing
    if (!this.#isChangedOver) await this.#changeOver(pace)
    if (isResync) this.#attachments.checkAll()
    const attached = await this.#attachments.attach(tables.vifs, pace, { isFirst, checkMs: RESYNC_SLICE_MS })
    if (attached > 0) this.#promoteLater()
    const exitFailures = this.#ensureExits(again)
    if (!this.#isCommitted) this.#commit()

    const detached = await this.#attachments.sweep(tables.vifs, pace)
    const swept = await this.#tables.sweepRouting(pace)
    this.#isEpochDue ||= swept.routing
    if (this.#isEpochDue) raiseEpoch(maps)
    this.#isEpochDue = false
    const { deleted, removedNexthops } = await this.#tables.sweepReferredTo(pace)
    this.#neighbours.prune(tables.neighbours)
    const moved = this.#tables.takeMoved()
    if (moved.length > 0) for (const callback of this.#onMoved) callback(moved, tables)

    this.#tables.markCounts()
    const failures = [
      ...this.#tables.failures,
      ...this.#attachments.failures,
      ...neighbourFailures,
      ...routeFailures,
      ...portFailures,
      ...exitFailures,
    ]
    this.#applied = tables
    this.#settle(failures)
    const result = { written, deleted: deleted + swept.deleted, attached, problems: this.#problems }
    const ms = Math.round(performance.now() - started)
    if (written + result.deleted + attached + detached > 0 || isFirst) {
      const { problems: _, ...counts } = result
      this.#log.info({ ...counts, detached, problems: this.#problems.length, ms }, 'the kernel has the desired tables')
    }
    this.#tables.warnOfFullTables()
    this.#resyncLater()
    if (removedNexthops.length > 0) this.#evict(removedNexthops)
    return result
  }

  /** The new programs are put into service with all that the old ones had, before anything else happens to the links. */
  async #changeOver(pace: Pace): Promise<void> {
    const { upgrade, maps } = this.#programs
    upgradeSteps.publish('carry')
    await upgrade?.carry(pace)
    upgradeSteps.publish('swap')
    maps.beginSwap()
    upgrade?.changeOver(this.#links)
    upgradeSteps.publish('age')
    if (upgrade) this.#programs.startAgeing()
    this.#isChangedOver = true
  }

  #commit(): void {
    upgradeSteps.publish('commit')
    this.#programs.maps.commit()
    this.#isCommitted = true
  }

  async #readBack(pace: Pace, isFirst: boolean): Promise<void> {
    this.#isRepairDue = false
    const differences = await this.#tables.readBack(pace)
    // From here on damage is repaired by another pass, so what happened before is looked for below.
    this.#hasReadBack = true
    if (!isFirst) {
      for (const [table, entries] of differences) {
        this.#log.warn({ table, entries }, `${entries} entries of ${table} were changed by others: they are repaired`)
      }
      if (differences.size > 0) this.#tell(damageText([...differences.keys()]))
      for (const pin of this.#programs.repairPins()) this.#log.warn(`the ${pin} was missing: it is back`)
    }
    ensureAgentDevice(this.#options.config.underlay.agent)
    this.watch.refresh()
  }

  /** Keeps the node off the source ports of SNAT while there is any. */
  #reservePorts(again: boolean): readonly TableFailure[] {
    const { paths, snat } = this.#options.config
    const isWanted = readGlobals(this.maps.globals).snatPorts > 0
    if (!again && isWanted === this.#reservation.isWanted) return this.#reservation.failures
    const object = `reservation of the ports ${snat.ports} for SNAT`
    let failures: readonly TableFailure[] = []
    try {
      const ports = reservePorts(paths.state, isWanted ? parsePortRange(snat.ports) : undefined)
      if (ports !== '') this.#log.debug({ ports }, 'the node itself is kept off ports of SNAT: ip_local_reserved_ports')
    } catch (error) {
      failures = [
        { subject: { kind: 'node' }, object, error: Error.isError(error) ? error : new Error(reasonOf(error)) },
      ]
    }
    this.#reservation = { isWanted, failures }
    return failures
  }

  /** SNAT leaves by the node's other devices, too, while there is any. */
  #ensureExits(again: boolean): readonly TableFailure[] {
    const isWanted = readGlobals(this.maps.globals).snatPorts > 0
    const devices = isWanted ? exitsOf(this.facts().otherDevices ?? [], this.#options.config.snat.interfaces) : []
    return this.#exits.ensure(devices, again, () => raiseEpoch(this.maps))
  }

  /** Failures become problems; what is new is logged once, and there is another attempt. */
  #settle(failures: readonly TableFailure[]): void {
    const before = new Set(this.#problems.map(({ object, message }) => `${object}: ${message}`))
    this.#failures = failures
    this.#faults = undefined
    this.#problems = failures.map(problemOf)
    const fresh = failures.filter(({ object, error }) => !before.has(`${object}: ${error.message}`))
    const grave = fresh.filter(({ isExpected }) => isExpected !== true)
    for (const { object, error } of grave.slice(0, 10)) {
      this.#log.error({ object, err: errorFields(error) }, `${object} isn't in the kernel: ${error.message}`)
    }
    if (grave.length > 10)
      this.#log.error({ more: grave.length - 10 }, `${grave.length - 10} more objects aren't in the kernel`)
    if (before.size > 0 && failures.length === 0) this.#log.info('all problems of the dataplane are solved')
    if (fresh.length > 0 || before.size !== this.#problems.length) {
      for (const callback of this.#onProblems) callback(this.#problems)
    }
    if (failures.length === 0) this.#backOff.reset()
    else this.#retryLater()
  }

  #retryLater(): void {
    if (!this.#isClosed) this.#background(this.#enqueue(this.#backOff.next()))
  }

  #every(ms: number, work: () => void): void {
    const timer = setInterval(work, ms)
    timer.unref()
    this.#owned.defer(() => clearInterval(timer))
  }

  /** What this dataplane itself has removed is no damage. */
  #isDamage(loss: Loss): boolean {
    switch (loss.kind) {
      case 'device':
      case 'events':
        return true
      case 'route':
        return this.#hostRoutes.has(loss.route)
      case 'neighbour':
        return this.#neighbours.has(loss.address)
      default:
        return loss satisfies never
    }
  }

  #tablesDiffer(tables: readonly string[]): void {
    if (this.#isClosed || !this.#hasReadBack) return
    this.#isRepairDue = true
    this.#tell(damageText(tables))
    this.#repairSoon()
  }

  /** Unless what was damaged waits for its repair still. */
  #tablesAreWhole(): void {
    if (!this.#isRepairDue) this.#tell(undefined)
  }

  #tell(damage: string | undefined): void {
    if (damage === this.#damage) return
    this.#damage = damage
    for (const callback of this.#onDamage) callback(damage)
  }

  /** The epoch goes on, and the daemon's sign of life. */
  #checkSettings(): void {
    if (this.#settings === undefined || this.#isClosed) return
    const { epoch, daemonSeenNs } = readGlobals(this.maps.globals)
    const wanted = { ...this.#settings, epoch, daemonSeenNs }
    const found = this.maps.globals.map.lookup(encode(u32Codec, 0))
    if (found !== undefined && Buffer.compare(found, encode(globalsCodec, wanted)) === 0) return
    this.#log.warn({}, 'the settings of the programs were changed by others: they are repaired')
    this.maps.globals.set(0, wanted)
    this.#tablesDiffer(['globals'])
  }

  /** Nothing tells of a link that was detached, nor of a pin that was removed; word of a device may be lost. */
  #checkLinks(links: Links): void {
    if (!this.#programs.arePinned()) this.#repairSoon()
    // While pods come, the kernel's network lock is in demand.
    if (links.provisional > 0) return
    if (!this.watch.hasAgentDevice() || links.findLost(LINK_CHECK_SLICE_MS).length > 0) this.#repairSoon()
  }

  #resyncLater(): void {
    clearTimeout(this.#resync)
    if (this.#isClosed) return
    this.#resync = setTimeout(() => this.#background(this.resync()), this.#options.resyncMs ?? RESYNC_MS)
  }

  /** A pass that runs meanwhile may have looked already, so none takes this one's place. */
  #repairSoon(): void {
    if (this.#isClosed || !this.#hasReadBack) return
    this.#repair ??= setTimeout(() => {
      this.#repair = undefined
      this.#background(this.resync())
    }, DAMAGE_MS)
  }

  /** Taps of new pods get their links when no pod has come for a while, one at a time: each holds the kernel's network lock for some milliseconds. */
  #promoteLater(): void {
    clearTimeout(this.#promotion)
    if (this.#isClosed || this.#links.provisional === 0) return
    const step = (): void => {
      if (this.#links.promote()) this.#promotion = setTimeout(step, PROMOTE_PAUSE_MS)
    }
    this.#promotion = setTimeout(step, PROMOTE_MS)
  }

  /** In the background: a large flow table takes its time, and nobody waits for it. */
  #evict(nexthops: readonly number[]): void {
    this.#evicting = this.#evicting
      .then(() => evictFlows(this.maps.flows, new Set(nexthops)))
      .then(
        (flows) => {
          if (flows === 0) return
          this.#log.info({ flows, nexthops: nexthops.length }, 'flows of removed interfaces and tunnels were deleted')
        },
        (error: unknown) =>
          this.#log.error({ err: errorFields(error) }, 'flows of removed nexthops could not be deleted'),
      )
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) =>
      this.#log.error({ err: errorFields(error) }, 'the dataplane could not finish a pass'),
    )
  }
}

function problemOf({ subject, object, error }: TableFailure): Problem {
  return { subject, object, message: error.message }
}

function damageText(tables: readonly string[]): string {
  return `others have changed the datapath's tables (${[...tables].sort().join(', ')}), which is repaired`
}
