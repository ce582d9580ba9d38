/** Events about objects: one for each (object, reason, message), told again now and then while it lasts. */
import { createHash } from 'node:crypto'
import { type ApiClient, PATCH_TYPES } from '../kubernetes/client.ts'
import { isApiError, isNamespaceLeaving } from '../kubernetes/errors.ts'
import { pathOf } from '../kubernetes/objects.ts'
import type { Event } from './actions.ts'
import { EVENTS, KINDS, WATCHED } from './resources.ts'

/** Kubernetes forgets events after an hour. */
const REPEAT_MS = 30 * 60_000
const MOST_KNOWN = 20_000
/** Events a second, and at once: there may be thousands of conflicts. */
const RATE = 10
const BURST = 100

export class EventWriter {
  readonly #client: Pick<ApiClient, 'request'>
  readonly #identity: string
  readonly #known = new Map<string, { at: number; count: number; readonly first: string }>()
  #tokens = BURST
  #refilledAt = performance.now()

  constructor(client: Pick<ApiClient, 'request'>, identity: string) {
    this.#client = client
    this.#identity = identity
  }

  /** Whether the event is due; takes it from the rate if so. */
  isDue(event: Event, now = performance.now()): boolean {
    const known = this.#known.get(nameOf(event))
    if (known !== undefined && (event.isOnce === true || now - known.at < REPEAT_MS)) return false
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#refilledAt) / 1000) * RATE)
    this.#refilledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  async write(event: Event, signal: AbortSignal): Promise<void> {
    const name = nameOf(event)
    const time = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
    const known = this.#known.get(name)
    const { count = 0, first = time } = known ?? {}
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    const namespace = namespaceOf(event)
    if (known !== undefined) {
      try {
        await this.#patch(namespace, name, { count: count + 1, lastTimestamp: time }, signal)
        this.#known.set(name, { at: performance.now(), count: count + 1, first })
        return
      } catch (error) {
        if (!isApiError(error, 'API_NOT_FOUND')) throw error
      }
    }
    try {
      const body = this.#eventOf(event, namespace, name, time)
      await this.#client.request({ method: 'POST', path: pathOf(EVENTS, { namespace }), body, signal })
    } catch (error) {
      // The leader before us told it already.
      if (isApiError(error, 'API_CONFLICT')) await this.#patch(namespace, name, { lastTimestamp: time }, signal)
      else if (!isNamespaceLeaving(error)) throw error
    }
    this.#known.set(name, { at: performance.now(), count: 1, first: time })
  }

  #patch(namespace: string, name: string, body: object, signal: AbortSignal): Promise<unknown> {
    const path = pathOf(EVENTS, { namespace, name })
    return this.#client.request({ method: 'PATCH', path, body, contentType: PATCH_TYPES.merge, signal })
  }

  #eventOf({ of, object, type, reason, message }: Event, namespace: string, name: string, time: string): object {
    const { group, version } = WATCHED[of]
    const { metadata, apiVersion = group === '' ? version : `${group}/${version}` } = object
    // Events of a namespace belong into it, where people look.
    const subject = of === 'namespaces' ? metadata.name : metadata.namespace
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion,
        kind: KINDS[of],
        name: metadata.name,
        uid: metadata.uid,
        ...(subject !== undefined && { namespace: subject }),
      },
      type,
      reason,
      // The longest that Kubernetes takes.
      message: message.slice(0, 1024),
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
      source: { component: 'vrouter-controller' },
      reportingComponent: 'vrouter.dev/controller',
      reportingInstance: this.#identity.slice(0, 128),
    }
  }
}

function namespaceOf({ of, object: { metadata } }: Event): string {
  return of === 'namespaces' ? metadata.name : (metadata.namespace ?? 'default')
}

function nameOf({ object: { metadata }, reason, message }: Event): string {
  const hash = createHash('sha256').update(`${metadata.uid} ${reason} ${message}`).digest('hex').slice(0, 16)
  return `${metadata.name.slice(0, 230)}.${hash}`
}
