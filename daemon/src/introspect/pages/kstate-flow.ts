/** KFlowReq and NextKFlowReq: the flow table by index, 100 entries a reply (introspect reference 2.12). */

import { setImmediate as turn } from 'node:timers/promises'
import {
  ECMP_NONE,
  FLOW_ACTION_DROP,
  FLOW_ACTION_FORWARD,
  FLOW_ACTION_HOLD,
  FLOW_ACTION_NAT,
  FLOW_ACTIVE,
  FLOW_DNAT,
  FLOW_DPAT,
  FLOW_EVICT_CANDIDATE,
  FLOW_EVICTED,
  FLOW_LINK_LOCAL,
  FLOW_NEW,
  FLOW_NONE,
  FLOW_RFLOW_VALID,
  FLOW_SNAT,
  FLOW_SPAT,
  FLOW_VRFT,
  TCP_DEAD,
  TCP_ESTABLISHED,
  TCP_ESTABLISHED_R,
  TCP_FIN,
  TCP_FIN_R,
  TCP_HALF_CLOSE,
  TCP_RST,
  TCP_SYN,
  TCP_SYN_R,
} from '../../maps/constants.ts'
import { dropReasonName } from '../../maps/flow-drop-reasons.ts'
import type { FlowRecord } from '../../maps/flows.ts'
import { flag, i32, text } from '../arguments.ts'
import { kernelError } from '../errors.ts'
import { toI16, toI32, toU16 } from '../integers.ts'
import type { KernelState } from '../kernel.ts'
import { request } from '../request.ts'
import { field, list, type Message, message, optional, struct, type Value } from '../wire.ts'

export const kFlowInfo = struct('KFlowInfo', [
  field(1, 'index', 'i32'),
  field(2, 'rflow', 'i32'),
  field(3, 'sip', 'string'),
  field(4, 'sport', 'i32'),
  field(5, 'dip', 'string'),
  field(6, 'dport', 'i32'),
  field(7, 'proto', 'byte'),
  field(8, 'vrf_id', 'i16'),
  field(9, 'action', 'string'),
  field(10, 'flags', 'string'),
  field(11, 'd_vrf_id', 'i16'),
  field(12, 'bytes', 'i32'),
  field(13, 'pkts', 'i32'),
  field(14, 'insight', 'i32'),
  field(18, 'nhid', 'i32'),
  field(19, 'underlay_udp_sport', 'u16'),
  optional(15, 'mirror_id', 'byte', 'KMirrorReq'),
  optional(16, 'sec_mirror_id', 'byte', 'KMirrorReq'),
  optional(17, 'ecmp_index', 'i16'),
  optional(20, 'tcp_flags', 'string'),
  optional(21, 'drop_reason', 'string'),
  field(22, 'ttl', 'u16'),
  field(23, 'qos_id', 'i16'),
  field(24, 'gen_id', 'i16'),
  field(25, 'tcp_seq', 'u16'),
  field(26, 'oflow_bytes', 'u16'),
  field(27, 'oflow_packets', 'u16'),
  field(28, 'underlay_gw_index', 'i16'),
])

const kFlowResp = struct('KFlowResp', [
  field(1, 'flow_list', list(kFlowInfo)),
  field(2, 'flow_handle', 'string', 'NextKFlowReq'),
])

const FLOWS_PER_REPLY = 100
/** Indices looked at before the event loop gets its turn. */
const INDICES_PER_SLICE = 1024
const EVICTED_SET = ' evicted_set'

export const kFlowReq = request(
  'KFlowReq',
  { flow_idx: i32(-1), show_evicted: flag },
  async ({ flow_idx, show_evicted }, { kernel }) => {
    if (flow_idx < 0) return [await flowsFrom(0, show_evicted, kernel)]
    const record = kernel.flow(flow_idx)
    return record === undefined
      ? kernelError()
      : [message(kFlowResp, { flow_list: [toSandesh(record)], flow_handle: '0' })]
  },
)

export const nextKFlowReq = request('NextKFlowReq', { flow_handle: text }, async ({ flow_handle }, { kernel }) => [
  await flowsFrom(Number.parseInt(flow_handle, 10) || 0, flow_handle.endsWith(EVICTED_SET), kernel),
])

