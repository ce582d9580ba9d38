/**
 * Which of several replicas leads: who holds the lease. A leader that can't renew it in time stops before another may begin, by its own
 * clock alone, and then stands by. Times of others' clocks are never compared: a lease is over when it hasn't changed for its duration.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiClient } from '../kubernetes/client.ts'
import { isApiError } from '../kubernetes/errors.ts'
import { pathOf } from '../kubernetes/objects.ts'
import { briefly, type Log } from '../log.ts'
import { LEASES } from './resources.ts'

export interface ElectionOptions {
  readonly client: Pick<ApiClient, 'request'>
  readonly log: Log
  readonly namespace: string
  readonly name: string
  readonly identity: string
  readonly durationMs: number
  /** Leadership began or ended. */
  readonly onChange: (isLeader: boolean) => void
  readonly random?: () => number
}

interface Lease {
  readonly metadata: { readonly resourceVersion?: string } & Readonly<Record<string, unknown>>
  readonly spec?: LeaseSpec
}

interface LeaseSpec {
  readonly holderIdentity?: string
  readonly leaseDurationSeconds?: number
  readonly acquireTime?: string
  readonly renewTime?: string
  readonly leaseTransitions?: number
}

export class Election implements AsyncDisposable {
  readonly #options: ElectionOptions
  readonly #abort = new AbortController()
  #run: Promise<void> | undefined
  /** Monotonic: when the renewal that holds now was asked for. */
  #renewedAt: number | undefined
  #session: AbortController | undefined
  #seen: { readonly version: string | undefined; readonly at: number } | undefined
  #holder = ''
  #expiry: NodeJS.Timeout | undefined
  #lastProblem = ''

  constructor(options: ElectionOptions) {
    this.#options = options
  }

  /** Whether this replica may write now. */
  get isLeader(): boolean {
    return this.#session !== undefined && this.#isInTime(performance.now())
  }

  /** Aborted when the leadership that began last ends. */
  get session(): AbortSignal {
    return this.#session?.signal ?? AbortSignal.abort(new Error('not the leader'))
  }

  /** Who leads, as far as is known. */
  get holder(): string {
    return this.#holder
  }

  start(): void {
    this.#run = this.#loop()
  }

  /** Gives the lease up, so that another needn't wait for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('stopped'))
    await this.#run
    const wasLeader = this.isLeader
    this.#lose('stopping')
    if (wasLeader) await this.#release().catch(() => undefined)
  }

  /** A leader must have stopped for a while before the lease is over. */
  get #deadlineMs(): number {
    return (this.#options.durationMs * 2) / 3
  }

  #isInTime(now: number): boolean {
    return this.#renewedAt !== undefined && now - this.#renewedAt < this.#deadlineMs
  }

  async #loop(): Promise<void> {
    const { durationMs, random = Math.random } = this.#options
    const { signal } = this.#abort
    while (!signal.aborted) {
      const askedAt = performance.now()
      try {
        const isOurs = await this.#tryLease()
        this.#lastProblem = ''
        if (isOurs) this.#keep(askedAt)
        else this.#lose(`${this.#holder} leads`)
      } catch (error) {
        if (signal.aborted) return
        this.#failed(error as Error)
      }
      // An eighth of the duration: some attempts fit before the deadline. Jitter keeps replicas apart.
      const wait = (durationMs / 8) * (0.8 + random() * 0.4)
      await sleep(wait, undefined, { signal }).catch(() => undefined)
    }
  }

  #failed(error: Error): void {
    if (error.message !== this.#lastProblem) {
      this.#options.log.warn({ ...briefly(error) }, `cannot ask for the lease: ${error.message}`)
      this.#lastProblem = error.message
    }
    if (this.#session !== undefined && !this.#isInTime(performance.now())) this.#lose('the lease could not be renewed')
  }

  #keep(askedAt: number): void {
    this.#renewedAt = askedAt
    clearTimeout(this.#expiry)
    this.#expiry = setTimeout(() => this.#lose('the lease could not be renewed in time'), this.#deadlineMs)
    this.#expiry.unref()
    if (this.#session !== undefined) return
    this.#session = new AbortController()
    this.#options.log.info({ identity: this.#options.identity }, 'leads from now on')
    this.#options.onChange(true)
  }

  #lose(reason: string): void {
    clearTimeout(this.#expiry)
    this.#renewedAt = undefined
    if (this.#session === undefined) return
    this.#session.abort(new Error(`leads no more: ${reason}`))
    this.#session = undefined
    this.#options.log.warn({ identity: this.#options.identity }, `leads no more: ${reason}`)
    this.#options.onChange(false)
  }

  /** Whether the lease is ours now. */
  async #tryLease(): Promise<boolean> {
    const { namespace, name, identity } = this.#options
    let lease: Lease
    try {
      lease = await this.#request<Lease>('GET', pathOf(LEASES, { namespace, name }))
    } catch (error) {
      if (!isApiError(error, 'API_NOT_FOUND')) throw error
      const metadata = { name, namespace }
      const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: this.#spec({}) }
      return await this.#write('POST', pathOf(LEASES, { namespace }), body)
    }
    const { spec = {}, metadata } = lease
    this.#holder = spec.holderIdentity ?? ''
    if (this.#holder !== identity && this.#holder !== '' && !this.#isOver(lease)) return false
    return await this.#write('PUT', pathOf(LEASES, { namespace, name }), { ...lease, metadata, spec: this.#spec(spec) })
  }

  #isOver({ metadata: { resourceVersion }, spec = {} }: Lease): boolean {
    const now = performance.now()
    if (this.#seen?.version !== resourceVersion) this.#seen = { version: resourceVersion, at: now }
    const durationMs = (spec.leaseDurationSeconds ?? 0) * 1000 || this.#options.durationMs
    return now - this.#seen!.at > durationMs
  }

  #spec(before: LeaseSpec): LeaseSpec {
    const { identity, durationMs } = this.#options
    const now = new Date().toISOString().replace('Z', '000Z')
    const isSame = before.holderIdentity === identity
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: (isSame && before.acquireTime) || now,
      renewTime: now,
      leaseTransitions: (before.leaseTransitions ?? 0) + (isSame ? 0 : 1),
    }
  }

  async #write(method: 'POST' | 'PUT', path: string, body: object): Promise<boolean> {
    try {
      await this.#request(method, path, body)
      this.#holder = this.#options.identity
      return true
    } catch (error) {
      // Another one was faster.
      if (isApiError(error, 'API_CONFLICT')) return false
      throw error
    }
  }

  #request<T>(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<T> {
    const timeoutMs = this.#options.durationMs / 4
    return this.#options.client.request<T>({ method, path, body, timeoutMs, signal: this.#abort.signal })
  }

  async #release(): Promise<void> {
    const { client, namespace, name, identity } = this.#options
    const path = pathOf(LEASES, { namespace, name })
    const lease = await client.request<Lease>({ method: 'GET', path, timeoutMs: 2000 })
    if (lease.spec?.holderIdentity !== identity) return
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 }
    await client.request({ method: 'PUT', path, body: { ...lease, spec }, timeoutMs: 2000 })
  }
}
