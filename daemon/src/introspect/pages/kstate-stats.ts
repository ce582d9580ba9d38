/** KVrfReq, KVrfStatsReq and KDropStatsReq (introspect reference 2.12). */
import * as reasons from '../../maps/constants.ts'
import type { VrfStatsStruct } from '../../maps/structs.ts'
import { i32 } from '../arguments.ts'
import { dump } from '../dumps.ts'
import { kernelError } from '../errors.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { type Field, field, message, optional, struct, type Value } from '../wire.ts'

export const kVrfStatsInfo = struct('KVrfStatsInfo', [
  field(1, 'vrf_id', 'i16'),
  field(2, 'vrf_family', 'string'),
  field(3, 'vrf_rid', 'i16'),
  field(4, 'vrf_discards', 'i64'),
  field(5, 'vrf_resolves', 'i64'),
  field(6, 'vrf_receives', 'i64'),
  field(7, 'vrf_udp_tunnels', 'i64'),
  field(8, 'vrf_udp_mpls_tunnels', 'i64'),
  field(9, 'vrf_gre_mpls_tunnels', 'i64'),
  field(10, 'vrf_fabric_composites', 'i64'),
  field(11, 'vrf_l2_mcast_composites', 'i64'),
  field(12, 'vrf_ecmp_composites', 'i64'),
  field(13, 'vrf_encaps', 'i64'),
  field(14, 'vrf_vxlan_tunnels', 'i64'),
  field(15, 'vrf_l2_encaps', 'i64'),
  field(16, 'vrf_gros', 'i64'),
  field(17, 'vrf_diags', 'i64'),
  field(18, 'vrf_encap_composites', 'i64'),
  field(19, 'vrf_evpn_composites', 'i64'),
  field(20, 'vrf_translates', 'i64'),
  field(21, 'vrf_arp_virtual_proxy', 'i64'),
  field(22, 'vrf_arp_virtual_stitch', 'i64'),
  field(23, 'vrf_arp_virtual_flood', 'i64'),
  field(24, 'vrf_arp_physical_stitch', 'i64'),
  field(25, 'vrf_arp_tor_proxy', 'i64'),
  field(26, 'vrf_arp_physical_flood', 'i64'),
  field(27, 'vrf_l2_receives', 'i64'),
  field(28, 'vrf_uuc_floods', 'i64'),
])

const vrfStatsResponse = listResponse('KVrfStatsResp', 'vrf_stats_list', kVrfStatsInfo)

export const kVrfStatsReq = request('KVrfStatsReq', { vrf_index: i32(-1) }, ({ vrf_index }, { kernel }) => {
  const vrfs = kernel.vrfs()
  const row = (id: number) => statsToSandesh(id, kernel.vrfStats(id))
  if (vrf_index < 0) return dump(vrfs, (ids) => vrfStatsResponse(ids.map(row)))
  return vrfs.includes(vrf_index) ? [vrfStatsResponse([row(vrf_index)])] : kernelError()
})

function statsToSandesh(id: number, stats: VrfStatsStruct | undefined): Value<typeof kVrfStatsInfo> {
  return {
    vrf_id: id,
    vrf_family: 'AF_INET',
    vrf_discards: stats?.discards,
    vrf_resolves: stats?.resolves,
    vrf_receives: stats?.receives,
    vrf_udp_tunnels: stats?.udpTunnels,
    vrf_udp_mpls_tunnels: stats?.udpMplsTunnels,
    vrf_gre_mpls_tunnels: stats?.greMplsTunnels,
    vrf_fabric_composites: stats?.fabricComposites,
    vrf_l2_mcast_composites: stats?.l2McastComposites,
    vrf_ecmp_composites: stats?.ecmpComposites,
    vrf_encaps: stats?.encaps,
    vrf_vxlan_tunnels: stats?.vxlanTunnels,
    vrf_l2_encaps: stats?.l2Encaps,
    vrf_gros: stats?.gros,
    vrf_diags: stats?.diags,
    vrf_encap_composites: stats?.encapComposites,
    vrf_evpn_composites: stats?.evpnComposites,
    vrf_translates: stats?.vrfTranslates,
    vrf_arp_virtual_proxy: stats?.arpVirtualProxys,
    vrf_arp_virtual_stitch: stats?.arpVirtualStitchs,
    vrf_arp_virtual_flood: stats?.arpVirtualFloods,
    vrf_arp_physical_stitch: stats?.arpPhysicalStitchs,
    vrf_arp_tor_proxy: stats?.arpTorProxys,
    vrf_arp_physical_flood: stats?.arpPhysicalFloods,
    vrf_l2_receives: stats?.l2Receives,
    vrf_uuc_floods: stats?.unknownUnicastFloods,
  }
}

const kVrfInfo = struct('KVrfInfo', [
  field(1, 'rid', 'i16'),
  field(2, 'vrf_idx', 'i32'),
  field(3, 'hbf_lintf', 'i32'),
  field(4, 'hbf_rintf', 'i32'),
])

const vrfResponse = listResponse('KVrfResp', 'vrf_list', kVrfInfo)

export const kVrfReq = request('KVrfReq', { vrf_idx: i32(-1) }, ({ vrf_idx }, { kernel }) => {
  const vrfs = kernel.vrfs()
  const row = (id: number) => ({ vrf_idx: id, hbf_lintf: -1, hbf_rintf: -1 })
  if (vrf_idx < 0) return dump(vrfs, (ids) => vrfResponse(ids.map(row)))
  return vrfs.includes(vrf_idx) ? [vrfResponse([row(vrf_idx)])] : kernelError()
})

