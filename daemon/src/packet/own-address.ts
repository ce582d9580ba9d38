/**
 * What the router answers to packets for its own addresses in a VN (gateway and service): echo, and refusals. Pure. DHCP and DNS, which
 * live at these addresses as well, are never refused.
 */
import type { Answer } from './answer.ts'
import { type EthernetFrame, isGroupMac } from './ethernet.ts'
import { decodeIcmp, encodeIcmp, IcmpType, UnreachableCode } from './icmp.ts'
import { error4, error6, mayAnswer4, mayAnswer6 } from './icmp-error.ts'
import { decodeIcmp6, encodeIcmp6, Icmp6Type, PORT_UNREACHABLE_6, UNRECOGNIZED_NEXT_HEADER } from './icmp6.ts'
import { encodeIpv4, type Ipv4Packet, Protocol } from './ipv4.ts'
import { encodeIpv6, type Ipv6Packet, isUnicast6 } from './ipv6.ts'
import { decodePorts, decodeTcp, encodeTcp, resetFor } from './tcp.ts'

const HOP_LIMIT = 64
const NO_OPTIONS = new Uint8Array(0)
/** Destination ports of the services that the router has at its addresses. */
const SERVICES_UDP: readonly number[] = [53, 67, 547]
const SERVICES_TCP: readonly number[] = [53]

export function answerOwn4(
  frame: EthernetFrame,
  packet: Ipv4Packet,
  isBroadcast: (address: Uint8Array) => boolean,
): Answer {
  if (!packet.hasValidChecksum) return 'malformed'
  if (!mayAnswer4(frame, packet, isBroadcast)) return 'answer_not_allowed'
  switch (packet.protocol) {
    case Protocol.ICMP:
      return echo4(packet)
    case Protocol.TCP:
      return refuseTcp(packet, packet.moreFragments, (payload) => reply4(packet, Protocol.TCP, 0, payload))
    case Protocol.UDP:
      return (
        reservedUdp(packet.payload) ??
        error4(packet, packet.destination, { type: IcmpType.UNREACHABLE, code: UnreachableCode.PORT, rest: 0 })
      )
    default:
      return error4(packet, packet.destination, { type: IcmpType.UNREACHABLE, code: UnreachableCode.PROTOCOL, rest: 0 })
  }
}

export function answerOwn6(frame: EthernetFrame, packet: Ipv6Packet): Answer {
  // A link-local sender may be answered here: the answer comes from the address that it spoke to, and goes back where it came from.
  if (isGroupMac(frame.destination) || !isUnicast6(packet.source)) return 'answer_not_allowed'
  if (packet.nextHeader === Protocol.ICMPV6) return echo6(packet)
  if (packet.nextHeader === Protocol.TCP) {
    if (packet.fragment && packet.fragment.offset > 0) return 'answer_not_allowed'
    return refuseTcp(packet, packet.fragment?.moreFragments ?? false, (payload) =>
      reply6(packet, Protocol.TCP, payload),
    )
  }
  if (!mayAnswer6(frame, packet)) return 'answer_not_allowed'
  if (packet.nextHeader === Protocol.UDP) {
    return (
      reservedUdp(packet.payload) ??
      error6(packet, packet.destination, { type: Icmp6Type.UNREACHABLE, code: PORT_UNREACHABLE_6, rest: 0 })
    )
  }
  const problem = { type: Icmp6Type.PARAMETER_PROBLEM, code: UNRECOGNIZED_NEXT_HEADER, rest: packet.nextHeaderOffset }
  return error6(packet, packet.destination, problem)
}

/** Fragments of an echo request aren't put together: the router keeps no packets. */
function echo4(packet: Ipv4Packet): Answer {
  if (packet.moreFragments || packet.fragmentOffset > 0) return 'not_handled'
  if (packet.isTruncated) return 'truncated'
  const message = decodeIcmp(packet.payload)
  if (message === undefined) return 'malformed'
  if (message.type !== IcmpType.ECHO_REQUEST || message.code !== 0) return 'not_handled'
  return reply4(packet, Protocol.ICMP, packet.tos, encodeIcmp({ ...message, type: IcmpType.ECHO_REPLY }))
}

function echo6(packet: Ipv6Packet): Answer {
  if (packet.fragment) return 'not_handled'
  if (packet.isTruncated) return 'truncated'
  const message = decodeIcmp6(packet.payload, packet.source, packet.destination)
  if (message === undefined) return 'malformed'
  if (message.type !== Icmp6Type.ECHO_REQUEST || message.code !== 0) return 'not_handled'
  const echo = encodeIcmp6({ ...message, type: Icmp6Type.ECHO_REPLY }, packet.destination, packet.source)
  return reply6(packet, Protocol.ICMPV6, echo)
}

/** The checksum isn't looked at: a local sender may have left it to an offload that never came. */
function refuseTcp(
  packet: Ipv4Packet | Ipv6Packet,
  isFragment: boolean,
  reply: (payload: Uint8Array) => Uint8Array,
): Answer {
  if (isFragment) return 'not_handled'
  if (packet.isTruncated) return 'truncated'
  const segment = decodeTcp(packet.payload)
  if (segment === undefined) return 'malformed'
  if (SERVICES_TCP.includes(segment.destinationPort)) return 'later_service'
  const reset = resetFor(segment)
  return reset === undefined ? 'answer_not_allowed' : reply(encodeTcp(reset, packet.destination, packet.source))
}

function reservedUdp(payload: Uint8Array): Answer | undefined {
  const ports = decodePorts(payload)
  if (ports === undefined) return 'malformed'
  return SERVICES_UDP.includes(ports.destination) ? 'later_service' : undefined
}

function reply4(packet: Ipv4Packet, protocol: number, tos: number, payload: Uint8Array): Uint8Array {
  const header = {
    tos,
    id: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: HOP_LIMIT,
    protocol,
    source: packet.destination,
    destination: packet.source,
    options: NO_OPTIONS,
  }
  return encodeIpv4(header, payload)
}

function reply6(packet: Ipv6Packet, nextHeader: number, payload: Uint8Array): Uint8Array {
  const addresses = { source: packet.destination, destination: packet.source }
  return encodeIpv6(
    { trafficClass: packet.trafficClass, flowLabel: 0, nextHeader, hopLimit: HOP_LIMIT, ...addresses },
    payload,
  )
}
