/**
 * Keeps the kernel as the model wants it. Owns the maps, programs, links, pkt0's device, and the managed neighbours of one vRouter; the
 * network outlives it: disposing closes descriptors and changes nothing.
 *
 * `open` loads the datapath and looks at the node, but puts nothing into service: that is what passes (passes.ts) are for, which `apply` asks for. What
 * one can't do is a problem until it works, tried again with growing waits. Every `RESYNC_MS`, and when others have damaged what is ours (damage.ts),
 * everything is read anew and repaired.
 */
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { BackOff } from '../ground/back-off.ts'
import { Gathering } from '../ground/gathering.ts'
import { errorFields, type Log } from '../log.ts'
import type { PinnedMaps } from '../maps/open.ts'
import type { NodeFacts } from '../model/facts.ts'
import type { MovedAddress, Problem, Tables } from '../model/tables.ts'
import { ensureAgentDevice } from './agent-device.ts'
import { markAlive } from './globals-writer.ts'
import type { TableUsage } from './kernel-tables.ts'
import { Links } from './links.ts'
import { NodeWatch } from './node-watch.ts'
import type { PortState } from './pass-outcome.ts'
import { type ApplyResult, Passes, type PassOptions } from './passes.ts'
import { openPins } from './pins.ts'
import { Programs } from './programs.ts'
import { type Findings, verifyPort } from './verify-port.ts'

export interface DataplaneOptions extends PassOptions {
  readonly config: PassOptions['config'] &
    Pick<Config, 'node'> & { readonly underlay: Pick<Config['underlay'], 'vhost' | 'agent'> }
  /** The fabric NIC, by name: found by vhost0/. */
  readonly nic: string
  /** Milliseconds between full resyncs. */
  readonly resyncMs?: number
}

const RESYNC_MS = 60_000
const ALIVE_MS = 1_000
/** The datapath itself fills the flow table: no pass tells of that. */
const USAGE_MS = 5_000

const NOTHING_DONE: ApplyResult = { written: 0, deleted: 0, attached: 0, problems: [] }

export class Dataplane implements AsyncDisposable {
  /** The maps in use. */
  readonly maps: PinnedMaps
  readonly watch: NodeWatch
  readonly #resyncMs: number
  readonly #log: Log
  readonly #programs: Programs
  readonly #links: Links
  readonly #passes: Passes
  readonly #asked: Gathering<ApplyResult>
  readonly #backOff = new BackOff({ firstMs: 200, maxMs: 30_000 })
  readonly #owned: AsyncDisposableStack
  #desired: Tables | undefined
  #isResyncDue = false
  #resync: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(
    options: DataplaneOptions,
    parts: { route: RouteSocket; programs: Programs; links: Links; watch: NodeWatch; owned: AsyncDisposableStack },
  ) {
    this.#resyncMs = options.resyncMs ?? RESYNC_MS
    this.#log = options.log
    this.#programs = parts.programs
    this.#links = parts.links
    this.#owned = parts.owned
    this.watch = parts.watch
    this.maps = parts.programs.maps.typed
    this.#passes = new Passes(options, parts, () => this.#background(this.resync()))
    this.#asked = new Gathering({
      work: () => this.#pass(),
      onError: () => {
        // What it had to repair isn't.
        this.#isResyncDue = this.#passes.hasReadBack
        this.#retryLater()
      },
    })
    this.#every(ALIVE_MS, () => markAlive(this.maps))
    this.#every(USAGE_MS, () => this.#passes.tables.warnOfFullTables())
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
    return this.#passes.outcome.problems
  }

  onProblems(callback: (problems: readonly Problem[]) => void): void {
    this.#passes.outcome.onProblems(callback)
  }

  /** `callback` hears, once the tables are in the kernel, of addresses that other pods have now. */
  onMoved(callback: (moved: readonly MovedAddress[], tables: Tables) => void): void {
    this.#passes.onMoved(callback)
  }

  /** Called when somebody else has changed tables in the kernel, with what in words, and with undefined when all is as it should be again. */
  onDamage(callback: (damage: string | undefined) => void): void {
    this.#passes.damage.onDamage(callback)
  }

  usage(): readonly TableUsage[] {
    return this.#passes.tables.usage()
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
    return this.#passes.outcome.stateOf(port, ifindex)
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
    while (this.#passes.attachments.unchecked > 0 && !this.#isClosed) result = await this.#enqueue()
    return result
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#resync)
    await this.#passes.damage[Symbol.asyncDispose]()
    await this.#asked[Symbol.asyncDispose]()
    await this.#passes[Symbol.asyncDispose]()
    await this.#owned.disposeAsync()
  }

  async #enqueue(inMs = 0): Promise<ApplyResult> {
    return (await this.#asked.outcome({ inMs })) ?? NOTHING_DONE
  }

  async #pass(): Promise<ApplyResult> {
    const tables = this.#desired
    if (this.#isClosed || !tables) return NOTHING_DONE
    const isResync = this.#isResyncDue
    this.#isResyncDue = false
    const result = await this.#passes.run(tables, isResync)
    if (result.problems.length === 0) this.#backOff.reset()
    else this.#retryLater()
    this.#resyncLater()
    return result
  }

  #retryLater(): void {
    if (!this.#isClosed) this.#background(this.#enqueue(this.#backOff.next()))
  }

  #every(ms: number, work: () => void): void {
    const timer = setInterval(work, ms)
    timer.unref()
    this.#owned.defer(() => clearInterval(timer))
  }

  #resyncLater(): void {
    clearTimeout(this.#resync)
    if (this.#isClosed) return
    this.#resync = setTimeout(() => this.#background(this.resync()), this.#resyncMs)
  }

  #background(work: Promise<unknown>): void {
    work.catch((error: unknown) =>
      this.#log.error({ err: errorFields(error) }, 'the dataplane could not finish a pass'),
    )
  }
}
