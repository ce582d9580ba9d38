/**
 * Does what loops want: a few requests at a time, each only while this replica leads. What fails is left to a later pass, which will want it
 * again if it is still right; an action that keeps failing waits longer each time, and one that the API server can't take now ends the pass.
 */
import { BackOff } from '../ground/back-off.ts'
import { API_BACK_OFF } from '../kubernetes/api-back-off.ts'
import { type ApiClient, PATCH_TYPES } from '../kubernetes/client.ts'
import { type ApiError, isApiError } from '../kubernetes/errors.ts'
import { type KubeObject, keyOf, pathOf } from '../kubernetes/objects.ts'
import { briefly, type Log } from '../log.ts'
import { addressesOfPod, allowedAddressesOfPod } from '../model/namespace-network.ts'
import type { Action, Existence } from './actions.ts'
import type { EventWriter } from './event-writer.ts'
import { PODS, WATCHED } from './resources.ts'
import type { Store } from './store.ts'

export interface ApplierOptions {
  readonly client: Pick<ApiClient, 'request'>
  readonly store: Pick<Store, 'wrote'>
  readonly events: EventWriter
  readonly log: Log
  readonly onOutcome: (action: Action['type'], outcome: 'done' | 'failed' | 'put off') => void
}

export interface Leadership {
  readonly isLeader: boolean
  readonly session: AbortSignal
}

export interface Applied {
  readonly done: number
  /** Milliseconds after which what was left is worth another pass; undefined: nothing was left. */
  readonly retryMs?: number
}

/** What was to be deleted is in use after all: to ask again at once is no use. */
class InUse extends Error {}

const PARALLEL = 8
const PATIENCE = { firstMs: 2000, leastMs: 1000, maxMs: 300_000 }

export class Applier {
  readonly #options: ApplierOptions
  /** Actions that failed, by what they are. */
  readonly #failed = new Map<string, { readonly backOff: BackOff; until: number; message: string }>()
  readonly #outage = new BackOff(API_BACK_OFF)

  constructor(options: ApplierOptions) {
    this.#options = options
  }

  async apply(actions: readonly Action[], leadership: Leadership): Promise<Applied> {
    const { events, onOutcome } = this.#options
    const now = performance.now()
    let retryAt = Number.POSITIVE_INFINITY
    const due = actions.filter((action) => {
      if (action.type === 'event') return events.isDue(action.event)
      const failed = this.#failed.get(identityOf(action))
      if (failed === undefined || failed.until <= now) return true
      retryAt = Math.min(retryAt, failed.until)
      onOutcome(action.type, 'put off')
      return false
    })
    let done = 0
    let outage: ApiError | undefined
    // What concerns one object is done in order: a patch that must be exact would be outdated by another one.
    const queue = Map.groupBy(due, subjectOf).values()
    const work = async () => {
      for (const group of queue) for (const action of group) await attempt(action)
    }
    const attempt = async (action: Action) => {
      // Nothing may be written once another replica may have begun.
      if (outage !== undefined || !leadership.isLeader) return
      try {
        await this.#perform(action, leadership.session)
        this.#failed.delete(identityOf(action))
        onOutcome(action.type, 'done')
        done++
      } catch (error) {
        if (leadership.session.aborted) return
        onOutcome(action.type, error instanceof InUse ? 'put off' : 'failed')
        if (isApiError(error, 'API_UNREACHABLE', 'API_BUSY', 'API_FAILED', 'API_UNAUTHORIZED', 'API_GARBLED'))
          outage = error
        retryAt = Math.min(retryAt, this.#note(action, error as Error))
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, work))
    if (outage === undefined) this.#outage.reset()
    else retryAt = performance.now() + Math.max(this.#outage.next(), outage.retryAfterMs ?? 0)
    this.#forget(actions)
    return retryAt === Number.POSITIVE_INFINITY ? { done } : { done, retryMs: Math.max(0, retryAt - performance.now()) }
  }

  /** Takes note of a failure; when to try again. */
  #note(action: Action, error: Error): number {
    const identity = identityOf(action)
    const { backOff, message } = this.#failed.get(identity) ?? { backOff: new BackOff(PATIENCE), message: '' }
    // An object that has changed meanwhile comes by the watch, and with it the next pass.
    const wait = isApiError(error, 'API_CONFLICT') ? 200 : backOff.next()
    const isExpected = isApiError(error, 'API_CONFLICT') || error instanceof InUse
    const level = error.message === message || isExpected ? 'debug' : 'warn'
    this.#options.log[level]({ ...briefly(error), action: identity }, `cannot ${describe(action)}: ${error.message}`)
    const until = performance.now() + wait
    this.#failed.set(identity, { backOff, until, message: error.message })
    return until
  }

  /** What nobody wants any more needs no memory. */
  #forget(actions: readonly Action[]): void {
    if (this.#failed.size === 0) return
    const wanted = new Set(actions.map(identityOf))
    for (const identity of this.#failed.keys()) if (!wanted.has(identity)) this.#failed.delete(identity)
  }

  async #perform(action: Action, signal: AbortSignal): Promise<void> {
    const { client, store, events, log } = this.#options
    switch (action.type) {
      case 'create': {
        const { of, object } = action
        const path = pathOf(WATCHED[of], { namespace: object.metadata.namespace })
        store.wrote(of, await client.request<KubeObject>({ method: 'POST', path, body: object, signal }))
        log.info({ object: keyOf(object) }, describe(action))
        return
      }
      case 'patch': {
        const { of, object, subresource, form, patch, isExact } = action
        const { name, namespace, resourceVersion } = object.metadata
        const path = pathOf(WATCHED[of], { namespace, name, subresource })
        const { metadata = {}, ...rest } = patch as { readonly metadata?: object }
        const body = isExact === true ? { ...rest, metadata: { ...metadata, resourceVersion } } : patch
        try {
          const contentType = PATCH_TYPES[form]
          store.wrote(of, await client.request<KubeObject>({ method: 'PATCH', path, body, contentType, signal }))
        } catch (error) {
          // It is gone: there is nothing to say about it.
          if (!isApiError(error, 'API_NOT_FOUND')) throw error
        }
        return
      }
      case 'delete': {
        const { of, object, unless, why } = action
        const { name, namespace, uid } = object.metadata
        if (unless?.kind === 'address') await this.#mustBeFree(unless, signal)
        else if (unless !== undefined && (await this.#exists(unless, signal))) return
        try {
          const path = pathOf(WATCHED[of], { namespace, name })
          await client.request({ method: 'DELETE', path, body: { preconditions: { uid } }, signal })
          log.info({ object: keyOf(object) }, `${describe(action)}: ${why}`)
        } catch (error) {
          if (!isApiError(error, 'API_NOT_FOUND')) throw error
        }
        return
      }
      case 'event':
        await events.write(action.event, signal)
        return
      default:
        action satisfies never
    }
  }

  /**
   * Throws InUse while a pod of the node has the address or may get it: its status or an annotation names it. One that has ended has given it up; one that
   * was deleted by force isn't there any more.
   */
  async #mustBeFree({ node, address }: Extract<Existence, { kind: 'address' }>, signal: AbortSignal): Promise<void> {
    const query = { fieldSelector: `spec.nodeName=${node}` }
    const { items } = await this.#options.client.request<{ readonly items: readonly PodObject[] }>({
      method: 'GET',
      path: pathOf(PODS),
      query,
      signal,
    })
    const user = items.find(
      (pod) => pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed' && names(pod, address),
    )
    if (user !== undefined) throw new InUse(`pod ${keyOf(user)} of node ${node} has ${address}`)
  }

