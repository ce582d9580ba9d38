/**
 * One HTTP exchange with one API server, over node:https. Bounded in every phase: connecting, and (by the caller's signal) everything
 * after. Connections of requests are kept for the next ones; a watch has its own.
 */
import http from 'node:http'
import https from 'node:https'
import { isIP, type Socket } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import type { Access } from './access.ts'
import type { Endpoint } from './endpoints.ts'
import { ApiError } from './errors.ts'

export interface Exchange {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** With the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends the exchange, its answer included. */
  readonly signal: AbortSignal
  readonly connectTimeoutMs: number
  /** A connection for this exchange alone. */
  readonly isOwnConnection?: boolean
}

const KEEP_ALIVE_MS = 15_000
/** Connections to one server besides watches. Requests that find none free wait for one: shaking hands takes longer than most of them. */
const MOST_SOCKETS = 16

export class Transport implements Disposable {
  #access: Access | undefined
  #secure: https.Agent | undefined
  readonly #connected = new WeakSet<Socket>()
  readonly #plain = new http.Agent({ keepAlive: true, maxSockets: MOST_SOCKETS, maxFreeSockets: MOST_SOCKETS })

  /**
   * Resolves when the headers of the answer are there. Throws API_UNREACHABLE, whose cause is an ExchangeFailure.
   */
  send(access: Access, endpoint: Endpoint, exchange: Exchange): Promise<http.IncomingMessage> {
    const { method, path, headers, body, signal, connectTimeoutMs } = exchange
    const { protocol, host, port, prefix, serverName } = endpoint
    const authorization = access.authorization
    const options: https.RequestOptions = {
      method,
      host,
      port,
      path: `${prefix}${path}`,
      headers: {
        ...headers,
        'user-agent': 'kube-vrouter',
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }),
      },
      signal,
    }
    if (protocol === 'https:') {
      options.agent = this.#agent(access)
      // A name, never an address (RFC 6066 section 3).
      options.servername = serverName ?? (isIP(host) !== 0 ? '' : host)
      if (serverName !== undefined)
        options.checkServerIdentity = (_, certificate) => checkServerIdentity(serverName, certificate)
    } else options.agent = this.#plain
    if (exchange.isOwnConnection === true) {
      options.agent = protocol === 'https:' ? new https.Agent(tlsOptions(access)) : new http.Agent()
    }
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>()
    const request = (protocol === 'https:' ? https : http).request(options)
    let isConnected = false
    let isReused = false
    let timer: NodeJS.Timeout | undefined
    const done = () => clearTimeout(timer)
    request.on('socket', (socket) => {
      // A request that waited for a connection gets one that is in use already, without a word about it.
      isReused = request.reusedSocket || this.#connected.has(socket)
      if (isReused) {
        isConnected = true
        return
      }
      socket.setKeepAlive(true, KEEP_ALIVE_MS)
      timer = setTimeout(
        () => request.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)),
        connectTimeoutMs,
      )
      socket.once(protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        isConnected = true
        this.#connected.add(socket)
        done()
      })
    })
    request.on('response', (response) => {
      done()
      resolve(response)
    })
    request.on('error', (cause) => {
      done()
      const reason = signal.aborted ? reasonOf(signal) : describe(cause)
      reject(
        new ApiError('API_UNREACHABLE', `${method} ${path.split('?')[0]} at ${host}:${port}: ${reason}`, {
          cause: new ExchangeFailure(cause, { isSent: isConnected, isReused }),
        }),
      )
    })
    request.end(body)
    return promise
  }

  /** TLS options are part of an agent, so that new certificates make new connections. */
  #agent(access: Access): https.Agent {
    if (this.#secure === undefined || !isSameTls(this.#access, access)) {
      this.#secure?.destroy()
      this.#secure = new https.Agent({
        ...tlsOptions(access),
        keepAlive: true,
        maxSockets: MOST_SOCKETS,
        maxFreeSockets: MOST_SOCKETS,
        maxCachedSessions: 4,
      })
      this.#access = access
    }
    return this.#secure
  }

  [Symbol.dispose](): void {
    this.#secure?.destroy()
    this.#plain.destroy()
  }
}

/** Why an exchange came to nothing. */
export class ExchangeFailure extends Error {
  override readonly name = 'ExchangeFailure'
  /** Whether the server may have seen the request. */
  readonly isSent: boolean
  /** Whether it went over a connection that was kept, which the server may have closed meanwhile. */
  readonly isReused: boolean

  constructor(cause: unknown, { isSent, isReused }: { readonly isSent: boolean; readonly isReused: boolean }) {
    super(describe(cause), { cause })
    this.isSent = isSent
    this.isReused = isReused
  }
}

function tlsOptions(access: Access): https.AgentOptions {
  return {
    ca: access.ca,
    cert: access.certificate,
    key: access.key,
    rejectUnauthorized: access.isInsecure !== true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
  }
}

function isSameTls(a: Access | undefined, b: Access): boolean {
  return a?.ca === b.ca && a?.certificate === b.certificate && a?.key === b.key && a?.isInsecure === b.isInsecure
}

function reasonOf(signal: AbortSignal): string {
  return Error.isError(signal.reason) ? signal.reason.message : String(signal.reason)
}

function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  // Several addresses of one name: the last one's reason.
  if (error instanceof AggregateError) return describe(error.errors.at(-1))
  return code === undefined || message.includes(code) ? message : `${code}: ${message}`
}
