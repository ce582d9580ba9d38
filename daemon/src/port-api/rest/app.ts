/**
 * The agent's REST API over HTTP (introspect reference 4.1, 4.2): JSON whatever the Content-Type, `{}` for done, 404 and 500 with `{"error": "{ … }"}`. Paths match
 * whole. It has no authentication: it belongs on loopback, and what a browser sends is refused.
 */

import express, { type Express, type Request, type Response } from 'express'
import type { AgentPorts } from './agent-ports.ts'
import { BadBody, parseGateways, parsePort, parseVm } from './port-object.ts'

/** More than the largest array of ports. */
const MAX_BODY = '4mb'

const ID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

type Answer = object | undefined

interface Route {
  readonly method: string
  readonly path: RegExp
  /** Undefined: there is no such object. */
  readonly handle: (ids: readonly string[], body: () => unknown) => Promise<Answer>
}

export interface RestOptions {
  readonly ports: AgentPorts
  readonly staleSeconds: number
  readonly onError: (error: unknown, request: string) => void
}

export function restApp(options: RestOptions): Express {
  const routes = routesOf(options)
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.use(express.text({ type: () => true, limit: MAX_BODY }))
  app.use((request: Request, response: Response) => {
    answer(routes, request, response).catch((error: unknown) => {
      options.onError(error, `${request.method} ${request.path}`)
      // What the ports refuse says why; so does everything else.
      send(response, 500, refusal(error instanceof Error ? error.message : String(error)))
    })
  })
  app.use((error: Error, _request: Request, response: Response, _next: () => void) => {
    send(response, 500, refusal(`Invalid Json string ==> ${error.message}`))
  })
  return app
}

function routesOf({ ports, staleSeconds }: RestOptions): Route[] {
  const route = (method: string, path: string, handle: Route['handle']): Route => ({
    method,
    path: new RegExp(`^${path}$`),
    handle,
  })
  const done = async (work: Promise<void> | void): Promise<object> => {
    await work
    return {}
  }
  return [
    route('POST', '/port', (_, body) => {
      const value = body()
      const list = Array.isArray(value) ? value.map(parsePort) : [parsePort(value)]
      return done(ports.addPorts(list))
    }),
    route('GET', `/port/(${ID})`, async ([id]) => (await ports.port(id!)) as Answer),
    route('DELETE', `/port/(${ID})`, ([id]) => done(ports.deletePort(id!))),
    route('PUT', `/enable-port/(${ID})`, ([id]) => done(ports.setLinkState(id!, true))),
    route('PUT', `/disable-port/(${ID})`, ([id]) => done(ports.setLinkState(id!, false))),
    route('POST', '/syncports', async () => done(ports.syncPorts(staleSeconds))),
    route('POST', '/vm', async (_, body) => done(ports.addVm(parseVm(body())))),
    route('GET', `/vm/(${ID})`, ([id]) => ports.vm(id!)),
    route('GET', `/vm/(${ID})/(${ID})`, ([id, interfaceId]) => ports.vm(id!, interfaceId)),
    route('DELETE', `/vm/(${ID})`, ([id]) => done(ports.deleteVm(id!))),
    route('GET', '/vm-cfg/([^/]+)', ([name]) => ports.configOfVm(decodeURIComponent(name!))),
    route('POST', '/gateway', async (_, body) => {
      const [first] = parseGateways(body(), false)
      if (!first) return {}
      throw new BadBody(
        `Gateway ${first.interface} is refused: this vRouter has no simple gateways; pods reach the outside with the node's address (fabric SNAT)`,
      )
    }),
    // None can be there, and removing what isn't there is fine.
    route('DELETE', '/gateway', async (_, body) => {
      parseGateways(body(), true)
      return {}
    }),
  ]
}

async function answer(routes: readonly Route[], request: Request, response: Response): Promise<void> {
  if (request.headers.origin !== undefined) return send(response, 403, refusal('Requests of browsers are refused'))
  for (const { method, path, handle } of routes) {
    const match = method === request.method ? path.exec(request.path) : null
    if (!match) continue
    try {
      const result = await handle(match.slice(1), () => jsonOf(request.body))
      return result === undefined ? send(response, 404, refusal('Not Found')) : send(response, 200, result)
    } catch (error) {
      if (!(error instanceof BadBody || error instanceof URIError)) throw error
      return send(response, 500, refusal(error.message))
    }
  }
  send(response, 404, { error: 'Unknown Request' })
}

function jsonOf(body: unknown): unknown {
  const text = typeof body === 'string' ? body : ''
  try {
    return JSON.parse(text)
  } catch {
    throw new BadBody(`Invalid Json string ==> ${text.slice(0, 200)}`)
  }
}

function refusal(message: string): object {
  return { error: `{ ${message} }` }
}

function send(response: Response, status: number, body: object): void {
  const text = Object.keys(body).length === 0 ? '{}' : JSON.stringify(body, undefined, 4)
  response.statusMessage = 'OK'
  response.statusCode = status
  response.setHeader('Content-Type', 'application/json; charset=UTF-8')
  response.end(text)
}
