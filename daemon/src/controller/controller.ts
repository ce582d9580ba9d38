/**
 * The controller of a cluster: watches, and while it leads passes over everything whenever something changed, and every half minute. It holds
 * nothing in memory that a successor needs. Nothing that it does is needed for traffic that flows, or for pods in blocks that nodes have.
 */

import type { Config } from '../config/config.ts'
import { Gathering } from '../ground/gathering.ts'
import { startHealthServer } from '../ground/health-server.ts'
import type { Listening } from '../ground/http-server.ts'
import { ApiClient } from '../kubernetes/client.ts'
import { followApiServers } from '../kubernetes/discovery.ts'
import { type KubeObject, pathOf } from '../kubernetes/objects.ts'
import { Reflector } from '../kubernetes/reflector.ts'
import type { Log } from '../log.ts'
import { Applier, uidsOf } from './applier.ts'
import { Durations } from './durations.ts'
import { Election } from './election.ts'
import { EventWriter } from './event-writer.ts'
import type { Census } from './garbage.ts'
import { reconcile } from './loops.ts'
import { Metrics } from './metrics.ts'
import type { ControllerOptions } from './options.ts'
import { OPTIONAL, PODS, WATCHED, type Watched } from './resources.ts'
import { Store } from './store.ts'
import { type Cluster, type View, viewOf } from './view.ts'

/** Changes that come together are passed over together. */
const GATHER_MS = 100
/** Passes take at most this share of the time. */
const BUSY_SHARE = 0.2
const RESYNC_MS = 30_000
/** A kind that need not be there is looked for at least so often. */
const OPTIONAL_MS = 60_000
/** A pass that takes so long means that something hangs. */
const STUCK_MS = 300_000
/** The more pods there are, the more seldom they are counted. */
const CENSUS_MS_PER_POD = 4
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

export class Controller implements AsyncDisposable {
  readonly #options: ControllerOptions
  readonly #cluster: Cluster
  readonly #log: Log
  readonly #client: ApiClient
  readonly #store: Store
  readonly #metrics: Metrics
  readonly #election: Election
  readonly #applier: Applier
  readonly #reflectors: readonly Reflector[]
  readonly #abort = new AbortController()
  #durations = new Durations()
  #pods: Census | undefined
  #view: View | undefined
  readonly #passes: Gathering
  #health: Listening | undefined
  #passStartedAt: number | undefined
  /** After the last pass. */
  #restMs = 0
  #counting: Promise<void> | undefined

