/**
 * An API server in this process: lists in pages, watches with bookmarks, creates, applies, patches and removes objects of any kind, and
 * lies on demand (`intercept`). Keeps no more order than Kubernetes promises.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export interface FakeObject {
  apiVersion?: string
  kind?: string
  metadata: {
    name: string
    namespace?: string
    uid?: string
    resourceVersion?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
    ownerReferences?: unknown[]
    creationTimestamp?: string
  }
  spec?: unknown
  status?: unknown
  /** Of an EndpointSlice. */
  addressType?: string
  ports?: unknown
  endpoints?: unknown
}

export interface FakeRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: unknown
  readonly authorization: string | undefined
  readonly isWatch: boolean
}

interface Target {
  /** `vrouter.dev/ipamblocks`, `/pods`. */
  readonly resource: string
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

interface HistoryEntry {
  readonly version: number
  readonly resource: string
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: FakeObject
}

interface OpenWatch {
  readonly target: Target
  readonly query: URLSearchParams
  readonly response: ServerResponse
}

const NAMESPACED = new Set([
  'pods',
  'virtualnetworks',
  'virtualnetworkrouters',
  'virtualmachineinterfaces',
  'events',
  'services',
  'endpointslices',
])

export class FakeApiServer implements AsyncDisposable {
  readonly requests: FakeRequest[] = []
  /** Looks at each request first; true: it was answered (or is left hanging). */
  intercept: (request: FakeRequest, response: ServerResponse) => boolean | Promise<boolean> = () => false
  /** Changes each line of a watch before it is sent; undefined: the line is left out. */
  onWatchLine: (line: string, resource: string) => string | undefined = (line) => line
  /** Groups that aren't installed: 404. */
  readonly missing = new Set<string>()
  #version = 100
  /** Versions before this one are forgotten: 410. */
  #oldest = 0
  readonly #objects = new Map<string, Map<string, FakeObject>>()
  readonly #history: HistoryEntry[] = []
  readonly #watches = new Set<OpenWatch>()
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #port = 0

