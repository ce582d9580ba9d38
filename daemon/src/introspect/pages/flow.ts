/**
 * FetchAllFlowRecords, NextFlowRecordsSet, FetchFlowRecord and SandeshFlowTableInfoRequest (introspect reference 2.11). The
 * records are the datapath's flow table, seen with the model's names.
 */
import { createHash } from 'node:crypto'
import { ip4Text } from '../../maps/addresses.ts'
import {
  ECMP_NONE,
  FLOW_ACTION_DROP,
  FLOW_ACTION_NAT,
  FLOW_L2,
  FLOW_NONE,
  FLOW_VRFT,
  NH_TUNNEL,
} from '../../maps/constants.ts'
import { dropReasonText } from '../../maps/flow-drop-reasons.ts'
import type { FlowRecord } from '../../maps/flows.ts'
import type { Vif } from '../../model/tables.ts'
import { i32, text, u16 } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { smallest, sortableAddress } from '../dumps.ts'
import { noSuchFlow } from '../errors.ts'
import { toI16 } from '../integers.ts'
import type { FlowKey } from '../kernel.ts'
import { NIL_UUID, vrfOf } from '../lookup.ts'
import { request } from '../request.ts'
import { field, list, type Message, message, struct, type Value } from '../wire.ts'
import { sandeshFlowData } from './flow-schema.ts'
import { configName } from './interface.ts'

type SandeshFlowData = Value<typeof sandeshFlowData>

const FLOWS_PER_REPLY = 100

const flowRecordsResp = struct('FlowRecordsResp', [
  field(1, 'flow_list', list(sandeshFlowData)),
  field(2, 'flow_key', 'string', 'NextFlowRecordsSet'),
])

const flowRecordResp = struct('FlowRecordResp', [field(1, 'record', sandeshFlowData)])

export const fetchAllFlowRecords = request('FetchAllFlowRecords', {}, async (_, context) => [
  await flowsBeyond('', context),
])

export const nextFlowRecordsSet = request('NextFlowRecordsSet', { flow_key: text }, async ({ flow_key }, context) => {
  const key = parseFlowKey(flow_key)
  return key === undefined ? noSuchFlow() : [await flowsBeyond(sortableKey(key), context)]
})

const keyArgs = { nh: i32(-1), sip: text, dip: text, src_port: i32(-1), dst_port: i32(-1), protocol: u16() }

export const fetchFlowRecord = request('FetchFlowRecord', keyArgs, (args, context) => {
  const record = context.kernel.flowWithKey({
    nexthop: args.nh,
    source: args.sip,
    destination: args.dip,
    sourcePort: args.src_port,
    destinationPort: args.dst_port,
    protocol: args.protocol,
  })
  return record === undefined ? noSuchFlow() : [message(flowRecordResp, { record: toSandesh(record, context) })]
})

const sandeshFlowTableInfoResp = struct('SandeshFlowTableInfoResp', [
  field(1, 'flow_count', 'u64'),
  field(2, 'total_added', 'u64'),
  field(3, 'total_deleted', 'u64'),
  field(4, 'max_flows', 'u64'),
  field(5, 'table_list', list(struct('SandeshFlowTableInfo', []))),
])

export const flowTableInfo = request('SandeshFlowTableInfoRequest', {}, (_, { kernel }) => {
  const { inUse, added, deleted, size } = kernel.flowCounters()
  return [
    message(sandeshFlowTableInfoResp, {
      flow_count: inUse,
      total_added: added,
      total_deleted: deleted,
      max_flows: size,
    }),
  ]
})

/** The next flows in order of their keys; flows that come and go meanwhile don't disturb the order. */
async function flowsBeyond(after: string, context: IntrospectContext): Promise<Message> {
  const found = await smallest(context.kernel.flows(), sortableKey, { after, count: FLOWS_PER_REPLY + 1 })
  const shown = found.slice(0, FLOWS_PER_REPLY)
  return message(flowRecordsResp, {
    flow_list: shown.map((record) => toSandesh(record, context)),
    flow_key: found.length > shown.length ? flowKeyText(shown.at(-1)!) : '',
  })
}

/** `partition-nh-sport-dport-proto-sip-dip`; there is one partition. */
export function flowKeyText(key: FlowKey): string {
  return `0-${key.nexthop}-${key.sourcePort}-${key.destinationPort}-${key.protocol}-${key.source}-${key.destination}`
}

export function parseFlowKey(key: string): FlowKey | undefined {
  const parts = /^\d+-(\d+)-(\d+)-(\d+)-(\d+)-([\d.]+|[\da-f:.]+)-([\d.]+|[\da-f:.]+)$/.exec(key)
  if (parts === null) return undefined
  const [nexthop, sourcePort, destinationPort, protocol] = parts.slice(1, 5).map(Number) as [
    number,
    number,
    number,
    number,
  ]
  return { nexthop, sourcePort, destinationPort, protocol, source: parts[5]!, destination: parts[6]! }
}

