/**
 * Keeps a handler in step with all objects of one resource: lists them in pages, then watches from there on, for ever. A watch that ends
 * is resumed where it stood; everything is listed again only when the server no longer knows that version, or when resuming keeps failing.
 * Failures are waited out; nothing that was known is ever taken back because of one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { BackOff, type BackOffOptions } from '../ground/back-off.ts'
import { Pace } from '../ground/pace.ts'
import type { Log } from '../log.ts'
import { API_BACK_OFF } from './api-back-off.ts'
import type { ApiClient, Query } from './client.ts'
import { ApiError, isApiError } from './errors.ts'
import { isKubeObject, type KubeObject, pathOf, type Resource, resourceName } from './objects.ts'
import { watch } from './watch.ts'

/** Called one after the other, never at the same time. */
export interface Handler {
  /** A list begins: what isn't `listed` until `endList` doesn't exist any more. A list that breaks off is begun again. */
  beginList(): void
  listed(object: KubeObject): void
  /** `resourceVersion`: as of which the list is. */
  endList(resourceVersion: string): void
  changed(object: KubeObject): void
  removed(object: KubeObject): void
  /** What prevents the reflector from following; undefined: nothing (any more). */
  onProblem?(problem: ApiError | undefined): void
  /** After each piece of the above that belongs together. */
  onFlush?(): void
}

export interface ReflectorOptions {
  readonly client: ApiClient
  readonly resource: Resource
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly handler: Handler
  readonly log: Log
  /** Objects of a page; default 500. */
  readonly pageSize?: number
  /** Milliseconds of silence after which a watch is taken for dead; default 90 s (bookmarks come every minute). */
  readonly idleMs?: number
  /** Milliseconds that a page may take; default 30 s. */
  readonly pageTimeoutMs?: number
  /** Milliseconds that a kind must be unknown to the server before it counts as not installed; default 3 s. */
  readonly missingMs?: number
  /** Milliseconds after which a kind that isn't installed yet is asked for again, at the latest; default 5 s. */
  readonly longestMissingMs?: number
  readonly backOff?: BackOffOptions
}

const DEFAULT_PAGE_SIZE = 500

interface Page {
  readonly metadata?: { readonly resourceVersion?: unknown; readonly continue?: unknown }
  readonly items?: unknown
}

/** A watch that lived so long was in order, however it ended, milliseconds. */
const SOUND_WATCH_MS = 10_000
/** Failures in a row after which everything is listed again, if the server answers at all. */
const RESUME_ATTEMPTS = 5
/** A new list of everything waits up to so long for each object of the last one, and at most so long, milliseconds. */
const SPREAD_MS = 0.2
const LONGEST_SPREAD_MS = 30_000

export class Reflector implements AsyncDisposable {
  readonly #options: ReflectorOptions
  readonly #path: string
  readonly #abort = new AbortController()
  readonly #backOff: BackOff
  readonly #synced = Promise.withResolvers<void>()
  #pageSize: number
  /** Objects of the last whole list. */
  #size = 0
  #resourceVersion: string | undefined
  #isSynced = false
  #missingSince: number | undefined
  #isWatching = false
  #run: Promise<void> | undefined

  constructor(options: ReflectorOptions) {
    this.#options = options
    this.#path = pathOf(options.resource, { namespace: options.namespace })
    this.#backOff = new BackOff(options.backOff ?? API_BACK_OFF)
    this.#pageSize = options.pageSize ?? DEFAULT_PAGE_SIZE
  }

  /** Begins; called once. */
  start(): void {
    this.#run = this.#loop()
  }

  /** Resolves after the first whole list, or when the kind turns out not to be installed (so there are no objects of it). */
  get synced(): Promise<void> {
    return this.#synced.promise
  }

  get isSynced(): boolean {
    return this.#isSynced
  }