  private constructor(config: Config, options: ControllerOptions, log: Log) {
    this.#options = options
    this.#cluster = { name: config.cluster.name, defaultSubnets: config.defaultNetwork.subnets }
    this.#log = log
    this.#client = new ApiClient({ kubeconfig: config.source.kubeconfig, server: config.source.server })
    this.#passes = new Gathering({
      work: () => this.#pass(),
      restMs: () => this.#restMs,
      onError: (error) => {
        this.#log.error({ err: error }, 'a pass broke off')
        this.#metrics.broke('pass')
      },
    })
    this.#store = new Store(() => this.#wakeIn(GATHER_MS))
    this.#metrics = new Metrics(this.#store)
    this.#election = new Election({
      client: this.#client,
      log: log.child({ component: 'election' }),
      ...options.lease,
      onChange: (isLeader) => this.#leads(isLeader),
    })
    this.#applier = new Applier({
      client: this.#client,
      store: this.#store,
      events: new EventWriter(this.#client, options.lease.identity),
      log: log.child({ component: 'applier' }),
      onOutcome: (action, outcome) => this.#metrics.acted(action, outcome),
    })
    this.#reflectors = [
      ...(Object.keys(WATCHED) as Watched[]).map((of) => this.#reflectorOf(of)),
      followApiServers(this.#client, log.child({ component: 'watch' })),
    ]
  }

  /** Resolves when it is on its way; throws when the health server can't listen. */
  static async start(config: Config, options: ControllerOptions, log: Log): Promise<Controller> {
    const controller = new Controller(config, options, log)
    try {
      await controller.#start()
      return controller
    } catch (error) {
      await controller[Symbol.asyncDispose]()
      throw error
    }
  }

  async #start(): Promise<void> {
    const { registry } = this.#metrics
    const answer = (reason: string | undefined) => ({ isWell: reason === undefined, text: reason ?? 'ok' })
    this.#health = await startHealthServer({
      ...this.#options.health,
      alive: () => answer(this.#whyNotAlive()),
      ready: () => answer(this.#whyNotReady()),
      metrics: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
      onError: (error, path) => this.#log.error({ err: error, path }, `cannot answer ${path}`),
    })
    for (const reflector of this.#reflectors) reflector.start()
    this.#election.start()
    this.#wakeIn(0)
    this.#counting = this.#censuses()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('stopped'))
    await this.#election[Symbol.asyncDispose]()
    await this.#passes[Symbol.asyncDispose]()
    await this.#counting
    await Promise.all(this.#reflectors.map((reflector) => reflector[Symbol.asyncDispose]()))
    await this.#health?.[Symbol.asyncDispose]()
    this.#client[Symbol.dispose]()
  }

  #reflectorOf(of: Watched): Reflector {
    const { agents } = this.#options
    return new Reflector({
      client: this.#client,
      resource: WATCHED[of],
      ...(of === 'agents' && { namespace: agents.namespace, labelSelector: agents.selector }),
      ...(of === 'apiServices' && { namespace: 'default', fieldSelector: 'metadata.name=kubernetes' }),
      ...(OPTIONAL.has(of) && { longestMissingMs: OPTIONAL_MS }),
      handler: this.#store.handlerOf(of),
      log: this.#log.child({ component: 'watch' }),
    })
  }

  #whyNotAlive(): string | undefined {
    const startedAt = this.#passStartedAt
    if (startedAt === undefined || performance.now() - startedAt < STUCK_MS) return undefined
    return `a pass has taken longer than ${STUCK_MS / 1000} s`
  }

  #whyNotReady(): string | undefined {
    if (this.#store.isSynced) return undefined
    const problems = [...this.#store.problems].map(([of, { message }]) => `${of}: ${message}`)
    return ['not all kinds of objects have been listed yet', ...problems].join('\n')
  }

  #leads(isLeader: boolean): void {
    this.#metrics.leads(isLeader)
    // What another leader saw meanwhile isn't known.
    this.#durations = new Durations()
    this.#pods = undefined
    this.#wakeIn(0)
  }

  /** Lets the next pass begin in that many milliseconds, or before. */
  #wakeIn(ms: number): void {
    void this.#passes.ask({ inMs: ms })
  }

  async #pass(): Promise<void> {
    this.#wakeIn(RESYNC_MS)
    this.#restMs = 0
    if (!this.#election.isLeader || !this.#store.isSynced) return
    const startedAt = performance.now()
    this.#passStartedAt = startedAt
    try {
      const durations = this.#durations
      durations.begin(startedAt)
      this.#view = viewOf(this.#store.world, this.#cluster, this.#view)
      const actions = reconcile(this.#view, {
        ...this.#options,
        now: Date.now(),
        durations,
        hasPools: this.#store.hasListed('loadBalancerPools') && this.#store.hasListed('services'),
        ...(this.#pods && { pods: this.#pods }),
        onError: (loop, error) => {
          this.#metrics.broke(loop)
          this.#log.error({ err: error, loop }, 'a loop broke off; the others go on')
        },
      })
      const next = durations.end()
      const tookMs = performance.now() - startedAt
      this.#metrics.passed(tookMs)
      const { retryMs } = await this.#applier.apply(actions, this.#election)
      if (next !== undefined) this.#wakeIn(Math.max(next, GATHER_MS))
      if (retryMs !== undefined) this.#wakeIn(retryMs)
      this.#restMs = Math.max(0, tookMs / BUSY_SHARE - (performance.now() - startedAt))
    } finally {
      this.#passStartedAt = undefined
    }
  }

  /** Counts the pods now and then, while leading and if need be. */
  async #censuses(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      let waitMs = this.#options.goneMs / 4
      if (this.#election.isLeader && this.#hasOrphans()) {
        try {
          this.#pods = await this.#census(this.#election.session)
          waitMs = Math.max(this.#options.goneMs, this.#pods.uids.size * CENSUS_MS_PER_POD)
          this.#wakeIn(GATHER_MS)
        } catch (error) {
          this.#log.debug({ err: error }, 'the pods could not be counted')
        }
      }
      await this.#sleep(waitMs)
    }
  }

  /** Whether there are interfaces whose pod Kubernetes doesn't know as their owner: it takes away all others itself. */
  #hasOrphans(): boolean {
    return [...this.#store.world.interfaces.values()].some(({ metadata: { ownerReferences = [] }, spec }) => {
      const { uid = '' } = (spec as { readonly pod?: { readonly uid?: string } } | undefined)?.pod ?? {}
      return uid !== '' && !ownerReferences.some((owner) => owner.uid === uid)
    })
  }

  async #census(signal: AbortSignal): Promise<Census> {
    // Before the first page: what comes after it may be missing. Clocks of machines differ a little.
    const at = Date.now() - 5000
    const uids = new Set<string>()
    let token: string | undefined
    do {
      const page = await this.#client.request<{
        readonly metadata?: { readonly continue?: string }
        readonly items?: readonly KubeObject[]
      }>({ method: 'GET', path: pathOf(PODS), query: { limit: 500, continue: token }, accept: METADATA_ONLY, signal })
      for (const pod of page.items ?? []) for (const uid of uidsOf(pod)) uids.add(uid)
      token = page.metadata?.continue || undefined
    } while (token !== undefined)
    return { uids, at }
  }

  /** Ends early when the controller stops. */
  #sleep(ms: number): Promise<void> {
    const { signal } = this.#abort
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      signal.addEventListener('abort', done)
    })
  }
}
