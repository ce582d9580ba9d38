/** `/healthz`, `/readyz` and `/metrics` of the daemon. It is started first and disposed of last, so that a long start can be told from a dead daemon. */
import type { AddressInfo } from 'node:net'
import type { Config } from '../config/config.ts'
import { startHealthServer } from '../ground/health-server.ts'
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
export async function startHealth({ config, log, version, state }: HealthOptions): Promise<Health> {
  await using owned = new AsyncDisposableStack()
  const metrics = owned.use(new Metrics(state, version))
  const { addresses } = owned.use(
    await startHealthServer({
      ...config.health,
      alive: () => ({ isWell: true, text: 'ok' }),
      ready: () => {
        const { ready, state: text } = state()
        return { isWell: ready, text }
      },
      metrics: async () => ({ text: await metrics.text(), contentType: metrics.contentType }),
      onError: (error, path) =>
        log.error({ component: 'health', err: errorFields(error), path }, `cannot answer ${path}`),
    }),
  )
  const kept = owned.move()
  return { addresses, metrics, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
