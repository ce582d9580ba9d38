/**
 * Asks other nodes over the underlay whether they are there: a tunnel packet with the label of an echo, which their datapath sends back (lib/echo.h). So a node
 * whose daemon is away is there, and one whose kernel is gone isn't. Owns a UDP socket and a timer, both only while there is somebody to ask.
 */
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { MPLS_LABEL_ECHO, MPLS_UDP_PORT } from '../maps/constants.ts'
import type { Presence } from './election.ts'

export interface ProberOptions {
  /** Milliseconds between two questions to one node. */
  readonly periodMs: number
  /** So many unanswered questions one after the other, and a node is silent. */
  readonly mostMissed: number
  /** The presence of a node is another one; also called once in a period. */
  readonly onChange: () => void
  readonly onError: (error: Error) => void
  /** Where nodes answer; default: that of tunnels. */
  readonly port?: number
}

interface Target {
  readonly address: string
  presence: Presence
  missed: number
  /** Of the question that waits for its answer. */
  nonce: Buffer | undefined
}

const SHIM = Buffer.alloc(4)
const TTL = 64
SHIM.writeUInt32BE(((MPLS_LABEL_ECHO << 12) | 0x100 | TTL) >>> 0)
const NONCE = 8

export class Prober implements Disposable {
  readonly #options: ProberOptions
  readonly #targets = new Map<string, Target>()
  #socket: Socket | undefined
  #from = ''
  #timer: NodeJS.Timeout | undefined
  #lastTick = 0

  constructor(options: ProberOptions) {
    this.#options = options
  }

  /** From now on these are asked, by name with their underlay addresses; `from`: this node's own. */
  watch(nodes: ReadonlyMap<string, string>, from: string): void {
    for (const [name, { address }] of this.#targets) if (nodes.get(name) !== address) this.#targets.delete(name)
    for (const [name, address] of nodes)
      if (!this.#targets.has(name))
        this.#targets.set(name, { address, presence: 'unknown', missed: 0, nonce: undefined })
    if (this.#targets.size === 0) {
      this.#close()
      return
    }
    if (this.#from !== from) {
      this.#from = from
      this.#closeSocket()
    }
    if (this.#timer !== undefined) return
    this.#lastTick = performance.now()
    this.#timer = setInterval(() => this.#tick(), this.#options.periodMs).unref()
    this.#askAll()
  }

  presenceOf(node: string): Presence {
    return this.#targets.get(node)?.presence ?? 'unknown'
  }

  get watched(): number {
    return this.#targets.size
  }

  /** What was found out holds no longer. */
  forget(): void {
    for (const target of this.#targets.values()) {
      target.presence = 'unknown'
      target.missed = 0
      target.nonce = undefined
    }
  }

  [Symbol.dispose](): void {
    this.#targets.clear()
    this.#close()
  }

  /** One that failed is opened anew with the next questions: the node's address may have been away for a moment. */
  #open(): Socket {
    const socket = createSocket('udp4')
    socket.unref()
    socket.on('error', (error) => {
      this.#options.onError(error)
      if (this.#socket === socket) this.#closeSocket()
    })
    socket.on('message', (message, { address, port }) => this.#heard(message, address, port))
    socket.bind({ address: this.#from, port: 0 })
    this.#socket = socket
    return socket
  }

  #closeSocket(): void {
    this.#socket?.close()
    this.#socket = undefined
  }

  #close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#closeSocket()
  }

  #tick(): void {
    const { periodMs, mostMissed, onChange } = this.#options
    const now = performance.now()
    // Where this process itself stood still, the answers wait to be read.
    const isLate = now - this.#lastTick > 2 * periodMs
    this.#lastTick = now
    for (const target of this.#targets.values()) {
      if (target.nonce === undefined || isLate) continue
      target.missed++
      if (target.missed >= mostMissed) target.presence = 'silent'
    }
    this.#askAll()
    onChange()
  }

  #askAll(): void {
    const socket = this.#socket ?? this.#open()
    const { port = MPLS_UDP_PORT } = this.#options
    for (const target of this.#targets.values()) {
      target.nonce = randomBytes(NONCE)
      // What can't be sent (no route, no neighbour) is a question without an answer.
      socket.send(Buffer.concat([SHIM, target.nonce]), port, target.address, () => undefined)
    }
  }

  #heard(message: Buffer, address: string, port: number): void {
    if (port !== (this.#options.port ?? MPLS_UDP_PORT) || message.length !== SHIM.length + NONCE) return
    for (const target of this.#targets.values()) {
      if (target.address !== address || target.nonce?.equals(message.subarray(SHIM.length)) !== true) continue
      target.nonce = undefined
      target.missed = 0
      if (target.presence === 'there') return
      target.presence = 'there'
      this.#options.onChange()
      return
    }
  }
}
