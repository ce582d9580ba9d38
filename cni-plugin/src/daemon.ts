/**
 * The conversation with the daemon on its `cni.sock`: one line out, one line back, over one connection. Synchronous and on a raw descriptor:
 * the process has nothing else to do, and a socket of libuv costs more time than the whole conversation.
 */

import type { ErrorReply, Reply, Request } from '@kube-vrouter/daemon/port-api/messages'
import { isErrno, SystemError } from '@kube-vrouter/linux/errors'
import {
  allocate,
  close,
  connect,
  type Memory,
  POLLIN,
  POLLOUT,
  poll,
  recv,
  SOCK_NONBLOCK,
  sendto,
  socket,
} from '@kube-vrouter/linux/ffi'
import { CniError, ErrorCode } from './errors.ts'
import { parseReply } from './replies.ts'

const AF_UNIX = 1
const SOCK_STREAM = 1
const MSG_NOSIGNAL = 0x4000

/** Longest wait for one answer: longer than the daemon's own deadline (30 s), far below kubelet's two minutes. */
const ANSWER_MS = 40_000
const CONNECT_MS = 5_000
const RECONNECT_MS = 50
/** How long an answer may take before the daemon is asked whether it does anything at all, and how long that may take. */
const SILENCE_MS = 5_000
const PROBE_MS = 5_000
/** Longest answer: the list of a node with thousands of attachments is far below. */
const MAX_ANSWER = 16 * 1024 * 1024

/** The daemon can't be reached or broke off; DEL goes on without it. */
export class DaemonUnreachable extends Error {
  override readonly name: string = 'DaemonUnreachable'
}

/** It takes connections and does nothing: it is stopped, or its machine can't run it. To ask it again is no use. */
export class DaemonSilent extends DaemonUnreachable {
  override readonly name = 'DaemonSilent'
}

/** What answered can't be used. */
export class DaemonGarbled extends Error {
  override readonly name = 'DaemonGarbled'
}

/** The daemon answered with a refusal. */
export class DaemonRefused extends Error {
  override readonly name = 'DaemonRefused'
  readonly reply: ErrorReply

  constructor(reply: ErrorReply) {
    super(reply.message)
    this.reply = reply
  }
}

type ReplyOf = Extract<Reply, { readonly ok: true }>

/**
 * A conversation that outlives the daemon: while it restarts (an upgrade, a crash), requests wait for its successor and are asked again of it, for
 * `absentMs` from the first loss on. Every request may be asked twice: the second answer is that of the first. All of it has one deadline: the
 * longest answer, and the absence.
 */
export class PatientDaemon implements Disposable {
  readonly #path: string
  readonly #absentMs: number
  readonly #deadline: number
  #daemon: Daemon | undefined
  #giveUp: number | undefined
  #wasReached = false

  constructor(path: string, absentMs: number) {
    this.#path = path
    this.#absentMs = absentMs
    this.#deadline = performance.now() + absentMs + ANSWER_MS
  }

  /** Whether a daemon may have heard of a request. */
  get wasReached(): boolean {
    return this.#wasReached
  }

