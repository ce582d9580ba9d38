/**
 * Requests to the API server: the right address and credentials, a time limit for everything, and the answer as JSON or as an
 * ApiError. Retries only what can't do harm: on another address what no server has seen, once with a renewed token after 401,
 * after `Retry-After` what the server put off.
 */
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { Credentials, type CredentialsOptions } from './credentials.ts'
import { Endpoints } from './endpoints.ts'
import { ApiError, statusError } from './errors.ts'
import { type Exchange, type ExchangeFailure, Transport } from './transport.ts'

export interface ApiClientOptions extends CredentialsOptions {
  /** File that keeps the addresses of the API servers over restarts; absent: they are found again. */
  readonly endpointsFile?: string
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export interface ApiRequest {
  readonly method: Exchange['method']
  readonly path: string
  readonly query?: Query
  /** Sent as JSON. */
  readonly body?: unknown
  /** Default `application/json`; patches have types of their own (PATCH_TYPES). */
  readonly contentType?: string
  /** Default `application/json`. */
  readonly accept?: string
  /** Everything included, retries too. Default 30 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

export const PATCH_TYPES = {
  apply: 'application/apply-patch+yaml',
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const

const TIMEOUT_MS = 30_000
const LARGEST_ANSWER = 256 * 1024 * 1024
const unzip = promisify(gunzip)

export class ApiClient implements Disposable {
  readonly endpoints: Endpoints
  readonly #credentials: Credentials
  readonly #transport = new Transport()
  #answeredAt: number | undefined

  /** Touches neither disk nor network, but for the remembered addresses. */
  constructor(options: ApiClientOptions) {
    this.#credentials = new Credentials(options)
    this.endpoints = new Endpoints(options.endpointsFile)
  }

  /** Throws CREDENTIALS_UNUSABLE. */
  checkCredentials(): void {
    this.#credentials.current()
  }

  /** When a server last answered anything (performance.now); undefined: never yet. */
  get answeredAt(): number | undefined {
    return this.#answeredAt
  }

  /** The answer's JSON. Throws ApiError; API_UNREACHABLE when there was none within `timeoutMs`. */
  async request<T>(request: ApiRequest): Promise<T> {
    const { timeoutMs = TIMEOUT_MS } = request
    using limit = new TimeLimit(timeoutMs, request.signal)
    for (;;) {
      const response = await this.#exchange(request, limit)
      const text = await readText(response, attemptOf(request), limit.signal)
      if (isSuccess(response)) return parseAnswer<T>(attemptOf(request), text)
      const error = errorOf(attemptOf(request), response, text)
      const wait = error.retryAfterMs
      if (wait === undefined || !limit.allows(wait) || !isPutOff(error)) throw error
      await sleep(wait * (1 + Math.random() / 2), undefined, { signal: limit.signal }).catch(() => {
        throw error
      })
    }
  }

  /**
   * A stream such as a watch: resolves with the answer when its headers are there, within `timeoutMs`; `signal` ends it at any time.
   * It has a connection of its own.
   */
  async stream(request: ApiRequest & { readonly signal: AbortSignal }): Promise<IncomingMessage> {
    const limit = new TimeLimit(request.timeoutMs ?? TIMEOUT_MS, request.signal)
    try {
      const response = await this.#exchange(request, limit, true)
      if (isSuccess(response)) {
        limit.stop()
        response.on('close', () => limit[Symbol.dispose]())
        return response
      }
      throw errorOf(attemptOf(request), response, await readText(response, attemptOf(request), limit.signal))
    } catch (error) {
      limit[Symbol.dispose]()
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]()
  }

  /** The first answer that isn't 401 with a token that has become old. */
  async #exchange(request: ApiRequest, limit: TimeLimit, isStream = false): Promise<IncomingMessage> {
    const response = await this.#tryEndpoints(request, limit, isStream)
    if (response.statusCode !== 401 || !this.#credentials.reread()) return response
    response.resume()
    return await this.#tryEndpoints(request, limit, isStream)
  }

  async #tryEndpoints(request: ApiRequest, limit: TimeLimit, isStream: boolean): Promise<IncomingMessage> {
    const access = this.#credentials.current()
    const endpoints = this.endpoints.all(access)
    const exchange: Exchange = {
      method: request.method,
      path: `${request.path}${queryText(request.query)}`,
      headers: {
        accept: request.accept ?? 'application/json',
        ...(isStream ? {} : { 'accept-encoding': 'gzip' }),
        ...(request.body !== undefined && { 'content-type': request.contentType ?? 'application/json' }),
      },
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
      signal: limit.signal,
      connectTimeoutMs: endpoints.length > 1 ? 1000 : 5000,
      isOwnConnection: isStream,
    }
    let failure: unknown
    for (const endpoint of endpoints) {
      // A connection that was kept may have been closed by the server meanwhile: that says nothing about the server. All that we send
      // may be sent twice.
      for (let attempt = 0; attempt < 3; attempt++) {
        try {
          const response = await this.#transport.send(access, endpoint, exchange)
          this.#answeredAt = performance.now()
          this.endpoints.worked(endpoint)
          return response
        } catch (error) {
          failure = error
          if (request.signal?.aborted === true) throw error
          const { isSent, isReused } = (error as ApiError).cause as ExchangeFailure
          if (isReused && !limit.signal.aborted) continue
          if (limit.signal.aborted || isSent) {
            this.endpoints.failed(endpoint)
            throw error
          }
          break
        }
      }
      this.endpoints.failed(endpoint)
    }
    throw failure
  }
}

