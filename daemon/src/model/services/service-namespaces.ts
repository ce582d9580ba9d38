/** The namespaces that have Services, and which of them have networks of their own. */
import {
  defaultPodNetwork,
  defaultServiceNetwork,
  HOME_NAMESPACE,
  isolatedPodNetwork,
  serviceNetwork,
} from '../names.ts'
import { isIsolated } from '../namespace-network.ts'
import type { FqName, Namespace } from '../objects.ts'

export interface ServiceNamespace {
  readonly name: string
  readonly isIsolated: boolean
  /** Where its Services are, and where endpoints without a pod are looked for. */
  readonly serviceNetwork: FqName
  readonly podNetwork: FqName
}

export class ServiceNamespaces<T> {
  readonly #cluster: string
  readonly #services = new Map<string, Set<T>>()
  readonly #known = new Map<string, ServiceNamespace>()
  #source: ReadonlyMap<string, Namespace> = new Map()

  constructor(cluster: string) {
    this.#cluster = cluster
  }

  add(name: string, service: T): void {
    const services = this.#services.get(name)
    if (services !== undefined) {
      services.add(service)
      return
    }
    this.#services.set(name, new Set([service]))
    this.#known.set(name, this.#make(name))
  }

  delete(name: string, service: T): void {
    const services = this.#services.get(name)
    if (services?.delete(service) !== true || services.size > 0) return
    this.#services.delete(name)
    this.#known.delete(name)
  }

  of(name: string): ServiceNamespace {
    return this.#known.get(name) ?? this.#make(name)
  }

  /** Service networks that this node needs: those that have Services, and the default one where there are addresses for it. */
  networks(hasRanges: boolean): ReadonlySet<FqName> {
    const networks = new Set<FqName>()
    if (hasRanges) networks.add(defaultServiceNetwork(this.#cluster))
    for (const { serviceNetwork } of this.#known.values()) networks.add(serviceNetwork)
    return networks
  }

  /** @returns Services whose namespace has networks of its own now, or no longer */
  *update(source: ReadonlyMap<string, Namespace>): Generator<T> {
    const before = this.#source
    if (source === before) return
    this.#source = source
    for (const [name, known] of this.#known) {
      if (before.get(name) === source.get(name)) continue
      const now = this.#make(name)
      if (now.isIsolated === known.isIsolated) continue
      this.#known.set(name, now)
      yield* this.#services.get(name) ?? []
    }
  }

  #make(name: string): ServiceNamespace {
    const namespace = this.#source.get(name)
    const isAlone = name !== HOME_NAMESPACE && namespace !== undefined && isIsolated(namespace)
    const cluster = this.#cluster
    return {
      name,
      isIsolated: isAlone,
      serviceNetwork: isAlone ? serviceNetwork(cluster, name) : defaultServiceNetwork(cluster),
      podNetwork: isAlone ? isolatedPodNetwork(cluster, name) : defaultPodNetwork(cluster),
    }
  }
}
