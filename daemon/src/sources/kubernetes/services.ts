/**
 * Services, their EndpointSlices, ServiceCIDRs and LoadBalancerPools, changed one by one: there are tens of thousands of them. Nothing is said of them before all are known:
 * half of the endpoints of a Service would cut off the rest.
 */

import type { ApiError } from '../../kubernetes/errors.ts'
import { isApiError } from '../../kubernetes/errors.ts'
import type { KubeObject } from '../../kubernetes/objects.ts'
import { resourceName } from '../../kubernetes/objects.ts'
import type { Cidr, EndpointSlice, LoadBalancerPool, Rejection, Service, SourceState } from '../../model/objects.ts'
import type { Kind } from '../objects/decode.ts'
import { NOT_SERVED_LABELS, type ServiceRange } from '../objects/service.ts'
import { serviceRanges } from '../objects/service-ranges.ts'
import { type Accepted, KindStore, type KindStoreOptions } from './kind-store.ts'
import { MapView } from './map-view.ts'
import { RESOURCES } from './resources.ts'

export const SERVICE_KINDS = ['Service', 'EndpointSlice', 'ServiceCIDR', 'LoadBalancerPool'] as const
export type ServiceKind = (typeof SERVICE_KINDS)[number]

/** Servers of former years have no ServiceCIDRs, nor has a cluster that is being upgraded our newest kinds: that is nothing to be told. */
export const OPTIONAL_KINDS: ReadonlySet<ServiceKind> = new Set(['ServiceCIDR', 'LoadBalancerPool'])

/** The API server leaves out what isn't served; an object that gets or loses such a label goes or comes as far as we are told. */
export const SERVED_SELECTOR = NOT_SERVED_LABELS.map((label) => `!${label}`).join(',')

export type ServicesState = Pick<SourceState, 'services' | 'slices' | 'serviceRanges' | 'pools'>

type Reactions = Pick<KindStoreOptions<unknown>, 'onNews' | 'onFlush' | 'onProblem'>

export interface ServiceObjectsOptions {
  readonly decode: (kind: Kind, object: KubeObject) => Accepted<unknown>
  /** CIDRs of Services, where the cluster has no ServiceCIDR. */
  readonly configuredRanges: readonly Cidr[]
  readonly reactions: (kind: ServiceKind, name: string) => Reactions
  /** From now on all are known. */
  readonly onComplete: () => void
}

export class ServiceObjects {
  readonly services: KindStore<Service>
  readonly slices: KindStore<EndpointSlice>
  readonly ranges: KindStore<ServiceRange>
  readonly pools: KindStore<LoadBalancerPool>
  readonly #options: ServiceObjectsOptions
  readonly #services: ViewedStore<Service>
  readonly #slices: ViewedStore<EndpointSlice>
  readonly #pools: ViewedStore<LoadBalancerPool>
  #ranges: readonly Cidr[] | undefined
  /** Kinds that the server doesn't serve, or not to us. */
  readonly #missing = new Set<ServiceKind>()
  #isComplete = false

  constructor(options: ServiceObjectsOptions) {
    this.#options = options
    this.#services = new ViewedStore((onSet) => this.#store<Service>('Service', onSet))
    this.#slices = new ViewedStore((onSet) => this.#store<EndpointSlice>('EndpointSlice', onSet))
    this.#pools = new ViewedStore((onSet) => this.#store<LoadBalancerPool>('LoadBalancerPool', onSet))
    this.services = this.#services.store
    this.slices = this.#slices.store
    this.pools = this.#pools.store
    this.ranges = this.#store<ServiceRange>('ServiceCIDR', () => {
      this.#ranges = undefined
    })
  }

  get isComplete(): boolean {
    return this.#isComplete
  }

  store(kind: ServiceKind): KindStore<unknown> {
    const stores = {
      Service: this.services,
      EndpointSlice: this.slices,
      ServiceCIDR: this.ranges,
      LoadBalancerPool: this.pools,
    }
    return stores[kind] as KindStore<unknown>
  }

  get rejections(): Rejection[] {
    return SERVICE_KINDS.flatMap((kind) => this.store(kind).rejections)
  }

  /** What is on disk is all that there was. */
  seedComplete(): void {
    this.#isComplete = true
  }

  /** Empty as long as not all are known. New maps where something changed since the last call. */
  state(): ServicesState {
    if (!this.#isComplete) {
      if (!SERVICE_KINDS.every((kind) => this.store(kind).isListed || this.#missing.has(kind))) return {}
      this.#isComplete = true
      this.#options.onComplete()
    }
    const ofObjects = [...this.ranges.values.values()].flatMap(({ cidrs }) => cidrs)
    this.#ranges ??= serviceRanges(ofObjects, this.#options.configuredRanges)
    return {
      services: this.#services.view(),
      slices: this.#slices.view(),
      serviceRanges: this.#ranges,
      pools: this.#pools.view(),
    }
  }

  #store<T>(kind: ServiceKind, onSet: (key: string) => void): KindStore<T> {
    const reactions = this.#options.reactions(kind, resourceName(RESOURCES[kind]))
    return new KindStore<T>({
      decode: (object) => this.#options.decode(kind, object) as Accepted<T>,
      onSet,
      ...reactions,
      ...(OPTIONAL_KINDS.has(kind) && { onProblem: (error) => this.#optionalProblem(kind, error, reactions) }),
    })
  }

  #optionalProblem(kind: ServiceKind, error: ApiError | undefined, { onProblem, onFlush }: Reactions): void {
    const isMissing = isApiError(error, 'API_NOT_FOUND')
    onProblem(isMissing ? undefined : error)
    if (!isMissing && !isApiError(error, 'API_FORBIDDEN')) return
    this.#missing.add(kind)
    onFlush()
  }
}

/** A store, and its objects under an identity that is a new one whenever something changed. */
class ViewedStore<T> {
  readonly store: KindStore<T>
  #view: MapView<string, T>
  #changed = new Set<string>()

  constructor(make: (onSet: (key: string) => void) => KindStore<T>) {
    this.store = make((key) => {
      // What changed last stands last.
      this.#changed.delete(key)
      this.#changed.add(key)
    })
    this.#view = MapView.of(this.store.values)
  }

  view(): MapView<string, T> {
    if (this.#changed.size > 0) {
      this.#view = this.#view.next(this.#changed)
      this.#changed = new Set()
    }
    return this.#view
  }
}
