/** IPv6 packets and their extension headers (RFC 8200). Pure; bytes that are no IPv6 packet give undefined. */

export const IPV6_HEADER_LENGTH = 40
/** More extension headers than this in one packet: nobody means well. */
const MAX_EXTENSIONS = 8

const NextHeader = {
  HOP_BY_HOP: 0,
  ROUTING: 43,
  FRAGMENT: 44,
  AUTHENTICATION: 51,
  DESTINATION: 60,
  MOBILITY: 135,
} as const

export interface Ipv6Header {
  readonly trafficClass: number
  readonly flowLabel: number
  /** What the payload is: the upper layer protocol. */
  readonly nextHeader: number
  readonly hopLimit: number
  readonly source: Uint8Array
  readonly destination: Uint8Array
}

export interface Ipv6Packet extends Ipv6Header {
  /** After all extension headers. */
  readonly payload: Uint8Array
  /** Where in `bytes` the field stands that names the upper layer: what a parameter problem points at. */
  readonly nextHeaderOffset: number
  /** Of the fragment header; absent in whole packets. */
  readonly fragment?: { readonly offset: number; readonly moreFragments: boolean; readonly id: number }
  /** Headers and payload as far as they are there, without link-layer padding. */
  readonly bytes: Uint8Array
  /** Less is there than the header says: a trap was cut short. */
  readonly isTruncated: boolean
}

export function decodeIpv6(bytes: Uint8Array): Ipv6Packet | undefined {
  if (bytes.length < IPV6_HEADER_LENGTH || bytes[0]! >> 4 !== 6) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const totalLength = IPV6_HEADER_LENGTH + view.getUint16(4)
  const packet = bytes.subarray(0, totalLength)
  let nextHeader = bytes[6]!
  let nextHeaderOffset = 6
  let offset = IPV6_HEADER_LENGTH
  let fragment: Ipv6Packet['fragment']
  for (let n = 0; isExtension(nextHeader); n++) {
    if (n === MAX_EXTENSIONS || offset + 8 > packet.length) return undefined
    const length = extensionLength(nextHeader, packet[offset + 1]!)
    if (offset + length > packet.length) return undefined
    if (nextHeader === NextHeader.FRAGMENT) {
      const field = view.getUint16(offset + 2)
      fragment = { offset: field & 0xfff8, moreFragments: (field & 1) === 1, id: view.getUint32(offset + 4) }
    }
    nextHeader = packet[offset]!
    nextHeaderOffset = offset
    offset += length
    // What follows the header of a later fragment is data from the middle, no further header.
    if (fragment && fragment.offset > 0) break
  }
  return {
    trafficClass: ((bytes[0]! & 0xf) << 4) | (bytes[1]! >> 4),
    flowLabel: view.getUint32(0) & 0xfffff,
    nextHeader,
    nextHeaderOffset,
    hopLimit: bytes[7]!,
    source: bytes.subarray(8, 24),
    destination: bytes.subarray(24, 40),
    payload: packet.subarray(offset),
    ...(fragment && { fragment }),
    bytes: packet,
    isTruncated: packet.length < totalLength,
  }
}

export function encodeIpv6(header: Ipv6Header, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(IPV6_HEADER_LENGTH + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, ((0x60 << 24) | (header.trafficClass << 20) | header.flowLabel) >>> 0)
  view.setUint16(4, payload.length)
  bytes[6] = header.nextHeader
  bytes[7] = header.hopLimit
  bytes.set(header.source, 8)
  bytes.set(header.destination, 24)
  bytes.set(payload, IPV6_HEADER_LENGTH)
  return bytes
}

/** An address that one host can have as its own: not ::, not ::1, not multicast. */
export function isUnicast6(address: Uint8Array): boolean {
  if (address[0] === 0xff) return false
  for (let i = 0; i < 15; i++) if (address[i] !== 0) return true
  return address[15]! > 1
}

/** fe80::/10 */
export function isLinkLocal6(address: Uint8Array): boolean {
  return address[0] === 0xfe && (address[1]! & 0xc0) === 0x80
}

function isExtension(nextHeader: number): boolean {
  switch (nextHeader) {
    case NextHeader.HOP_BY_HOP:
    case NextHeader.ROUTING:
    case NextHeader.FRAGMENT:
    case NextHeader.AUTHENTICATION:
    case NextHeader.DESTINATION:
    case NextHeader.MOBILITY:
      return true
    default:
      return false
  }
}

/** RFC 8200 §4: units of 8 bytes after the first 8; the fragment header is 8 bytes; AH (RFC 4302 §2.2) counts in 4 bytes, less two. */
function extensionLength(type: number, field: number): number {
  if (type === NextHeader.FRAGMENT) return 8
  if (type === NextHeader.AUTHENTICATION) return (field + 2) * 4
  return (field + 1) * 8
}