  /** Sends the request; the function that it returns waits for the answer. Both throw as `Daemon.call`. */
  ask<T extends ReplyOf>(request: Request): () => T {
    let answer: (() => T) | undefined
    try {
      answer = this.#askOnce<T>(request)
    } catch (error) {
      this.#lose(error)
    }
    return () =>
      this.#patiently(() => {
        const wait = answer ?? this.#askOnce<T>(request)
        answer = undefined
        return wait()
      })
  }

  #askOnce<T extends ReplyOf>(request: Request): () => T {
    const left = Math.max(0, this.#deadline - performance.now())
    this.#daemon ??= Daemon.connect(this.#path, Math.min(CONNECT_MS, left))
    this.#wasReached = true
    return this.#daemon.ask<T>(request, Math.min(ANSWER_MS, left), Math.max(SILENCE_MS, this.#absentMs))
  }

  #patiently<T>(question: () => T): T {
    for (;;) {
      try {
        return question()
      } catch (error) {
        this.#lose(error)
        pause(RECONNECT_MS)
      }
    }
  }

  /** Throws what is no loss of the daemon, and a loss that has lasted too long. */
  #lose(error: unknown): void {
    if (!(error instanceof DaemonUnreachable)) throw error
    this.#daemon?.[Symbol.dispose]()
    this.#daemon = undefined
    if (error instanceof DaemonSilent) throw error
    this.#giveUp ??= Math.min(performance.now() + this.#absentMs, this.#deadline)
    if (performance.now() >= this.#giveUp) throw error
  }

  [Symbol.dispose](): void {
    this.#daemon?.[Symbol.dispose]()
  }
}

export class Daemon implements Disposable {
  readonly #fd: number
  readonly #path: string
  readonly #buffer: Memory = allocate(64 * 1024)
  #pending = Buffer.alloc(0)

  private constructor(fd: number, path: string) {
    this.#fd = fd
    this.#path = path
  }

