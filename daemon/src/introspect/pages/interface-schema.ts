/** ItfSandeshData and what is nested in it (introspect reference 2.2), in emission order: ids don't ascend. */
import { field, list, optional, struct } from '../wire.ts'

const sandeshPortMapping = struct('SandeshPortMapping', [
  field(1, 'protocol', 'u16'),
  field(2, 'port', 'u16'),
  field(3, 'nat_port', 'u16'),
])

const floatingIpSandeshList = struct('FloatingIpSandeshList', [
  field(1, 'ip_addr', 'string'),
  field(2, 'vrf_name', 'string', 'VrfListReq'),
  field(3, 'installed', 'string'),
  field(4, 'fixed_ip', 'string'),
  field(5, 'direction', 'string'),
  field(6, 'port_map_enabled', 'bool'),
  field(7, 'port_map', list(sandeshPortMapping)),
])

const serviceVlanSandeshList = struct('ServiceVlanSandeshList', [
  field(1, 'tag', 'i16'),
  field(2, 'vrf_name', 'string', 'VrfListReq'),
  field(3, 'ip_addr', 'string'),
  field(6, 'ip6_addr', 'string'),
  field(4, 'label', 'i16'),
  field(5, 'installed', 'string'),
  field(7, 'v4_route_installed', 'string'),
  field(8, 'v6_route_installed', 'string'),
])

const staticRouteSandesh = struct('StaticRouteSandesh', [
  field(1, 'vrf_name', 'string', 'VrfListReq'),
  field(2, 'ip_addr', 'string'),
  field(3, 'prefix', 'i32'),
  optional(4, 'mac_addr', 'string'),
  optional(5, 'communities', list('string')),
  optional(6, 'label', 'u32'),
])

const aliasIpSandeshList = struct('AliasIpSandeshList', [
  field(1, 'ip_addr', 'string'),
  field(2, 'vrf_name', 'string', 'VrfListReq'),
  field(3, 'installed', 'string'),
])

const vmIntfSgUuid = struct('VmIntfSgUuid', [field(1, 'sg_uuid', 'string', 'SgListReq')])

const vmIntfBridgeDomainUuid = struct('VmIntfBridgeDomainUuid', [
  field(1, 'bridge_domain_uuid', 'string', 'BridgeDomainSandeshReq'),
])

const applicationPolicySetLink = struct('ApplicationPolicySetLink', [
  field(1, 'application_policy_set', 'string', 'ApplicationPolicySetReq'),
])

const vmiTagData = struct('VmiTagData', [
  field(1, 'name', 'string'),
  field(2, 'id', 'i32'),
  field(3, 'application_policy_set_list', list(applicationPolicySetLink)),
])

/** Never in a list yet. */
export const securityLoggingObjectLink = struct('SecurityLoggingObjectLink', [])

const bondInterface = struct('BondInterface', [
  field(1, 'intf_name', 'string'),
  field(2, 'intf_drv_name', 'string'),
  field(3, 'intf_status', 'string'),
])

const learntMacIpSandeshList = struct('LearntMacIpSandeshList', [
  field(1, 'ip_addr', 'string'),
  field(2, 'mac_addr', 'string'),
  field(3, 'l2_installed', 'string'),
  field(4, 'l3_installed', 'string'),
])

export const itfSandeshData = struct('ItfSandeshData', [
  field(1, 'index', 'i32'),
  field(2, 'name', 'string'),
  field(3, 'uuid', 'string'),
  field(4, 'vrf_name', 'string', 'VrfListReq'),
  field(5, 'active', 'string'),
  optional(49, 'ipv4_active', 'string'),
  field(28, 'l2_active', 'string'),
  optional(35, 'ip6_active', 'string'),
  optional(53, 'health_check_active', 'string'),
  field(6, 'dhcp_service', 'string'),
  field(72, 'dhcp_service_v6', 'string'),
  field(7, 'dns_service', 'string'),
  field(8, 'type', 'string'),
  field(9, 'label', 'i32'),
  field(25, 'l2_label', 'i32'),
  field(26, 'vxlan_id', 'i32'),
  field(10, 'vn_name', 'string', 'VnListReq'),
  field(11, 'vm_uuid', 'string', 'VmListReq'),
  field(12, 'vm_name', 'string'),
  field(13, 'ip_addr', 'string'),
  field(14, 'mac_addr', 'string'),
  field(15, 'policy', 'string'),
  field(16, 'fip_list', list(floatingIpSandeshList)),
  field(17, 'mdata_ip_addr', 'string'),
  field(18, 'service_vlan_list', list(serviceVlanSandeshList)),
  field(19, 'os_ifindex', 'i32'),
  field(20, 'fabric_port', 'string'),
  field(21, 'alloc_linklocal_ip', 'string'),
  field(22, 'analyzer_name', 'string'),
  field(23, 'config_name', 'string'),
  field(24, 'sg_uuid_list', list(vmIntfSgUuid)),
  field(27, 'static_route_list', list(staticRouteSandesh)),
  field(30, 'vm_project_uuid', 'string'),
  field(31, 'admin_state', 'string'),
  field(32, 'flow_key_idx', 'i32'),
  optional(33, 'allowed_address_pair_list', list(staticRouteSandesh)),
  optional(34, 'ip6_addr', 'string'),
  field(36, 'local_preference', 'i32'),
  field(37, 'tx_vlan_id', 'i16'),
  field(38, 'rx_vlan_id', 'i16'),
  field(39, 'parent_interface', 'string'),
  optional(40, 'subnet', 'string'),
  optional(41, 'sub_type', 'string'),
  optional(42, 'vrf_assign_acl_uuid', 'string', 'AclReq'),
  optional(43, 'vmi_type', 'string'),
  field(44, 'transport', 'string'),
  field(45, 'logical_interface_uuid', 'string'),
  optional(46, 'flood_unknown_unicast', 'bool'),
  field(47, 'physical_device', 'string'),
  field(48, 'physical_interface', 'string'),
  field(50, 'fixed_ip4_list', list('string')),
  field(51, 'fixed_ip6_list', list('string')),
  field(52, 'fat_flow_list', list('string')),
  optional(54, 'metadata_ip_active', 'string'),
  optional(55, 'service_health_check_ip', 'string'),
  optional(56, 'qos_config', 'string', 'AgentQosConfigSandeshReq'),
  field(57, 'alias_ip_list', list(aliasIpSandeshList)),
  field(58, 'drop_new_flows', 'bool'),
  field(59, 'bridge_domain_list', list(vmIntfBridgeDomainUuid)),
  field(60, 'vmi_tag_list', list(vmiTagData)),
  field(61, 'policy_set_acl_list', list('string')),
  field(62, 'slo_list', list(securityLoggingObjectLink)),
  field(63, 'vhostuser_mode', 'byte'),
  field(64, 'si_other_end_vmi', 'string'),
  field(65, 'cfg_igmp_enable', 'bool'),
  field(66, 'igmp_enabled', 'bool'),
  field(67, 'max_flows', 'i32'),
  field(68, 'policy_set_fwaas_list', list('string')),
  field(69, 'bond_interface_list', list(bondInterface)),
  field(70, 'mac_ip_learning_enable', 'bool'),
  field(71, 'mac_ip_list', list(learntMacIpSandeshList)),
])