/** The next flows, and the index to go on from: 0 at the end of the table. */
async function flowsFrom(first: number, withEvicted: boolean, kernel: KernelState): Promise<Message> {
  const records: FlowRecord[] = []
  const end = kernel.flowIndexEnd()
  let index = Math.max(0, first)
  for (; index < end && records.length < FLOWS_PER_REPLY; index++) {
    const record = kernel.flow(index)
    if (record !== undefined && (withEvicted || (record.flow.flags & FLOW_EVICTED) === 0)) records.push(record)
    if (index % INDICES_PER_SLICE === INDICES_PER_SLICE - 1) await turn()
  }
  const handle = index < end ? index : 0
  return message(kFlowResp, {
    flow_list: records.map(toSandesh),
    flow_handle: `${handle}${withEvicted ? EVICTED_SET : ''}`,
  })
}

const ACTIONS: Readonly<Record<number, string>> = {
  [FLOW_ACTION_DROP]: 'DROP',
  [FLOW_ACTION_HOLD]: 'HOLD',
  [FLOW_ACTION_FORWARD]: 'FORWARD',
  [FLOW_ACTION_NAT]: 'NAT',
}

const FLAGS: readonly (readonly [number, string])[] = [
  [FLOW_ACTIVE, 'ACTIVE'],
  [FLOW_VRFT, 'VRFT'],
  [FLOW_SNAT, 'SNAT'],
  [FLOW_SPAT, 'SPAT'],
  [FLOW_DNAT, 'DNAT'],
  [FLOW_DPAT, 'DPAT'],
  [FLOW_LINK_LOCAL, 'LINK_LOCAL'],
  [FLOW_EVICTED, 'EVICTED'],
  [FLOW_EVICT_CANDIDATE, 'EVICT_CANDIDATE'],
  [FLOW_NEW, 'NEW_FLOW'],
  [FLOW_RFLOW_VALID, 'RFLOW_VALID'],
]

const TCP_FLAGS: readonly (readonly [number, string])[] = [
  [TCP_SYN, 'SYN'],
  [TCP_SYN_R, 'SYN_R'],
  [TCP_ESTABLISHED, 'ESTB'],
  [TCP_ESTABLISHED_R, 'ESTB_R'],
  [TCP_FIN, 'FIN'],
  [TCP_FIN_R, 'FIN_R'],
  [TCP_RST, 'RST'],
  [TCP_HALF_CLOSE, 'HALF_CLOSE'],
  [TCP_DEAD, 'DEAD'],
]

/** The drop reasons that this page has a word for; all others are Unknown (introspect reference 2.12). */
const DROP_REASON_WORDS: ReadonlySet<string> = new Set([
  'Unknown',
  'IntfErr',
  'Ipv4Dis',
  'VrfErr',
  'NoSrcRt',
  'NoDstRt',
  'Audit',
  'VrfChange',
  'NoRevFlow',
  'RevFlowChng',
  'NatChng',
  'FlowLim',
  'LinkSrcNatErr',
  'Policy',
  'OutPolicy',
  'SG',
  'OutSG',
  'RevSG',
  'RevOutSG',
  'FwPolicy',
  'OutFwPolicy',
  'RevFwPolicy',
  'RevOutFwPolicy',
  'SameFlowRflowKey',
])

const PROTOCOL_TCP = 6

function toSandesh({ flow, ...key }: FlowRecord): Value<typeof kFlowInfo> {
  return {
    index: flow.index,
    rflow: flow.rindex === FLOW_NONE ? -1 : flow.rindex,
    sip: key.source,
    sport: key.sourcePort,
    dip: key.destination,
    dport: key.destinationPort,
    proto: key.protocol,
    vrf_id: toI16(flow.vrf),
    action: ACTIONS[flow.action] ?? 'INVALID',
    flags: flagWords(FLAGS, flow.flags),
    d_vrf_id: toI16(flow.dvrf),
    bytes: toI32(flow.bytes),
    pkts: toI32(flow.packets),
    nhid: key.nexthop,
    underlay_udp_sport: flow.udpSrcPort,
    ecmp_index: flow.ecmp === ECMP_NONE ? undefined : flow.ecmp,
    tcp_flags: key.protocol === PROTOCOL_TCP ? flagWords(TCP_FLAGS, flow.tcpFlags) : undefined,
    drop_reason: flow.action === FLOW_ACTION_DROP ? dropReasonWord(flow.dropReason) : undefined,
    qos_id: -1,
    gen_id: flow.gen,
    tcp_seq: toU16(flow.tcpSeq),
    underlay_gw_index: -1,
  }
}

/** Each word with a blank on both sides, joined by `|`. */
function flagWords(words: readonly (readonly [number, string])[], flags: number): string {
  return words
    .filter(([bit]) => (flags & bit) !== 0)
    .map(([, word]) => ` ${word} `)
    .join('|')
}

export function dropReasonWord(reason: number): string {
  const name = dropReasonName(reason)
  return DROP_REASON_WORDS.has(name) ? name : 'Unknown'
}
