/** SandeshFlowData and what is nested in it (introspect reference 2.11), in emission order: ids don't ascend. */
import { field, list, optional, struct } from '../wire.ts'

const mirrorInfo = struct('MirrorInfo', [
  optional(1, 'mirror_destination', 'string'),
  optional(2, 'mirror_port', 'u16'),
  optional(3, 'mirror_vrf', 'string'),
  optional(4, 'encap', 'string'),
  optional(5, 'analyzer', 'string'),
])

const actionStr = struct('ActionStr', [field(1, 'action', 'string')])

const flowAclUuid = struct('FlowAclUuid', [field(1, 'uuid', 'string', 'AclReq')])

const flowAclInfo = struct('FlowAclInfo', [
  field(1, 'action', 'i32'),
  field(2, 'acl', list(flowAclUuid)),
  field(3, 'action_str', list(actionStr)),
])

const sandeshFlowIndexTrace = struct('SandeshFlowIndexTrace', [
  field(1, 'timestamp', 'i64'),
  field(2, 'flow_handle', 'u32'),
  field(3, 'flow_gen_id', 'u16'),
  field(4, 'event', 'string'),
  field(5, 'ksync_hash_id', 'u32'),
  field(6, 'ksync_gen_id', 'u16'),
  field(7, 'vrouter_flow_handle', 'u32'),
  field(8, 'vrouter_gen_id', 'u16'),
])

const sandeshFlowIndexInfo = struct('SandeshFlowIndexInfo', [
  field(1, 'trace_index', 'i32'),
  field(2, 'flow_index_trace', list(sandeshFlowIndexTrace)),
])

const sandeshInetRouteFlowMgmtEntryLink = struct('SandeshInetRouteFlowMgmtEntryLink', [
  field(1, 'inet_route_flow_mgmt_key', 'string', 'FlowsPerInetRouteFlowMgmtKeyReq'),
])

export const sandeshFlowData = struct('SandeshFlowData', [
  field(61, 'gen_id', 'u16'),
  field(16, 'flow_handle', 'i32'),
  field(39, 'nh', 'i32'),
  field(2, 'sip', 'string'),
  field(3, 'dip', 'string'),
  field(4, 'src_port', 'i32'),
  field(5, 'dst_port', 'i32'),
  field(6, 'protocol', 'u16'),
  field(1, 'vrf', 'i32'),
  field(7, 'dest_vrf', 'i16'),
  field(8, 'action', 'i32'),
  field(9, 'mirror_l', list(mirrorInfo)),
  optional(11, 'direction', 'string'),
  field(12, 'stats_bytes', 'i64'),
  field(13, 'stats_packets', 'i64'),
  field(14, 'uuid', 'string'),
  field(15, 'nat', 'string'),
  field(18, 'setup_time', 'string'),
  field(19, 'refcount', 'i32'),
  field(20, 'implicit_deny', 'string'),
  optional(21, 'short_flow', 'string'),
  optional(22, 'setup_time_utc', 'u64'),
  optional(23, 'ecmp_index', 'u16'),
  optional(24, 'local_flow', 'string'),
  optional(25, 'egress_uuid', 'string'),
  optional(53, 'src_vn_list', list('string')),
  optional(54, 'dst_vn_list', list('string')),
  optional(55, 'src_vn_match', 'string'),
  optional(56, 'dst_vn_match', 'string'),
  field(28, 'reverse_flow', 'string'),
  field(29, 'policy', flowAclInfo),
  field(30, 'out_policy', flowAclInfo),
  field(31, 'sg', flowAclInfo),
  field(32, 'out_sg', flowAclInfo),
  field(33, 'mirror', flowAclInfo),
  field(34, 'out_mirror', flowAclInfo),
  field(35, 'action_str', list(actionStr)),
  field(36, 'sg_action_summary', list(actionStr)),
  field(37, 'reverse_sg', flowAclInfo),
  field(38, 'reverse_out_sg', flowAclInfo),
  field(40, 'vrf_assign_acl', flowAclInfo),
  field(74, 'fwaas_policy_set', flowAclInfo),
  field(75, 'fwaas_out_policy_set', flowAclInfo),
  field(76, 'fwaas_reverse_policy_set', flowAclInfo),
  field(77, 'fwaas_reverse_out_policy_set', flowAclInfo),
  field(78, 'fwaas_action_summary', list(actionStr)),
  field(63, 'policy_set', flowAclInfo),
  field(64, 'out_policy_set', flowAclInfo),
  field(71, 'reverse_policy_set', flowAclInfo),
  field(72, 'reverse_out_policy_set', flowAclInfo),
  field(73, 'aps_action_summary', list(actionStr)),
  field(41, 'fip', 'string'),
  field(42, 'fip_vm_interface_idx', 'u32'),
  optional(43, 'sg_rule_uuid', 'string'),
  optional(44, 'nw_ace_uuid', 'string'),
  field(45, 'rpf_nh', 'i32'),
  field(62, 'src_ip_nh', 'i32'),
  optional(46, 'drop_reason', 'string'),
  optional(47, 'peer_vrouter', 'string'),
  optional(48, 'tunnel_type', 'string'),
  optional(49, 'underlay_source_port', 'u16'),
  field(50, 'enable_rpf', 'bool'),
  field(51, 'aging_protocol', 'i32'),
  field(52, 'aging_port', 'i32'),
  field(57, 'l3_flow', 'bool'),
  field(58, 'table_id', 'u16'),
  field(59, 'deleted', 'bool'),
  field(60, 'flow_index_info', sandeshFlowIndexInfo),
  field(65, 'inet_rt_keys', list(sandeshInetRouteFlowMgmtEntryLink)),
  field(66, 'fw_policy_match', 'string'),
  optional(67, 'local_tag_list', list('i32')),
  optional(68, 'remote_tag_list', list('i32')),
  optional(69, 'remote_prefix', 'string'),
  optional(70, 'vmi', 'string'),
  field(79, 'underlay_gw_index', 'i16'),
])
