/** `/healthz` (alive), `/readyz` (has listed everything, leading or not), `/metrics`. */
import type { Server } from 'node:http'
import type { Registry } from 'prom-client'
import { createLimitedServer, FirstReadiness } from '../ground/http-server.ts'

export interface HealthOptions {
  readonly addresses: readonly string[]
  /** 0: not served. */
  readonly port: number
  readonly registry: Registry
  /** Why it isn't; undefined: it is. */
  readonly whyNotAlive: () => string | undefined
  readonly whyNotReady: () => string | undefined
}

export class HealthServer implements AsyncDisposable {
  readonly #servers: readonly Server[]

  private constructor(servers: readonly Server[]) {
    this.#servers = servers
  }

  /** Throws what listening throws. */
  static async start(options: HealthOptions): Promise<HealthServer> {
    if (options.port === 0) return new HealthServer([])
    const servers = await Promise.all(options.addresses.map((address) => listen(options, address)))
    return new HealthServer(servers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections()
      await new Promise((settle) => server.close(settle))
    }
  }
}

function listen({ port, registry, whyNotAlive, whyNotReady }: HealthOptions, address: string): Promise<Server> {
  const first = new FirstReadiness(() => whyNotReady() === undefined)
  const server = createLimitedServer(async (request, response) => {
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
      response.end(request.method === 'HEAD' ? undefined : text)
    }
    const check = (reason: string | undefined) => answer(reason === undefined ? 200 : 503, `${reason ?? 'ok'}\n`)
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'GET only\n')
    switch (request.url?.split('?')[0]) {
      case '/healthz':
        return check(whyNotAlive())
      case '/readyz':
        await first.awaited(request)
        return check(whyNotReady())
      case '/metrics':
        return answer(200, await registry.metrics(), registry.contentType)
      default:
        return answer(404, 'there are /healthz, /readyz and /metrics\n')
    }
  })
  return new Promise((settle, fail) => {
    server.once('error', fail)
    server.listen(port, address, () => {
      server.off('error', fail)
      settle(server)
    })
  })
}
