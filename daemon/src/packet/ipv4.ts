/** IPv4 packets (RFC 791). Pure; bytes that are no IPv4 packet give undefined. */
import { checksum } from './checksum.ts'

export const IPV4_HEADER_LENGTH = 20

export const Protocol = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const

export interface Ipv4Header {
  readonly tos: number
  readonly id: number
  readonly dontFragment: boolean
  readonly moreFragments: boolean
  /** In bytes; a multiple of 8. */
  readonly fragmentOffset: number
  readonly ttl: number
  readonly protocol: number
  readonly source: Uint8Array
  readonly destination: Uint8Array
  /** Padded to a multiple of 4 bytes, at most 40. */
  readonly options: Uint8Array
}

export interface Ipv4Packet extends Ipv4Header {
  readonly payload: Uint8Array
  /** Header and payload as far as they are there, without link-layer padding. */
  readonly bytes: Uint8Array
  /** Less is there than the header says: a trap was cut short. */
  readonly isTruncated: boolean
  readonly hasValidChecksum: boolean
}

export function decodeIpv4(bytes: Uint8Array): Ipv4Packet | undefined {
  if (bytes.length < IPV4_HEADER_LENGTH || bytes[0]! >> 4 !== 4) return undefined
  const headerLength = (bytes[0]! & 0xf) * 4
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const totalLength = view.getUint16(2)
  if (headerLength < IPV4_HEADER_LENGTH || headerLength > bytes.length || totalLength < headerLength) return undefined
  const fragment = view.getUint16(6)
  const packet = bytes.subarray(0, totalLength)
  return {
    tos: bytes[1]!,
    id: view.getUint16(4),
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    ttl: bytes[8]!,
    protocol: bytes[9]!,
    source: bytes.subarray(12, 16),
    destination: bytes.subarray(16, 20),
    options: bytes.subarray(IPV4_HEADER_LENGTH, headerLength),
    payload: packet.subarray(headerLength),
    bytes: packet,
    isTruncated: packet.length < totalLength,
    hasValidChecksum: checksum(bytes.subarray(0, headerLength)) === 0,
  }
}

export function encodeIpv4(header: Ipv4Header, payload: Uint8Array): Uint8Array {
  const headerLength = IPV4_HEADER_LENGTH + header.options.length
  const bytes = new Uint8Array(headerLength + payload.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = 0x40 | (headerLength >> 2)
  bytes[1] = header.tos
  view.setUint16(2, bytes.length)
  view.setUint16(4, header.id)
  const flags = (header.dontFragment ? 0x4000 : 0) | (header.moreFragments ? 0x2000 : 0)
  view.setUint16(6, flags | (header.fragmentOffset >> 3))
  bytes[8] = header.ttl
  bytes[9] = header.protocol
  bytes.set(header.source, 12)
  bytes.set(header.destination, 16)
  bytes.set(header.options, IPV4_HEADER_LENGTH)
  view.setUint16(10, checksum(bytes.subarray(0, headerLength)))
  bytes.set(payload, headerLength)
  return bytes
}

/** An address that one host can have as its own: not 0/8, not 127/8, not multicast, not reserved, not broadcast (RFC 1812 §5.3.7). */
export function isUnicast4(address: Uint8Array): boolean {
  const first = address[0]!
  return first !== 0 && first !== 127 && first < 224
}
