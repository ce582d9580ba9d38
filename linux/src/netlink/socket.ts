/**
 * A netlink socket for requests: it sends, waits for the kernel's answer (which a request socket always gets before the call
 * returns) and turns refusals into SystemErrors with the kernel's own words. Event subscriptions are in `monitor.ts`.
 *
 * The conversation itself (`Conversation`) works on a `Transport`, so that retries can be tested without a kernel.
 */

import { isErrno, SystemError } from '../errors.ts'
import { allocate, bind, close, getsockname, type Memory, recv, sendto, setsockopt } from '../ffi.ts'
import { type NamespaceHandle, openSocketIn } from '../namespace.ts'
import {
  type Attribute,
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  type Message,
  NLMSG_HEADER_SIZE,
  optional,
  readText,
  readU32,
  viewOf,
} from './codec.ts'

export const NETLINK_ROUTE = 0

export const NLM_F_REQUEST = 0x1
export const NLM_F_ACK = 0x4
export const NLM_F_ECHO = 0x8
export const NLM_F_DUMP_INTR = 0x10
export const NLM_F_DUMP = 0x300
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800

const NLMSG_ERROR = 2
const NLMSG_DONE = 3

const NLM_F_CAPPED = 0x100
const NLM_F_ACK_TLVS = 0x200
const NLMSGERR_ATTR_MSG = 1
const NLMSGERR_ATTR_OFFS = 2
const NLMSGERR_ATTR_MISS_TYPE = 5

/** A request, ready but for its sequence number. `attempted` is the beginning of the error message, should it fail. */
export interface Request {
  readonly type: number
  /** NLM_F_REQUEST and NLM_F_ACK are added. */
  readonly flags: number
  /** The fixed structure of the message type. */
  readonly fixed: Uint8Array
  readonly attributes?: readonly Attribute[]
  readonly attempted?: string
}

/** What became of one request of a batch. */
export type BatchResult =
  | { readonly ok: true; readonly messages: Message[] }
  | { readonly ok: false; readonly error: SystemError }

/** Datagrams to and from the kernel. `receive` waits for the next one; its bytes are the caller's to keep. */
export interface Transport {
  send(datagram: Uint8Array): void
  receive(): Uint8Array
}

/** Dumps that a change has interrupted are repeated this often before the caller hears of it. */
const DUMP_ATTEMPTS = 16

/** A batch is cut where a datagram would exceed this, so that its acknowledgements fit the receive buffer. */
const BATCH_BYTES = 64 * 1024
const BATCH_REQUESTS = 256

/** Requests and answers over a transport. */
export class Conversation {
  readonly #transport: Transport
  #sequence = 0

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Sends one request and returns what came back besides the acknowledgement (the answer of a GET, the echo of a NEW). */
  request(request: Request): Message[] {
    const [result] = this.batch([request])
    if (result === undefined || !result.ok) throw result?.error
    return result.messages
  }

  /**
   * Sends several requests in as few datagrams as possible and collects every answer. The kernel takes them in order and a refused one doesn't
   * stop the next, so each has its own result.
   */
  batch(requests: readonly Request[]): BatchResult[] {
    const results: BatchResult[] = []
    for (let start = 0; start < requests.length; ) {
      const datagrams: Uint8Array[] = []
      const first = this.#sequence + 1
      let size = 0
      while (start + datagrams.length < requests.length && datagrams.length < BATCH_REQUESTS) {
        const next = this.#encode(requests[start + datagrams.length]!, NLM_F_ACK, this.#sequence + 1)
        if (datagrams.length > 0 && size + next.length > BATCH_BYTES) break
        this.#sequence++
        datagrams.push(next)
        size += next.length
      }
      this.#transport.send(datagrams.length === 1 ? datagrams[0]! : Buffer.concat(datagrams))
      results.push(...this.#collect(requests.slice(start, start + datagrams.length), first))
      start += datagrams.length
    }
    return results
  }

  /**
   * A full dump. One that the kernel marks as interrupted (NLM_F_DUMP_INTR: something changed meanwhile, so entries may be missing or
   * doubled) is thrown away and repeated; if it never succeeds an EINTR SystemError is thrown. Never returns a partial dump.
   */
  dump(request: Request): Message[] {
    for (let attempt = 1; attempt <= DUMP_ATTEMPTS; attempt++) {
      const sequence = ++this.#sequence
      this.#transport.send(this.#encode(request, NLM_F_DUMP, sequence))
      const { messages, interrupted } = this.#receiveDump(request, sequence)
      if (!interrupted) return messages
    }
    throw new SystemError(
      'netlink',
      4,
      request.attempted ?? `netlink dump ${request.type}`,
      `the table changed during each of ${DUMP_ATTEMPTS} dumps`,
    )
  }

  #encode(request: Request, flags: number, sequence: number): Uint8Array {
    const header = { type: request.type, flags: request.flags | NLM_F_REQUEST | flags, sequence }
    return encodeMessage(header, request.fixed, request.attributes)
  }

  #collect(requests: readonly Request[], first: number): BatchResult[] {
    const results = new Array<BatchResult | undefined>(requests.length)
    const messages: Message[][] = requests.map(() => [])
    let outstanding = requests.length
    while (outstanding > 0) {
      for (const message of decodeMessages(this.#transport.receive())) {
        const i = message.sequence - first
        const request = requests[i]
        if (request === undefined || results[i] !== undefined) continue
        if (message.type !== NLMSG_ERROR) {
          messages[i]!.push(message)
          continue
        }
        const error = errorOf(message, request)
        results[i] = error ? { ok: false, error } : { ok: true, messages: messages[i]! }
        outstanding--
      }
    }
    return results as BatchResult[]
  }

