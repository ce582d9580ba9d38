/**
 * ShowAllInfo and AgentStatsReq (introspect reference 2.14, 2.15): what came over pkt0 and what became of it. The datapath answers ARP and
 * ND itself, and there is neither DHCP nor DNS of ours, so most counters of the original stay at zero; packets aren't traced.
 */
import { DROP_FLOW_TABLE_FULL, DROP_NEW_FLOWS } from '../../maps/constants.ts'
import type { PacketStats } from '../../model/packet-stats.ts'
import type { IntrospectContext } from '../context.ts'
import { request } from '../request.ts'
import { type Field, field, list, type Message, message, type Scalar, struct } from '../wire.ts'

/** Fields numbered from 1 in their order. */
const counters = (type: Scalar, names: string): Field<string, Scalar>[] =>
  names.split(/\s+/).map((name, index) => field(index + 1, name, type))

const pktStats = struct(
  'PktStats',
  counters(
    'i32',
    `total_rcvd dhcp_rcvd arp_rcvd dns_rcvd icmp_rcvd flow_rcvd dropped total_sent dhcp_sent arp_sent dns_sent icmp_sent
     dhcp_q_threshold_exceeded arp_q_threshold_exceeded dns_q_threshold_exceeded icmp_q_threshold_exceeded
     flow_q_threshold_exceeded mac_learning_msg_rcvd`,
  ),
)
const dhcpStats = struct(
  'DhcpStats',
  counters(
    'i32',
    `dhcp_discover dhcp_request dhcp_inform dhcp_decline dhcp_other dhcp_errors offers_sent acks_sent nacks_sent
     relay_request relay_response unknown_msg_drop dhcp_disabled_drop incorrect_mac`,
  ),
)
const arpStats = struct('ArpStats', [
  ...counters(
    'i32',
    'arp_entries arp_requests arp_replies arp_gratuitous arp_resolved arp_max_retries_exceeded arp_errors',
  ),
  ...['arp_invalid_packets', 'arp_invalid_interface', 'arp_invalid_vrf', 'arp_invalid_address']
    .concat('vm_arp_req', 'vm_garp_req', 'ipfabric_not_inst')
    .map((name, index) => field(index + 9, name, 'i32')),
])
const dnsStats = struct('DnsStats', [
  field(7, 'dns_resolver', list('string')),
  field(8, 'dscp', 'u16'),
  ...counters('i32', 'dns_requests dns_resolved dns_retransmit_reqs dns_unsupported dns_failures dns_drops'),
])
const icmpStats = struct(
  'IcmpStats',
  counters('i32', 'icmp_gw_ping icmp_gw_ping_err icmp_drop icmp_intf_not_inst icmp_no_l3fwd'),
)
const metadataResponse = struct(
  'MetadataResponse',
  counters(
    'i32',
    'metadata_server_port metadata_requests metadata_responses metadata_proxy_sessions metadata_internal_errors',
  ),
)

/** Traced packets of one kind: none. */
function packets(name: string, type: string): Message {
  const schema = struct(name, [field(1, 'type', 'string'), field(2, 'pkt_list', list(struct('', [])))])
  return { schema, value: { type } }
}

/** Without an answer, for whatever reason. */
function dropped({ invalid, faults, sendFailures, silent }: PacketStats): number {
  return invalid + faults + sendFailures + Object.values(silent).reduce((sum, one) => sum + one, 0)
}

const NONE: PacketStats = {
  ...{ received: 0, invalid: 0, replies: 0, sendFailures: 0, resolves: 0, faults: 0, announcements: 0, asks: 0 },
  traps: {},
  silent: {},
}

const statsOf = (context: IntrospectContext): PacketStats => context.packets?.() ?? NONE

