/** KInterfaceReq: vifs as the datapath has them (introspect reference 2.12). */

import { ip4Text, macText } from '../../maps/addresses.ts'
import { VIF_AGENT, VIF_HOST, VIF_PHYSICAL, VIF_POLICY_ENABLED, VIF_VIRTUAL } from '../../maps/constants.ts'
import type { VifStruct } from '../../maps/structs.ts'
import { vifReferences } from '../../model/references.ts'
import { i32 } from '../arguments.ts'
import { dump } from '../dumps.ts'
import { kernelError } from '../errors.ts'
import { toI16 } from '../integers.ts'
import type { KernelState } from '../kernel.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, struct, type Value } from '../wire.ts'

const bondMemberIntfInfo = struct('BondMemberIntfInfo', [
  field(1, 'child_bond_interface_name', 'string'),
  field(2, 'child_bond_interface_status', 'string'),
  field(3, 'child_bond_interface_drv_name', 'string'),
])

export const kInterfaceInfo = struct('KInterfaceInfo', [
  field(1, 'idx', 'i32'),
  field(2, 'type', 'string'),
  field(3, 'flags', 'string'),
  field(4, 'vrf', 'i32', 'KRouteReq'),
  field(5, 'rid', 'i32'),
  field(6, 'os_idx', 'i32'),
  field(7, 'mtu', 'i32'),
  field(8, 'name', 'string'),
  field(9, 'ibytes', 'i64'),
  field(10, 'ipackets', 'i64'),
  field(11, 'ierrors', 'i64'),
  field(12, 'obytes', 'i64'),
  field(13, 'opackets', 'i64'),
  field(14, 'oerrors', 'i64'),
  field(15, 'ref_cnt', 'i32'),
  field(16, 'mac', 'string'),
  field(17, 'ip', 'string'),
  field(18, 'mirror_id', 'byte'),
  field(19, 'speed', 'i32'),
  field(20, 'duplexity', 'i32'),
  field(21, 'qos_map_index', 'i32'),
  field(22, 'core', 'u64'),
  field(23, 'queue_ipackets', 'u64'),
  field(24, 'queue_ierrors', 'u64'),
  field(25, 'queue_opackets', 'u64'),
  field(26, 'queue_oerrors', 'u64'),
  field(27, 'queue_ierrors_to_lcore', 'string'),
  field(28, 'port_ipackets', 'u64'),
  field(29, 'port_ierrors', 'u64'),
  field(30, 'port_isyscalls', 'u64'),
  field(31, 'port_inombufs', 'u64'),
  field(32, 'port_opackets', 'u64'),
  field(33, 'port_oerrors', 'u64'),
  field(34, 'port_osyscalls', 'u64'),
  field(35, 'dev_ibytes', 'u64'),
  field(36, 'dev_ipackets', 'u64'),
  field(37, 'dev_ierrors', 'u64'),
  field(38, 'dev_inombufs', 'u64'),
  field(39, 'dev_obytes', 'u64'),
  field(40, 'dev_opackets', 'u64'),
  field(41, 'dev_oerrors', 'u64'),
  field(42, 'parent_vif_id', 'i32'),
  field(43, 'vlan_id', 'i16'),
  field(44, 'nh_id', 'i16'),
  field(45, 'cross_connect_id', list('i32')),
  field(46, 'bridge_id', 'i32'),
  field(47, 'ovlan_id', 'i32'),
  field(48, 'transport', 'i16'),
  field(49, 'src_mac', 'string'),
  field(50, 'fat_flow_protocol_port', 'string'),
  field(51, 'isid', 'i32'),
  field(52, 'pbb_bmac', 'string'),
  field(53, 'bridge_idx', 'string'),
  field(54, 'status', 'string'),
  field(55, 'bond_child_intf_list', list(bondMemberIntfInfo)),
])

const response = listResponse('KInterfaceResp', 'if_list', kInterfaceInfo)

export const kInterfaceReq = request('KInterfaceReq', { if_id: i32(-1) }, ({ if_id }, { kernel, tables }) => {
  const references = vifReferences(tables())
  const vifs = kernel.vifs()
  if (if_id < 0)
    return dump(
      vifs.map((vif) => toSandesh(vif, kernel, references)),
      response,
      { isWrapped: true },
    )
  const vif = vifs.find((candidate) => candidate.id === if_id)
  return vif === undefined ? kernelError() : [response([toSandesh(vif, kernel, references)])]
})

const TYPES: Readonly<Record<number, string>> = {
  [VIF_HOST]: 'HOST',
  [VIF_AGENT]: 'AGENT',
  [VIF_PHYSICAL]: 'PHYSICAL',
  [VIF_VIRTUAL]: 'VIRTUAL',
}

/** The vRouter's number of Ethernet transport. */
const TRANSPORT_ETHERNET = 2

function toSandesh(
  vif: VifStruct,
  kernel: KernelState,
  references: ReadonlyMap<number, number>,
): Value<typeof kInterfaceInfo> {
  const stats = kernel.vifStats(vif.id)
  return {
    idx: vif.id,
    type: TYPES[vif.type] ?? 'INVALID',
    flags: vif.flags & VIF_POLICY_ENABLED ? 'POLICY ' : 'NIL',
    vrf: vif.vrf,
    os_idx: vif.ifindex,
    mtu: vif.mtu,
    name: vif.name === '' ? 'NULL' : vif.name,
    ibytes: stats?.rxBytes,
    ipackets: stats?.rxPackets,
    ierrors: stats?.rxErrors,
    obytes: stats?.txBytes,
    opackets: stats?.txPackets,
    oerrors: stats?.txErrors,
    ref_cnt: references.get(vif.id) ?? 1,
    mac: macText(vif.mac),
    ip: ip4Text(vif.ip4),
    mirror_id: -1,
    qos_map_index: -1,
    vlan_id: -1,
    nh_id: toI16(vif.nhId),
    transport: TRANSPORT_ETHERNET,
  }
}
