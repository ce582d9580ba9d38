/**
 * One vRouter: puts the parts together and keeps them in step. Data goes round in one way only:
 *
 *   source, node facts, ports  ──►  model  ──►  ids on disk  ──►  dataplane  ──►  publication to the source
 *
 * Every change is a nudge; a round works on what is true then. Rounds never overlap. Disposing stops the daemon and leaves the
 * network as it is.
 */
import packageJson from '../../package.json' with { type: 'json' }
import type { Config } from '../config/config.ts'
import { adoptIds } from '../dataplane/adopt-ids.ts'
import { DatapathLock } from '../dataplane/datapath-lock.ts'
import { Dataplane } from '../dataplane/dataplane.ts'
import { IdsStore, type LoadedIds } from '../dataplane/ids-store.ts'
import { removeLinks } from '../dataplane/remove-pins.ts'
import { reasonOf, VrouterError } from '../errors.ts'
import { Pace } from '../ground/pace.ts'
import { type Health as HealthServer, startHealth } from '../health/server.ts'
import { briefly, errorFields, type Log } from '../log.ts'
import type { Model } from '../model/compute.ts'
import type { Ids } from '../model/ids.ts'
import type { Tables } from '../model/tables.ts'
import { announcements } from '../packet/announce.ts'
import { contextFromTables } from '../packet/context.ts'
import { AgentPort } from '../packet/packet.ts'
import { followChanges } from '../vhost0/follow.ts'
import { migrate } from '../vhost0/migrate.ts'
import { startAnnouncing } from './announcing.ts'
import { News } from './news.ts'
import { openModel } from './open-model.ts'
import { openPorts } from './open-ports.ts'
import { openSource } from './open-source.ts'
import { openedOf, type Parts } from './parts.ts'
import { PortProgress } from './port-progress.ts'
import { Publisher } from './publisher.ts'
import { Resolved } from './resolved.ts'
import { Rounds } from './rounds.ts'
import { serve } from './serve.ts'
import { ServiceState } from './service-state.ts'
import { healthStateOf } from './shown.ts'

/** How often it is looked whether operators should hear something of the node, milliseconds. */
const NODE_NEWS_MS = 5000

export interface VrouterOptions {
  readonly config: Config
  /** Name of the fabric NIC. */
  readonly nic: string
  readonly log: Log
  /** The daemon can't go on: end the process, so that it is started again. */
  readonly onFatal?: (error: unknown) => void
}

export class Vrouter implements AsyncDisposable {
  readonly #options: VrouterOptions
  readonly #log: Log
  readonly #owned = new AsyncDisposableStack()
  readonly #idsStore: IdsStore
  readonly #ids: Ids
  readonly #idsFrom: LoadedIds['from']
  readonly #model: Model
  readonly #parts: Parts
  readonly #publisher: Publisher
  readonly #rounds: Rounds
  readonly #progress: PortProgress
  readonly #news: News
  readonly #resolved = new Resolved()
  #healthServer: HealthServer | undefined
  /** Set before it is in use: the start may fail in between. */
  #dataplane: Dataplane | undefined

