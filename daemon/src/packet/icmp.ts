/** ICMP for IPv4 (RFC 792, RFC 1191). Pure; bytes that are no ICMP message give undefined. */
import { checksum } from './checksum.ts'

export const ICMP_HEADER_LENGTH = 8

export const IcmpType = { ECHO_REPLY: 0, UNREACHABLE: 3, ECHO_REQUEST: 8, TIME_EXCEEDED: 11 } as const
export const UnreachableCode = { PROTOCOL: 2, PORT: 3, FRAGMENTATION_NEEDED: 4 } as const

export interface IcmpMessage {
  readonly type: number
  readonly code: number
  /** The second word of the header: id and sequence of an echo, the MTU of "fragmentation needed". */
  readonly rest: number
  readonly payload: Uint8Array
}

/** Undefined also when the checksum is wrong: such a message is dropped silently (RFC 1122 §3.2.2). */
export function decodeIcmp(bytes: Uint8Array): IcmpMessage | undefined {
  if (bytes.length < ICMP_HEADER_LENGTH || checksum(bytes) !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return { type: bytes[0]!, code: bytes[1]!, rest: view.getUint32(4), payload: bytes.subarray(ICMP_HEADER_LENGTH) }
}

export function encodeIcmp(message: IcmpMessage): Uint8Array {
  const bytes = new Uint8Array(ICMP_HEADER_LENGTH + message.payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = message.type
  bytes[1] = message.code
  view.setUint32(4, message.rest)
  bytes.set(message.payload, ICMP_HEADER_LENGTH)
  view.setUint16(2, checksum(bytes))
  return bytes
}

/** True for the queries of RFC 1122 §3.2.2, which may be answered with an error. Errors and types nobody knows may not. */
export function isIcmpQuery(type: number): boolean {
  switch (type) {
    case IcmpType.ECHO_REPLY:
    case IcmpType.ECHO_REQUEST:
    case 9: // router advertisement and solicitation
    case 10:
    case 13: // timestamp
    case 14:
    case 15: // information
    case 16:
    case 17: // address mask
    case 18:
      return true
    default:
      return false
  }
}
