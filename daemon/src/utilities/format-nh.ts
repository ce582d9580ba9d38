/** What `nh` prints (vRouter reference §3.3). Pure. */
import {
  HASH_ALL,
  HASH_DIP,
  HASH_DPORT,
  HASH_PROTO,
  HASH_SIP,
  HASH_SPORT,
  NH_COMPOSITE,
  NH_ENCAP,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_COMPOSITE_ENCAP,
  NH_FLAG_COMPOSITE_EVPN,
  NH_FLAG_COMPOSITE_FABRIC,
  NH_FLAG_ETREE_ROOT,
  NH_FLAG_MCAST,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_RELAXED_POLICY,
  NH_FLAG_SERVICE,
  NH_FLAG_SNAT,
  NH_FLAG_TUNNEL_UDP_MPLS,
  NH_FLAG_TUNNEL_VXLAN,
  NH_FLAG_VALID,
  NH_RCV,
  NH_TUNNEL,
  NH_VRF_TRANSLATE,
} from '../maps/constants.ts'
import { hexBytes, left, right } from './columns.ts'

const TYPE_NAMES = ['Dead', 'Receive', 'Encap', 'Tunnel', 'Resolve', 'Drop', 'Composite', 'Vrf_Translate', 'L2 Receive']

const FAMILY_NAMES: Readonly<Record<number, string>> = { 0: 'AF_UNSPEC', 2: 'AF_INET', 7: 'AF_BRIDGE', 10: 'AF_INET6' }

/** In ascending bit order; those with a type are printed for nexthops of that type only. Bits without a name print nothing. */
const FLAG_NAMES: readonly (readonly [bit: number, name: string, onlyType?: number])[] = [
  [NH_FLAG_VALID, 'Valid'],
  [NH_FLAG_POLICY_ENABLED, 'Policy'],
  [0x8, 'MPLSoGRE', NH_TUNNEL],
  [0x10, 'Udp', NH_TUNNEL],
  [NH_FLAG_MCAST, 'Multicast'],
  [NH_FLAG_TUNNEL_UDP_MPLS, 'MPLSoUDP', NH_TUNNEL],
  [NH_FLAG_TUNNEL_VXLAN, 'Vxlan', NH_TUNNEL],
  [NH_FLAG_RELAXED_POLICY, 'Policy(R)'],
  [NH_FLAG_COMPOSITE_FABRIC, 'Fabric', NH_COMPOSITE],
  [NH_FLAG_COMPOSITE_ECMP, 'Ecmp', NH_COMPOSITE],
  [NH_FLAG_COMPOSITE_EVPN, 'Evpn', NH_COMPOSITE],
  [NH_FLAG_COMPOSITE_ENCAP, 'Encap', NH_COMPOSITE],
  [0x4000, 'Tor', NH_COMPOSITE],
  [0x8000, 'RouteLookup'],
  [0x10000, 'Unicast Flood'],
  [0x20000, 'Copy SIP'],
  [0x40000, 'Flow Lookup'],
  [0x80000, 'Pbb', NH_TUNNEL],
  [0x100000, 'Mac Learn'],
  [NH_FLAG_ETREE_ROOT, 'Etree Root'],
  [0x400000, 'Indirect'],
  [0x800000, 'Evpn Control Word'],
  [NH_FLAG_SERVICE, 'Service', NH_VRF_TRANSLATE],
  [NH_FLAG_SNAT, 'Snat', NH_VRF_TRANSLATE],
]

const HASH_FIELDS: readonly (readonly [bit: number, name: string])[] = [
  [HASH_PROTO, 'Proto'],
  [HASH_SIP, 'SrcIP'],
  [HASH_SPORT, 'SrcPort'],
  [HASH_DIP, 'DstIp'],
  [HASH_DPORT, 'DstPort'],
]