  #receiveDump(request: Request, sequence: number): { messages: Message[]; interrupted: boolean } {
    const messages: Message[] = []
    let interrupted = false
    for (;;) {
      for (const message of decodeMessages(this.#transport.receive())) {
        if (message.sequence !== sequence) continue
        if (message.flags & NLM_F_DUMP_INTR) interrupted = true
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const error = errorOf(message, request)
          // A dump that the kernel aborts because its walk was invalidated ends with EINTR or EAGAIN instead of the flag.
          if (error && !isErrno(error, 'EINTR', 'EAGAIN')) throw error
          return { messages, interrupted: interrupted || error !== undefined }
        }
        messages.push(message)
      }
    }
  }
}

/** The refusal in an acknowledgement or at the end of a dump, or undefined when it is none. */
function errorOf(message: Message, request: Request): SystemError | undefined {
  const { payload } = message
  const code = payload.length >= 4 ? viewOf(payload).getInt32(0, true) : 0
  if (code === 0) return undefined
  return new SystemError(
    'netlink',
    Math.abs(code),
    request.attempted ?? `netlink request ${request.type}`,
    extendedText(message),
  )
}

/** The kernel's explanation (NETLINK_EXT_ACK), which names the attribute it complains about by type or offset. */
function extendedText(message: Message): string | undefined {
  if (!(message.flags & NLM_F_ACK_TLVS)) return undefined
  const { payload } = message
  // After the error code comes the request's header, and the rest of the request unless it is capped; a dump's DONE has only the code.
  let start = 4
  if (message.type === NLMSG_ERROR) {
    const requestLength = viewOf(payload).getUint32(4, true)
    start = 4 + (message.flags & NLM_F_CAPPED ? NLMSG_HEADER_SIZE : (requestLength + 3) & ~3)
  }
  const attributes = decodeAttributes(payload.subarray(start))
  const text = optional(attributes.get(NLMSGERR_ATTR_MSG), readText)
  const missing = optional(attributes.get(NLMSGERR_ATTR_MISS_TYPE), readU32)
  const offset = optional(attributes.get(NLMSGERR_ATTR_OFFS), readU32)
  if (text) return text.replace(/\.$/, '')
  if (missing !== undefined) return `attribute ${missing} is missing`
  if (offset !== undefined) return `the kernel refuses the attribute at byte ${offset}`
  return undefined
}

// ---- the real one -----------------------------------------------------------------------------------------------------------

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const SO_SNDBUFFORCE = 32
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NETLINK_GET_STRICT_CHK = 12
const MSG_TRUNC = 0x20

/** The kernel gives a dump in pieces of at most 32 KiB; a single object (a device with many virtual functions) may be larger. */
const RECEIVE_BYTES = 256 * 1024
const RECEIVE_QUEUE_BYTES = 4 * 1024 * 1024

let landing: Memory | undefined

export interface NetlinkSocketOptions {
  /** The namespace that the socket speaks to, for good; by default the one this thread is in. */
  readonly netns?: NamespaceHandle
}

/** Opens and owns the descriptor of a netlink socket, bound to a port that the kernel chose. */
export class NetlinkSocket extends Conversation implements Disposable {
  readonly fd: number
  #open = true

  private constructor(fd: number) {
    super({
      send: (datagram) => void sendto(fd, datagram),
      receive: () => receiveDatagram(fd),
    })
    this.fd = fd
  }

  static open(protocol: number = NETLINK_ROUTE, options: NetlinkSocketOptions = {}): NetlinkSocket {
    const fd = openNetlink(protocol, options.netns)
    try {
      setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1)
      setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1)
      setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
      bind(fd, sockaddr(0))
      return new NetlinkSocket(fd)
    } catch (error) {
      close(fd)
      throw error
    }
  }

  /** The socket's netlink port. */
  get port(): number {
    return viewOf(getsockname(this.fd, 12)).getUint32(4, true)
  }

  [Symbol.dispose](): void {
    if (!this.#open) return
    this.#open = false
    close(this.fd)
  }
}

/** A netlink socket with large queues, not yet bound. */
export function openNetlink(
  protocol: number,
  netns?: NamespaceHandle,
  receiveQueueBytes = RECEIVE_QUEUE_BYTES,
): number {
  const fd = openSocketIn(netns, AF_NETLINK, SOCK_RAW, protocol)
  for (const option of [SO_RCVBUFFORCE, SO_SNDBUFFORCE]) {
    try {
      setsockopt(fd, SOL_SOCKET, option, receiveQueueBytes)
    } catch (error) {
      // Without CAP_NET_ADMIN the default queue has to do.
      if (!isErrno(error, 'EPERM')) {
        close(fd)
        throw error
      }
    }
  }
  return fd
}

/** struct sockaddr_nl. */
export function sockaddr(groups: number): Uint8Array {
  const address = new Uint8Array(12)
  const view = viewOf(address)
  view.setUint16(0, AF_NETLINK, true)
  view.setUint32(8, groups, true)
  return address
}

/** One datagram as a copy. The landing buffer is shared by all sockets of this thread: nothing else runs between receiving and copying. */
export function receiveDatagram(fd: number, flags = 0): Uint8Array {
  landing ??= allocate(RECEIVE_BYTES)
  const buffer = landing
  const length = recv(fd, buffer, MSG_TRUNC | flags)
  if (length < 0) throw new SystemError('recv', 11, 'cannot receive from netlink')
  if (length > buffer.bytes.length) {
    throw new SystemError('recv', 90, `cannot receive a netlink message of ${length} bytes`)
  }
  return buffer.bytes.slice(0, length)
}
