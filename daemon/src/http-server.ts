/**
 * HTTP servers of the daemon: their clients are scripts, probes and browsers, and some of them hang. A connection that sends no request, half a
 * request, or doesn't take its answer is closed after some seconds; there is a limit to how many there are.
 */
import { createServer, type RequestListener, type Server } from 'node:http'

export interface ConnectionLimits {
  /** Milliseconds from the connection, or the first byte of the next request, to the end of its headers. */
  readonly headersMs: number
  /** To the end of its body. */
  readonly requestMs: number
  /** Between two requests. */
  readonly idleMs: number
  /** Without a byte in either direction: answers that nobody reads, requests that take too long. */
  readonly silentMs: number
  readonly connections: number
}

const DEFAULTS: ConnectionLimits = {
  headersMs: 5_000,
  requestMs: 10_000,
  idleMs: 5_000,
  silentMs: 60_000,
  connections: 512,
}

/** How often it is looked for connections whose time is over, at most. */
const CHECK_MS = 1_000

export function createLimitedServer(listener: RequestListener, limits: Partial<ConnectionLimits> = {}): Server {
  const { headersMs, requestMs, idleMs, silentMs, connections } = { ...DEFAULTS, ...limits }
  const server = createServer(
    {
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      keepAliveTimeout: idleMs,
      connectionsCheckingInterval: Math.min(CHECK_MS, headersMs),
    },
    listener,
  )
  server.maxConnections = connections
  server.setTimeout(silentMs, (socket) => socket.destroy())
  return server
}
