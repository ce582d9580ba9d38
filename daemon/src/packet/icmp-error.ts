/**
 * ICMP and ICMPv6 errors about a packet: when one may be sent at all (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7, RFC 4443 §2.4), and its
 * bytes. Pure. How many are sent is limited by the datapath, which spends a budget per interface before it traps a packet.
 */
import { type EthernetFrame, isGroupMac } from './ethernet.ts'
import { encodeIcmp, ICMP_HEADER_LENGTH, isIcmpQuery } from './icmp.ts'
import { encodeIcmp6, mayBeAnsweredWithError6 } from './icmp6.ts'
import { encodeIpv4, IPV4_HEADER_LENGTH, type Ipv4Packet, isUnicast4, Protocol } from './ipv4.ts'
import { encodeIpv6, IPV6_HEADER_LENGTH, type Ipv6Packet, isLinkLocal6, isUnicast6 } from './ipv6.ts'

/** Longest IPv4 error, header included (RFC 1812 §4.3.2.3), and longest IPv6 error (RFC 4443 §2.4 c). */
export const MAX_ERROR_4 = 576
export const MAX_ERROR_6 = 1280

/** Internetwork control precedence, as RFC 1812 §4.3.2.5 wants for errors. */
const ERROR_TOS = 0xc0
const HOP_LIMIT = 64
const NO_OPTIONS = new Uint8Array(0)

export interface ErrorMessage {
  readonly type: number
  readonly code: number
  /** Next-hop MTU or pointer; otherwise 0. */
  readonly rest: number
}

/** May `packet`, which came in `frame`, be answered with an error? `isBroadcast` knows the subnets' broadcast addresses. */
export function mayAnswer4(
  frame: EthernetFrame,
  packet: Ipv4Packet,
  isBroadcast: (address: Uint8Array) => boolean,
): boolean {
  if (isGroupMac(frame.destination)) return false
  if (!isUnicast4(packet.source) || !isUnicast4(packet.destination)) return false
  if (isBroadcast(packet.source) || isBroadcast(packet.destination)) return false
  if (packet.fragmentOffset > 0) return false
  if (packet.protocol !== Protocol.ICMP) return true
  const type = packet.payload[0]
  return type !== undefined && isIcmpQuery(type)
}

/** An error from `source` about `packet`, to its sender. */
export function error4(packet: Ipv4Packet, source: Uint8Array, { type, code, rest }: ErrorMessage): Uint8Array {
  const quoted = packet.bytes.subarray(0, MAX_ERROR_4 - IPV4_HEADER_LENGTH - ICMP_HEADER_LENGTH)
  const header = {
    tos: (packet.tos & 0x1e) | ERROR_TOS,
    id: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: HOP_LIMIT,
    protocol: Protocol.ICMP,
    source,
    destination: packet.source,
    options: NO_OPTIONS,
  }
  return encodeIpv4(header, encodeIcmp({ type, code, rest, payload: quoted }))
}

/** May `packet`, which came in `frame`, be answered with an error? A link-local sender is out of reach of a router's global address. */
export function mayAnswer6(frame: EthernetFrame, packet: Ipv6Packet): boolean {
  if (isGroupMac(frame.destination)) return false
  if (!isUnicast6(packet.source) || isLinkLocal6(packet.source) || !isUnicast6(packet.destination)) return false
  if (packet.fragment && packet.fragment.offset > 0) return false
  if (packet.nextHeader !== Protocol.ICMPV6) return true
  const type = packet.payload[0]
  return type !== undefined && mayBeAnsweredWithError6(type)
}

/** An error from `source` about `packet`, to its sender. */
export function error6(packet: Ipv6Packet, source: Uint8Array, { type, code, rest }: ErrorMessage): Uint8Array {
  const quoted = packet.bytes.subarray(0, MAX_ERROR_6 - IPV6_HEADER_LENGTH - ICMP_HEADER_LENGTH)
  const message = encodeIcmp6({ type, code, rest, payload: quoted }, source, packet.source)
  return encodeIpv6(
    {
      trafficClass: 0,
      flowLabel: 0,
      nextHeader: Protocol.ICMPV6,
      hopLimit: HOP_LIMIT,
      source,
      destination: packet.source,
    },
    message,
  )
}