function sortableKey(key: FlowKey): string {
  const numbers = [key.nexthop, key.sourcePort, key.destinationPort, key.protocol]
  const addresses = [key.source, key.destination].map(sortableAddress)
  return [...numbers.map((number) => String(number).padStart(10, '0')), ...addresses].join('-')
}

/** Action bits: OR of 1 << n. */
const ACTION_DENY = 1 << 3
const ACTION_PASS = 1 << 5
const ACTION_VRF_TRANSLATE = 1 << 8

const NO_INTERFACE = 0xffffffff

function toSandesh(record: FlowRecord, context: IntrospectContext): SandeshFlowData {
  const { flow } = record
  const tables = context.tables()
  const vif = vifOfNexthop(record.nexthop, tables.vifs)
  const isDropped = flow.action === FLOW_ACTION_DROP
  const sourceVn = vrfOf(tables, flow.vrf)?.vn
  const destinationVn = vrfOf(tables, flow.dvrf)?.vn
  return {
    gen_id: flow.gen,
    flow_handle: flow.index,
    nh: record.nexthop,
    sip: record.source,
    dip: record.destination,
    src_port: record.sourcePort,
    dst_port: record.destinationPort,
    protocol: record.protocol,
    vrf: flow.vrf,
    dest_vrf: toI16(flow.dvrf),
    action: (isDropped ? ACTION_DENY : ACTION_PASS) | (flow.flags & FLOW_VRFT ? ACTION_VRF_TRANSLATE : 0),
    direction: isFromWorkload(record, vif) ? 'ingress' : 'egress',
    stats_bytes: flow.bytes,
    stats_packets: flow.packets,
    uuid: flowUuid(record),
    nat: flow.action === FLOW_ACTION_NAT ? 'enabled' : 'disabled',
    refcount: 1,
    implicit_deny: 'no',
    short_flow: 'no',
    ecmp_index: flow.ecmp === ECMP_NONE ? undefined : flow.ecmp,
    ...tunnelFields(record, context),
    src_vn_list: sourceVn === undefined ? [] : [sourceVn],
    dst_vn_list: destinationVn === undefined ? [] : [destinationVn],
    src_vn_match: sourceVn ?? '',
    dst_vn_match: destinationVn ?? '',
    // Both directions are made at once, the packet's own first.
    reverse_flow: flow.rindex !== FLOW_NONE && flow.rindex < flow.index ? 'yes' : 'no',
    action_str: [{ action: isDropped ? 'deny' : 'pass' }],
    fip: '0.0.0.0',
    fip_vm_interface_idx: NO_INTERFACE,
    rpf_nh: flow.srcNh,
    src_ip_nh: flow.srcNh,
    drop_reason: isDropped ? dropReasonText(flow.dropReason) : undefined,
    enable_rpf: true,
    l3_flow: (flow.flags & FLOW_L2) === 0,
    fw_policy_match: NIL_UUID,
    local_tag_list: [],
    remote_tag_list: [],
    remote_prefix: '',
    vmi: vmiName(vif, context),
    underlay_gw_index: -1,
  }
}

/** The vif that the nexthop in a flow key stands for. */
function vifOfNexthop(nexthop: number, vifs: readonly Vif[]): Vif | undefined {
  return nexthop === 0 ? undefined : vifs.find((vif) => vif.flowNexthop === nexthop)
}

/** Packets from the fabric are keyed with the receiver's nexthop, so the source address tells. */
function isFromWorkload(record: FlowRecord, vif: Vif | undefined): boolean {
  return vif !== undefined && [vif.ip4, vif.ip6, ...(vif.moreAddresses ?? [])].includes(record.source)
}

/** The other end's vRouter, if there is one: where this direction goes to, or comes from. */
function tunnelFields({ flow }: FlowRecord, { kernel }: IntrospectContext): SandeshFlowData {
  const [out, back] = [flow.nh, flow.srcNh].map((id) => {
    const nexthop = kernel.nexthop(id)
    return nexthop?.type === NH_TUNNEL ? nexthop : undefined
  })
  const tunnel = out ?? back
  if (tunnel === undefined) return { local_flow: 'yes' }
  return {
    local_flow: 'no',
    peer_vrouter: ip4Text(tunnel.dip),
    tunnel_type: 'MPLSoUDP',
    underlay_source_port: out === undefined ? undefined : flow.udpSrcPort,
  }
}

function vmiName(vif: Vif | undefined, context: IntrospectContext): string | undefined {
  const port = vif?.port === undefined ? undefined : context.ports().find(({ uuid }) => uuid === vif.port)
  return port && configName(port, context)
}

/** Not stored anywhere: follows from the key and the generation (RFC 9562 version 8). */
function flowUuid(record: FlowRecord): string {
  const name = `${flowKeyText(record)}-${record.flow.index}-${record.flow.gen}`
  const hash = createHash('sha1').update(name).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x80
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
