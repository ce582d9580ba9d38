/** NhListReq, and the NhSandeshData that route and label pages show (introspect reference 2.4). */

import { AGENT_MAC } from '../../model/names.ts'
import type { CompositeKind, CompositeMember, NumberedNexthop, Tables } from '../../model/tables.ts'
import { decimal, text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { nexthopOf, vifOf, vrfOf } from '../lookup.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, optional, struct, type Value } from '../wire.ts'

export const mcastData = struct('McastData', [
  field(1, 'type', 'string'),
  optional(2, 'sip', 'string'),
  optional(3, 'dip', 'string'),
  optional(4, 'label', 'i32'),
  optional(5, 'itf', 'string', 'ItfReq'),
  optional(6, 'vlan_tag', 'i16'),
])

const compositeFields = [
  field(1, 'type', 'string'),
  optional(2, 'sip', 'string'),
  optional(3, 'dip', 'string'),
  optional(4, 'mc_list', list(mcastData)),
] as const
const fabricCompositeData = struct('FabricCompositeData', compositeFields)
const multicastCompositeData = struct('MulticastCompositeData', compositeFields)

const layeredCompositeFields = [
  field(1, 'type', 'string'),
  optional(2, 'sip', 'string'),
  optional(3, 'dip', 'string'),
  optional(4, 'fabric_comp', fabricCompositeData),
  optional(5, 'mc_list', list(mcastData)),
] as const
const l2CompositeData = struct('L2CompositeData', layeredCompositeFields)
const l3CompositeData = struct('L3CompositeData', layeredCompositeFields)

export const nhSandeshData = struct('NhSandeshData', [
  field(1, 'type', 'string'),
  field(2, 'ref_count', 'i32'),
  optional(3, 'valid', 'string'),
  optional(4, 'policy', 'string'),
  optional(5, 'sip', 'string'),
  optional(6, 'dip', 'string'),
  optional(7, 'vrf', 'string', 'VrfListReq'),
  optional(8, 'itf', 'string', 'ItfReq'),
  optional(9, 'mac', list('string')),
  optional(10, 'sport', 'i32'),
  optional(11, 'dport', 'i32'),
  optional(12, 'mcast', 'string'),
  optional(13, 'label', 'i32'),
  optional(14, 'mc_list', list(mcastData)),
  optional(15, 'vlan_tag', 'i16'),
  optional(16, 'tunnel_type', 'string'),
  optional(17, 'local_ecmp', 'string'),
  optional(18, 'fabric_comp', fabricCompositeData),
  optional(19, 'l2_comp', l2CompositeData),
  optional(20, 'l3_comp', l3CompositeData),
  field(21, 'nh_index', 'i32'),
  optional(22, 'interface_comp', multicastCompositeData),
  optional(23, 'evpn_comp', multicastCompositeData),
  optional(24, 'vxlan_flag', 'bool'),
  field(34, 'intf_flags', 'i32'),
  optional(25, 'flood_unknown_unicast', 'bool'),
  field(26, 'isid', 'i32'),
  field(27, 'learning_enabled', 'bool'),
  field(28, 'etree_leaf', 'bool'),
  field(29, 'layer2_control_word', 'bool'),
  optional(30, 'pbb_bmac', 'string'),
  field(31, 'crypt_all_traffic', 'bool'),
  field(32, 'crypt_path_available', 'bool'),
  field(33, 'crypt_interface', 'string'),
])

export type NhSandeshData = Value<typeof nhSandeshData>

const response = listResponse('NhListResp', 'nh_list', nhSandeshData)

export function nexthopTable(context: IntrospectContext): PagedTable<NumberedNexthop> {
  const tables = context.tables()
  return {
    name: 'db.nexthop.0',
    size: tables.nexthops.length,
    filterKeys: ['type', 'nh_index', 'policy_enabled'],
    matches: (filter) => tables.nexthops.filter((nexthop) => isWanted(nexthop, filter, tables)),
    response: (rows) => response(rows.map((nexthop) => nexthopToSandesh(nexthop, tables))),
  }
}

export const nhListReq = request('NhListReq', { type: text, nh_index: text, policy_enabled: text }, (args, context) =>
  page(nexthopTable(context), { ...args }),
)

/** Nexthops that wait for a MAC: one message, not paged. */
export const unresolvedNh = request('UnresolvedNH', {}, (_, context) => {
  const tables = context.tables()
  const unresolved = tables.nexthops.filter((nexthop) => !nexthop.isValid)
  return [response(unresolved.map((nexthop) => nexthopToSandesh(nexthop, tables)))]
})

const FILTER_TYPES = [
  'invalid',
  'discard',
  'l2-receive',
  'receive',
  'resolve',
  'arp',
  'vrf',
  'interface',
  'tunnel',
  'mirror',
  'composite',
  'vlan',
]

function isWanted(nexthop: NumberedNexthop, filter: Readonly<Record<string, string>>, tables: Tables): boolean {
  const { type = '', nh_index = '', policy_enabled = '' } = filter
  if (nh_index !== '' && nexthop.id !== decimal(nh_index)) return false
  if (FILTER_TYPES.includes(type) && filterType(nexthop) !== type) return false
  return policy_enabled === '' || 'enabled'.includes(policy_enabled) === hasPolicy(nexthop, tables)
}

function filterType(numbered: NumberedNexthop): string {
  const { nexthop } = numbered
  return nexthop.type === 'composite' ? 'composite' : typeText(numbered)
}

const COMPOSITES: { readonly [kind in CompositeKind]: string } = {
  ecmp: 'ECMP',
  'l2-multicast': 'L2',
  'l2-interface': 'L2 interface',
  evpn: 'evpn',
}

/** The discriminator that clients see. */
function typeText({ id, nexthop }: NumberedNexthop): string {
  switch (nexthop.type) {
    case 'discard':
      return id === 0 ? 'invalid' : 'discard'
    case 'receive':
    case 'resolve':
    case 'tunnel':
    case 'l2-receive':
      return nexthop.type
    case 'encap':
      if (nexthop.role === 'interface') return 'interface'
      return nexthop.address?.includes(':') ? 'ndp' : 'arp'
    case 'vrf-translate':
      return 'vrf'
    case 'composite':
      return `${COMPOSITES[nexthop.kind]} Composite sub nh count: ${nexthop.members.length}`
    default: {
      const never: never = nexthop
      return never
    }
  }
}

/** A composite has a policy when one of its members has. */
function hasPolicy({ nexthop }: NumberedNexthop, tables: Tables): boolean {
  switch (nexthop.type) {
    case 'receive':
    case 'encap':
      return nexthop.policy
    case 'composite':
      return nexthop.members.some((member) => {
        const numbered = nexthopOf(tables, member.nexthop)
        return numbered !== undefined && numbered.nexthop.type !== 'composite' && hasPolicy(numbered, tables)
      })
    case 'discard':
    case 'resolve':
    case 'tunnel':
    case 'vrf-translate':
    case 'l2-receive':
      return false
    default: {
      const never: never = nexthop
      return never
    }
  }
}

/** What routes show that resolve through another route. */
export const EMPTY_NH: NhSandeshData = {}

export function nexthopToSandesh(numbered: NumberedNexthop | undefined, tables: Tables): NhSandeshData {
  if (numbered === undefined) return EMPTY_NH
  return {
    type: typeText(numbered),
    ref_count: numbered.references,
    valid: String(numbered.isValid),
    policy: hasPolicy(numbered, tables) ? 'enabled' : 'disabled',
    nh_index: numbered.id,
    vxlan_flag: false,
    ...variantFields(numbered, tables),
  }
}

/** `intf_flags` of interface nexthops. */
const INTF_INET4 = 1
const INTF_BRIDGE = 2

function variantFields({ nexthop, isValid }: NumberedNexthop, tables: Tables): NhSandeshData {
  switch (nexthop.type) {
    case 'discard':
    case 'resolve':
    case 'l2-receive':
      return {}
    case 'receive':
      return { itf: vifOf(tables, nexthop.vif)?.name ?? '<NULL>' }
    case 'encap': {
      const vif = vifOf(tables, nexthop.vif)
      if (nexthop.role === 'arp') {
        const resolved = isValid ? { itf: vif?.name ?? '', mac: [unpaddedMac(nexthop.dstMac)] } : {}
        return { sip: nexthop.address ?? '', vrf: vrfOf(tables, nexthop.vrf)?.name ?? '', ...resolved }
      }
      const family = nexthop.family === 'bridge' ? INTF_BRIDGE : INTF_INET4
      return {
        itf: vif?.name ?? '',
        mac: [unpaddedMac(vif?.type === 'agent' ? AGENT_MAC : nexthop.dstMac)],
        mcast: 'disabled',
        intf_flags: vif?.type === 'agent' ? 0 : family,
      }
    }
    case 'tunnel':
      return {
        sip: nexthop.source,
        dip: nexthop.destination,
        vrf: vrfOf(tables, 0)?.name ?? '',
        ...(isValid && nexthop.dstMac !== undefined ? { mac: [unpaddedMac(nexthop.dstMac)] } : {}),
        tunnel_type: nexthop.encapsulation,
      }
    case 'vrf-translate':
      return { vrf: vrfOf(tables, nexthop.vrf)?.name ?? '', flood_unknown_unicast: false }
    case 'composite':
      return nexthop.members.length === 0
        ? {}
        : { mc_list: leaves(nexthop.members, tables).map((member) => toMcastData(member, tables)) }
    default: {
      const never: never = nexthop
      return never
    }
  }
}

/** A member that is a list itself is shown as its own members, in front of those that aren't lists. */
function leaves(members: readonly CompositeMember[], tables: Tables): readonly CompositeMember[] {
  const lists = members.map((member) => {
    const nexthop = nexthopOf(tables, member.nexthop)?.nexthop
    return nexthop?.type === 'composite' && nexthop.kind !== 'l2-multicast' ? nexthop.members : undefined
  })
  return [...lists.flatMap((list) => list ?? []), ...members.filter((_, at) => lists[at] === undefined)]
}

function toMcastData(member: CompositeMember, tables: Tables): Value<typeof mcastData> {
  const nexthop = nexthopOf(tables, member.nexthop)?.nexthop
  const label = member.label ?? -1
  if (nexthop === undefined) return { type: 'NULL' }
  if (nexthop.type === 'tunnel') return { type: 'Tunnel', sip: nexthop.source, dip: nexthop.destination, label }
  if (nexthop.type === 'encap') return { type: 'Interface', label, itf: vifOf(tables, nexthop.vif)?.name ?? '' }
  return { type: `UNKNOWN<${member.nexthop}>` }
}

/** `02:0a:00:…` as `2:a:0:…`: the form of MACs inside nexthops. */
export function unpaddedMac(mac: string): string {
  return mac
    .split(':')
    .map((byte) => Number.parseInt(byte, 16).toString(16))
    .join(':')
}
