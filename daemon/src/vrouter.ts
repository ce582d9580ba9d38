/**
 * One vRouter: puts the parts together and keeps them in step. Data goes round in one way only:
 *
 *   source, node facts, ports  ──►  model  ──►  ids on disk  ──►  dataplane  ──►  publication to the source
 *
 * Every change is a nudge; a round works on what is true then. Rounds never overlap. Disposing stops the daemon and leaves the
 * network as it is.
 */
import { join } from 'node:path'
import { setImmediate as setImmediatePromise } from 'node:timers/promises'
import packageJson from '../package.json' with { type: 'json' }
import type { Config } from './config/config.ts'
import { adoptIds } from './dataplane/adopt-ids.ts'
import { DatapathLock } from './dataplane/datapath-lock.ts'
import { Dataplane, type PortState } from './dataplane/dataplane.ts'
import { IdsStore, type LoadedIds } from './dataplane/ids-store.ts'
import { removeLinks } from './dataplane/uninstall.ts'
import { followChanges } from './dataplane/vhost0/follow.ts'
import { migrate } from './dataplane/vhost0/migrate.ts'
import { reasonOf, VrouterError } from './errors.ts'
import { healthState } from './health/collect.ts'
import type { HealthState } from './health/health.ts'
import { type Health as HealthServer, startHealth } from './health/server.ts'
import type { Health, IntrospectContext } from './introspect/context.ts'
import { kernelOf } from './introspect/kernel.ts'
import { startIntrospect } from './introspect/server.ts'
import { briefly, errorFields, type Log } from './log.ts'
import { Model } from './model/compute.ts'
import type { Ids } from './model/ids.ts'
import type { Address, Source } from './model/objects.ts'
import type { Problem, Tables } from './model/tables.ts'
import { MPLS_UDP_OVERHEAD } from './model/tunnels.ts'
import { type NodeReport, NodeReports } from './node-reports.ts'
import { announcements } from './packet/announce.ts'
import { contextFromTables } from './packet/context.ts'
import { AgentPort } from './packet/packet.ts'
import { ConflistKeeper } from './port-api/conflist-keeper.ts'
import { startRest } from './port-api/rest/server.ts'
import { PortServer } from './port-api/server.ts'
import { ServiceMark } from './port-api/service-mark.ts'
import type { Programmed } from './ports/options.ts'
import { Ports } from './ports/ports.ts'
import { Publisher } from './publisher.ts'
import { ServiceState } from './service-state.ts'
import { DirectorySource } from './sources/directory/source.ts'
import { KubernetesSource } from './sources/kubernetes/source.ts'

/**
 * Milliseconds from the end of a round to the next one, which is as long as the last round took, within these limits: a burst of changes costs few rounds,
 * and a change after a quiet time doesn't wait.
 */
const GATHER_MS = 2
const LONGEST_URGENT_MS = 10

/**
 * For what others change, rounds take one part of the time in so many at most; the wait has a limit, milliseconds. With tens of thousands of remote
 * pods a round takes tens of milliseconds, and somewhere in the cluster pods come and go all the time. What this node's own pods need doesn't wait.
 */
const SHARE = 5
const LONGEST_GATHER_MS = 200

/** Milliseconds that an underlay address is kept resolved after a packet for it arrived. */
const RESOLVED_MS = 5 * 60_000

/** Milliseconds until a round that failed is tried again, if nothing changes before. */
const RETRY_MS = 1000

/** Milliseconds that an ADD waits for a failure to pass that keeps its port from the kernel; then it is undone, and the runtime tries again. */
const FAULT_PATIENCE_MS = 3_000

/** Underlay addresses that packets may make us resolve: a scan must not fill the neighbour table. */
const MAX_RESOLVED = 256

/** How often it is looked whether operators should hear something of the node, milliseconds. */
const NODE_NEWS_MS = 5000

/** vif 0 to 2 are the node's own. */
const OWN_VIFS = 3