  private constructor() {
    this.#server = createServer((request, response) => void this.#handle(request, response))
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => undefined)
    })
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer()
    await fake.listen()
    return fake
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get watches(): number {
    return this.#watches.size
  }

  /** Again, on the port that it had. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  /** Is away: nobody listens, all connections are cut. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Ends all watches in order, as servers do now and then. */
  endWatches(): void {
    for (const { response } of this.#watches) response.end()
    this.#watches.clear()
  }

  /** Forgets all versions before now. */
  compact(): void {
    this.#oldest = this.#version
    this.#history.length = 0
  }

  bookmark(): void {
    for (const watch of this.#watches)
      this.#line(watch, { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#version) } } })
  }

  put(resource: string, object: FakeObject): FakeObject {
    const objects = this.#of(resource)
    const key = keyOf(object)
    const before = objects.get(key)
    const stored: FakeObject = {
      ...object,
      metadata: {
        creationTimestamp: '2026-01-01T00:00:00Z',
        ...object.metadata,
        uid: object.metadata.uid ?? before?.metadata.uid ?? randomUUID(),
        resourceVersion: String(++this.#version),
      },
    }
    objects.set(key, stored)
    this.#publish(resource, before === undefined ? 'ADDED' : 'MODIFIED', stored)
    return stored
  }

  remove(resource: string, key: string): void {
    const before = this.#of(resource).get(key)
    if (before === undefined) return
    this.#of(resource).delete(key)
    const version = String(++this.#version)
    this.#publish(resource, 'DELETED', { ...before, metadata: { ...before.metadata, resourceVersion: version } })
  }

  /** Removes it, and tells no watch: what a relist must find out. */
  removeSilently(resource: string, key: string): void {
    this.#of(resource).delete(key)
    this.#version++
  }

  /** Tells the watches old news. */
  replay(resource: string, type: HistoryEntry['type'], object: FakeObject): void {
    for (const watch of this.#watches) this.#tell(watch, { version: 0, resource, type, object })
  }

  get(resource: string, key: string): FakeObject | undefined {
    return this.#of(resource).get(key)
  }

  all(resource: string): FakeObject[] {
    return [...this.#of(resource).values()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => undefined)
  }

  #of(resource: string): Map<string, FakeObject> {
    let objects = this.#objects.get(resource)
    if (objects === undefined) {
      objects = new Map()
      this.#objects.set(resource, objects)
    }
    return objects
  }

  #publish(resource: string, type: HistoryEntry['type'], object: FakeObject): void {
    const entry = { version: this.#version, resource, type, object }
    this.#history.push(entry)
    for (const watch of this.#watches) this.#tell(watch, entry)
  }

  #tell(watch: OpenWatch, { resource, type, object }: HistoryEntry): void {
    if (watch.target.resource !== resource || !isSelected(watch.target, watch.query, object)) return
    if (hasLabels(watch.query, object)) this.#line(watch, { type, object })
    else if (type !== 'ADDED') this.#line(watch, { type: 'DELETED', object })
  }

  #line({ response, target }: OpenWatch, event: unknown): void {
    const line = this.onWatchLine(`${JSON.stringify(event)}\n`, target.resource)
    if (line !== undefined) response.write(line)
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://localhost')
    const chunks: Buffer[] = []
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer)
    } catch {
      return
    }
    const text = Buffer.concat(chunks).toString('utf8')
    const request: FakeRequest = {
      method: incoming.method ?? 'GET',
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? undefined : JSON.parse(text),
      authorization: incoming.headers.authorization,
      isWatch: url.searchParams.has('watch'),
    }
    this.requests.push(request)
    if (await this.intercept(request, response)) return
    const target = targetOf(url.pathname)
    if (target === undefined || this.missing.has(target.resource.split('/')[0]!)) {
      answer(response, 404, statusBody(404, 'the server could not find the requested resource'))
    } else if (request.isWatch) this.#watch(target, request, response)
    else this.#serve(target, request, response)
  }

  #watch(target: Target, { query }: FakeRequest, response: ServerResponse): void {
    const version = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    const watch: OpenWatch = { target, query, response }
    if (version < this.#oldest) {
      this.#line(watch, { type: 'ERROR', object: statusBody(410, `too old resource version: ${version}`) })
      response.end()
      return
    }
    response.flushHeaders()
    for (const entry of this.#history) if (entry.version > version) this.#tell(watch, entry)
    this.#watches.add(watch)
    response.on('close', () => this.#watches.delete(watch))
  }

  #serve(target: Target, request: FakeRequest, response: ServerResponse): void {
    const objects = this.#of(target.resource)
    const key = target.namespace === undefined ? (target.name ?? '') : `${target.namespace}/${target.name ?? ''}`
    const present = objects.get(key)
    switch (request.method) {
      case 'GET':
        if (target.name === undefined) this.#list(target, request, response)
        else if (present === undefined) answer(response, 404, statusBody(404, `${target.resource} ${key} not found`))
        else answer(response, 200, present)
        return
      case 'POST': {
        const object = withNamespace(request.body as FakeObject, target.namespace)
        if (objects.has(keyOf(object))) answer(response, 409, statusBody(409, 'already exists', 'AlreadyExists'))
        else answer(response, 201, this.put(target.resource, object))
        return
      }
      case 'PATCH': {
        const patch = request.body as FakeObject
        const isApply = request.query.has('fieldManager') && request.query.get('force') === 'true'
        if (present === undefined && !isApply) answer(response, 404, statusBody(404, `${key} not found`))
        else {
          const merged = {
            ...present,
            ...patch,
            metadata: { ...present?.metadata, ...patch.metadata, name: target.name! },
          }
          answer(response, 200, this.put(target.resource, withNamespace(merged, target.namespace)))
        }
        return
      }
      case 'DELETE': {
        const uid = (request.body as { preconditions?: { uid?: string } } | undefined)?.preconditions?.uid
        if (present === undefined) answer(response, 404, statusBody(404, `${key} not found`))
        else if (uid !== undefined && uid !== present.metadata.uid)
          answer(response, 409, statusBody(409, 'uid differs', 'Conflict'))
        else {
          this.remove(target.resource, key)
          answer(response, 200, { kind: 'Status', status: 'Success' })
        }
        return
      }
      default:
        answer(response, 405, statusBody(405, 'no such method'))
    }
  }

  #list(target: Target, { query }: FakeRequest, response: ServerResponse): void {
    const selected = [...this.#of(target.resource)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .filter(([, object]) => isSelected(target, query, object) && hasLabels(query, object))
    const [version, from] = (query.get('continue') ?? `${this.#version}:0`).split(':').map(Number) as [number, number]
    if (version < this.#oldest) {
      answer(response, 410, statusBody(410, 'the provided continue parameter is too old'))
      return
    }
    const to = from + Number(query.get('limit') ?? selected.length)
    const next = to < selected.length ? `${version}:${to}` : ''
    answer(response, 200, {
      kind: 'List',
      metadata: { resourceVersion: String(version), continue: next },
      items: selected.slice(from, to).map(([, object]) => object),
    })
  }
}

export function answer(
  response: ServerResponse,
  code: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

export function statusBody(code: number, message: string, reason = ''): object {
  return { kind: 'Status', status: 'Failure', code, message, reason }
}

function targetOf(path: string): Target | undefined {
  const parts = path.split('/').slice(1).map(decodeURIComponent)
  const group = parts[0] === 'api' ? '' : parts[1]
  if (group === undefined || (parts[0] !== 'api' && parts[0] !== 'apis')) return undefined
  const rest = parts.slice(group === '' ? 2 : 3)
  const isIn = rest[0] === 'namespaces' && rest.length > 2
  const [plural, name, subresource] = isIn ? rest.slice(2) : rest
  return { resource: `${group}/${plural}`, namespace: isIn ? rest[1] : undefined, name, subresource }
}

function withNamespace(object: FakeObject, namespace: string | undefined): FakeObject {
  return namespace === undefined ? object : { ...object, metadata: { ...object.metadata, namespace } }
}

function isSelected({ namespace, resource }: Target, query: URLSearchParams, object: FakeObject): boolean {
  if (namespace !== undefined && NAMESPACED.has(resource.split('/')[1]!) && object.metadata.namespace !== namespace)
    return false
  const [field, value] = (query.get('fieldSelector') ?? '').split('=')
  if (field === 'metadata.name' && object.metadata.name !== value) return false
  return field !== 'spec.nodeName' || (object.spec as { nodeName?: string } | undefined)?.nodeName === value
}

/** Of label selectors only `!key`. */
function hasLabels(query: URLSearchParams, { metadata: { labels = {} } }: FakeObject): boolean {
  const unwanted = (query.get('labelSelector') ?? '').split(',').filter((term) => term !== '')
  return unwanted.every((term) => !Object.hasOwn(labels, term.slice(1)))
}

function keyOf({ metadata: { namespace, name } }: FakeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}