/** Field id and name (behind `ds_`) of each counter, and the datapath's reason; those without one are always 0. */
const DROPS: readonly (readonly [id: number, name: string, reason: number | undefined])[] = [
  [2, 'discard', reasons.DROP_DISCARD],
  [3, 'pull', reasons.DROP_PULL],
  [4, 'invalid_if', reasons.DROP_INVALID_IF],
  [5, 'arp_not_me', undefined],
  [7, 'invalid_arp', reasons.DROP_INVALID_ARP],
  [8, 'trap_no_if', reasons.DROP_TRAP_NO_IF],
  [9, 'nowhere_to_go', reasons.DROP_NOWHERE_TO_GO],
  [10, 'flow_queue_limit_exceeded', reasons.DROP_FLOW_QUEUE_LIMIT_EXCEEDED],
  [11, 'flow_no_memory', reasons.DROP_FLOW_NO_MEMORY],
  [12, 'flow_invalid_protocol', reasons.DROP_FLOW_INVALID_PROTOCOL],
  [13, 'flow_nat_no_rflow', reasons.DROP_FLOW_NAT_NO_RFLOW],
  [14, 'flow_action_drop', reasons.DROP_FLOW_ACTION_DROP],
  [15, 'flow_action_invalid', reasons.DROP_FLOW_ACTION_INVALID],
  [16, 'flow_unusable', reasons.DROP_FLOW_UNUSABLE],
  [17, 'flow_table_full', reasons.DROP_FLOW_TABLE_FULL],
  [18, 'interface_tx_discard', reasons.DROP_INTERFACE_TX_DISCARD],
  [19, 'interface_drop', reasons.DROP_INTERFACE_DROP],
  [20, 'duplicated', reasons.DROP_DUPLICATED],
  [21, 'push', reasons.DROP_PUSH],
  [22, 'ttl_exceeded', reasons.DROP_TTL_EXCEEDED],
  [23, 'invalid_nh', reasons.DROP_INVALID_NH],
  [24, 'invalid_label', reasons.DROP_INVALID_LABEL],
  [25, 'invalid_protocol', reasons.DROP_INVALID_PROTOCOL],
  [26, 'interface_rx_discard', reasons.DROP_INTERFACE_RX_DISCARD],
  [27, 'invalid_mcast_source', reasons.DROP_INVALID_MCAST_SOURCE],
  [28, 'head_alloc_fail', reasons.DROP_HEAD_ALLOC_FAIL],
  [30, 'pcow_fail', reasons.DROP_PCOW_FAIL],
  [32, 'mcast_clone_fail', reasons.DROP_MCAST_CLONE_FAIL],
  [34, 'rewrite_fail', reasons.DROP_REWRITE_FAIL],
  [35, 'misc', reasons.DROP_MISC],
  [36, 'invalid_packet', reasons.DROP_INVALID_PACKET],
  [37, 'cksum_err', reasons.DROP_CKSUM_ERR],
  [39, 'no_fmd', reasons.DROP_NO_FMD],
  [40, 'cloned_original', reasons.DROP_CLONED_ORIGINAL],
  [41, 'invalid_vnid', reasons.DROP_INVALID_VNID],
  [42, 'frag_err', reasons.DROP_FRAGMENTS],
  [43, 'invalid_source', reasons.DROP_INVALID_SOURCE],
  [44, 'mcast_df_bit', reasons.DROP_MCAST_DF_BIT],
  [47, 'l2_no_route', reasons.DROP_L2_NO_ROUTE],
  [48, 'vlan_fwd_tx', reasons.DROP_VLAN_FWD_TX],
  [49, 'vlan_fwd_enq', reasons.DROP_VLAN_FWD_ENQ],
  [51, 'no_memory', reasons.DROP_NO_MEMORY],
  [52, 'drop_new_flow', reasons.DROP_NEW_FLOWS],
  [53, 'flow_evict', reasons.DROP_FLOW_EVICT],
]

/** What this datapath counts besides the original's: sent when there is any, so that nothing that is dropped is missing here. */
const OWN_DROPS: readonly (readonly [id: number, name: string, reason: number])[] = [
  [64, 'fragment_queue_fail', reasons.DROP_FRAGMENT_QUEUE_FAIL],
  [65, 'trap_original', reasons.DROP_TRAP_ORIGINAL],
  [66, 'no_frag_entry', reasons.DROP_NO_FRAG_ENTRY],
  [67, 'icmp_error', reasons.DROP_ICMP_ERROR],
  [68, 'clone_fail', reasons.DROP_CLONE_FAIL],
  [69, 'trap_limit', reasons.DROP_TRAP_LIMIT],
  [70, 'ecn', reasons.DROP_ECN],
  [71, 'pkt_loop', reasons.DROP_PKT_LOOP],
  [72, 'other_nic', reasons.DROP_OTHER_NIC],
]

const kDropStatsResp = struct('KDropStatsResp', [
  field(1, 'ds_rid', 'u16'),
  ...DROPS.map(([id, name]): Field<string, 'u64'> => field(id, `ds_${name}`, 'u64')),
  ...OWN_DROPS.map(([id, name]): Field<string, 'u64'> => optional(id, `ds_${name}`, 'u64')),
])

export const kDropStatsReq = request('KDropStatsReq', {}, (_, { kernel }) => {
  const drops = kernel.drops()
  const counters = DROPS.map(([, name, reason]) => [`ds_${name}`, reason === undefined ? 0n : (drops[reason] ?? 0n)])
  const own = OWN_DROPS.flatMap(([, name, reason]) => (drops[reason] ? [[`ds_${name}`, drops[reason]] as const] : []))
  return [message(kDropStatsResp, Object.fromEntries([...counters, ...own]))]
})
