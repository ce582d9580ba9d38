/**
 * `/healthz`, `/readyz` and `/metrics` of a program, for kubelet's probes and Prometheus.
 *
 *   /healthz   200 whenever the event loop gets to answer and nothing says otherwise: a program that hangs doesn't. It asks nobody, the API server least of all.
 *   /readyz    200, or 503 with what holds it up
 *   /metrics   Prometheus' text format
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Listening, listenAt } from './http-server.ts'

/** One line for people says why, or that all is well. */
export interface Answer {
  readonly isWell: boolean
  readonly text: string
}

/** Called for each request; cheap, and answers at any time of the program's life. */
export interface HealthServerOptions {
  readonly addresses: readonly string[]
  /** 0: not served. */
  readonly port: number
  readonly alive: () => Answer
  readonly ready: () => Answer
  readonly metrics: () => Promise<{ readonly text: string; readonly contentType: string }>
  /** A request that can't be answered; its client gets 500. */
  readonly onError: (error: unknown, path: string) => void
}

/** Rejects as `listenAt` does. */
export function startHealthServer(options: HealthServerOptions): Promise<Listening> {
  const { addresses, port, ready } = options
  const first = new FirstReadiness(() => ready().isWell)
  return listenAt(
    port === 0 ? [] : addresses,
    port,
    (request, response) => void answer(request, response, options, first),
  )
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { alive, ready, metrics, onError }: HealthServerOptions,
  first: FirstReadiness,
): Promise<void> {
  const send = (status: number, text: string, type = 'text/plain; charset=utf-8') =>
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
  const tell = ({ isWell, text }: Answer) => send(isWell ? 200 : 503, `${text}\n`)
  request.resume()
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    send(405, 'only GET\n')
    return
  }
  const path = request.url?.split('?')[0] ?? ''
  try {
    switch (path) {
      case '/healthz':
        tell(alive())
        return
      case '/readyz':
        await first.awaited(request)
        tell(ready())
        return
      case '/metrics': {
        const { text, contentType } = await metrics()
        send(200, text, contentType)
        return
      }
      default:
        send(404, '/healthz, /readyz, /metrics\n')
    }
  } catch (error) {
    onError(error, path)
    if (!response.headersSent) send(500, 'see the log\n')
    else response.destroy()
  }
}

/** Less than the probes of the chart wait for an answer (timeoutSeconds). */
const PATIENCE_MS = 4_000
const LOOK_MS = 50

/**
 * Whether a program is ready, as kubelet hears it: each of its probes that fails is a Warning in the cluster, and one that comes while the program starts
 * is no trouble. Until the program was ready once, kubelet's probes wait a little for it; nobody else does, and nobody does later.
 */
class FirstReadiness {
  readonly #isReady: () => boolean
  #wasReady = false

  constructor(isReady: () => boolean) {
    this.#isReady = isReady
  }

  async awaited({ headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>): Promise<void> {
    const isProbe = headers['user-agent']?.startsWith('kube-probe/') === true
    const giveUp = performance.now() + PATIENCE_MS
    while (!this.#wasReady) {
      this.#wasReady = this.#isReady()
      if (this.#wasReady || !isProbe || socket.destroyed || performance.now() >= giveUp) return
      await sleep(LOOK_MS)
    }
  }
}
