/** ICMPv6 (RFC 4443). Its checksum covers the addresses, so the codecs ask for them. Pure; bytes that are no message give undefined. */
import { checksum, pseudoHeaderSum } from './checksum.ts'
import { ICMP_HEADER_LENGTH, type IcmpMessage } from './icmp.ts'
import { Protocol } from './ipv4.ts'

export const Icmp6Type = {
  UNREACHABLE: 1,
  PACKET_TOO_BIG: 2,
  TIME_EXCEEDED: 3,
  PARAMETER_PROBLEM: 4,
  ECHO_REQUEST: 128,
  ECHO_REPLY: 129,
  ROUTER_SOLICITATION: 133,
  NEIGHBOUR_ADVERTISEMENT: 136,
  REDIRECT: 137,
} as const
export const PORT_UNREACHABLE_6 = 4
export const UNRECOGNIZED_NEXT_HEADER = 1

/** Undefined also when the checksum is wrong (RFC 4443 §2.4). */
export function decodeIcmp6(bytes: Uint8Array, source: Uint8Array, destination: Uint8Array): IcmpMessage | undefined {
  if (bytes.length < ICMP_HEADER_LENGTH) return undefined
  if (checksum(bytes, pseudoHeaderSum(source, destination, Protocol.ICMPV6, bytes.length)) !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return { type: bytes[0]!, code: bytes[1]!, rest: view.getUint32(4), payload: bytes.subarray(ICMP_HEADER_LENGTH) }
}

export function encodeIcmp6(message: IcmpMessage, source: Uint8Array, destination: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(ICMP_HEADER_LENGTH + message.payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = message.type
  bytes[1] = message.code
  view.setUint32(4, message.rest)
  bytes.set(message.payload, ICMP_HEADER_LENGTH)
  view.setUint16(2, checksum(bytes, pseudoHeaderSum(source, destination, Protocol.ICMPV6, bytes.length)))
  return bytes
}

/** Errors are the types below 128. A redirect may not be answered with an error either (RFC 4443 §2.4 e). */
export function mayBeAnsweredWithError6(type: number): boolean {
  return type >= 128 && type !== Icmp6Type.REDIRECT
}
