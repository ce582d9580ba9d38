/**
 * The objects that the controller watches, as far as it needs them. What it wrote itself is in here as soon as the API server has answered, so
 * that no pass works on what it has changed already; word of an older version never replaces a newer one.
 */

import type { ApiError } from '../kubernetes/errors.ts'
import { isOlder, type KubeObject, keyOf } from '../kubernetes/objects.ts'
import type { Handler } from '../kubernetes/reflector.ts'
import { OPTIONAL, type Resourceful, WATCHED, type Watched, type World } from './resources.ts'

export class Store {
  readonly #maps = Object.fromEntries(Object.keys(WATCHED).map((of) => [of, new Map()])) as Record<
    Watched,
    Map<string, Resourceful>
  >
  readonly #listed = new Set<Watched>()
  /** Optional kinds that aren't installed, or may not be read. */
  readonly #absent = new Set<Watched>()
  readonly #problems = new Map<Watched, ApiError>()
  readonly #onChange: () => void

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** The objects now; the maps change with time. */
  get world(): World {
    return this.#maps
  }

  /** Whether every kind has been listed once, or is known not to be there for us. */
  get isSynced(): boolean {
    return (Object.keys(WATCHED) as Watched[]).every((of) => this.#listed.has(of) || this.#absent.has(of))
  }

  /** Whether all objects of a kind are known. */
  hasListed(of: Watched): boolean {
    return this.#listed.has(of)
  }

  /** What keeps the store from following, by kind. */
  get problems(): ReadonlyMap<Watched, ApiError> {
    return this.#problems
  }

  /** What the API server answered to a write. */
  wrote(of: Watched, object: KubeObject): void {
    this.#put(of, object)
  }

  handlerOf(of: Watched): Handler {
    const map = this.#maps[of]
    let listed = new Set<string>()
    return {
      beginList: () => {
        listed = new Set()
      },
      listed: (object) => {
        listed.add(keyOf(object))
        this.#put(of, object)
      },
      endList: () => {
        for (const key of map.keys()) if (!listed.has(key)) map.delete(key)
        listed = new Set()
        this.#listed.add(of)
      },
      changed: (object) => this.#put(of, object),
      removed: (object) => map.delete(keyOf(object)),
      onProblem: (problem) => {
        const isAbsent = OPTIONAL.has(of) && (problem?.code === 'API_NOT_FOUND' || problem?.code === 'API_FORBIDDEN')
        if (isAbsent) this.#absent.add(of)
        if (problem === undefined || (isAbsent && problem.code === 'API_NOT_FOUND')) this.#problems.delete(of)
        else this.#problems.set(of, problem)
      },
      onFlush: this.#onChange,
    }
  }

  #put(of: Watched, object: KubeObject): void {
    const key = keyOf(object)
    const known = this.#maps[of].get(key)
    const { uid, resourceVersion } = object.metadata
    if (known?.metadata.uid === uid && isOlder(resourceVersion, known?.metadata.resourceVersion)) return
    // The same again: keeps what was made of it.
    if (known !== undefined && known.metadata.uid === uid && known.metadata.resourceVersion === resourceVersion) return
    const kept = trimmed(of, object as Resourceful)
    if (kept === undefined) this.#maps[of].delete(key)
    else this.#maps[of].set(key, kept)
  }
}

/** What is looked at; thousands of nodes and pods carry much more. Undefined: nothing. */
function trimmed(of: Watched, { apiVersion, kind, metadata, spec, status }: Resourceful): Resourceful | undefined {
  const { managedFields: _, ...rest } = metadata as Resourceful['metadata'] & { readonly managedFields?: unknown }
  const base = { apiVersion, kind, metadata: rest }
  const conditions = kept(status, 'conditions')
  switch (of) {
    case 'nodes':
      return {
        ...base,
        spec: { taints: (spec as { readonly taints?: unknown } | undefined)?.taints },
        ...kept(status, 'conditions', 'addresses'),
      }
    case 'services': {
      const { type } = (spec ?? {}) as { readonly type?: unknown }
      // Most Services are of no concern; those that were ours have our condition.
      if (type !== 'LoadBalancer' && (status?.conditions ?? []).length === 0) return undefined
      return { ...base, spec, ...kept(status, 'conditions', 'loadBalancer') }
    }
    case 'serviceRanges':
      return { ...base, spec: { cidrs: (spec as { readonly cidrs?: unknown } | undefined)?.cidrs } }
    case 'apiServices':
      return { ...base, spec: { clusterIPs: (spec as { readonly clusterIPs?: unknown } | undefined)?.clusterIPs } }
    case 'agents':
      return {
        ...base,
        spec: { nodeName: (spec as { readonly nodeName?: unknown } | undefined)?.nodeName },
        ...conditions,
      }
    case 'namespaces':
      return { ...base, ...conditions }
    case 'networkPolicies':
    case 'adminNetworkPolicies':
    case 'baselineAdminNetworkPolicies':
    case 'clusterNetworkPolicies': {
      const { name, namespace, uid, resourceVersion } = metadata
      return { apiVersion, kind, metadata: { name, namespace, uid, resourceVersion } }
    }
    case 'networks':
    case 'networkRouters':
    case 'blocks':
    case 'interfaces':
    case 'routers':
    case 'loadBalancerPools':
      return { ...base, spec, ...(status && { status }) }
    default:
      return of satisfies never
  }
}

/** Fields of a status; nothing where it has none of them. */
function kept(status: Resourceful['status'], ...fields: readonly string[]): Pick<Resourceful, 'status'> {
  const entries = Object.entries(status ?? {}).filter(([key]) => fields.includes(key))
  return entries.length === 0 ? {} : { status: Object.fromEntries(entries) }
}