  /** Whether word of changes comes in at present. */
  get isWatching(): boolean {
    return this.#isWatching
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('stopped'))
    await this.#run
  }

  async #loop(): Promise<void> {
    const { signal } = this.#abort
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list()
        await this.#watch(this.#resourceVersion!)
      } catch (error) {
        if (signal.aborted) return
        await sleep(this.#failed(error), undefined, { signal }).catch(() => undefined)
      }
    }
  }

  /** Takes note of a failure; milliseconds until the next attempt. */
  #failed(error: unknown): number {
    const { log, handler, resource, missingMs = 3000, longestMissingMs = 5000 } = this.#options
    const failure =
      error instanceof ApiError
        ? error
        : new ApiError('API_GARBLED', `${resourceName(resource)}: ${(error as Error).message}`, { cause: error })
    const wait = this.#backOff.next()
    const isGone = failure.code === 'API_GONE' || failure.code === 'API_NOT_FOUND' || failure.code === 'API_INVALID'
    const isAnswer = failure.code === 'API_GARBLED' || failure.code === 'API_FAILED'
    // A server that was away is asked where we stood: all nodes at once want all lists else.
    if (isGone || (isAnswer && this.#backOff.failures >= RESUME_ATTEMPTS)) this.#resourceVersion = undefined
    log.debug({ resource: resourceName(resource), code: failure.code, waitMs: Math.round(wait) }, failure.message)
    handler.onProblem?.(failure)
    if (failure.code !== 'API_NOT_FOUND') this.#missingSince = undefined
    else {
      this.#missingSince ??= performance.now()
      // The kind isn't installed yet, so there are no objects of it. A server that is just starting may say so too.
      if (performance.now() - this.#missingSince > missingMs) this.#inSync()
    }
    handler.onFlush?.()
    if (failure.code === 'API_NOT_FOUND') return Math.min(wait, longestMissingMs)
    // A server that has just started has forgotten what all nodes stand at: large lists must not all be asked for at once.
    const spread = failure.code === 'API_GONE' ? Math.random() * Math.min(LONGEST_SPREAD_MS, this.#size * SPREAD_MS) : 0
    return Math.max(wait + spread, failure.retryAfterMs ?? 0)
  }

  async #list(): Promise<void> {
    const { client, handler, resource, pageTimeoutMs = 30_000 } = this.#options
    const attempted = `list of ${resourceName(resource)}`
    const pace = new Pace()
    let token: string | undefined
    let version: string | undefined
    let size = 0
    do {
      const page: Page | null = await this.#page(client, token, pageTimeoutMs)
      const { items, metadata } = page ?? {}
      const { resourceVersion, continue: next } = metadata ?? {}
      if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
        throw new ApiError('API_GARBLED', `${attempted}: the answer is not a list`)
      }
      if (version === undefined) handler.beginList()
      // The whole list is as of its first page.
      version ??= resourceVersion
      for (const item of items as unknown[]) {
        if (!isKubeObject(item)) throw new ApiError('API_GARBLED', `${attempted}: an item has no name`)
        handler.listed(item)
        size++
        if (pace.isDue) await pace.rest()
      }
      token = typeof next === 'string' && next !== '' ? next : undefined
    } while (token !== undefined)
    handler.endList(version)
    this.#resourceVersion = version
    this.#size = size
    this.#pageSize = this.#options.pageSize ?? DEFAULT_PAGE_SIZE
    this.#inSync()
    handler.onFlush?.()
  }

  async #page(client: ApiClient, token: string | undefined, timeoutMs: number): Promise<Page | null> {
    const { signal } = this.#abort
    try {
      const query = { ...this.#selectors(), limit: this.#pageSize, continue: token }
      return await client.request<Page | null>({ method: 'GET', path: this.#path, query, timeoutMs, signal })
    } catch (error) {
      // The list took longer than the server keeps its version: fewer and larger pages then.
      if (token !== undefined && isApiError(error, 'API_GONE')) this.#pageSize *= 4
      throw error
    }
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { client, handler, idleMs = 90_000 } = this.#options
    const startedAt = performance.now()
    let hasEvents = false
    try {
      await watch(client, {
        path: this.#path,
        query: this.#selectors(),
        resourceVersion,
        signal: this.#abort.signal,
        idleMs,
        onOpen: () => {
          this.#isWatching = true
          handler.onProblem?.(undefined)
          handler.onFlush?.()
        },
        onEvent: (event) => {
          if (!hasEvents) this.#backOff.reset()
          hasEvents = true
          if (event.type === 'BOOKMARK') {
            this.#resourceVersion = event.resourceVersion
            return
          }
          if (event.type === 'DELETED') handler.removed(event.object)
          else handler.changed(event.object)
          this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion
          handler.onFlush?.()
        },
      })
    } finally {
      this.#isWatching = false
      if (performance.now() - startedAt > SOUND_WATCH_MS) this.#backOff.reset()
    }
    if (hasEvents || performance.now() - startedAt > SOUND_WATCH_MS) return
    throw new ApiError('API_FAILED', `watch of ${this.#path}: ended at once`)
  }

  #selectors(): Query {
    const { labelSelector, fieldSelector } = this.#options
    return { labelSelector, fieldSelector }
  }

  #inSync(): void {
    this.#isSynced = true
    this.#synced.resolve()
  }
}