  /** `waitMs`: how long to wait for a place in the daemon's queue. Throws DaemonUnreachable. */
  static connect(path: string, waitMs = CONNECT_MS): Daemon {
    const address = Buffer.alloc(110)
    address.writeUInt16LE(AF_UNIX, 0)
    if (Buffer.byteLength(path) > 107)
      throw new CniError(
        ErrorCode.INVALID_CONFIG,
        `socket ${path} is longer than 107 bytes`,
        'choose a shorter paths.run',
      )
    address.write(path, 2)
    const fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)
    try {
      connectWithin(fd, address, waitMs)
      return new Daemon(fd, path)
    } catch (error) {
      close(fd)
      if (error instanceof SystemError)
        throw new DaemonUnreachable(`cannot reach the vRouter daemon at ${path}: ${error.code}`)
      throw error
    }
  }

  /** Sends a request and waits for its answer. Throws DaemonRefused for an error reply, DaemonUnreachable without an answer, DaemonGarbled for something else. */
  call<T extends ReplyOf>(request: Request, timeoutMs = ANSWER_MS): T {
    return this.ask<T>(request, timeoutMs)()
  }

  /**
   * Sends a request; the function that it returns waits for the answer. One request at a time. Throws DaemonSilent when no answer came for `silenceMs`, and
   * none to another question either.
   */
  ask<T extends ReplyOf>(request: Request, timeoutMs = ANSWER_MS, silenceMs = SILENCE_MS): () => T {
    const giveUp = performance.now() + timeoutMs
    this.#send(Buffer.from(`${JSON.stringify(request)}\n`), giveUp)
    return () => {
      const line = this.#receiveLine(giveUp, silenceMs)
      let reply: Reply
      try {
        reply = parseReply(request.op, line)
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        throw new DaemonGarbled(`the answer to ${request.op} at ${this.#path} can not be used: ${error.message}`)
      }
      if (!reply.ok) throw new DaemonRefused(reply)
      return reply as T
    }
  }

  #send(bytes: Buffer, giveUp: number): void {
    let rest = bytes
    while (rest.length > 0) {
      try {
        rest = rest.subarray(sendto(this.#fd, rest, MSG_NOSIGNAL))
      } catch (error) {
        if (!isErrno(error, 'EAGAIN')) throw this.#lost(error)
        this.#wait(POLLOUT, giveUp)
      }
    }
  }

  #receiveLine(giveUp: number, silenceMs: number): string {
    let silentUntil = performance.now() + silenceMs
    for (;;) {
      const end = this.#pending.indexOf(10)
      if (end >= 0) {
        const line = this.#pending.toString('utf8', 0, end)
        this.#pending = this.#pending.subarray(end + 1)
        return line
      }
      if (this.#pending.length > MAX_ANSWER)
        throw new DaemonGarbled(`the answer at ${this.#path} can not be used: it is longer than ${MAX_ANSWER} bytes`)
      if (!this.#isReady(POLLIN, Math.min(giveUp, silentUntil)) && performance.now() < giveUp) {
        if (!isAlive(this.#path)) {
          const waited = Math.round((silenceMs + PROBE_MS) / 1000)
          throw new DaemonSilent(`the vRouter daemon at ${this.#path} hangs: it answers nothing for ${waited} s`)
        }
        silentUntil = performance.now() + silenceMs
        continue
      }
      this.#wait(POLLIN, giveUp)
      let length: number
      try {
        length = recv(this.#fd, this.#buffer)
      } catch (error) {
        throw this.#lost(error)
      }
      if (length === 0)
        throw new DaemonUnreachable(`the vRouter daemon at ${this.#path} closed the connection without an answer`)
      if (length > 0) this.#pending = Buffer.concat([this.#pending, this.#buffer.bytes.subarray(0, length)])
    }
  }

  #wait(events: number, giveUp: number): void {
    if (!this.#isReady(events, giveUp) && performance.now() >= giveUp)
      throw new DaemonUnreachable(`the vRouter daemon at ${this.#path} did not answer in time`)
  }

  #isReady(events: number, until: number): boolean {
    const left = Math.ceil(until - performance.now())
    const [ready] = left > 0 ? poll([{ fd: this.#fd, events }], left) : [0]
    return ready !== undefined && ready !== 0
  }

  #lost(error: unknown): DaemonUnreachable {
    return new DaemonUnreachable(
      `lost the connection to the vRouter daemon at ${this.#path}: ${error instanceof SystemError ? error.code : error}`,
    )
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}

/** Whether the daemon answers anything, be it a refusal: STATUS never waits for other work. */
function isAlive(path: string): boolean {
  try {
    using daemon = Daemon.connect(path, PROBE_MS)
    daemon.call({ op: 'status' }, PROBE_MS)
    return true
  } catch (error) {
    if (error instanceof DaemonUnreachable) return false
    if (error instanceof DaemonRefused || error instanceof DaemonGarbled) return true
    throw error
  }
}

/** A listener whose queue is full (a storm of ADDs) says EAGAIN, and nothing tells when to try again. */
function connectWithin(fd: number, address: Uint8Array, ms: number): void {
  for (let waited = 0; ; waited += 20) {
    try {
      connect(fd, address)
      return
    } catch (error) {
      if (!isErrno(error, 'EAGAIN') || waited >= ms) throw error
      pause(20)
    }
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** Errors that the daemon knows of, or can't be told. */
const fromDaemon = new WeakSet<CniError>()

export function isFromDaemon(error: CniError): boolean {
  return fromDaemon.has(error)
}

export function markFromDaemon(error: CniError): CniError {
  fromDaemon.add(error)
  return error
}

export const GARBLED_REMEDY =
  'see that the vRouter daemon listens there and nobody else, and that it is of the same version as this plugin'

/** What the runtime is told when the daemon can't be reached or refuses. */
export function daemonError(error: unknown): CniError {
  return markFromDaemon(refusalOf(error))
}

function refusalOf(error: unknown): CniError {
  if (error instanceof DaemonUnreachable)
    return new CniError(ErrorCode.TRY_AGAIN, error.message, 'start the vRouter daemon on this node, or see its log')
  if (error instanceof DaemonGarbled) return new CniError(ErrorCode.TRY_AGAIN, error.message, GARBLED_REMEDY)
  if (error instanceof DaemonRefused) {
    const { code, message, details, retry } = error.reply
    return new CniError(
      retry ? ErrorCode.TRY_AGAIN : ErrorCode.REFUSED,
      message,
      details === undefined ? code : `${code}: ${details}`,
    )
  }
  throw error
}
