/**
 * HTTP servers of the daemon: their clients are scripts, probes and browsers, and some of them hang. A connection that sends no request, half a
 * request, or doesn't take its answer is closed after some seconds; there is a limit to how many there are.
 */
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

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

/** The end of an HTTP server: requests that run are cut off, and its port is free when this resolves. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}

/** Servers that listen; disposing of it closes their sockets and ends what is still being sent. */
export interface Listening extends AsyncDisposable {
  /** One per address that was asked for; with port 0 each has its own. */
  readonly addresses: readonly AddressInfo[]
}

/** A server at each of the addresses. Rejects with the socket's error (EADDRINUSE, EADDRNOTAVAIL…) when one of them can't be had; none is kept then. */
export async function listenAt(wanted: readonly string[], port: number, listener: RequestListener): Promise<Listening> {
  await using servers = new AsyncDisposableStack()
  const addresses: AddressInfo[] = []
  for (const address of wanted) {
    const server = servers.adopt(createLimitedServer(listener), closeServer)
    server.listen(port, address)
    await once(server, 'listening')
    addresses.push(server.address() as AddressInfo)
  }
  const kept = servers.move()
  return { addresses, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
