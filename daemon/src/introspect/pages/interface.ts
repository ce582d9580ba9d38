/** ItfReq (introspect reference 2.2): vifs, with the attachment behind each. */

import {
  VIF_DHCP_ENABLED,
  VIF_DROP_NEW_FLOWS,
  VIF_L2_ENABLED,
  VIF_L3_ENABLED,
  VIF_POLICY_ENABLED,
} from '../../maps/constants.ts'
import type { Port } from '../../model/facts.ts'
import {
  DOMAIN,
  FABRIC_POLICY_VRF,
  FABRIC_VRF,
  projectOfNamespace,
  uuidOf,
  virtualMachineName,
  virtualMachineUuid,
} from '../../model/names.ts'
import type { Tables, Vif } from '../../model/tables.ts'
import { text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { NIL_UUID, vrfOf } from '../lookup.ts'
import { type Filter, listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import type { Value } from '../wire.ts'
import { itfSandeshData } from './interface-schema.ts'

type ItfSandeshData = Value<typeof itfSandeshData>

const response = listResponse('ItfResp', 'itf_list', itfSandeshData)

export function interfaceTable(context: IntrospectContext): PagedTable<Vif> {
  const tables = context.tables()
  const ports = new Map(context.ports().map((port) => [port.uuid, port]))
  const show = (vif: Vif) => toSandesh(vif, vif.port === undefined ? undefined : ports.get(vif.port), context)
  return {
    name: 'db.interface.0',
    size: tables.vifs.length,
    filterKeys: ['type', 'name', 'uuid', 'vn', 'mac', 'ipv4', 'ipv6', 'parent', 'ip-active', 'ip6-active', 'l2-active'],
    matches: (filter) =>
      Object.keys(filter).length === 0 ? tables.vifs : tables.vifs.filter((vif) => isWanted(vif, show(vif), filter)),
    response: (rows) => response(rows.map(show)),
  }
}

const args = {
  name: text,
  type: text,
  uuid: text,
  vn: text,
  mac: text,
  ipv4_address: text,
  ipv6_address: text,
  parent_uuid: text,
  ip_active: text,
  ip6_active: text,
  l2_active: text,
}

export const itfReq = request('ItfReq', args, (asked, context) =>
  page(interfaceTable(context), {
    name: asked.name,
    type: asked.type,
    uuid: asked.uuid,
    vn: asked.vn,
    mac: asked.mac,
    ipv4: asked.ipv4_address,
    ipv6: asked.ipv6_address,
    parent: asked.parent_uuid,
    'ip-active': asked.ip_active,
    'ip6-active': asked.ip6_active,
    'l2-active': asked.l2_active,
  }),
)

/** Words of the type filter; another word doesn't filter. */
const TYPE_FILTERS: Readonly<Record<string, (vif: Vif) => boolean>> = {
  physical: (vif) => vif.type === 'physical',
  logical: () => false,
  vmi: isVmi,
  inet: () => false,
  pkt: (vif) => vif.type === 'agent',
}

/** vhost0 counts as a VMI, as every workload's tap does. */
function isVmi(vif: Vif): boolean {
  return vif.type === 'virtual' || vif.type === 'host'
}

function isWanted(vif: Vif, shown: ItfSandeshData, filter: Filter): boolean {
  if (!(TYPE_FILTERS[filter['type'] ?? '']?.(vif) ?? true)) return false
  if (!shown.name!.includes(filter['name'] ?? '')) return false
  if (!isUnsetOr(filter['uuid'], (uuid) => shown.uuid === uuid)) return false
  if (!isUnsetOr(filter['vn'], (vn) => isVmi(vif) && shown.vn_name!.includes(vn))) return false
  if (!isUnsetOr(filter['mac'], (mac) => isVmi(vif) && shown.mac_addr!.includes(mac))) return false
  if (!isUnsetOr(filter['ipv4'], (address) => isVmi(vif) && shown.ip_addr === address)) return false
  if (!isUnsetOr(filter['ipv6'], (address) => isVmi(vif) && shown.ip6_addr === address)) return false
  if (!isUnsetOr(filter['parent'], () => false)) return false
  return (
    isUnlessInactiveWanted(filter['ip-active'], shown.ipv4_active!) &&
    isUnlessInactiveWanted(filter['ip6-active'], shown.ip6_active!) &&
    isUnlessInactiveWanted(filter['l2-active'], shown.l2_active!)
  )
}

function isUnsetOr(wanted: string | undefined, test: (wanted: string) => boolean): boolean {
  return wanted === undefined || wanted === '' || test(wanted)
}

/** `no` and `inactive` keep the inactive ones; other words don't filter. */
function isUnlessInactiveWanted(wanted: string | undefined, activity: string): boolean {
  return (wanted !== 'no' && wanted !== 'inactive') || activity.includes('Inactive')
}

const NOT_APPLICABLE = '--NA--'

function toSandesh(vif: Vif, port: Port | undefined, context: IntrospectContext): ItfSandeshData {
  const tables = context.tables()
  switch (vif.type) {
    case 'virtual':
      return { ...common(vif, tables), ...vmi(vif), ...workload(vif, port, context) }
    case 'host':
      return { ...common(vif, tables), ...vmi(vif), ...hostInterface(vif, context) }
    case 'physical':
      return { ...common(vif, tables), type: 'eth' }
    case 'agent':
      // It belongs to no VRF in the datapath; clients know it in the fabric's.
      return { ...common(vif, tables), type: 'pkt', vrf_name: FABRIC_VRF }
    default: {
      const never: never = vif.type
      return never
    }
  }
}

/** What every kind has; the values of kinds that aren't VMIs. */
function common(vif: Vif, tables: Tables): ItfSandeshData {
  const hasDevice = vif.ifindex > 0
  const activity = hasDevice ? 'Active' : 'Inactive'
  return {
    index: vif.id,
    name: vif.name,
    uuid: NIL_UUID,
    vrf_name: vrfOf(tables, vif.vrf)?.name ?? '--ERROR--',
    active: hasDevice ? 'Active' : 'Inactive <Oper-state-down>',
    ipv4_active: activity,
    l2_active: hasDevice ? 'L2 Active' : 'L2 Inactive',
    ip6_active: 'Inactive',
    health_check_active: 'Active',
    dhcp_service: vif.flags & VIF_DHCP_ENABLED ? 'Enable' : 'Disable',
    dhcp_service_v6: vif.flags & VIF_DHCP_ENABLED ? 'Enable' : 'Disable',
    dns_service: 'Disable',
    label: -1,
    l2_label: -1,
    os_ifindex: hasDevice ? vif.ifindex : -1,
    admin_state: 'Enabled',
    flow_key_idx: vif.flowNexthop,
    allowed_address_pair_list: [],
    ip6_addr: NOT_APPLICABLE,
    tx_vlan_id: -1,
    rx_vlan_id: -1,
    subnet: NOT_APPLICABLE,
    sub_type: NOT_APPLICABLE,
    vrf_assign_acl_uuid: NOT_APPLICABLE,
    vmi_type: NOT_APPLICABLE,
    transport: 'Ethernet',
    flood_unknown_unicast: false,
    metadata_ip_active: 'Inactive',
  }
}

function vmi(vif: Vif): ItfSandeshData {
  return {
    ...activity(vif),
    type: 'vport',
    label: vif.label ?? -1,
    ip_addr: vif.ip4 ?? '0.0.0.0',
    ip6_addr: vif.ip6 ?? '::',
    policy: vif.flags & VIF_POLICY_ENABLED ? 'Enable' : 'Disable',
    mdata_ip_addr: vif.metadata ?? '0.0.0.0',
    metadata_ip_active: vif.metadata === undefined ? 'Inactive' : 'Active',
    fabric_port: 'NotFabricPort',
    alloc_linklocal_ip: 'LL-Disable',
    logical_interface_uuid: NIL_UUID,
    si_other_end_vmi: NIL_UUID,
    service_health_check_ip: '0.0.0.0',
    drop_new_flows: (vif.flags & VIF_DROP_NEW_FLOWS) !== 0,
    max_flows: vif.maxFlows,
    fixed_ip4_list: vif.ip4 === undefined ? [] : [vif.ip4],
    fixed_ip6_list: vif.ip6 === undefined ? [] : [vif.ip6],
  }
}

/** Activity texts of a VMI: each reason with one blank behind it (introspect reference 2.2.1). */
function activity(vif: Vif): ItfSandeshData {
  const device = vif.ifindex > 0 ? '' : 'no-dev '
  const hasL3 = (vif.flags & VIF_L3_ENABLED) !== 0
  const hasL2 = (vif.flags & VIF_L2_ENABLED) !== 0
  const l3 = device + (hasL3 ? '' : 'l3-disabled ')
  const reasons4 = l3 + (vif.ip4 === undefined ? 'no-ipv4-addr ' : '')
  const reasons6 = l3 + (vif.ip6 === undefined ? 'no-ipv6-addr ' : '')
  const reasons2 = device + (hasL2 ? '' : 'l2-disabled ')
  const isActive = reasons4 === '' || reasons6 === '' || reasons2 === ''
  const markers = `${reasons4 && 'ipv4_inactive '}${reasons6 && 'ipv6_inactive '}${reasons2 && 'l2_inactive '}`
  return {
    active: isActive ? 'Active' : `Inactive < ${device}${markers} >`,
    ipv4_active: reasons4 === '' ? 'Active' : `Ipv4 Inactive < ${reasons4} >`,
    ip6_active: reasons6 === '' ? 'Active' : `Ipv6 Inactive < ${reasons6} >`,
    l2_active: reasons2 === '' ? 'L2 Active' : `L2 Inactive < ${reasons2} >`,
  }
}

function hostInterface(vif: Vif, context: IntrospectContext): ItfSandeshData {
  const tables = context.tables()
  const { underlay } = context.facts()
  const policyVrf = tables.vrfs.find((vrf) => vrf.name === FABRIC_POLICY_VRF) ?? vrfOf(tables, vif.vrf)
  return {
    vrf_name: policyVrf?.name ?? '--ERROR--',
    vn_name: policyVrf?.vn ?? '',
    ip_addr: underlay.address,
    mac_addr: underlay.mac,
    parent_interface: underlay.name,
    sub_type: 'Gateway',
    vmi_type: 'VHOST',
    fixed_ip4_list: [underlay.address],
    fixed_ip6_list: underlay.address6 === undefined ? [] : [underlay.address6],
  }
}

function workload(vif: Vif, port: Port | undefined, context: IntrospectContext): ItfSandeshData {
  const { cluster } = context.config
  const shown: ItfSandeshData = {
    uuid: vif.port ?? NIL_UUID,
    mac_addr: vif.peerMac ?? '',
    vn_name: vrfOf(context.tables(), vif.vrf)?.vn ?? '',
    sub_type: 'Tap',
    vmi_type: 'Virtual Machine',
  }
  if (port === undefined) return shown
  return {
    ...shown,
    vn_name: port.vn,
    vm_uuid: virtualMachineUuid(cluster.name, port),
    vm_name: virtualMachineName(cluster.name, port.namespace, port.pod.name),
    config_name: configName(port, context),
    vm_project_uuid: uuidOf('project', projectOf(port, context)),
    allowed_address_pair_list: (vif.moreAddresses ?? []).map((address) => ({
      vrf_name: vrfOf(context.tables(), vif.vrf)?.name ?? '--ERROR--',
      ip_addr: address,
      prefix: address.includes(':') ? 128 : 32,
      mac_addr: port.mac,
    })),
  }
}

function projectOf(port: Port, { config }: IntrospectContext): string {
  return `${DOMAIN}:${projectOfNamespace(config.cluster.name, port.namespace)}`
}

/** FQ name of the VMI. */
export function configName(port: Port, context: IntrospectContext): string {
  return `${projectOf(port, context)}:${port.pod.name}__${port.uuid}`
}
