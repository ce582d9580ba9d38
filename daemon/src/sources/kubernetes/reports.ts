/**
 * Tells operators through the API server: Events, and for pods without a network a condition. Repeated reports are one Event with a
 * count; what can't be told in time is dropped: these are words, not state.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ApiClient, PATCH_TYPES } from '../../kubernetes/client.ts'
import { isApiError } from '../../kubernetes/errors.ts'
import { pathOf } from '../../kubernetes/objects.ts'
import type { Log } from '../../log.ts'
import { HOME_NAMESPACE } from '../../model/names.ts'
import type { Report } from '../../model/objects.ts'
import type { Cluster } from './cluster.ts'
import { NETWORK_CONDITION } from './pods.ts'
import { EVENTS, PODS } from './resources.ts'

export interface ReporterOptions {
  readonly client: ApiClient
  readonly cluster: Cluster
  readonly node: string
  readonly log: Log
  /** Milliseconds between two repetitions of one report; default 60 s. */
  readonly repeatMs?: number
  /** Events per second in the long run; default 2. A burst of 20 goes out at once. */
  readonly rate?: number
}

const CONTROLLER = 'vrouter.dev/vrouter'
const BURST = 20
/** Reports that are remembered, to count repetitions. */
const REMEMBERED = 500
/** As the API allows (1024 bytes). */
const LONGEST_MESSAGE = 1000
const TIMEOUT_MS = 5000
/** What is being told at the end may take so long, milliseconds: the last words of a daemon that can't go on are worth most. */
const LAST_WORDS_MS = 1000

interface Told {
  /** Name of the Event object. */
  readonly name: string
  report: Report
  count: number
  readonly firstAt: Date
  lastAt: Date
  isCreated: boolean
  toldAt: number
  toldCount: number
}

export class Reporter implements AsyncDisposable {
  readonly #options: ReporterOptions
  /** Least recently used first. */
  readonly #told = new Map<string, Told>()
  readonly #conditions = new Map<string, Report>()
  readonly #abort = new AbortController()
  #tokens = BURST
  #refilledAt = performance.now()
  #work: Promise<void> | undefined

  constructor(options: ReporterOptions) {
    this.#options = options
  }

  report(report: Report): void {
    if (this.#abort.signal.aborted) return
    const key = JSON.stringify([report.object, report.type, report.reason, report.message])
    const now = new Date()
    const before = this.#told.get(key)
    this.#told.delete(key)
    if (before === undefined) {
      const hash = createHash('sha256').update(`${key}${this.#options.node}${now.getTime()}`).digest('hex').slice(0, 16)
      const name = `${report.object.name.slice(0, 200)}.${hash}`
      const fresh = { name, report, count: 1, firstAt: now, lastAt: now, isCreated: false, toldAt: 0, toldCount: 0 }
      this.#told.set(key, fresh)
      for (const oldest of this.#told.keys()) {
        if (this.#told.size <= REMEMBERED) break
        this.#told.delete(oldest)
      }
    } else {
      before.count++
      before.lastAt = now
      this.#told.set(key, before)
    }
    if (report.object.kind === 'Pod') this.#noteCondition(report)
    this.#work ??= this.#tellAll().finally(() => {
      this.#work = undefined
    })
  }

  /** The pod has a network now: a condition that says otherwise is put right. */
  podWorks(pod: { readonly namespace: string; readonly name: string; readonly uid: string }): void {
    const isBroken = this.#options.cluster.pod(pod.uid)?.isReportedBroken === true || this.#conditions.has(pod.uid)
    if (!isBroken || this.#abort.signal.aborted) return
    const object = { kind: 'Pod', ...pod } as const
    this.#conditions.set(pod.uid, {
      object,
      type: 'Normal',
      reason: 'NetworkReady',
      message: 'the pod has its network',
    })
    this.#work ??= this.#tellAll().finally(() => {
      this.#work = undefined
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#work !== undefined) {
      const patience = new AbortController()
      await Promise.race([this.#work, sleep(LAST_WORDS_MS, undefined, { signal: patience.signal })])
      patience.abort()
    }
    this.#abort.abort()
    await this.#work
  }

  #noteCondition(report: Report): void {
    if (report.object.kind !== 'Pod' || report.type !== 'Warning' || report.isWorking === true) return
    const before = this.#conditions.get(report.object.uid)
    if (before?.message === report.message && before.type === report.type) return
    this.#conditions.set(report.object.uid, report)
    for (const oldest of this.#conditions.keys()) {
      if (this.#conditions.size <= REMEMBERED) break
      this.#conditions.delete(oldest)
    }
  }

