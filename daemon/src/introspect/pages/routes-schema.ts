/** Rows of the route pages, and the paths in them (introspect reference 2.3). */
import { field, list, optional, struct } from '../wire.ts'
import { nhSandeshData } from './nexthop.ts'

export const pathPreferenceSandeshData = struct('PathPreferenceSandeshData', [
  field(1, 'sequence', 'i32'),
  field(2, 'preference', 'i32'),
  field(3, 'ecmp', 'bool'),
  optional(4, 'wait_for_traffic', 'bool'),
  optional(5, 'dependent_ip', 'string'),
])

export const pathSandeshData = struct('PathSandeshData', [
  field(1, 'nh', nhSandeshData),
  field(2, 'label', 'i32'),
  field(3, 'vxlan_id', 'i32'),
  field(4, 'peer', 'string'),
  field(5, 'dest_vn_list', list('string'), 'VnListReq'),
  field(6, 'unresolved', 'string'),
  optional(7, 'gw_ip', 'string'),
  optional(8, 'vrf', 'string', 'VrfListReq'),
  optional(10, 'sg_list', list('i32')),
  field(11, 'supported_tunnel_type', 'string'),
  field(12, 'active_tunnel_type', 'string'),
  optional(13, 'stale', 'bool'),
  optional(14, 'path_preference_data', pathPreferenceSandeshData),
  optional(15, 'info', 'string'),
  optional(16, 'active_label', 'i32'),
  optional(17, 'flood_dhcp', 'string'),
  optional(18, 'vm_name', 'string'),
  optional(19, 'ecmp_suppressed', 'bool'),
  optional(20, 'ecmp_hashing_fields', 'string'),
  optional(21, 'communities', list('string')),
  optional(22, 'peer_sequence_number', 'u64'),
  field(23, 'etree_leaf', 'bool'),
  field(24, 'layer2_control_word', 'bool'),
  optional(25, 'tag_list', list('i32')),
  field(26, 'inactive', 'bool'),
  field(27, 'origin_vn', 'string'),
])

export const routeUcSandeshData = struct('RouteUcSandeshData', [
  field(1, 'src_ip', 'string'),
  field(2, 'src_plen', 'i32'),
  field(3, 'src_vrf', 'string', 'VrfListReq'),
  field(4, 'path_list', list(pathSandeshData)),
  optional(5, 'ipam_subnet_route', 'bool'),
  optional(8, 'ipam_host_route', 'bool'),
  optional(6, 'proxy_arp', 'bool'),
  field(7, 'multicast', 'bool'),
  field(9, 'intf_route_type', 'string'),
])

export const routeMcSandeshData = struct('RouteMcSandeshData', [
  field(1, 'src', 'string'),
  field(2, 'grp', 'string'),
  field(3, 'nh', nhSandeshData),
])

export const routeL2SandeshData = struct('RouteL2SandeshData', [
  field(1, 'mac', 'string'),
  field(2, 'src_vrf', 'string', 'VrfListReq'),
  field(4, 'path_list', list(pathSandeshData)),
])

export const routeEvpnSandeshData = struct('RouteEvpnSandeshData', [
  field(1, 'mac', 'string'),
  field(2, 'src_vrf', 'string', 'VrfListReq'),
  field(3, 'ip_addr', 'string'),
  field(4, 'path_list', list(pathSandeshData)),
])