export interface NexthopRecord {
  readonly id: number
  readonly type: number
  readonly family: number
  readonly flags: number
  readonly vrf: number
  readonly references: number
  /** Way out (vif id) of RCV, ENCAP, TUNNEL. */
  readonly oif?: number
  /** Ethernet header of ENCAP and TUNNEL. */
  readonly rewrite?: readonly number[]
  readonly source?: string
  readonly destination?: string
  /** Ours: what a router on the way to the other node said, and for how long that is believed. */
  readonly pathMtu?: { readonly bytes: number; readonly seconds: number } | undefined
  readonly hashFields?: number
  readonly members?: readonly NexthopMember[]
}

export interface NexthopMember {
  readonly nexthop: number
  readonly label?: number
}

const INDENT = ' '.repeat(14)
/** A list of members is broken when this many characters stand on the line. */
const MEMBERS_PER_LINE_CHARACTERS = 60

/** One record with the blank line that ends it. */
export function formatNexthop(nh: NexthopRecord): string {
  const head =
    `Id:${left(nh.id, 9)}  Type:${left(nexthopTypeName(nh.type), 13)}  Fmly:${right(familyName(nh.family), 8)}  Rid:0  ` +
    `Ref_cnt:${left(nh.references, 10)} Vrf:${nh.vrf}`
  return `${[head, `Flags:${flagNames(nh)}`, ...typeLines(nh)].join(`\n${INDENT}`)}\n\n`
}

export function nexthopTypeName(type: number): string {
  return TYPE_NAMES[type] ?? 'Invalid'
}

export function familyName(family: number): string {
  return FAMILY_NAMES[family] ?? 'N/A'
}

/** Names of the flags that are set, without separators: for --json. */
export function nexthopFlagList(nh: Pick<NexthopRecord, 'flags' | 'type'>): string[] {
  return FLAG_NAMES.filter(
    ([bit, , onlyType]) => (nh.flags & bit) !== 0 && (onlyType === undefined || onlyType === nh.type),
  ).map(([, name]) => name)
}

function flagNames(nh: NexthopRecord): string {
  if (nh.flags === 0) return 'None'
  return nexthopFlagList(nh)
    .map((name) => `${name}, `)
    .join('')
}

function typeLines(nh: NexthopRecord): string[] {
  const rewrite = nh.rewrite ?? []
  switch (nh.type) {
    case NH_RCV:
      return [`Oif:${nh.oif}`]
    case NH_ENCAP:
      return [`EncapFmly:0806 Oif:${nh.oif} Len:${rewrite.length}`, `Encap Data: ${hexBytes(rewrite)}`]
    case NH_TUNNEL:
      return [
        `Oif:${nh.oif} Len:${rewrite.length} Data:${hexBytes(rewrite)}`,
        `Sip:${nh.source} Dip:${nh.destination}`,
        ...(nh.pathMtu === undefined ? [] : [`Path MTU:${nh.pathMtu.bytes} for ${nh.pathMtu.seconds} s`]),
      ]
    case NH_VRF_TRANSLATE:
      return [`Vrf:${nh.vrf}`]
    case NH_COMPOSITE:
      return [...hashLine(nh), `Sub NH(label): ${memberList(nh.members ?? [])}`]
    default:
      return []
  }
}

function hashLine(nh: NexthopRecord): string[] {
  if ((nh.flags & NH_FLAG_COMPOSITE_ECMP) === 0) return []
  const fields = nh.hashFields || HASH_ALL
  const names = HASH_FIELDS.filter(([bit]) => (fields & bit) !== 0).map(([, name]) => name)
  return [`Valid Hash Key Parameters: ${names.join(',')}`]
}

function memberList(members: readonly NexthopMember[]): string {
  let text = ''
  let printed = 0
  for (const [at, member] of members.entries()) {
    const item = member.label === undefined ? `${member.nexthop}` : `${member.nexthop}(${member.label})`
    if (at > 0) {
      const isLineFull = printed > MEMBERS_PER_LINE_CHARACTERS
      text += isLineFull ? `\n${INDENT}${INDENT}` : ' '
      printed = isLineFull ? 0 : printed + 1
    }
    text += item
    printed += item.length
  }
  return text
}
