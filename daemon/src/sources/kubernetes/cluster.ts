/**
 * From what the API server says of each kind to the state that the model works on. Interfaces change one by one; everything else is
 * put together anew (assemble.ts, with all its checks) when something of it changed. Changes are gathered for a few milliseconds.
 */
import { Gathering } from '../../ground/gathering.ts'
import type { ApiError } from '../../kubernetes/errors.ts'
import { type KubeObject, resourceName } from '../../kubernetes/objects.ts'
import { isEqual } from '../../model/equal.ts'
import type {
  Cidr,
  FqName,
  Pod,
  Rejection,
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
} from '../../model/objects.ts'
import { type AssembleOptions, Assembler, EMPTY_STATE } from '../objects/assemble.ts'
import type { LoadedFile } from '../objects/collected.ts'
import { type Item, idOf, type Kind } from '../objects/decode.ts'
import { InterfaceIndex } from './interfaces.ts'
import { type Accepted, KindStore } from './kind-store.ts'
import { decodeObject } from './newer.ts'
import { decodeNode, type KnownNode, storedNode } from './own-node.ts'
import { decodePod, type KnownPod } from './pods.ts'
import { Problems } from './problems.ts'
import { RESOURCES } from './resources.ts'
import { SERVICE_KINDS, ServiceObjects, type ServicesState } from './services.ts'

export interface ClusterOptions extends Omit<AssembleOptions, 'serviceRanges'> {
  readonly node: string
  /** Networks as they were accepted before this start. */
  readonly accepted: ReadonlyMap<FqName, VirtualNetwork>
  /** CIDRs of Services, where the cluster has no ServiceCIDR. */
  readonly serviceRanges?: readonly Cidr[]
  /** The state is a new one. */
  readonly onChange: () => void
  /** The API server says that an object is otherwise than before; undefined: it is gone. */
  readonly onNews?: (kind: StoredKind, key: string, value: unknown) => void
}

/** Kinds that are put together anew as a whole. */
export const WHOLE_KINDS = [
  'Namespace',
  'VirtualNetwork',
  'VirtualNetworkRouter',
  'IPAMBlock',
  'VirtualRouter',
] as const
export type WholeKind = (typeof WHOLE_KINDS)[number]
/** All that is kept. */
export type StoredKind = Kind | 'Pod' | 'Node' | 'ServicesComplete'

/** What takes what is on disk. */
interface Seeded {
  seed(key: string, value: unknown): void
}

/** A burst of changes makes one state, milliseconds. Where states take long to make (thousands of nodes), they get rarer. */
const GATHER_MS = 5
const LONGEST_GATHER_MS = 250
/** Of the time, states take at most one part in so many. */
const SHARE = 5
/** Pods that are remembered without the watch. */
const ASKED_PODS = 256

