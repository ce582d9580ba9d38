/** VnListReq (introspect reference 2.6). */

import { podIpam, podNetworkName } from '../../model/names.ts'
import type { FqName, Subnet, VirtualNetwork } from '../../model/objects.ts'
import { decimal, text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, struct, type Value } from '../wire.ts'
import { securityLoggingObjectLink } from './interface-schema.ts'

export const vnIpamData = struct('VnIpamData', [
  field(1, 'ip_prefix', 'string'),
  field(2, 'prefix_len', 'i32'),
  field(3, 'gateway', 'string'),
  field(4, 'ipam_name', 'string'),
  field(5, 'dhcp_enable', 'string'),
  field(6, 'dns_server', 'string'),
  field(7, 'dhcp_enable_v6', 'string'),
])

const vnIpamHostRoutes = struct('VnIpamHostRoutes', [
  field(1, 'ipam_name', 'string'),
  field(2, 'host_routes', list('string')),
])

/** Never in a list yet. */
const multicastPolicyLink = struct('MulticastPolicyLink', [])

export const vnSandeshData = struct('VnSandeshData', [
  field(1, 'name', 'string'),
  field(2, 'uuid', 'string'),
  field(3, 'acl_uuid', 'string', 'AclReq'),
  field(4, 'mirror_acl_uuid', 'string', 'AclReq'),
  field(5, 'mirror_cfg_acl_uuid', 'string', 'AclReq'),
  field(6, 'vrf_name', 'string', 'VrfListReq'),
  field(7, 'ipam_data', list(vnIpamData)),
  field(8, 'ipam_host_routes', list(vnIpamHostRoutes)),
  field(9, 'layer2_forwarding', 'bool'),
  field(10, 'ipv4_forwarding', 'bool'),
  field(11, 'admin_state', 'bool'),
  field(12, 'vxlan_id', 'i32'),
  field(13, 'config_vxlan_id', 'i32'),
  field(14, 'vn_id', 'i32'),
  field(15, 'enable_rpf', 'bool'),
  field(16, 'bridging', 'bool'),
  field(17, 'flood_unknown_unicast', 'bool'),
  field(18, 'pbb_etree_enabled', 'bool'),
  field(19, 'layer2_control_word', 'bool'),
  field(20, 'slo_list', list(securityLoggingObjectLink)),
  field(21, 'cfg_igmp_enable', 'bool'),
  field(22, 'max_flows', 'i32'),
  field(23, 'mp_list', list(multicastPolicyLink)),
  field(24, 'mac_ip_learning_enable', 'bool'),
  field(25, 'health_check_uuid', 'string'),
])

const response = listResponse('VnListResp', 'vn_list', vnSandeshData)

const IPAM_PROJECT = 'default-domain:default-project'

/** FQ name of the IPAM that a VN draws from: the pods' own, or the default one. */
function ipamOf(vn: VirtualNetwork, cluster: string): FqName {
  const isPodNetwork = vn.name === podNetworkName(cluster, vn.namespace)
  return `${IPAM_PROJECT}:${isPodNetwork ? podIpam(cluster) : 'default-network-ipam'}`
}

export function networkTable(context: IntrospectContext): PagedTable<VirtualNetwork> {
  const cluster = context.config.cluster.name
  const networks = [...context.source().virtualNetworks.values()].sort((a, b) => (a.fqName < b.fqName ? -1 : 1))
  return {
    name: 'db.vn.0',
    size: networks.length,
    filterKeys: ['name', 'uuid', 'vxlan_id', 'ipam_name'],
    matches: ({ name = '', uuid = '', vxlan_id = '', ipam_name = '' }) =>
      networks.filter(
        (vn) =>
          vn.fqName.includes(name) &&
          (uuid === '' || vn.uuid === uuid) &&
          (vxlan_id === '' || decimal(vxlan_id) === 0) &&
          (ipam_name === '' || (vn.subnets.length > 0 && ipamOf(vn, cluster).includes(ipam_name))),
      ),
    response: (rows) => response(rows.map((vn) => toSandesh(vn, context))),
  }
}

export const vnListReq = request(
  'VnListReq',
  { name: text, uuid: text, vxlan_id: text, ipam_name: text },
  (args, context) => page(networkTable(context), { ...args }),
)

function toSandesh(vn: VirtualNetwork, context: IntrospectContext): Value<typeof vnSandeshData> {
  return {
    name: vn.fqName,
    uuid: vn.uuid,
    vrf_name: context.tables().vrfs.find((vrf) => vrf.vn === vn.fqName)?.name ?? '',
    ipam_data: vn.subnets.map((subnet) => toIpamData(subnet, ipamOf(vn, context.config.cluster.name))),
    layer2_forwarding: true,
    ipv4_forwarding: true,
    admin_state: true,
    enable_rpf: true,
    bridging: true,
  }
}

function toIpamData({ cidr, gateway, service }: Subnet, ipam: FqName): Value<typeof vnIpamData> {
  const slash = cidr.lastIndexOf('/')
  return {
    ip_prefix: cidr.slice(0, slash),
    prefix_len: Number(cidr.slice(slash + 1)),
    gateway,
    ipam_name: ipam,
    dhcp_enable: 'false',
    dns_server: service,
    dhcp_enable_v6: 'false',
  }
}
