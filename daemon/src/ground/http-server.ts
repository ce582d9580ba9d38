/**
 * HTTP servers of the daemon: their clients are scripts, probes and browsers, and some of them hang. A connection that sends no request, half a
 * request, or doesn't take its answer is closed after some seconds; there is a limit to how many there are.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

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

/** Less than the probes of the chart wait for an answer (timeoutSeconds). */
const PATIENCE_MS = 4_000
const LOOK_MS = 50

/**
 * Whether a program is ready, as kubelet hears it: each of its probes that fails is a Warning in the cluster, and one that comes while the program starts
 * is no trouble. Until the program was ready once, kubelet's probes wait a little for it; nobody else does, and nobody does later.
 */
export class FirstReadiness {
  readonly #isReady: () => boolean
  readonly #patienceMs: number
  #wasReady = false

  constructor(isReady: () => boolean, patienceMs = PATIENCE_MS) {
    this.#isReady = isReady
    this.#patienceMs = patienceMs
  }

  async awaited({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): Promise<void> {
    const isProbe = headers['user-agent']?.startsWith('kube-probe/') === true
    const giveUp = performance.now() + this.#patienceMs
    while (!this.#wasReady) {
      this.#wasReady = this.#isReady()
      if (this.#wasReady || !isProbe || socket.destroyed || performance.now() >= giveUp) return
      await sleep(LOOK_MS)
    }
  }
}