  async #exists(wanted: Exclude<Existence, { kind: 'address' }>, signal: AbortSignal): Promise<boolean> {
    const path =
      wanted.kind === 'node'
        ? pathOf(WATCHED.nodes, { name: wanted.name })
        : pathOf(PODS, { namespace: wanted.namespace, name: wanted.name })
    try {
      const object = await this.#options.client.request<KubeObject>({ method: 'GET', path, signal })
      return wanted.kind === 'node' || uidsOf(object).includes(wanted.uid)
    } catch (error) {
      if (isApiError(error, 'API_NOT_FOUND')) return false
      throw error
    }
  }
}

interface PodObject extends KubeObject {
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip: string }[] }
}

function names({ metadata, status }: PodObject, address: string): boolean {
  const { namespace = '', name, annotations = {} } = metadata
  const asked = addressesOfPod({ namespace, name, annotations })
  const allowed = allowedAddressesOfPod({ namespace, name, annotations })
  return (
    status?.podIPs?.some(({ ip }) => ip === address) === true ||
    (asked.ok && asked.addresses.includes(address)) ||
    (allowed.ok && allowed.addresses.includes(address)) ||
    // Those of second interfaces: what is asked of a meta plugin, and what it tells.
    Object.values(annotations).some((text) => text.includes(`"${address}"`) || text.includes(`"${address}/`))
  )
}

/** Uids that a runtime may know a pod by: of a static pod the kubelet's, which the API server's object tells in annotations. */
export function uidsOf({ metadata: { uid, annotations = {} } }: KubeObject): string[] {
  return [uid, annotations['kubernetes.io/config.mirror'], annotations['kubernetes.io/config.hash']].flatMap(
    (one) => one ?? [],
  )
}

function subjectOf(action: Action): string {
  const { of, object } = action.type === 'event' ? action.event : action
  return `${of} ${keyOf(object)}`
}

function identityOf(action: Action): string {
  switch (action.type) {
    case 'event':
      return `event ${action.event.object.metadata.uid} ${action.event.reason}`
    case 'patch':
      return `patch ${action.of}/${action.subresource ?? ''} ${keyOf(action.object)}`
    case 'create':
    case 'delete':
      return `${action.type} ${action.of} ${keyOf(action.object)}`
    default:
      return action satisfies never
  }
}

function describe(action: Action): string {
  switch (action.type) {
    case 'event':
      return `write an event about ${action.event.of} ${keyOf(action.event.object)}`
    case 'patch':
      return `change ${action.of} ${keyOf(action.object)}${action.subresource === undefined ? '' : ` (${action.subresource})`}`
    case 'create':
    case 'delete':
      return `${action.type} ${action.of} ${keyOf(action.object)}`
    default:
      return action satisfies never
  }
}