  private constructor(options: VrouterOptions, lock: DatapathLock) {
    const { config, log } = options
    this.#owned.use(lock)
    this.#options = options
    this.#log = log.child({ component: 'vrouter' })
    this.#idsStore = this.#owned.use(new IdsStore(config.paths.state, log.child({ component: 'ids' })))
    const { model, ids, from } = openModel(config, this.#idsStore)
    this.#log.info({ from }, 'read the ids')
    this.#model = model
    this.#ids = ids
    this.#idsFrom = from
    const source = this.#owned.use(openSource(config, log))
    this.#parts = { config, log, source, service: new ServiceState(), startedAt: new Date() }
    this.#news = new News(this.#parts)
    this.#publisher = this.#owned.use(
      new Publisher({
        source,
        node: config.node,
        onError: (error, what) => {
          this.#healthServer?.metrics.countPublishFailure(what)
          // One line: it is tried again, and an API server that is busy is slow for many.
          this.#log.warn(
            { ...briefly(error), what },
            `other nodes can not be told what is here; trying again: ${reasonOf(error)}`,
          )
        },
      }),
    )
    this.#rounds = new Rounds({
      work: () => this.#reconcile(),
      service: this.#parts.service,
      log: this.#log,
      onDone: (ms) => this.#healthServer?.metrics.observeRound(ms / 1000),
    })
    this.#progress = new PortProgress(this.#parts, this.#rounds)
  }

  /** Resolves when the node is in service: its address on vhost0, its pods programmed, ADD answered. Throws what prevents that. */
  static async start(options: VrouterOptions): Promise<Vrouter> {
    using undo = new DisposableStack()
    const lock = undo.use(await DatapathLock.take(options.config.paths))
    const vrouter = new Vrouter(options, lock)
    undo.move()
    try {
      await vrouter.#start()
      return vrouter
    } catch (error) {
      await vrouter[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]()
    await this.#owned.disposeAsync()
  }

  async #start(): Promise<void> {
    const { config, log } = this.#options
    const { source, service } = this.#parts
    const own = this.#owned

    // First of all, so that a long start can be told from a daemon that died.
    this.#healthServer = own.use(
      await startHealth({
        config,
        log: log.child({ component: 'health' }),
        version: packageJson.version,
        state: () => healthStateOf(this.#parts),
      }),
    )
    service.starts('reading the source')
    await source.start(() => {
      this.#news.ofSource()
      void this.#rounds.nudge(false)
    })
    this.#news.ofSource()

    service.starts('moving the node to vhost0')
    await this.#migrate()
    const { dataplane, ports } = openedOf(this.#parts)
    own.use(
      await followChanges({
        ...this.#migration(),
        monitor: dataplane.watch.monitor,
        onVhostLost: () => {
          this.#log.error(`${config.underlay.vhost} was deleted: it is made anew`)
          // All was put back, the programs are off: only a start from the beginning helps, and that is for whoever runs the daemon.
          this.#migrate().catch((error: unknown) => this.#options.onFatal?.(error))
        },
      }),
    )

    service.starts('programming the node')
    const agentPort = own.use(
      await AgentPort.start({
        device: config.underlay.agent,
        log: log.child({ component: 'packet' }),
      }),
    )
    this.#parts.agentPort = agentPort
    dataplane.onMoved((moved, { vifs }) => agentPort.announce(announcements(moved, vifs)))
    // A packet met the RESOLVE nexthop: the kernel is asked for the neighbour, and VRF 0 follows what it finds.
    agentPort.onResolve((address) => {
      if (this.#resolved.add(address)) void this.#rounds.nudge()
    })
    this.#parts.announcer = startAnnouncing(this.#parts, own)
    dataplane.watch.refresh()
    await this.#rounds.nudge()

    await serve(this.#parts, this.#news, own)
    this.#tellNews()
    const ms = Date.now() - this.#parts.startedAt.getTime()
    this.#log.info(
      { node: config.node, address: dataplane.facts().underlay.address, ports: ports.all().length, ms },
      'in service',
    )
  }

  /** Every so often, what operators should hear. */
  #tellNews(): void {
    const timer = setInterval(() => {
      try {
        this.#news.ofNode(healthStateOf(this.#parts).tables)
      } catch (error) {
        // While vhost0 is made anew there are no tables to look at.
        this.#log.debug({ err: errorFields(error) }, 'the use of tables can not be read')
      }
    }, NODE_NEWS_MS).unref()
    this.#owned.defer(() => clearInterval(timer))
  }

  #migration() {
    const { config, nic, log } = this.#options
    const { vhost, watchSeconds, gateway } = config.underlay
    return { nic, vhost, stateDir: config.paths.state, watchSeconds, gateway, log: log.child({ component: 'vhost0' }) }
  }

  async #migrate(): Promise<void> {
    try {
      await migrate({
        ...this.#migration(),
        hooks: {
          beforeMove: () => this.#programNode(),
          detach: async () => {
            await this.#dataplane?.[Symbol.asyncDispose]()
            removeLinks(this.#options.config)
          },
        },
      })
    } catch (error) {
      // The node has its address on the NIC again, so this gets out.
      if (error instanceof VrouterError) {
        const reason = error.code === 'VHOST_GATEWAY_LOST' ? 'GatewayLost' : 'NodeNotMoved'
        this.#news.tellNode({ type: 'Warning', reason, message: `${error.message}. ${error.remedy}` })
      }
      throw error
    }
  }

  /** vhost0 exists and nothing has moved yet: load, adopt, program VRF 0 and the pods that are there. */
  async #programNode(): Promise<void> {
    if (this.#dataplane === undefined) await this.#openDataplane()
    else await this.#dataplane.resync()
    await this.#rounds.nudge()
    if (this.#parts.tables === undefined) throw VrouterError.of('DATAPLANE_FAILED', { reason: 'the first pass failed' })
  }

  async #openDataplane(): Promise<void> {
    const { config, nic, log } = this.#options
    const { service } = this.#parts
    const dataplane = this.#owned.use(
      await Dataplane.open({
        config,
        nic,
        log: log.child({ component: 'dataplane' }),
        // It puts an ingress qdisc of its own on a tap that it was just given.
        quickTaps: !config.cni.chained.includes('bandwidth'),
      }),
    )
    this.#dataplane = dataplane
    const ports = this.#owned.use(openPorts(this.#parts, dataplane, this.#rounds, this.#progress))
    await ports.start()
    if (this.#idsFrom === 'nothing') {
      const adopted = await adoptIds(this.#ids, dataplane.maps, ports.all())
      if (adopted > 0)
        this.#log.warn({ adopted }, 'the files of ids are lost: the numbers were taken from the running datapath')
    }
    this.#parts.opened = { dataplane, ports }
    this.#rounds.open()
    dataplane.onFacts(() => void this.#rounds.nudge())
    dataplane.onDamage((damage) => service.damaged(damage))
    // What it tries again by itself is no round of ours.
    dataplane.onProblems(() => this.#progress.answer())
    dataplane.watch.onTaps(() => ports.refresh())
  }

  /** One round. */
  async #reconcile(): Promise<void> {
    const { source } = this.#parts
    const { dataplane, ports } = openedOf(this.#parts)
    const steps = this.#model.steps({
      source: source.state(),
      facts: dataplane.facts(),
      ports: ports.all(),
      unmanaged: ports.unmanaged(),
      hostPeers: source.hostPeers(),
    })
    const tables = await new Pace().run(steps)
    this.#idsStore.save(this.#ids)
    await dataplane.apply(this.#resolved.withNeighbours(tables))
    this.#parts.tables = tables
    this.#parts.agentPort?.updateContext(contextFromTables(tables))
    this.#parts.announcer?.update(source.state(), dataplane.facts().underlay.address)
    this.#news.ofTables(tables)
    this.#publish(tables)
  }

  /** Tells the others what works here now, beside the rounds, and then those who wait for a pod: from then on other nodes answer it. */
  #publish(tables: Tables): void {
    const { dataplane, ports } = openedOf(this.#parts)
    const present = { facts: dataplane.facts(), ports: ports.all(), tables }
    void this.#publisher.update(present).then(() => this.#progress.told(tables))
  }
}
