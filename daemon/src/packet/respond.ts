/**
 * What the router answers to a packet that the datapath trapped. Pure: one trap and the context in, at most one frame out. Bytes from
 * outside never throw; what can't be answered is silent, with a reason that is counted.
 *
 * - NEXTHOP: something for a gateway or service address. Echo requests are answered, everything else is refused as a host without
 *   services would (RFC 1122 §3.2.2.1), but for DHCP and DNS.
 * - ZERO_TTL, HANDLE_DF: errors from the VN's gateway address (vRouter reference 2.10).
 * - RESOLVE: the underlay neighbour that is asked for.
 * - L3_PROTOCOLS: no router advertisement is sent. A pod has its address and default route from the CNI plugin; a second default route
 *   learnt from an advertisement would only be one more that can be wrong.
 * - What a service answers, if there is one (service.ts), is asked of it: DHCP and DNS at the router's addresses, DHCP to all.
 * - The rest is counted: the datapath answers ARP and ND itself, and decides flows itself.
 */
import {
  AGENT_ROUTE,
  AGENT_SWITCH,
  AGENT_TRAP_HANDLE_DF,
  AGENT_TRAP_L3_PROTOCOLS,
  AGENT_TRAP_NEXTHOP,
  AGENT_TRAP_RESOLVE,
  AGENT_TRAP_ZERO_TTL,
  MPLS_UDP_PORT,
  MPLS_UDP_PORT_OLD,
  VIF_ID_AGENT,
  VIF_ID_FABRIC,
  VIF_ID_VHOST,
} from '../maps/constants.ts'
import { AGENT_MAC, type Trap } from './agent-header.ts'
import type { Answer, SilentReason } from './answer.ts'
import { type CompiledContext, type CompiledVrf, isOwn, isSubnetBroadcast, routerAddress } from './context.ts'
import { decodeEthernet, type EthernetFrame, EtherType, encodeEthernet } from './ethernet.ts'
import { IcmpType, UnreachableCode } from './icmp.ts'
import { type ErrorMessage, error4, error6, mayAnswer4, mayAnswer6 } from './icmp-error.ts'
import { Icmp6Type } from './icmp6.ts'
import { decodeIpv4, type Ipv4Packet, Protocol } from './ipv4.ts'
import { decodeIpv6, type Ipv6Packet } from './ipv6.ts'
import { answerOwn4, answerOwn6 } from './own-address.ts'
import { type Service, serviceOf } from './service.ts'
import { decodePorts } from './tcp.ts'

/** A frame for the datapath. */
export interface Injection {
  readonly command: typeof AGENT_SWITCH | typeof AGENT_ROUTE
  readonly vif: number
  readonly vrf: number
  readonly frame: Uint8Array
}

export type Outcome =
  | { readonly kind: 'reply'; readonly injection: Injection }
  | { readonly kind: 'resolve'; readonly address: Uint8Array }
  /** Somebody else answers, in his own time. */
  | { readonly kind: 'ask'; readonly service: Service }
  | { readonly kind: 'silent'; readonly reason: SilentReason }

const MPLS_UDP_PORTS: readonly number[] = [MPLS_UDP_PORT, MPLS_UDP_PORT_OLD]
const MIN_MTU_4 = 68
const MIN_MTU_6 = 1280

/** What the trap is about: the frame, and the IP packet in it (in its tunnel, where there is one). */
type Subject = { readonly frame: EthernetFrame } & (
  | { readonly family: 4; readonly packet: Ipv4Packet }
  | { readonly family: 6; readonly packet: Ipv6Packet }
)

export function respond(trap: Trap, context: CompiledContext): Outcome {
  switch (trap.command) {
    case AGENT_TRAP_NEXTHOP:
      return orAsk(trap, context, answer(trap, context, answerOwn))
    case AGENT_TRAP_L3_PROTOCOLS:
      return orAsk(trap, context, silent(context.vrfs.has(trap.vrf) ? 'later_service' : 'not_handled'))
    case AGENT_TRAP_ZERO_TTL:
      return answer(trap, context, (subject, vrf) =>
        answerError(
          trap,
          subject,
          vrf,
          { type: IcmpType.TIME_EXCEEDED, code: 0, rest: 0 },
          { type: Icmp6Type.TIME_EXCEEDED, code: 0, rest: 0 },
        ),
      )
    case AGENT_TRAP_HANDLE_DF:
      if (trap.param < MIN_MTU_4 || trap.param > 0xffff) return silent('malformed')
      return answer(trap, context, (subject, vrf) =>
        answerError(
          trap,
          subject,
          vrf,
          { type: IcmpType.UNREACHABLE, code: UnreachableCode.FRAGMENTATION_NEEDED, rest: trap.param },
          { type: Icmp6Type.PACKET_TOO_BIG, code: 0, rest: Math.max(trap.param, MIN_MTU_6) },
        ),
      )
    case AGENT_TRAP_RESOLVE: {
      const subject = parse(trap)
      return typeof subject === 'string' ? silent(subject) : { kind: 'resolve', address: subject.packet.destination }
    }
    default:
      return silent('not_handled')
  }
}

