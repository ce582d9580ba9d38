/** KNHReq and KMplsReq: nexthops and labels as the datapath has them (introspect reference 2.12). */

import { ip4Text } from '../../maps/addresses.ts'
import {
  LABEL_NONE,
  NH_AF_INET,
  NH_COMPOSITE,
  NH_DEAD,
  NH_DISCARD,
  NH_ENCAP,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_SERVICE,
  NH_FLAG_SNAT,
  NH_FLAG_TUNNEL_UDP_MPLS,
  NH_FLAG_VALID,
  NH_RCV,
  NH_RESOLVE,
  NH_TUNNEL,
} from '../../maps/constants.ts'
import type { Label } from '../../maps/mpls.ts'
import type { NexthopStruct } from '../../maps/structs.ts'
import { i16, i32 } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { dump, flat } from '../dumps.ts'
import { kernelError } from '../errors.ts'
import { toI16 } from '../integers.ts'
import { nexthopOf } from '../lookup.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, optional, struct, type Value } from '../wire.ts'

export const kComponentNh = struct('KComponentNH', [
  field(1, 'nh_id', 'i32', 'KNHReq'),
  field(2, 'label', 'i32', 'KMplsInfo'),
])

export const kNhInfo = struct('KNHInfo', [
  field(1, 'id', 'i32'),
  field(2, 'type', 'string'),
  field(3, 'family', 'string'),
  field(4, 'rid', 'i32'),
  field(5, 'vrf', 'i32', 'KRouteReq'),
  field(6, 'flags', 'string'),
  field(7, 'ref_cnt', 'i32'),
  optional(8, 'encap_family', 'string'),
  optional(9, 'encap_oif_id', list('i32'), 'KInterfaceReq'),
  optional(10, 'encap_len', 'i32'),
  optional(11, 'tun_sip', 'string'),
  optional(12, 'tun_dip', 'string'),
  optional(13, 'tun_sport', 'i32'),
  optional(14, 'tun_dport', 'i32'),
  optional(15, 'encap', 'string'),
  optional(16, 'component_nh', list(kComponentNh)),
])

type KNhInfo = Value<typeof kNhInfo>

const nhResponse = listResponse('KNHResp', 'nh_list', kNhInfo)

export const kNhReq = request('KNHReq', { nh_id: i32(-1) }, ({ nh_id }, context) => {
  const { kernel } = context
  if (nh_id < 0) {
    return dump(
      flat(kernel.nexthops()),
      (rows) => nhResponse(rows.map(([id, nexthop]) => toSandesh(id, nexthop, context))),
      { isWrapped: true },
    )
  }
  const nexthop = kernel.nexthop(nh_id)
  return nexthop === undefined ? kernelError() : [nhResponse([toSandesh(nh_id, nexthop, context)])]
})

/** Newer types have no word of their own. */
const TYPES: Readonly<Record<number, string>> = {
  [NH_DEAD]: 'DEAD',
  [NH_RCV]: 'RECEIVE',
  [NH_ENCAP]: 'ENCAP',
  [NH_TUNNEL]: 'TUNNEL',
  [NH_RESOLVE]: 'RESOLVE',
  [NH_DISCARD]: 'DISCARD',
  [NH_COMPOSITE]: 'COMPOSITE',
}

const FLAGS: readonly (readonly [number, string])[] = [
  [NH_FLAG_VALID, 'VALID '],
  [NH_FLAG_POLICY_ENABLED, 'POLICY '],
  [NH_FLAG_TUNNEL_UDP_MPLS, 'TUNNEL_MPLS_UDP '],
  [NH_FLAG_SERVICE, 'SERVICE '],
  [NH_FLAG_SNAT, 'SNAT '],
  [NH_FLAG_COMPOSITE_ECMP, 'ECMP'],
]

function toSandesh(id: number, nexthop: NexthopStruct, context: IntrospectContext): KNhInfo {
  const flags = FLAGS.filter(([flag]) => (nexthop.flags & flag) !== 0).map(([, word]) => word)
  return {
    id,
    type: TYPES[nexthop.type] ?? 'INVALID',
    family: nexthop.family === NH_AF_INET ? 'AF_INET' : 'INVALID',
    vrf: nexthop.vrf,
    flags: flags.length === 0 ? 'NIL' : flags.join('| '),
    ref_cnt: nexthopOf(context.tables(), id)?.references ?? 0,
    ...(nexthop.type === NH_COMPOSITE ? compositeFields(id, context) : simpleFields(nexthop)),
  }
}

function compositeFields(id: number, { kernel }: IntrospectContext): KNhInfo {
  return {
    component_nh: kernel.members(id).map(({ nh, label }) => ({ nh_id: nh, label: label === LABEL_NONE ? -1 : label })),
  }
}

function simpleFields(nexthop: NexthopStruct): KNhInfo {
  const isTunnel = nexthop.type === NH_TUNNEL
  return {
    encap_family: isTunnel ? 'INVALID' : 'NO_ENCAP',
    encap_oif_id: [nexthop.oif],
    ...(isTunnel ? { tun_sip: ip4Text(nexthop.sip), tun_dip: ip4Text(nexthop.dip) } : {}),
    ...(nexthop.rewriteLen > 0
      ? {
          encap_len: nexthop.rewriteLen,
          encap: Buffer.from(nexthop.rewrite).toString('hex', 0, nexthop.rewriteLen),
        }
      : {}),
  }
}

export const kMplsInfo = struct('KMplsInfo', [
  field(1, 'label', 'i16'),
  field(2, 'rid', 'i16'),
  field(3, 'nhid', 'i32', 'KNHReq'),
])

const mplsResponse = listResponse('KMplsResp', 'mpls_list', kMplsInfo)

export const kMplsReq = request('KMplsReq', { mpls_label: i16(-1) }, ({ mpls_label }, { kernel }) => {
  const row = ({ label, nexthop }: Label) => ({ label: toI16(label), nhid: nexthop })
  if (mpls_label < 0) return dump(kernel.labels(), (rows) => mplsResponse(rows.map(row)))
  const nexthop = kernel.label(mpls_label)
  return nexthop === undefined ? kernelError() : [mplsResponse([row({ label: mpls_label, nexthop })])]
})