export interface VrouterOptions {
  readonly config: Config
  /** Name of the fabric NIC. */
  readonly nic: string
  readonly log: Log
  /** The daemon can't go on: end the process, so that it is started again. */
  readonly onFatal?: (error: unknown) => void
}

/** One that waits for a port to be in the kernel. */
interface Waiter {
  readonly uuid: string
  isWritten(programmed: Programmed): void
  hasFault(): void
}

export class Vrouter implements AsyncDisposable {
  readonly #options: VrouterOptions
  readonly #log: Log
  readonly #owned = new AsyncDisposableStack()
  readonly #startedAt = new Date()
  readonly #waiters = new Set<Waiter>()
  readonly #idsStore: IdsStore
  readonly #ids: Ids
  readonly #idsFrom: LoadedIds['from']
  readonly #model: Model
  readonly #source: Source
  readonly #publisher: Publisher
  #healthServer: HealthServer | undefined
  #dataplane!: Dataplane
  #ports!: Ports
  #agentPort: AgentPort | undefined
  #tables: Tables | undefined
  /** Those that other nodes were told of. */
  #told: Tables | undefined
  #loggedProblems: ReadonlySet<string> = new Set()
  #loggedRejections: ReadonlySet<string> = new Set()
  readonly #service = new ServiceState()
  readonly #nodeReports = new NodeReports()
  /** Everything that a round needs is there. */
  #isOpen = false
  #isClosed = false
  #round: Promise<void> = Promise.resolve()
  #isNudged = false
  #retry: NodeJS.Timeout | undefined
  /** Of the last round, milliseconds (performance.now). */
  #roundBegunAt = Number.NEGATIVE_INFINITY
  #roundEndedAt = Number.NEGATIVE_INFINITY
  #roundMs = 0
  /** Somebody waits for the next round. */
  #isUrgent = false
  #wake: () => void = () => undefined
  /** Underlay addresses that packets wait for, and until when they are kept resolved. */
  readonly #resolved = new Map<Address, number>()