  async #tellAll(): Promise<void> {
    const { signal } = this.#abort
    const { repeatMs = 60_000, log } = this.#options
    for (;;) {
      const now = performance.now()
      const due = [...this.#told.values()].filter(
        (told) => told.count > told.toldCount && (!told.isCreated || now - told.toldAt > repeatMs),
      )
      const conditions = [...this.#conditions]
      if (due.length === 0 && conditions.length === 0) return
      try {
        for (const [uid, report] of conditions) {
          await this.#token()
          await this.#setCondition(report)
          if (this.#conditions.get(uid) === report) this.#conditions.delete(uid)
        }
        for (const told of due) {
          await this.#token()
          await this.#tell(told)
        }
      } catch (error) {
        if (signal.aborted) return
        log.debug({ reason: (error as Error).message }, 'a report could not be told')
        // A refusal won't change; a server that is away is worth one more try.
        if (!isApiError(error, 'API_UNREACHABLE', 'API_BUSY', 'API_FAILED')) {
          for (const told of due) told.toldCount = told.count
          for (const [uid] of conditions) this.#conditions.delete(uid)
          continue
        }
        await sleep(5000 + Math.random() * 5000, undefined, { signal, ref: false }).catch(() => undefined)
        if (signal.aborted) return
      }
    }
  }

  /** Waits for its turn. */
  async #token(): Promise<void> {
    const { rate = 2 } = this.#options
    const now = performance.now()
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#refilledAt) / 1000) * rate)
    this.#refilledAt = now
    this.#tokens--
    if (this.#tokens < 0)
      await sleep((-this.#tokens / rate) * 1000, undefined, { signal: this.#abort.signal, ref: false })
  }

  async #tell(told: Told): Promise<void> {
    const { client, node } = this.#options
    const { report, name, count, firstAt, lastAt, isCreated } = told
    const { object, type, reason, message } = report
    const namespace = object.kind === 'Pod' ? object.namespace : HOME_NAMESPACE
    const path = pathOf(EVENTS, { namespace })
    const common = { timeoutMs: TIMEOUT_MS, signal: this.#abort.signal }
    const times = { count, lastTimestamp: second(lastAt) }
    if (isCreated) {
      await client.request({
        ...common,
        method: 'PATCH',
        path: `${path}/${encodeURIComponent(name)}`,
        contentType: PATCH_TYPES.merge,
        body: times,
      })
    } else {
      const body = {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name, namespace },
        involvedObject: this.#reference(report),
        type,
        reason,
        message: message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}…` : message,
        firstTimestamp: second(firstAt),
        ...times,
        source: { component: 'vrouter', host: node },
        reportingComponent: CONTROLLER,
        reportingInstance: node,
      }
      try {
        await client.request({ ...common, method: 'POST', path, body })
      } catch (error) {
        if (!isApiError(error, 'API_CONFLICT')) throw error
      }
    }
    told.isCreated = true
    told.toldAt = performance.now()
    told.toldCount = count
  }

  #reference({ object }: Report) {
    const { cluster } = this.#options
    const { kind, name } = object
    if (object.kind === 'Node') return { apiVersion: 'v1', kind, name, uid: cluster.nodeUid ?? name }
    return {
      apiVersion: 'v1',
      kind,
      name,
      namespace: object.namespace,
      uid: cluster.pod(object.uid)?.uid ?? object.uid,
    }
  }

  async #setCondition({ object, type, reason, message }: Report): Promise<void> {
    if (object.kind !== 'Pod') return
    const { client, cluster } = this.#options
    const { namespace, name, uid } = object
    const condition = {
      type: NETWORK_CONDITION,
      status: type === 'Warning' ? 'False' : 'True',
      reason,
      message,
      lastTransitionTime: second(new Date()),
    }
    const body = { metadata: { uid: cluster.pod(uid)?.uid ?? uid }, status: { conditions: [condition] } }
    try {
      await client.request({
        method: 'PATCH',
        path: pathOf(PODS, { namespace, name, subresource: 'status' }),
        contentType: PATCH_TYPES.strategic,
        body,
        timeoutMs: TIMEOUT_MS,
        signal: this.#abort.signal,
      })
    } catch (error) {
      // The pod is gone, or another one has its name.
      if (!isApiError(error, 'API_NOT_FOUND', 'API_CONFLICT')) throw error
    }
  }
}

/** As `metav1.Time` is written. */
function second(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}
