/**
 * Pages of objects that this vRouter doesn't have (yet): clients find them, empty, in the shape they expect.
 */
import { type Arguments, i16, i32, text, u16, u32 } from '../arguments.ts'
import { kernelError } from '../errors.ts'
import { type PagedTable, page } from '../paging.ts'
import { type Request, request } from '../request.ts'
import { field, list, type Message, type Scalar, struct } from '../wire.ts'

/** A response with one empty list; which struct would be in it doesn't show. */
function emptyList(response: string, listName: string, element: Scalar | 'struct' = 'struct'): Message {
  const schema = struct(response, [field(1, listName, list(element === 'struct' ? struct('', []) : element))])
  return { schema, value: {} }
}

interface Unfilled {
  readonly request: string
  readonly args: Arguments
  readonly empty: Message
  /** Name of the table, where the page is a paged one. */
  readonly table?: string
  /** Filter key of each argument, in order. */
  readonly filterKeys?: readonly string[]
}

const paged = (
  name: string,
  args: Arguments,
  empty: Message,
  table: string,
  filterKeys: readonly string[],
): Unfilled => ({ request: name, args, empty, table, filterKeys })

const NAMED = { uuid: text, name: text, id: text }
const NAMED_KEYS = ['uuid', 'name', 'id']

const UNFILLED: readonly Unfilled[] = [
  paged('SgListReq', { name: text }, emptyList('SgListResp', 'sg_list'), 'db.sg.0', ['name']),
  paged('AclReq', { uuid: text }, emptyList('AclResp', 'acl_list'), 'db.acl.0', ['name']),
  paged('VxLanReq', { vxlan_id: text }, emptyList('VxLanResp', 'vxlan_list'), 'db.vxlan.0', ['vxlan_id']),
  paged('VrfAssignReq', { uuid: text }, emptyList('VrfAssignResp', 'vrf_assign_list'), 'db.vrf_assign.0', ['uuid']),
  paged(
    'MirrorEntryReq',
    { analyzer_name: text },
    emptyList('MirrorEntryResp', 'mirror_entry_list'),
    'db.mirror_table.0',
    ['analyzer_name'],
  ),
  paged(
    'ServiceInstanceReq',
    { uuid: text },
    emptyList('ServiceInstanceResp', 'service_instance_list'),
    'db.service-instance.0',
    ['uuid'],
  ),
  paged('HealthCheckSandeshReq', { uuid: text }, emptyList('HealthCheckSandeshResp', 'hc_list'), 'db.healthcheck.0', [
    'uuid',
  ]),
  paged('QosQueueSandeshReq', NAMED, emptyList('QosQueueSandeshResp', 'qos_queue_list'), 'db.qos_queue.0', NAMED_KEYS),
  paged(
    'ForwardingClassSandeshReq',
    NAMED,
    emptyList('ForwardingClassSandeshResp', 'fc_list'),
    'db.forwardingclass.0',
    NAMED_KEYS,
  ),
  paged(
    'AgentQosConfigSandeshReq',
    NAMED,
    emptyList('AgentQosConfigSandeshResp', 'qc_list'),
    'db.qos_config.0',
    NAMED_KEYS,
  ),
  paged(
    'BridgeDomainSandeshReq',
    { uuid: text, name: text },
    emptyList('BridgeDomainSandeshResp', 'bd_list'),
    'db.bridge_domain.0',
    ['uuid', 'name'],
  ),
  paged('TagSandeshReq', { uuid: text, name: text }, emptyList('TagSandeshResp', 'tag_list'), 'db.tag.0', [
    'uuid',
    'name',
  ]),
  paged(
    'ApplicationPolicySetReq',
    { uuid: text, name: text },
    emptyList('ApplicationPolicySetResp', 'application_policy_set_list'),
    'db.policy_set.0',
    ['uuid', 'name'],
  ),
  paged(
    'SLOListReq',
    { uuid: text, name: text },
    emptyList('SLOListResp', 'slo_list'),
    'db.security_logging_object.0',
    ['uuid', 'name'],
  ),
  paged('CryptTunnelReq', { remote: text }, emptyList('CryptTunnelResp', 'crypt_tunnel_list'), 'db.crypttunnel.0', [
    'remote',
  ]),
  { request: 'LinkLocalServiceInfo', args: {}, empty: emptyList('LinkLocalServiceResponse', 'service_list') },
  {
    request: 'VxLanConfigReq',
    args: { vxlan_id: u32(), vn: text, active: text },
    empty: emptyList('VxLanConfigResp', 'vxlan_config_entries'),
  },
  {
    request: 'BgpAsAServiceSandeshReq',
    args: { vmi_uuid: text },
    empty: emptyList('BgpAsAServiceSandeshResp', 'bgp_as_a_service_list'),
  },
  { request: 'BgpRouterSandeshReq', args: { name: text }, empty: emptyList('BgpRouterSandeshResp', 'bgp_router_list') },
  {
    request: 'ControlNodeZoneSandeshReq',
    args: { name: text },
    empty: emptyList('ControlNodeZoneSandeshResp', 'control_node_zone_list'),
  },
  { request: 'AgentXmppConnectionStatusReq', args: {}, empty: emptyList('AgentXmppConnectionStatus', 'peer') },
  { request: 'AgentDnsXmppConnectionStatusReq', args: {}, empty: emptyList('AgentDnsXmppConnectionStatus', 'peer') },
  {
    request: 'SandeshTraceBufferListRequest',
    args: {},
    empty: emptyList('SandeshTraceBufferListResponse', 'trace_buffer_list'),
  },
  {
    request: 'SandeshTraceRequest',
    args: { buf_name: text, count: i32() },
    empty: emptyList('SandeshTraceTextResponse', 'traces', 'string'),
  },
  {
    request: 'SandeshUVECacheReq',
    args: { tname: text, key: text },
    empty: { schema: struct('SandeshUVECacheResp', [field(1, 'returned', 'u32')]), value: {} },
  },
  {
    request: 'ShowIFMapAgentReq',
    args: { table_name: text, node_sub_string: text, link_type_sub_string: text, link_node_sub_string: text },
    empty: emptyList('ShowIFMapAgentResp', 'table_data', 'string'),
  },
  { request: 'FetchLinkLocalFlowInfo', args: {}, empty: emptyList('LinkLocalFlowInfoResp', 'linklocal_flow_list') },
  { request: 'SNatPortConfigRequest', args: {}, empty: emptyList('SNatPortResponse', 'port_config_list') },
  {
    request: 'FetchVmVnPortSubscriptionReq',
    args: { ifname: text, vm_uuid: text },
    empty: emptyList('SandeshVmVnPortSubscriptionResp', 'port_list'),
  },
]

