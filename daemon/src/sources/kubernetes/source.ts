/**
 * The kubernetes source: follows Namespaces, the pods of this node and our own kinds, and publishes what this node is. Level-triggered; a server that is
 * away, or lies, takes nothing back: what was last known stays in force, and is kept on disk for a daemon that starts meanwhile.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackOffOptions } from '../../ground/back-off.ts'
import { ApiClient } from '../../kubernetes/client.ts'
import { followApiServers } from '../../kubernetes/discovery.ts'
import { ApiError, isApiError } from '../../kubernetes/errors.ts'
import { type KubeObject, pathOf, type Resource } from '../../kubernetes/objects.ts'
import { type Handler, Reflector, type ReflectorOptions } from '../../kubernetes/reflector.ts'
import { errorFields, type Log } from '../../log.ts'
import type { Address, Cidr, Pod, Published, Report, Source, SourceState } from '../../model/objects.ts'
import { NetworkMemory } from '../directory/memory.ts'
import { Cluster, WHOLE_KINDS } from './cluster.ts'
import { decodePod } from './pods.ts'
import { Reporter } from './reports.ts'
import { NODES, PODS, RESOURCES } from './resources.ts'
import { OPTIONAL_KINDS, SERVED_SELECTOR, SERVICE_KINDS } from './services.ts'
import { SnapshotFile } from './snapshot.ts'
import { Writer } from './writer.ts'

export interface KubernetesSourceOptions {
  /** Name of this node's Node object. */
  readonly node: string
  readonly cluster: string
  /** Subnets of the default pod network; empty: none. */
  readonly defaultSubnets: readonly Cidr[]
  /** CIDRs of Services, where the cluster has no ServiceCIDR. */
  readonly serviceRanges?: readonly Cidr[]
  /** Path of a kubeconfig; empty: the pod's service account. */
  readonly kubeconfig: string
  /** URL of the API server; empty: as the kubeconfig or the environment says. */
  readonly server: string
  /** Folder for what is kept over restarts. */
  readonly state: string
  readonly log: Log
  /** For tests. */
  readonly timings?: Partial<Timings>
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly serviceAccount?: string
}

interface Timings {
  /** Milliseconds without an answer after which a start goes on with what was last known. */
  readonly unreachableMs: number
  /** Milliseconds after which it does so although the server answers, but not with whole lists. */
  readonly unsyncedMs: number
  /** Milliseconds that `findPod` waits for the watch, and in all. */
  readonly podSeenMs: number
  readonly podMs: number
  readonly writeMs: number
  readonly idleMs: number
  readonly missingMs: number
  /** Milliseconds without a watch after which the server counts as away. */
  readonly awayMs: number
  readonly pageSize: number
  readonly backOff: BackOffOptions | undefined
}

const TIMINGS: Timings = {
  unreachableMs: 5000,
  unsyncedMs: 20_000,
  podSeenMs: 500,
  podMs: 3000,
  writeMs: 2000,
  idleMs: 90_000,
  missingMs: 3000,
  awayMs: 10_000,
  pageSize: 500,
  backOff: undefined,
}

export class KubernetesSource implements Source {
  readonly knowsPods = true
  readonly #options: KubernetesSourceOptions
  readonly #timings: Timings
  readonly #owned = new AsyncDisposableStack()
  readonly #client: ApiClient
  readonly #cluster: Cluster
  readonly #memory: NetworkMemory
  readonly #snapshot: SnapshotFile
  readonly #writer: Writer
  readonly #reporter: Reporter
  /** What must be known before there is a state. */
  readonly #reflectors: readonly Reflector[]
  /** Services and their endpoints: until they are known, the state says nothing of them. */
  readonly #serviceReflectors: readonly Reflector[]
  readonly #pods: Reflector
  #onChange: () => void = () => undefined
  #remembering: Promise<void> = Promise.resolve()
  readonly #stopped = Promise.withResolvers<never>()
  #isStopped = false

