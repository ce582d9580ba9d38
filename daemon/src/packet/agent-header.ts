/**
 * The header between pkt0 and the datapath: a 14-byte Ethernet header, then 30 bytes in network order (`struct agent_hdr` of the
 * datapath's types.h, vRouter reference 2.10), then the frame that was trapped or is to be injected. Pure; bytes from the device that make no
 * sense give undefined.
 */
import { parseMac } from '@kube-vrouter/linux/address'
import {
  type AGENT_CMD,
  AGENT_ROUTE,
  AGENT_SWITCH,
  AGENT_TRAP_ARP,
  AGENT_TRAP_DIAG,
  AGENT_TRAP_ECMP_RESOLVE,
  AGENT_TRAP_FLOW_MISS,
  AGENT_TRAP_HANDLE_DF,
  AGENT_TRAP_ICMP_ERROR,
  AGENT_TRAP_L2_PROTOCOLS,
  AGENT_TRAP_L3_PROTOCOLS,
  AGENT_TRAP_NEXTHOP,
  AGENT_TRAP_RESOLVE,
  AGENT_TRAP_SOURCE_MISMATCH,
  AGENT_TRAP_ZERO_TTL,
} from '../maps/constants.ts'
import * as names from '../model/names.ts'

export const AGENT_HEADER_LENGTH = 14 + 30
const VERSION_TYPE = 0x0800

/** MAC of the agent's end of pkt0, and of the datapath's end, in frames that the agent sends. */
export const AGENT_MAC = parseMac(names.AGENT_MAC)
export const DATAPATH_MAC = Uint8Array.of(0, 0, 0, 0, 0, 2)

/** Names as introspect prints them (introspect reference, VrouterHdr.cmd). SWITCH and ROUTE go to the datapath, the others come from it. */
const NAMES: { readonly [command in (typeof AGENT_CMD)[keyof typeof AGENT_CMD]]: string } = {
  [AGENT_SWITCH]: 'switch',
  [AGENT_ROUTE]: 'route',
  [AGENT_TRAP_ARP]: 'arp',
  [AGENT_TRAP_L2_PROTOCOLS]: 'l2-protocol',
  [AGENT_TRAP_NEXTHOP]: 'trap-nexthop',
  [AGENT_TRAP_RESOLVE]: 'trap-resolve',
  [AGENT_TRAP_FLOW_MISS]: 'trap-flow-miss',
  [AGENT_TRAP_L3_PROTOCOLS]: 'trap-l3-protocol',
  [AGENT_TRAP_DIAG]: 'trap-diag',
  [AGENT_TRAP_ECMP_RESOLVE]: 'trap-ecmp-resolve',
  [AGENT_TRAP_SOURCE_MISMATCH]: 'trap_source_mismatch',
  [AGENT_TRAP_HANDLE_DF]: 'trap-dont-fragment',
  [AGENT_TRAP_ZERO_TTL]: 'trap-zero-ttl',
  [AGENT_TRAP_ICMP_ERROR]: 'trap-icmp-error',
}

/** By command number. */
export const COMMAND_NAMES: readonly string[] = Object.values(NAMES)

export interface AgentHeader {
  /** vif id: where a trapped packet came from; where an injected one goes (SWITCH), or comes from (ROUTE). */
  readonly vif: number
  readonly vrf: number
  readonly command: number
  readonly param: number
  readonly param1: number
  readonly param2: number
  readonly param3: number
  readonly param4: number
  readonly param5: number
}

export interface Trap extends AgentHeader {
  /** The original frame from its Ethernet header on; a view into the bytes that were decoded. */
  readonly frame: Uint8Array
}

/** What one read of pkt0 gave; undefined when it isn't a packet of the datapath's (the kernel's own chatter on the device, a short frame). */
export function decodeTrap(bytes: Uint8Array): Trap | undefined {
  if (bytes.length < AGENT_HEADER_LENGTH) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint16(12) !== VERSION_TYPE) return undefined
  return {
    vif: view.getUint16(14),
    vrf: view.getUint16(16),
    command: view.getUint16(18),
    param: view.getUint32(20),
    param1: view.getUint32(24),
    param2: view.getUint32(28),
    param3: view.getUint32(32),
    param4: view.getUint32(36),
    param5: bytes[40]!,
    frame: bytes.subarray(AGENT_HEADER_LENGTH),
  }
}

/** The bytes of pkt0 for a header and a frame, with the Ethernet header that the sender `from` puts in front. */
export function encodePacket(
  header: Pick<AgentHeader, 'vif' | 'vrf' | 'command'> & Partial<AgentHeader>,
  frame: Uint8Array,
  from: 'agent' | 'datapath' = 'agent',
): Uint8Array {
  const bytes = new Uint8Array(AGENT_HEADER_LENGTH + frame.length)
  const view = new DataView(bytes.buffer)
  bytes.set(from === 'agent' ? DATAPATH_MAC : AGENT_MAC, 0)
  bytes.set(from === 'agent' ? AGENT_MAC : DATAPATH_MAC, 6)
  view.setUint16(12, VERSION_TYPE)
  view.setUint16(14, header.vif)
  view.setUint16(16, header.vrf)
  view.setUint16(18, header.command)
  view.setUint32(20, header.param ?? 0)
  view.setUint32(24, header.param1 ?? 0)
  view.setUint32(28, header.param2 ?? 0)
  view.setUint32(32, header.param3 ?? 0)
  view.setUint32(36, header.param4 ?? 0)
  bytes[40] = header.param5 ?? 0
  bytes.set(frame, AGENT_HEADER_LENGTH)
  return bytes
}