export const showAllInfo = request('ShowAllInfo', {}, (_, context) => {
  const stats = statsOf(context)
  return [
    message(pktStats, {
      total_rcvd: stats.received,
      icmp_rcvd: stats.traps['trap-nexthop'] ?? 0,
      flow_rcvd: stats.traps['trap-flow-miss'] ?? 0,
      dropped: dropped(stats),
      total_sent: stats.replies + stats.announcements,
      arp_sent: stats.announcements,
      icmp_sent: stats.replies,
    }),
    message(dhcpStats, {}),
    packets('DhcpPktSandesh', 'Dhcp'),
    message(arpStats, { arp_requests: stats.resolves, arp_gratuitous: stats.announcements }),
    packets('ArpPktSandesh', 'Arp'),
    message(dnsStats, {}),
    packets('DnsPktSandesh', 'Dns'),
    message(icmpStats, { icmp_gw_ping: stats.replies, icmp_drop: stats.silent['not_own_address'] ?? 0 }),
    packets('IcmpPktSandesh', 'Icmp'),
    ...['Flow', 'Diagnostics', 'Invalid', 'MacLearning'].map((type) => packets('PktSandesh', type)),
    message(metadataResponse, {}),
  ]
})

const ipcStats = struct('IpcStatsResp', counters('i64', 'ipc_in_msgs ipc_out_msgs'))
const pktTrapStats = struct(
  'PktTrapStatsResp',
  counters(
    'i64',
    `exceptions invalid_agent_hdr invalid_interface no_handler pkt_dropped pkt_fragments_dropped pkt_invalid_mpls_hdr
     pkt_invalid_ip_pkt pkt_drop_due_to_disable_tnl pkt_invalid_frm_tor pkt_drop_due_to_decode_error
     pkt_drop_due_to_invalid_ethertype pkt_drop_due_to_flow_trap`,
  ),
)
const flowStats = struct('FlowStatsResp', [
  ...counters('u64', 'flow_active flow_created flow_aged flow_drop_due_to_max_limit flow_drop_due_to_linklocal_limit'),
  field(6, 'flow_max_system_flows', 'u32'),
  field(7, 'flow_max_vm_flows', 'u32'),
])
const xmppStats = struct('XmppStatsResp', [field(1, 'xmpp_list', list(struct('', [])))])
const sandeshStats = struct('SandeshStatsResp', [
  ...counters('i64', 'sandesh_in_msgs sandesh_out_msgs'),
  field(3, 'sandesh_http_sessions', 'i16'),
  field(4, 'sandesh_reconnects', 'i16'),
])
const sessionStats = struct(
  'SessionEndpointExportStatsResp',
  counters(
    'u64',
    `record_export_count msg_export_count session_export_disable_drops session_export_sampling_drops session_exports
     session_export_drops session_global_slo_logging_drops session_slo_logging_drops`,
  ),
)

export const agentStatsReq = request('AgentStatsReq', {}, (_, context) => {
  const stats = statsOf(context)
  const { silent } = stats
  const flows = context.kernel.flowCounters()
  const drops = context.kernel.drops()
  return [
    message(ipcStats, {}),
    message(pktTrapStats, {
      exceptions: stats.received,
      invalid_agent_hdr: stats.invalid,
      invalid_interface: silent['unknown_vrf'] ?? 0,
      no_handler: (silent['not_handled'] ?? 0) + (silent['later_service'] ?? 0) + (silent['unanswered'] ?? 0),
      pkt_dropped: dropped(stats),
      pkt_invalid_ip_pkt: silent['malformed'] ?? 0,
      pkt_drop_due_to_decode_error: (silent['truncated'] ?? 0) + stats.faults,
    }),
    message(flowStats, {
      flow_active: flows.inUse,
      flow_created: flows.created,
      flow_aged: flows.aged,
      flow_drop_due_to_max_limit: (drops[DROP_NEW_FLOWS] ?? 0n) + (drops[DROP_FLOW_TABLE_FULL] ?? 0n),
      flow_max_system_flows: flows.size,
      flow_max_vm_flows: context.config.limits.flowsPerVif,
    }),
    message(xmppStats, {}),
    message(sandeshStats, {}),
    message(sessionStats, {}),
  ]
})
