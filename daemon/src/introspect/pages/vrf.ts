/** VrfListReq (introspect reference 2.1). */

import type { Vrf } from '../../model/tables.ts'
import { text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { NO_VN, vrfOf } from '../lookup.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, struct, type Value } from '../wire.ts'

export const vrfSandeshData = struct('VrfSandeshData', [
  field(1, 'name', 'string'),
  field(2, 'ucindex', 'i32', 'Inet4UcRouteReq'),
  field(3, 'mcindex', 'i32', 'Inet4McRouteReq'),
  field(4, 'l2index', 'i32', 'Layer2RouteReq'),
  field(5, 'source', 'string'),
  field(6, 'uc6index', 'i32', 'Inet6UcRouteReq'),
  field(7, 'vn', 'string', 'VnListReq'),
  field(8, 'table_label', 'i32'),
  field(9, 'vxlan_id', 'i32'),
  field(10, 'evpnindex', 'i32', 'EvpnRouteReq'),
  field(11, 'brindex', 'i32', 'BridgeRouteReq'),
  field(12, 'mplsindex', 'i32', 'Inet4MplsUcRouteReq'),
  field(13, 'RD', 'string'),
  field(14, 'mac_aging_time', 'i32'),
  field(15, 'layer2_control_word', 'bool'),
  field(16, 'forwarding_vrf', 'string'),
  field(17, 'hbf_rintf', 'i32'),
  field(18, 'hbf_lintf', 'i32'),
])

const response = listResponse('VrfListResp', 'vrf_list', vrfSandeshData)

export function vrfTable(context: IntrospectContext): PagedTable<Vrf> {
  const { vrfs } = context.tables()
  return {
    name: 'db.vrf.0',
    size: vrfs.length,
    filterKeys: ['name'],
    matches: ({ name = '' }) => vrfs.filter((vrf) => vrf.name.includes(name)),
    response: (rows) => response(rows.map((vrf) => toSandesh(vrf, context))),
  }
}

export const vrfListReq = request('VrfListReq', { name: text }, ({ name }, context) =>
  page(vrfTable(context), { name }),
)

/** Seconds until a learnt MAC is forgotten; the vRouter's default. */
const MAC_AGING_S = 300

function toSandesh(vrf: Vrf, context: IntrospectContext): Value<typeof vrfSandeshData> {
  const { id } = vrf
  return {
    name: vrf.name,
    ucindex: id,
    mcindex: id,
    l2index: id,
    source: vrf.vn === undefined ? '' : 'Config; ',
    uc6index: id,
    vn: vrf.vn ?? NO_VN,
    table_label: vrf.label ?? -1,
    vxlan_id: 0,
    evpnindex: id,
    brindex: id,
    mplsindex: 0,
    RD: `${context.facts().underlay.address}:${id}`,
    mac_aging_time: MAC_AGING_S,
    layer2_control_word: false,
    forwarding_vrf: vrf.forwardingVrf === id ? '' : (vrfOf(context.tables(), vrf.forwardingVrf)?.name ?? ''),
    hbf_rintf: -1,
    hbf_lintf: -1,
  }
}