/** What is left to a service is asked of it, where there is one. */
function orAsk(trap: Trap, context: CompiledContext, outcome: Outcome): Outcome {
  if (outcome.kind !== 'silent' || outcome.reason !== 'later_service') return outcome
  const service = context.services.size === 0 ? undefined : serviceOf(trap.frame)
  if (service !== undefined && context.services.has(service)) return { kind: 'ask', service }
  return trap.command === AGENT_TRAP_L3_PROTOCOLS ? silent('not_handled') : outcome
}

function answer(trap: Trap, context: CompiledContext, make: (subject: Subject, vrf: CompiledVrf) => Answer): Outcome {
  const vrf = context.vrfs.get(trap.vrf)
  if (vrf === undefined) return silent('unknown_vrf')
  const subject = parse(trap)
  if (typeof subject === 'string') return silent(subject)
  const made = make(subject, vrf)
  if (typeof made === 'string') return silent(made)
  return { kind: 'reply', injection: inject(trap, context, subject, made) }
}

function answerOwn(subject: Subject, vrf: CompiledVrf): Answer {
  if (!isOwn(vrf, subject.packet.destination)) return 'not_own_address'
  if (subject.family === 6) return answerOwn6(subject.frame, subject.packet)
  return answerOwn4(subject.frame, subject.packet, (address) => isSubnetBroadcast(vrf, address))
}

function answerError(
  trap: Trap,
  subject: Subject,
  vrf: CompiledVrf,
  message4: ErrorMessage,
  message6: ErrorMessage,
): Answer {
  const { frame, packet } = subject
  const isAllowed =
    subject.family === 4
      ? mayAnswer4(frame, subject.packet, (address) => isSubnetBroadcast(vrf, address))
      : mayAnswer6(frame, subject.packet)
  if (!isAllowed) return 'answer_not_allowed'
  // The host takes no packet from one of its own addresses (and the router's address in its VRF is its own): the error about what it
  // sent comes from where the packet was going.
  const source = trap.vif === VIF_ID_VHOST ? packet.destination : routerAddress(vrf, packet.source)
  if (source === undefined) return 'no_source_address'
  return subject.family === 4 ? error4(subject.packet, source, message4) : error6(subject.packet, source, message6)
}

/**
 * To a sender behind a local vif: straight back out of it, with the frame's MACs turned round. To one behind the fabric: routed in the
 * VRF of the packet, as if the router itself had sent it.
 */
function inject(trap: Trap, context: CompiledContext, { frame, family }: Subject, packet: Uint8Array): Injection {
  const type = family === 4 ? EtherType.IPV4 : EtherType.IPV6
  if (trap.vif === VIF_ID_FABRIC || trap.vif === VIF_ID_AGENT) {
    const routed = encodeEthernet({ destination: context.routerMac, source: AGENT_MAC, type, payload: packet })
    return { command: AGENT_ROUTE, vif: VIF_ID_AGENT, vrf: trap.vrf, frame: routed }
  }
  const source = trap.vif === VIF_ID_VHOST ? frame.destination : context.routerMac
  const direct = encodeEthernet({ destination: frame.source, source, type, payload: packet })
  return { command: AGENT_SWITCH, vif: trap.vif, vrf: trap.vrf, frame: direct }
}

function parse(trap: Trap): Subject | SilentReason {
  const frame = decodeEthernet(trap.frame)
  if (frame === undefined) return 'malformed'
  const subject = parseIp(frame, frame.payload, frame.type)
  if (typeof subject === 'string' || trap.vif !== VIF_ID_FABRIC) return subject
  const inner = decapsulate(subject)
  if (inner === undefined) return subject
  return parseIp(frame, inner, inner[0]! >> 4 === 6 ? EtherType.IPV6 : EtherType.IPV4)
}

function parseIp(frame: EthernetFrame, bytes: Uint8Array, type: number): Subject | SilentReason {
  if (type === EtherType.IPV4) {
    const packet = decodeIpv4(bytes)
    return packet === undefined ? 'malformed' : { frame, family: 4, packet }
  }
  if (type === EtherType.IPV6) {
    const packet = decodeIpv6(bytes)
    return packet === undefined ? 'malformed' : { frame, family: 6, packet }
  }
  return 'not_handled'
}

/** The packet inside MPLSoUDP (RFC 7510), for traps of packets from the fabric that still have their tunnel headers. */
function decapsulate(subject: Subject): Uint8Array | undefined {
  if (subject.family !== 4 || subject.packet.protocol !== Protocol.UDP || subject.packet.fragmentOffset > 0)
    return undefined
  const { payload } = subject.packet
  const ports = decodePorts(payload)
  if (ports === undefined || !MPLS_UDP_PORTS.includes(ports.destination)) return undefined
  for (let offset = 8; offset + 4 < payload.length; offset += 4) {
    const isBottomOfStack = (payload[offset + 2]! & 1) === 1
    if (isBottomOfStack) return payload.subarray(offset + 4)
  }
  return undefined
}

function silent(reason: SilentReason): Outcome {
  return { kind: 'silent', reason }
}
