/**
 * The server on `cni.sock`: one JSON object per line in, one per line out, in order within a connection. It owns the socket file and the
 * connections, and knows nothing of ports: a PortService does the work. Whatever a client sends, it gets an error reply or is cut off; the
 * daemon goes on. Root only (0600).
 */

import { mkdirSync, unlinkSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type {
  AllocateReply,
  AllocateRequest,
  ErrorReply,
  GetReply,
  GetRequest,
  ListReply,
  ListRequest,
  RegisterReply,
  RegisterRequest,
  ReleaseRequest,
  Reply,
  Request,
} from './messages.ts'
import { BadRequest, parseRequest } from './requests.ts'

/** Who does the work. Errors that carry `code` and `retry` (and perhaps `remedy`) are answered as they are; others as INTERNAL. */
export interface PortService {
  allocate(request: AllocateRequest): Promise<AllocateReply>
  register(request: RegisterRequest): Promise<RegisterReply>
  release(request: ReleaseRequest): Promise<void>
  get(request: GetRequest): Promise<GetReply>
  list(request: ListRequest): Promise<ListReply>
  /** Throws when ADD can't be served. */
  status(): Promise<void>
}

export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface PortServerOptions {
  readonly path: string
  readonly service: PortService
  readonly log: Log
  /** A request that took longer (waiting included) is answered with TIMEOUT. Default 30 s: well below kubelet's two minutes. */
  readonly deadlineMs?: number
  /** Requests worked on at one time, and those that may wait; more are answered BUSY at once. */
  readonly maxConcurrent?: number
  readonly maxQueued?: number
  /** Longest line, bytes. */
  readonly maxLineBytes?: number
  readonly maxConnections?: number
  /** A connection without a byte for so long is closed, unless it waits for an answer. Making a tap on a busy node takes seconds. */
  readonly idleMs?: number
}

export class PortServer implements AsyncDisposable {
  readonly #options: Required<PortServerOptions>
  readonly #server: Server
  readonly #connections = new Set<Socket>()
  readonly #queue: (() => void)[] = []
  #active = 0
  #isClosing = false

  private constructor(options: PortServerOptions) {
    this.#options = {
      deadlineMs: 30_000,
      maxConcurrent: 64,
      maxQueued: 512,
      maxLineBytes: 256 * 1024,
      maxConnections: 1024,
      idleMs: 120_000,
      ...options,
    }
    this.#server = createServer((socket) => this.#serve(socket))
    this.#server.maxConnections = this.#options.maxConnections
  }

  /**
   * Listens. A socket file that nobody listens on is replaced; a live one is an error (another daemon runs with this configuration).
   */
  static async listen(options: PortServerOptions): Promise<PortServer> {
    const { path } = options
    if (Buffer.byteLength(path) > 107)
      throw new Error(`cannot listen on ${path}: a socket path holds at most 107 bytes; shorten paths.run`)
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    if (await isListening(path)) throw new Error(`cannot listen on ${path}: another daemon does already`)
    try {
      unlinkSync(path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    const server = new PortServer(options)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    server.#server.once('error', reject)
    // bind(2) happens inside listen(), so nobody else's file is touched by this umask
    const umask = process.umask(0o177)
    try {
      server.#server.listen({ path, backlog: 512 }, resolve)
    } finally {
      process.umask(umask)
    }
    await promise
    server.#server.off('error', reject)
    server.#server.on('error', (error) => options.log.error({ error: error.message }, 'the port API socket failed'))
    return server
  }

  /** Stops listening, lets running requests finish for at most `graceMs`, then cuts the connections. */
  async close(graceMs = 2_000): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const giveUp = Date.now() + graceMs
    while (this.#active > 0 && Date.now() < giveUp) await new Promise((resolve) => setTimeout(resolve, 10))
    for (const socket of this.#connections) socket.destroy()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Reads lines; the next one is taken up only when the former is answered, so replies keep the order of requests. */
  #serve(socket: Socket): void {
    const { maxLineBytes, idleMs, log } = this.#options
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', (error) => log.debug({ error: error.message }, 'a port API connection broke'))
    let pending: Buffer = Buffer.alloc(0)
    let isBusy = false
    // A client that says nothing, or doesn't read: it has gone, or hangs.
    socket.setTimeout(idleMs, () => isBusy || socket.destroy())

    const next = async (): Promise<void> => {
      if (isBusy) return
      isBusy = true
      for (let end = pending.indexOf(10); end >= 0 && !socket.destroyed; end = pending.indexOf(10)) {
        const line = pending.subarray(0, end)
        pending = pending.subarray(end + 1)
        if (line.length > maxLineBytes) return refuse()
        const reply = await this.#answer(line.toString())
        if (!socket.writable) break
        socket.write(`${JSON.stringify(reply)}\n`)
      }
      isBusy = false
      if (pending.length > maxLineBytes) return refuse()
      socket.resume()
      if (socket.readableEnded) socket.end()
    }
    const refuse = (): void => {
      pending = Buffer.alloc(0)
      socket.pause()
      socket.end(
        `${JSON.stringify(failure('BAD_REQUEST', `a request is longer than ${maxLineBytes} bytes`, false))}\n`,
        () => socket.destroy(),
      )
    }
    socket.on('data', (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      // what a client sends ahead of its replies stays in the kernel's buffer
      if (isBusy) socket.pause()
      else void next()
    })
    socket.on('end', () => {
      if (!isBusy) socket.end()
    })
  }

  async #answer(line: string): Promise<Reply> {
    let request: Request
    try {
      request = parseRequest(line)
    } catch (error) {
      if (error instanceof BadRequest) return failure('BAD_REQUEST', error.message, false)
      throw error
    }
    const started = performance.now()
    // Whether the daemon lives is asked most of all when it is busy.
    const reply = await this.#inTurn(() => this.#perform(request), request.op === 'status')
    const fields = { op: request.op, ms: Math.round(performance.now() - started), ...identity(request) }
    if (!reply.ok)
      this.#options.log.warn(
        { ...fields, code: reply.code, details: reply.details },
        `${request.op} failed: ${reply.message}`,
      )
    else this.#options.log.debug(fields, request.op)
    return reply
  }

  /** Runs `work` when its turn comes (at once when `isFirst`), or answers for it when that takes too long. */
  async #inTurn(work: () => Promise<Reply>, isFirst: boolean): Promise<Reply> {
    const { maxConcurrent, maxQueued, deadlineMs } = this.#options
    if (this.#isClosing) return failure('NOT_READY', 'the daemon is stopping', true)
    const deadline = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => deadline.resolve('late'), deadlineMs)
    try {
      if (this.#active >= maxConcurrent && !isFirst) {
        if (this.#queue.length >= maxQueued) return failure('BUSY', `${this.#queue.length} requests wait already`, true)
        const turn = Promise.withResolvers<'turn'>()
        const start = (): void => turn.resolve('turn')
        this.#queue.push(start)
        if ((await Promise.race([turn.promise, deadline.promise])) === 'late') {
          const place = this.#queue.indexOf(start)
          if (place >= 0) this.#queue.splice(place, 1)
          else this.#yieldTurn()
          return failure('TIMEOUT', `the request waited longer than ${deadlineMs} ms`, true)
        }
      } else this.#active++
      const worked = work().finally(() => this.#yieldTurn())
      const first = await Promise.race([worked, deadline.promise])
      return first === 'late' ? failure('TIMEOUT', `the request took longer than ${deadlineMs} ms`, true) : first
    } finally {
      clearTimeout(timer)
    }
  }

  /** Hands the place of a finished request to the one that waits longest. */
  #yieldTurn(): void {
    const next = this.#active <= this.#options.maxConcurrent ? this.#queue.shift() : undefined
    if (next) next()
    else this.#active--
  }

  async #perform(request: Request): Promise<Reply> {
    const { service, log } = this.#options
    try {
      switch (request.op) {
        case 'allocate':
          return await service.allocate(request)
        case 'register':
          return await service.register(request)
        case 'release':
          await service.release(request)
          return { ok: true }
        case 'get':
          return await service.get(request)
        case 'list':
          return await service.list(request)
        case 'status':
          await service.status()
          return { ok: true }
        case 'report':
          log.warn({ ...request.fields, from: 'vrouter-cni' }, request.message)
          return { ok: true }
        default:
          return request satisfies never
      }
    } catch (error) {
      const { code, retry, remedy, message, stack } = error as Error & Partial<ErrorReply & { readonly remedy: string }>
      if (typeof code === 'string' && typeof retry === 'boolean') return failure(code, message, retry, remedy)
      log.error({ op: request.op, stack }, 'a port API request failed in an unforeseen way')
      return failure('INTERNAL', `the daemon failed: ${message}`, true, 'see the daemon log')
    }
  }
}

function failure(code: string, message: string, retry: boolean, details?: string): ErrorReply {
  return details === undefined ? { ok: false, code, message, retry } : { ok: false, code, message, details, retry }
}

function identity(request: Request): object {
  return 'containerId' in request ? { containerId: request.containerId, ifname: request.ifname } : {}
}

/** True when somebody accepts connections on the socket. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT' && error.code !== 'ENOTSOCK'),
    )
  })
}
