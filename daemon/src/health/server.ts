/**
 * `/healthz`, `/readyz` and `/metrics`, for kubelet's probes and Prometheus.
 *
 *   /healthz   200 whenever the event loop gets to answer: a daemon that hangs doesn't. It asks nobody, the API server least of all.
 *   /readyz    200 when pods can be started here, else 503 with what holds it up
 *   /metrics   Prometheus' text format
 *
 * It is started first and disposed of last, so that a long start can be told from a dead daemon.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Config } from '../config/config.ts'
import { closeServer } from '../ground/close-server.ts'
import { createLimitedServer, FirstReadiness } from '../ground/http-server.ts'
import { errorFields, type Log } from '../log.ts'
import type { HealthState } from './health.ts'
import { Metrics } from './metrics.ts'

export interface HealthOptions {
  readonly config: Pick<Config, 'health'>
  readonly log: Log
  readonly version: string
  /** Called for each request; cheap, and answers at any time of the daemon's life. */
  readonly state: () => HealthState
}

export interface Health extends AsyncDisposable {
  /** One per configured address; with port 0 in the configuration none. */
  readonly addresses: readonly AddressInfo[]
  readonly metrics: Metrics
}

/** Rejects with the socket's error (EADDRINUSE, EADDRNOTAVAIL…) when one of the addresses can't be had; none is kept then. */
export async function startHealth(options: HealthOptions): Promise<Health> {
  const { config, state, version } = options
  const { addresses: wanted, port } = config.health
  await using owned = new AsyncDisposableStack()
  const metrics = owned.use(new Metrics(state, version))
  const addresses: AddressInfo[] = []
  const first = new FirstReadiness(() => state().ready)
  for (const address of port === 0 ? [] : wanted) {
    const server = owned.adopt(
      createLimitedServer((request, response) => void answer(request, response, options, metrics, first)),
      closeServer,
    )
    server.listen(port, address)
    await once(server, 'listening')
    addresses.push(server.address() as AddressInfo)
  }
  const kept = owned.move()
  return { addresses, metrics, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { state, log }: HealthOptions,
  metrics: Metrics,
  first: FirstReadiness,
): Promise<void> {
  const send = (status: number, text: string, type = 'text/plain; charset=utf-8') =>
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text)
  request.resume()
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    send(405, 'only GET\n')
    return
  }
  try {
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        send(200, 'ok\n')
        return
      case '/readyz': {
        await first.awaited(request)
        const { ready, state: text } = state()
        send(ready ? 200 : 503, `${text}\n`)
        return
      }
      case '/metrics':
        send(200, await metrics.text(), metrics.contentType)
        return
      default:
        send(404, '/healthz, /readyz, /metrics\n')
    }
  } catch (error) {
    log.error({ component: 'health', err: errorFields(error), path: request.url }, `cannot answer ${request.url}`)
    if (!response.headersSent) send(500, 'see the log\n')
    else response.destroy()
  }
}