export class Cluster implements Disposable {
  readonly whole: Readonly<Record<WholeKind, KindStore<Item>>>
  readonly interfaces: KindStore<VirtualMachineInterface>
  readonly pods: KindStore<KnownPod>
  readonly nodes: KindStore<KnownNode>
  readonly services: ServiceObjects
  readonly #options: ClusterOptions
  readonly #index = new InterfaceIndex()
  readonly #podsByUid = new Map<string, KnownPod>()
  readonly #askedPods = new Map<string, KnownPod>()
  /** When VirtualNetworks were made: of two with one FQ name, the older counts. */
  readonly #created = new Map<string, string>()
  readonly #dirty = new Set<Kind | 'Pod' | 'Node'>()
  readonly #problems = new Problems(() => this.#schedule())
  readonly #podWaiters = new Set<(uid: string) => void>()
  #files: Partial<Record<WholeKind, LoadedFile>> = {}
  readonly #assembler: Assembler
  #assembled = EMPTY_STATE
  #extra: readonly Rejection[] = []
  #state = EMPTY_STATE
  #isOpen = false
  readonly #settling = new Gathering({
    work: () => this.settle(),
    onError: (error) => {
      throw error
    },
  })
  #settledAt = 0
  /** How long making the last state took. */
  #settleMs = 0

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#assembled = { ...EMPTY_STATE, virtualNetworks: options.accepted }
    const { cluster, defaultSubnets, node } = options
    this.#assembler = new Assembler({ cluster, defaultSubnets, node })
    const whole = (kind: WholeKind) =>
      new KindStore<Item>({
        decode: (object) => this.#decode(kind, object),
        isOwn: ({ object }) =>
          'node' in object ? object.node === node : kind === 'VirtualRouter' && object.name === node,
        onSet: (key, value, _before, object) => {
          if (kind !== 'VirtualNetwork') return
          if (value === undefined) this.#created.delete(key)
          // Those of a snapshot are in order, and older than all that comes.
          else this.#created.set(key, object?.metadata.creationTimestamp ?? String(this.#created.size).padStart(9, '0'))
        },
        ...this.#reactions(kind, resourceName(RESOURCES[kind])),
      })
    this.whole = {
      Namespace: whole('Namespace'),
      VirtualNetwork: whole('VirtualNetwork'),
      VirtualNetworkRouter: whole('VirtualNetworkRouter'),
      IPAMBlock: whole('IPAMBlock'),
      VirtualRouter: whole('VirtualRouter'),
    }
    this.interfaces = new KindStore<VirtualMachineInterface>({
      decode: (object) => {
        const accepted = this.#decode('VirtualMachineInterface', object)
        if (!accepted.ok || accepted.value === undefined) return accepted as Accepted<VirtualMachineInterface>
        const value = accepted.value.object as VirtualMachineInterface
        return { ok: true, value: value.node === node ? value : asRoutesNeedIt(value) }
      },
      isOwn: (object) => object.node === node,
      onSet: (key, value, before) => this.#index.set(key, value, before),
      ...this.#reactions('VirtualMachineInterface', resourceName(RESOURCES.VirtualMachineInterface)),
    })
    this.pods = new KindStore<KnownPod>({
      decode: (object) => {
        const value = decodePod(object)
        return value === undefined ? { ok: false, rejections: [] } : { ok: true, value }
      },
      onSet: (_key, value, before) => {
        if (before !== undefined && before.pod.uid !== value?.pod.uid) this.#podsByUid.delete(before.pod.uid)
        if (value === undefined) return
        this.#podsByUid.set(value.pod.uid, value)
        for (const heard of this.#podWaiters) heard(value.pod.uid)
      },
      ...this.#reactions('Pod', 'pods'),
    })
    this.nodes = new KindStore<KnownNode>({
      decode: (object) => {
        const value = decodeNode(object)
        return value === undefined ? { ok: false, rejections: [] } : { ok: true, value }
      },
      onSet: () => undefined,
      ...this.#reactions('Node', 'nodes'),
    })
    this.services = new ServiceObjects({
      decode: (kind, object) => {
        const accepted = this.#decode(kind, object)
        return accepted.ok ? { ok: true, value: accepted.value?.object } : accepted
      },
      configuredRanges: options.serviceRanges ?? [],
      reactions: (kind, name) => this.#reactions(kind, name),
      onComplete: () => options.onNews?.('ServicesComplete', '', true),
    })
  }

  /** Undefined: there is none for that word. */
  store(kind: StoredKind): Seeded | undefined {
    const { services, slices, ranges, pools } = this.services
    const others = {
      ...{ VirtualMachineInterface: this.interfaces, Pod: this.pods },
      Node: { seed: (key: string, value: unknown) => this.nodes.seed(key, storedNode(value)) },
      ...{ Service: services, EndpointSlice: slices, ServiceCIDR: ranges, LoadBalancerPool: pools },
      ServicesComplete: { seed: () => this.services.seedComplete() },
    }
    return ({ ...this.whole, ...others } as Record<string, unknown>)[kind] as Seeded | undefined
  }

  /** Of what counts first to what counts last, where two objects are in each other's way. */
  items(kind: WholeKind): Item[] {
    const { values } = this.whole[kind]
    return kind === 'VirtualNetwork' ? this.#oldestFirst(values) : [...values.values()]
  }

  get state(): SourceState {
    return this.#state
  }

  /** A pod of this node by the uid that its runtime knows. */
  pod(uid: string): KnownPod | undefined {
    return this.#podsByUid.get(uid) ?? this.#askedPods.get(uid)
  }

  /** A pod that the watch hasn't shown yet, and the API server was asked for: whoever needs its uid finds it. */
  asked(known: KnownPod): void {
    this.#askedPods.set(known.pod.uid, known)
    for (const oldest of this.#askedPods.keys()) {
      if (this.#askedPods.size <= ASKED_PODS) break
      this.#askedPods.delete(oldest)
    }
  }

  get #ownNode(): KnownNode | undefined {
    return this.nodes.values.get(this.#options.node)
  }

  /** uid of this node's Node object; undefined: not known yet, or there is none. */
  get nodeUid(): string | undefined {
    return this.#ownNode?.uid
  }

  /** Resolves when the pod is known, or when the signal comes. */
  async podSeen(uid: string, signal: AbortSignal): Promise<void> {
    if (this.#podsByUid.has(uid) || signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const heard = (other: string) => other === uid && resolve()
    this.#podWaiters.add(heard)
    signal.addEventListener('abort', () => resolve(), { once: true })
    await promise
    this.#podWaiters.delete(heard)
  }

  /** From now on there is a state, and word of every new one. */
  open(): void {
    this.#isOpen = true
    for (const kind of WHOLE_KINDS) this.#dirty.add(kind)
    for (const kind of SERVICE_KINDS) this.#dirty.add(kind)
    this.#dirty.add('VirtualMachineInterface').add('Pod')
    this.settle()
  }

  /** Rejections that aren't about one object, such as a server that can't be reached. */
  setExtra(rejections: readonly Rejection[]): void {
    if (isEqual(this.#extra, rejections)) return
    this.#extra = rejections
    this.#schedule()
  }

  /** Puts the state together now, if anything changed. */
  settle(): void {
    this.#settling.cancel()
    if (!this.#isOpen) return
    const startedAt = performance.now()
    const next = this.#next()
    this.#settledAt = performance.now()
    this.#settleMs = this.#settledAt - startedAt
    const before = this.#state
    if ((Object.keys(next) as (keyof SourceState)[]).every((key) => next[key] === before[key])) return
    this.#state = next
    this.#options.onChange()
  }

  #next(): SourceState {
    const dirty = new Set(this.#dirty)
    this.#dirty.clear()
    const before = this.#state
    let isWholeDirty = false
    for (const kind of WHOLE_KINDS) {
      if (!dirty.has(kind) && this.#files[kind] !== undefined) continue
      // What is gone is known when the list is complete: until then it counts as before.
      if (this.whole[kind].isListing && this.#files[kind] !== undefined) {
        this.#dirty.add(kind)
        continue
      }
      this.#files[kind] = this.#file(kind)
      isWholeDirty = true
    }
    if (isWholeDirty) {
      const files = WHOLE_KINDS.map((kind) => this.#files[kind]!)
      this.#assembled = this.#assembler.assemble(files, this.#assembled)
    }
    const rejected = [
      ...this.#extra,
      ...this.#problems.lasting(),
      ...this.#assembled.rejected.map(({ file: _, ...rejection }) => rejection),
      ...this.interfaces.rejections,
      ...this.services.rejections,
      ...this.#index.rejections(),
    ]
    return {
      ...this.#assembled,
      interfaces: dirty.has('VirtualMachineInterface') ? this.#index.view() : before.interfaces,
      pods: dirty.has('Pod') ? this.#podMap() : before.pods,
      ...(SERVICE_KINDS.some((kind) => dirty.has(kind)) ? this.services.state() : servicesOf(before)),
      zone: this.#ownNode?.zone,
      rejected: isEqual(before.rejected, rejected) ? before.rejected : rejected,
    }
  }

  [Symbol.dispose](): void {
    this.#isOpen = false
    void this.#settling[Symbol.asyncDispose]()
    this.#problems[Symbol.dispose]()
  }

  #reactions(kind: Kind | 'Pod' | 'Node', name: string) {
    return {
      onNews: (key: string, value: unknown) => this.#options.onNews?.(kind, key, value),
      onFlush: () => {
        this.#dirty.add(kind)
        this.#schedule()
      },
      onProblem: (error: ApiError | undefined) => this.#problems.note(name, error),
    }
  }

  #decode(kind: Kind, object: KubeObject): Accepted<Item> {
    const decoded = decodeObject(kind, object, this.#options.cluster)
    if (decoded.ok) return { ok: true, value: decoded.item }
    if (decoded.isIgnored) return { ok: true, value: undefined }
    const rejections = decoded.issues.map(({ field, value, message }) => ({
      object: decoded.id,
      ...(field !== '' && { field }),
      ...(value !== undefined && { value }),
      message,
    }))
    return { ok: false, rejections }
  }

  /** The first change after a quiet time is shown at once, the next ones together. */
  #schedule(): void {
    if (!this.#isOpen) return
    const gatherMs = Math.min(LONGEST_GATHER_MS, Math.max(GATHER_MS, this.#settleMs * SHARE))
    const isQuiet = performance.now() - this.#settledAt > 10 * gatherMs
    void this.#settling.ask({ inMs: isQuiet ? 0 : gatherMs })
  }

  #file(kind: WholeKind): LoadedFile {
    const store = this.whole[kind]
    return {
      path: resourceName(RESOURCES[kind]),
      items: this.items(kind),
      rejections: store.rejections,
    }
  }

  #oldestFirst(values: ReadonlyMap<string, Item>): Item[] {
    const age = (key: string) => `${this.#created.get(key) ?? ''} ${key}`
    return [...values].sort(([a], [b]) => (age(a) < age(b) ? -1 : 1)).map(([, item]) => item)
  }

  #podMap(): ReadonlyMap<string, Pod> {
    const pods = new Map([...this.#podsByUid].map(([uid, { pod }]) => [uid, pod] as const))
    const before = this.#state.pods
    return before.size === pods.size && [...pods].every(([uid, pod]) => before.get(uid) === pod) ? before : pods
  }
}

function servicesOf({ services, slices, serviceRanges, pools }: SourceState): ServicesState {
  return services === undefined ? {} : { services, slices, serviceRanges, pools }
}

/**
 * Of tens of thousands of other nodes' interfaces it is not kept which container is behind them: a tenth of what they take. Field by field: what is copied
 * by `...` takes half as much again.
 */
function asRoutesNeedIt(one: VirtualMachineInterface): VirtualMachineInterface {
  const { name, namespace, uuid, vn, node, pod, ifname, mac, addresses, label } = one
  return {
    name,
    namespace,
    uuid,
    vn,
    node,
    pod: { name: pod.name, uid: '' },
    containerId: '',
    ifname,
    mac,
    addresses,
    label,
  }
}

/** Key of an item in its store. */
export function keyOfItem(item: Item): string {
  return idOf(item).slice(item.kind.length + 1)
}