/** A time limit that may be lifted, joined to the caller's signal. */
class TimeLimit implements Disposable {
  readonly #end: number
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #outer: AbortSignal | undefined
  readonly #onAbort = () => this.#controller.abort(this.#outer!.reason)

  constructor(timeoutMs: number, outer?: AbortSignal) {
    this.#end = performance.now() + timeoutMs
    this.#timer = setTimeout(() => this.#controller.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    this.#outer = outer
    if (outer?.aborted === true) this.#onAbort()
    outer?.addEventListener('abort', this.#onAbort)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether that many milliseconds are left. */
  allows(ms: number): boolean {
    return performance.now() + ms < this.#end
  }

  /** Only the outer signal counts from here on. */
  stop(): void {
    clearTimeout(this.#timer)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#outer?.removeEventListener('abort', this.#onAbort)
  }
}

function attemptOf({ method, path }: ApiRequest): string {
  return `${method} ${path}`
}

function queryText(query: Query = {}): string {
  const pairs = Object.entries(query).flatMap(([key, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(key)}=${encodeURIComponent(value)}`],
  )
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}

function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300
}

/** The server did nothing yet and said when to come again. */
function isPutOff(error: ApiError): boolean {
  return error.code === 'API_BUSY' || error.status === 503
}

function errorOf(attempted: string, { statusCode = 0, headers }: IncomingMessage, text: string): ApiError {
  let body: unknown = text
  try {
    body = JSON.parse(text)
  } catch {
    // A proxy's page, or nothing: the text will do.
  }
  const seconds = Number(headers['retry-after'])
  const fallback = statusCode === 429 ? 1000 : undefined
  const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 60) * 1000 : fallback
  return statusError(attempted, statusCode, body, retryAfterMs)
}

async function readText(response: IncomingMessage, attempted: string, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length > LARGEST_ANSWER) throw new RangeError(`more than ${LARGEST_ANSWER} bytes`)
    }
    const body = Buffer.concat(chunks)
    const isPacked = response.headers['content-encoding'] === 'gzip'
    return (isPacked ? await unzip(body, { maxOutputLength: LARGEST_ANSWER }) : body).toString('utf8')
  } catch (cause) {
    const { message } = (signal.aborted ? signal.reason : cause) as Error
    throw new ApiError('API_UNREACHABLE', `${attempted}: the answer broke off: ${message}`, { cause })
  }
}

function parseAnswer<T>(attempted: string, text: string): T {
  try {
    return JSON.parse(text) as T
  } catch (cause) {
    throw new ApiError('API_GARBLED', `${attempted}: the answer is not JSON: ${text.slice(0, 80)}`, { cause })
  }
}