  private constructor(options: VrouterOptions, lock: DatapathLock) {
    const { config, log } = options
    this.#owned.use(lock)
    this.#options = options
    this.#log = log.child({ component: 'vrouter' })
    this.#idsStore = this.#owned.use(new IdsStore(config.paths.state, log.child({ component: 'ids' })))
    const { limits } = config
    const { ids, from } = this.#idsStore.load({
      limits: {
        vrf: limits.vrfs,
        nexthop: limits.nexthops,
        label: limits.labels,
        vif: limits.vifs,
        bridge: limits.routes,
      },
    })
    this.#log.info({ from }, 'read the ids')
    this.#ids = ids
    this.#idsFrom = from
    this.#model = new Model(
      {
        node: config.node,
        cluster: config.cluster.name,
        limits: { routes: limits.routes },
        flowsPerVif: limits.flowsPerVif,
        snat: config.snat.enabled,
        insideRanges: config.services.clusterIPRanges,
        tunnelPeers: config.tunnels.peers,
      },
      ids,
    )
    this.#source = this.#owned.use(openSource(options))
    this.#publisher = this.#owned.use(
      new Publisher({
        source: this.#source,
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
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#wake()
    await this.#round
    await this.#owned.disposeAsync()
  }

  async #start(): Promise<void> {
    const { config, log } = this.#options
    const own = this.#owned

    this.#healthServer = own.use(await this.#startHealth())
    this.#service.starts('reading the source')
    await this.#source.start(() => {
      this.#logRejections()
      this.#nudge(false)
    })
    this.#logRejections()

    this.#service.starts('moving the node to vhost0')
    await this.#migrate()
    own.use(
      await followChanges({
        ...this.#migration(),
        monitor: this.#dataplane.watch.monitor,
        onVhostLost: () => {
          this.#log.error(`${config.underlay.vhost} was deleted: it is made anew`)
          // All was put back, the programs are off: only a start from the beginning helps, and that is for whoever runs the daemon.
          this.#migrate().catch((error: unknown) => this.#options.onFatal?.(error))
        },
      }),
    )

    this.#service.starts('programming the node')
    this.#agentPort = own.use(
      await AgentPort.start({
        device: config.underlay.agent,
        log: log.child({ component: 'packet' }),
      }),
    )
    this.#dataplane.onMoved((moved, { vifs }) => this.#agentPort?.announce(announcements(moved, vifs)))
    this.#agentPort.onResolve((address) => this.#resolve(address))
    this.#dataplane.watch.refresh()
    await this.#nudge()

    own.use(await startIntrospect(this.#introspectContext(), config))
    own.use(
      await PortServer.listen({
        path: `${config.paths.run}/cni.sock`,
        service: this.#ports,
        log: log.child({ component: 'port-api' }),
      }),
    )
    const rest = await startRest({
      config,
      ports: this.#ports,
      source: this.#source,
      hasDevice: (name) => this.#dataplane.watch.taps.has(name),
      log: log.child({ component: 'rest' }),
    })
    if (rest) own.use(rest)
    this.#service.inService()
    own.use(new ServiceMark(config.paths.run))
    const news = setInterval(() => {
      try {
        this.#tellNews()
      } catch (error) {
        // While vhost0 is made anew there are no tables to look at.
        this.#log.debug({ err: errorFields(error) }, 'the use of tables can not be read')
      }
    }, NODE_NEWS_MS).unref()
    own.defer(() => clearInterval(news))
    // A DEL may have been queued between the reading of the records and the socket.
    await this.#ports.maintain()
    const keeper = await ConflistKeeper.start({
      folder: config.paths.cniConf,
      socket: `${config.paths.run}/cni.sock`,
      state: config.paths.state,
      ...config.cni,
      binaries: config.paths.cniBin,
      log: log.child({ component: 'port-api' }),
      tell: (report) => this.#tellNode(report),
    })
    own.use(keeper)
    const ms = Date.now() - this.#startedAt.getTime()
    this.#log.info(
      { node: config.node, address: this.#dataplane.facts().underlay.address, ports: this.#ports.all().length, ms },
      'in service',
    )
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
        this.#tellNode({ type: 'Warning', reason, message: `${error.message}. ${error.remedy}` })
      }
      throw error
    }
  }

  /** vhost0 exists and nothing has moved yet: load, adopt, program VRF 0 and the pods that are there. */
  async #programNode(): Promise<void> {
    if (this.#dataplane === undefined) await this.#openDataplane()
    else await this.#dataplane.resync()
    await this.#nudge()
    if (this.#tables === undefined) throw VrouterError.of('DATAPLANE_FAILED', { reason: 'the first pass failed' })
  }

  async #openDataplane(): Promise<void> {
    const { config, nic, log } = this.#options
    this.#dataplane = this.#owned.use(
      await Dataplane.open({
        config,
        nic,
        log: log.child({ component: 'dataplane' }),
        // It puts an ingress qdisc of its own on a tap that it was just given.
        quickTaps: !config.cni.chained.includes('bandwidth'),
      }),
    )
    this.#ports = this.#owned.use(
      new Ports({
        source: this.#source,
        node: config.node,
        cluster: config.cluster,
        state: config.paths.state,
        log: log.child({ component: 'ports' }),
        podMtu: () => this.#dataplane.facts().underlay.mtu - MPLS_UDP_OVERHEAD,
        linkIndex: (name) => this.#dataplane.watch.taps.get(name),
        onPortsChanged: () => this.#nudge(),
        programmed: (uuid, signal) => this.#programmed(uuid, signal),
        obstacle: (uuid) => this.#obstacle(uuid),
        verify: async (uuid) => this.#dataplane.verifyPort(uuid),
        readiness: () => this.#service.readiness(),
        maxPorts: config.limits.vifs - OWN_VIFS,
      }),
    )
    await this.#ports.start()
    if (this.#idsFrom === 'nothing') {
      const adopted = await adoptIds(this.#ids, this.#dataplane.maps, this.#ports.all())
      if (adopted > 0)
        this.#log.warn({ adopted }, 'the files of ids are lost: the numbers were taken from the running datapath')
    }
    this.#isOpen = true
    this.#dataplane.onFacts(() => this.#nudge())
    this.#dataplane.onDamage((damage) => this.#service.damaged(damage))
    // What it tries again by itself is no round of ours.
    this.#dataplane.onProblems(() => this.#answerWaiters())
    this.#dataplane.watch.onTaps(() => this.#ports.refresh())
  }

  // ---- rounds ---------------------------------------------------------------------------------------------------------------

  /** Asks for a round; resolves when a round that began after this call is over. */
  #nudge(isUrgent = true): Promise<void> {
    if (isUrgent) {
      this.#isUrgent = true
      this.#wake()
    }
    if (this.#isNudged || this.#isClosed) return this.#round
    this.#isNudged = true
    this.#round = this.#round.then(async () => {
      await this.#gather()
      this.#isNudged = false
      this.#isUrgent = false
      if (this.#isClosed || !this.#isOpen) return
      clearTimeout(this.#retry)
      const begun = performance.now()
      this.#roundBegunAt = begun
      try {
        await this.#reconcile()
        if (this.#service.roundDone()) this.#log.info({}, 'rounds succeed again')
        this.#healthServer?.metrics.observeRound((performance.now() - begun) / 1000)
      } catch (error) {
        if (this.#service.roundFailed(Error.isError(error) ? error.message : String(error))) {
          this.#log.error(
            { err: errorFields(error) },
            'a round failed; what it has not changed in the kernel stays as it is, the next one tries again',
          )
        }
        this.#retry = setTimeout(() => void this.#nudge(false), RETRY_MS)
      }
      this.#roundEndedAt = performance.now()
      this.#roundMs = this.#roundEndedAt - begun
    })
    return this.#round
  }

  /** Waits for changes that come together; whoever is in a hurry cuts it short. */
  async #gather(): Promise<void> {
    for (;;) {
      const patient = Math.min(LONGEST_GATHER_MS, Math.max(GATHER_MS, this.#roundMs * (SHARE - 1)))
      const urgent = Math.min(LONGEST_URGENT_MS, Math.max(GATHER_MS, this.#roundMs))
      const wait = this.#roundEndedAt + (this.#isUrgent || this.#isClosed ? urgent : patient) - performance.now()
      if (wait <= 0) break
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const timer = setTimeout(resolve, wait)
      await promise
      clearTimeout(timer)
    }
    await setImmediatePromise()
  }

  async #reconcile(): Promise<void> {
    const facts = this.#dataplane.facts()
    const ports = this.#ports.all()
    const tables = this.#model.update({
      source: this.#source.state(),
      facts,
      ports,
      unmanaged: this.#ports.unmanaged(),
      hostPeers: this.#source.hostPeers(),
    })
    this.#idsStore.save(this.#ids)
    await this.#dataplane.apply(this.#withResolved(tables))
    this.#tables = tables
    this.#agentPort?.updateContext(contextFromTables(tables))
    this.#logProblems(tables)
    this.#publish(tables)
  }

  /** The tables, and the neighbours that packets asked for. */
  #withResolved(tables: Tables): Tables {
    const now = Date.now()
    for (const [address, until] of this.#resolved) if (until < now) this.#resolved.delete(address)
    if (this.#resolved.size === 0) return tables
    return { ...tables, neighbours: [...new Set([...tables.neighbours, ...this.#resolved.keys()])] }
  }

  /** A packet met the RESOLVE nexthop: the kernel is asked for the neighbour, and VRF 0 follows what it finds. */
  #resolve(address: Address): void {
    const isNew = !this.#resolved.has(address)
    if (isNew && this.#resolved.size >= MAX_RESOLVED) return
    this.#resolved.set(address, Date.now() + RESOLVED_MS)
    if (isNew) this.#nudge()
  }

  /** What the source set aside is logged once, as long as it stays so. */
  #logRejections(): void {
    const log = this.#options.log.child({ component: 'source' })
    const rejections = new Map(this.#source.state().rejected.map((rejection) => [JSON.stringify(rejection), rejection]))
    for (const [text, { message, ...fields }] of rejections) {
      if (!this.#loggedRejections.has(text)) log.warn(fields, message)
    }
    this.#loggedRejections = new Set(rejections.keys())
  }

  #logProblems(tables: Tables): void {
    const problems = new Map(tables.problems.map((problem) => [textOf(problem), problem]))
    for (const [text, { object, message, subject, event }] of problems) {
      if (this.#loggedProblems.has(text)) continue
      this.#log.warn({ object }, text)
      if (event !== undefined && subject?.kind === 'port') this.#tellPod(subject.uuid, event, message)
    }
    this.#loggedProblems = new Set(problems.keys())
  }

  /** An Event for the pod of a port that works, but not from everywhere. */
  #tellPod(uuid: string, reason: string, message: string): void {
    const port = this.#ports.all().find((one) => one.uuid === uuid)
    if (port === undefined) return
    const object = { kind: 'Pod', namespace: port.namespace, ...port.pod } as const
    this.#source.report({ object, type: 'Warning', reason, message, isWorking: true })
  }

  /** An Event of the Node for what concerns all of it. */
  #tellNode(report: NodeReport): void {
    this.#source.report({ object: { kind: 'Node', name: this.#options.config.node }, ...report })
  }

  #tellNews(): void {
    const { tables } = this.#healthState()
    const problems = this.#tables?.problems ?? []
    for (const report of this.#nodeReports.news({ tables, problems, readiness: this.#service.readiness() })) {
      if (report.type === 'Warning') this.#log.warn({ reason: report.reason }, report.message)
      else this.#log.info({ reason: report.reason }, report.message)
      this.#tellNode(report)
    }
  }

  /** Tells the others what works here now, beside the rounds, and then those who wait for a pod: from then on other nodes answer it. */
  #publish(tables: Tables): void {
    const present = { facts: this.#dataplane.facts(), ports: this.#ports.all(), tables }
    void this.#publisher.update(present).then(() => {
      this.#told = tables
      this.#answerWaiters()
    })
  }

  #answerWaiters(): void {
    for (const waiter of this.#waiters) {
      const state = this.#stateOf(waiter.uuid)
      const isTold = this.#told?.vifs.some(({ port }) => port === waiter.uuid)
      if (state?.isWritten && isTold) waiter.isWritten({ vif: state.vif, vrf: state.vrf })
      else if (state?.isWritten === false && !state.isExpected) waiter.hasFault()
    }
  }

  // ---- what the port API asks ------------------------------------------------------------------------------------------------

  /** How far a port is, with the tap that it has now. */
  #stateOf(uuid: string): PortState | undefined {
    const port = this.#ports.all().find((one) => one.uuid === uuid)
    return port?.ifindex === undefined ? undefined : this.#dataplane.stateOf(uuid, port.ifindex)
  }

  /** Why a port isn't in the kernel: what model or dataplane say of it, or how far its rounds have come. */
  #obstacle(uuid: string): string | undefined {
    const port = this.#ports.all().find((one) => one.uuid === uuid)
    const state = this.#stateOf(uuid)
    if (state?.isWritten === false) return textOf(state.fault)
    const problem = this.#tables?.problems.find(({ subject, isWorking }) => {
      if (isWorking || subject === undefined) return false
      return subject.kind === 'port' ? subject.uuid === uuid : subject.kind === 'network' && subject.vn === port?.vn
    })
    if (problem !== undefined) return problem.message
    const { failure } = this.#service
    if (failure !== undefined) return failure
    if (port?.ifindex === undefined) return `there is no device ${port?.tap}`
    if (state !== undefined) return 'it is in the kernel, other nodes have not been told'
    const ms = Math.round(performance.now() - this.#roundBegunAt)
    return this.#roundBegunAt > this.#roundEndedAt
      ? `the round under way began ${ms} ms ago`
      : `the last round began ${ms} ms ago`
  }

  #programmed(uuid: string, signal: AbortSignal): Promise<Programmed> {
    const now = this.#stateOf(uuid)
    if (now?.isWritten) return Promise.resolve(now)
    return new Promise((resolve, reject) => {
      let patience: NodeJS.Timeout | undefined
      const end = (): void => {
        clearTimeout(patience)
        this.#waiters.delete(waiter)
      }
      const refuse = (): void => {
        patience = undefined
        const state = this.#stateOf(uuid)
        if (state === undefined || state.isWritten || state.isExpected) return
        end()
        reject(new Error(textOf(state.fault)))
      }
      const waiter: Waiter = {
        uuid,
        isWritten: (programmed) => {
          end()
          resolve(programmed)
        },
        // Most failures pass: the dataplane tries again several times meanwhile.
        hasFault: () => {
          patience ??= setTimeout(refuse, FAULT_PATIENCE_MS)
        },
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', () => {
        end()
        reject(signal.reason)
      })
      this.#nudge()
    })
  }

  // ---- what introspect shows --------------------------------------------------------------------------------------------------

  #health(): Health {
    const problems = this.#dataplane.problems().map(textOf)
    return { ready: this.#service.health().ready, state: this.#service.text, startedAt: this.#startedAt, problems }
  }

  /** First of all, so that a long start can be told from a daemon that died. */
  #startHealth(): Promise<HealthServer> {
    const { config, log } = this.#options
    return startHealth({
      config,
      log: log.child({ component: 'health' }),
      version: packageJson.version,
      state: () => this.#healthState(),
    })
  }

  #healthState(): HealthState {
    const maps = this.#isOpen ? this.#dataplane.maps : undefined
    const kernel = maps && kernelOf(maps)
    return healthState({
      ready: this.#service.health().ready,
      state: this.#service.text,
      limits: this.#options.config.limits,
      ports: this.#isOpen ? this.#ports.all().length : 0,
      source: this.#source.state(),
      ...(this.#tables !== undefined && { tables: this.#tables }),
      drops: kernel?.drops() ?? [],
      foreignTunnels: kernel?.foreignTunnels() ?? 0n,
      ...(this.#agentPort !== undefined && { packets: this.#agentPort.stats() }),
      flows: kernel === undefined ? 0 : Number(kernel.flowCounters().inUse),
      problems: this.#isOpen ? this.#dataplane.problems().length : 0,
    })
  }

  #introspectContext(): IntrospectContext {
    const log = this.#options.log.child({ component: 'introspect' })
    return {
      config: this.#options.config,
      kernel: kernelOf(this.#dataplane.maps),
      tables: () => this.#tables!,
      source: () => this.#source.state(),
      facts: () => this.#dataplane.facts(),
      ports: () => this.#ports.all(),
      health: () => this.#health(),
      packets: () => this.#agentPort!.stats(),
      isBusy: () => this.#ports.isServing,
      onError: (error, request) => log.error({ err: errorFields(error), request }, `cannot answer ${request}`),
    }
  }
}

function textOf({ object, message }: Problem): string {
  return `${object}: ${message}`
}

function openSource({ config, log }: VrouterOptions): Source {
  const common = {
    node: config.node,
    cluster: config.cluster.name,
    defaultSubnets: config.defaultNetwork.subnets,
  }
  switch (config.source.type) {
    case 'directory':
      return new DirectorySource({
        ...common,
        path: config.source.path,
        memory: join(config.paths.state, 'networks.json'),
      })
    case 'kubernetes':
      return new KubernetesSource({
        ...common,
        kubeconfig: config.source.kubeconfig,
        server: config.source.server,
        state: config.paths.state,
        log: log.child({ component: 'kubernetes' }),
      })
    default:
      return config.source.type satisfies never
  }
}