  /** Reads what was kept, and asks nobody anything yet. */
  constructor(options: KubernetesSourceOptions) {
    this.#stopped.promise.catch(() => undefined)
    this.#options = options
    this.#timings = { ...TIMINGS, ...options.timings }
    const { node, cluster, defaultSubnets, serviceRanges, state, log } = options
    this.#client = this.#owned.use(
      new ApiClient({
        kubeconfig: options.kubeconfig,
        server: options.server,
        endpointsFile: join(state, 'api-servers.json'),
        environment: options.environment,
        serviceAccount: options.serviceAccount,
      }),
    )
    this.#memory = new NetworkMemory(join(state, 'networks.json'))
    this.#cluster = this.#owned.use(
      new Cluster({
        node,
        cluster,
        defaultSubnets,
        serviceRanges,
        accepted: this.#remembered(),
        onChange: () => this.#changed(),
        onNews: (kind, key, value) => this.#snapshot.note(kind, key, value),
      }),
    )
    this.#snapshot = this.#owned.use(
      new SnapshotFile({
        path: join(state, 'cluster.json'),
        cluster,
        node,
        onError: (error) => log.warn({ err: errorFields(error) }, 'the state of the cluster can not be kept on disk'),
      }),
    )
    this.#writer = new Writer({ client: this.#client, cluster: this.#cluster, node, timeoutMs: this.#timings.writeMs })
    this.#reporter = this.#owned.use(new Reporter({ client: this.#client, cluster: this.#cluster, node, log }))
    this.#pods = this.#reflect(PODS, this.#cluster.pods, { fieldSelector: `spec.nodeName=${node}` })
    this.#reflectors = [
      ...WHOLE_KINDS.map((kind) => this.#reflect(RESOURCES[kind], this.#cluster.whole[kind])),
      this.#reflect(RESOURCES.VirtualMachineInterface, this.#cluster.interfaces),
      this.#reflect(NODES, this.#cluster.nodes, { fieldSelector: `metadata.name=${node}` }),
      this.#pods,
    ]
    this.#serviceReflectors = SERVICE_KINDS.map((kind) =>
      this.#reflect(
        RESOURCES[kind],
        this.#cluster.services.store(kind),
        // A server without them mostly stays so for as long as it runs.
        OPTIONAL_KINDS.has(kind) ? { longestMissingMs: 60_000 } : { labelSelector: SERVED_SELECTOR },
      ),
    )
  }

  /**
   * Resolves when everything was listed once; without a server, when what was last known is in force. Never gives up before it is
   * disposed of. Throws CREDENTIALS_UNUSABLE.
   */
  async start(onChange: () => void): Promise<void> {
    const { log } = this.#options
    this.#client.checkCredentials()
    mkdirSync(this.#options.state, { recursive: true })
    const startedAt = performance.now()
    for (const reflector of [...this.#reflectors, ...this.#serviceReflectors]) reflector.start()
    const servers = this.#owned.use(followApiServers(this.#client, log, this.#timings.backOff))
    servers.start()
    const synced = Promise.all(this.#reflectors.map((reflector) => reflector.synced))
    const stopped = this.#stopped.promise
    const isSynced = await Promise.race([synced.then(() => true), this.#isHopeless(), stopped])
    if (!isSynced && !(await Promise.race([this.#resume(), stopped]))) {
      log.warn({}, 'waiting for the API server: nothing is known of the cluster from before')
      await Promise.race([synced, stopped])
    }
    this.#onChange = onChange
    this.#cluster.open()
    this.#snapshot.follow(this.#cluster)
    this.#watchServer()
    log.info({ ms: Math.round(performance.now() - startedAt), isSynced }, 'the cluster is known')
  }

  state(): SourceState {
    return this.#cluster.state
  }

  /** `create` makes no difference: blocks are always claimed, everything else is always ours to write. */
  async publish(published: Published, _options?: { readonly create?: boolean }): Promise<void> {
    await this.#writer.publish(published)
    if (published.kind !== 'VirtualMachineInterface') return
    const { namespace, pod } = published.object
    this.#reporter.podWorks({ namespace, ...pod })
  }

  async withdraw(kind: Published['kind'], name: string): Promise<void> {
    await this.#writer.withdraw(kind, name)
  }

  /** Throws API_UNREACHABLE when it isn't known and nobody can be asked. */
  async findPod(wanted: {
    readonly namespace: string
    readonly name: string
    readonly uid: string
  }): Promise<Pod | undefined> {
    const known = this.#cluster.pod(wanted.uid)
    if (known !== undefined) return known.pod
    const { podSeenMs, podMs } = this.#timings
    const startedAt = performance.now()
    // The watch is usually faster than kubelet; where it is broken, there is nothing to wait for.
    if (this.#pods.isWatching) await this.#cluster.podSeen(wanted.uid, AbortSignal.timeout(podSeenMs))
    const seen = this.#cluster.pod(wanted.uid)
    if (seen !== undefined) return seen.pod
    try {
      const { namespace, name } = wanted
      const timeoutMs = Math.max(100, podMs - (performance.now() - startedAt))
      const object = await this.#client.request<KubeObject>({
        method: 'GET',
        path: pathOf(PODS, { namespace, name }),
        timeoutMs,
      })
      const found = decodePod(object)
      // A runtime that doesn't tell the uid gets the pod that has the name.
      // The kubelet's own uid of a static pod stands in an annotation of the object that mirrors it.
      const uids = found && ['', found.pod.uid, found.pod.annotations['kubernetes.io/config.hash']]
      return uids?.includes(wanted.uid) === true ? found?.pod : undefined
    } catch (error) {
      if (isApiError(error, 'API_NOT_FOUND')) return undefined
      const late = this.#cluster.pod(wanted.uid)
      if (late !== undefined) return late.pod
      throw error
    }
  }

  hostPeers(): readonly Address[] {
    return this.#client.endpoints.addresses()
  }

  report(report: Report): void {
    this.#reporter.report(report)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    this.#stopped.reject(new ApiError('API_UNREACHABLE', 'stopped before the API server answered'))
    await this.#owned.disposeAsync()
    await this.#remembering
  }

  #reflect(
    resource: Resource,
    handler: Handler,
    more: Pick<ReflectorOptions, 'fieldSelector' | 'labelSelector' | 'longestMissingMs'> = {},
  ): Reflector {
    const { idleMs, backOff, missingMs, pageSize } = this.#timings
    return this.#owned.use(
      new Reflector({
        client: this.#client,
        resource,
        ...more,
        handler,
        log: this.#options.log,
        idleMs,
        missingMs,
        pageSize,
        backOff,
      }),
    )
  }

  /** Resolves (false) when the server doesn't answer, or not with whole lists, for so long that what was last known is better. */
  async #isHopeless(): Promise<false> {
    const { unreachableMs, unsyncedMs } = this.#timings
    await sleep(unreachableMs, undefined, { ref: false })
    if (this.#client.answeredAt !== undefined)
      await sleep(Math.max(0, unsyncedMs - unreachableMs), undefined, { ref: false })
    return false
  }

  /** Whether something is known from before. */
  async #resume(): Promise<boolean> {
    const { log } = this.#options
    try {
      const isThere = await this.#snapshot.load(this.#cluster)
      if (isThere) log.warn({}, 'the API server can not be reached: going on with the cluster as it was last known')
      return isThere
    } catch (error) {
      log.warn({ err: errorFields(error) }, 'the state of the cluster on disk can not be used')
      return false
    }
  }

  #remembered() {
    try {
      return this.#memory.load()
    } catch (error) {
      this.#options.log.warn({ err: errorFields(error) }, 'networks are taken as they are defined now')
      return new Map()
    }
  }

  #changed(): void {
    this.#remembering = this.#remembering.then(() => this.#remember())
    this.#onChange()
  }

  async #remember(): Promise<void> {
    try {
      await this.#memory.save(this.#cluster.state)
    } catch (error) {
      this.#options.log.warn({ err: errorFields(error) }, 'the networks in use can not be kept on disk')
    }
  }

  /** Says so in the state while the server is away. Its watches bring bookmarks every minute, so silence alone means little. */
  #watchServer(): void {
    const { awayMs } = this.#timings
    let awaySince: number | undefined
    const timer = setInterval(() => {
      const isAway = !this.#isStopped && this.#reflectors.every((reflector) => !reflector.isWatching)
      awaySince = isAway ? (awaySince ?? performance.now()) : undefined
      const isLong = awaySince !== undefined && performance.now() - awaySince >= awayMs
      const message = 'can not be reached; what was last known stays in force'
      this.#cluster.setExtra(isLong ? [{ object: 'API server', message, isStale: true }] : [])
    }, awayMs / 10).unref()
    this.#owned.defer(() => clearInterval(timer))
  }
}
