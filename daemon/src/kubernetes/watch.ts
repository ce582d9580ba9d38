/**
 * One watch: events from a version on, until the server ends it or something breaks. A watch on which nothing comes (bookmarks
 * included) for longer than `idleMs` is taken for dead: a connection can break without a word.
 */
import type { ApiClient, Query } from './client.ts'
import { ApiError, isApiError, type StatusObject, statusError } from './errors.ts'
import { Lines } from './lines.ts'
import { isKubeObject, type KubeObject } from './objects.ts'

export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: KubeObject }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string }

export interface WatchOptions {
  readonly path: string
  readonly query: Query
  readonly resourceVersion: string
  readonly signal: AbortSignal
  readonly idleMs: number
  /** The answer's headers are there: the server watches. */
  readonly onOpen?: () => void
  readonly onEvent: (event: WatchEvent) => void
}

/** Watches end by themselves after so long, so that load spreads over the API servers again, seconds. */
const LONGEST_WATCH_S = { min: 300, max: 600 }

/** Resolves when the server ends the watch in order. Throws ApiError: API_GONE when the version is too old to go on from. */
export async function watch(client: ApiClient, options: WatchOptions): Promise<void> {
  const { path, query, resourceVersion, signal, idleMs, onOpen, onEvent } = options
  const { min, max } = LONGEST_WATCH_S
  const timeoutSeconds = Math.round(min + Math.random() * (max - min))
  const attempted = `watch of ${path}`
  const response = await client.stream({
    method: 'GET',
    path,
    query: { ...query, watch: 1, allowWatchBookmarks: true, resourceVersion, timeoutSeconds },
    signal,
  })
  onOpen?.()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const lines = new Lines((line) => onEvent(parseEvent(attempted, line)))
  const idle = setTimeout(() => {
    response.destroy(new ApiError('API_UNREACHABLE', `${attempted}: silent for ${idleMs / 1000} s`))
  }, idleMs)
  response.on('data', (chunk: Buffer) => {
    idle.refresh()
    try {
      lines.add(chunk)
    } catch (error) {
      response.destroy(error as Error)
    }
  })
  response.on('end', () => {
    if (lines.isCut) reject(new ApiError('API_GARBLED', `${attempted}: the last line is cut off`))
    else resolve()
  })
  response.on('error', (cause) => {
    if (isApiError(cause)) reject(cause)
    else reject(new ApiError('API_UNREACHABLE', `${attempted}: broke off: ${cause.message}`, { cause }))
  })
  response.on('close', () => reject(new ApiError('API_UNREACHABLE', `${attempted}: broke off`)))
  try {
    await promise
  } finally {
    clearTimeout(idle)
    response.destroy()
  }
}

function parseEvent(attempted: string, line: string): WatchEvent {
  const garbled = (cause?: unknown) =>
    new ApiError('API_GARBLED', `${attempted}: not an event: ${line.slice(0, 80)}`, { cause })
  let event: { readonly type?: unknown; readonly object?: unknown } | null
  try {
    event = JSON.parse(line) as typeof event
  } catch (cause) {
    throw garbled(cause)
  }
  const { type, object } = event ?? {}
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      if (!isKubeObject(object)) throw garbled()
      return { type, object }
    case 'BOOKMARK': {
      const version = (object as Partial<KubeObject> | undefined)?.metadata?.resourceVersion
      if (typeof version !== 'string') throw garbled()
      return { type, resourceVersion: version }
    }
    case 'ERROR': {
      const { code = 500 } = (object ?? {}) as StatusObject
      throw statusError(attempted, Number(code), object)
    }
    default:
      throw garbled()
  }
}