/** Kernel tables without entries: a dump is an empty list, one entry an error. */
const UNFILLED_KERNEL: readonly { readonly name: string; readonly args: Arguments; readonly empty: Message }[] = [
  { name: 'KVxLanReq', args: { vxlan_label: i16(0) }, empty: emptyList('KVxLanResp', 'vxlan_list') },
  { name: 'KVrfAssignReq', args: { vif_index: i32(-1) }, empty: emptyList('KVrfAssignResp', 'vrf_assign_list') },
  { name: 'KMirrorReq', args: { mirror_id: i32(-1) }, empty: emptyList('KMirrorResp', 'mirror_list') },
  { name: 'KQosConfigReq', args: { index: i32(-1) }, empty: emptyList('KQosConfigResp', 'qos_config_list') },
  {
    name: 'KForwardingClassReq',
    args: { index: i32(-1) },
    empty: emptyList('KForwardingClassResp', 'forwarding_class_list'),
  },
]

export const unfilledRequests: readonly Request[] = [
  ...UNFILLED.map((unfilled) =>
    request(unfilled.request, unfilled.args, (args) => {
      const table = toTable(unfilled)
      if (table === undefined) return [unfilled.empty]
      const values = Object.values(args).map(String)
      return page(table, Object.fromEntries(unfilled.filterKeys!.map((key, index) => [key, values[index] ?? ''])))
    }),
  ),
  ...UNFILLED_KERNEL.map(({ name, args, empty }) =>
    request(name, args, (values) => (Number(Object.values(values)[0]) >= 0 ? kernelError() : [empty])),
  ),
]

function toTable({ table, empty, filterKeys = [] }: Unfilled): PagedTable | undefined {
  if (table === undefined) return undefined
  return { name: table, size: 0, filterKeys, matches: () => [], response: () => empty }
}

/** The empty table with that name, for PageReq. */
export function unfilledTable(name: string): PagedTable | undefined {
  const unfilled = UNFILLED.find((candidate) => candidate.table === name)
  return unfilled && toTable(unfilled)
}

/** Arguments of requests that module pages list and nothing serves. */
export const LISTED_ARGUMENTS: Readonly<Record<string, Arguments>> = {
  AclFlowReq: { uuid: text },
  AclFlowCountReq: { uuid: text },
  NextAclFlowReq: { iteration_key: text },
  NextAclFlowCountReq: { iteration_key: text },
  FlowAgeTimeReq: { new_age_time: u32() },
  ShowFlowStatsCollector: { protocol: u32(), port: u32() },
  NextFlowStatsRecordsSet: { flow_key: text },
  SNatPerPortFlowList: { protocol: u16(), port: u16() },
  NextPerPortFlowList: { flow_key: text },
  FetchVmiPortSubscriptionReq: { ifname: text, vmi_uuid: text },
  FetchVmiToVmVnUuidReq: { vmi_uuid: text },
  FetchVmVnToVmiUuidReq: { vm_uuid: text, vn_uuid: text },
  PingReq: {
    source_ip: text,
    source_port: i32(),
    dest_ip: text,
    dest_port: i32(),
    protocol: i16(),
    vrf_name: text,
    packet_size: i16(100),
    count: i16(10),
    interval: i32(1),
  },
  InterfaceArpStatsReq: { interface_index: i32(-1) },
  InterfaceIcmpv6StatsReq: { interface_index: i32(-1) },
}
