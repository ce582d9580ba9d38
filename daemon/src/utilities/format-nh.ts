/** What `nh` prints (vRouter reference §3.3). Pure. */
import { hexBytes, left, right } from './columns.ts'

/** `enum nh_type` of the datapath's types.h. */
export const NH_TYPE = {
  dead: 0,
  receive: 1,
  encap: 2,
  tunnel: 3,
  resolve: 4,
  discard: 5,
  composite: 6,
  vrfTranslate: 7,
  l2Receive: 8,
} as const

const TYPE_NAMES = ['Dead', 'Receive', 'Encap', 'Tunnel', 'Resolve', 'Drop', 'Composite', 'Vrf_Translate', 'L2 Receive']

const FAMILY_NAMES: Readonly<Record<number, string>> = { 0: 'AF_UNSPEC', 2: 'AF_INET', 7: 'AF_BRIDGE', 10: 'AF_INET6' }

/** In ascending bit order; those with a type are printed for nexthops of that type only. Bits without a name print nothing. */
const FLAG_NAMES: readonly (readonly [bit: number, name: string, onlyType?: number])[] = [
  [0x1, 'Valid'],
  [0x2, 'Policy'],
  [0x8, 'MPLSoGRE', NH_TYPE.tunnel],
  [0x10, 'Udp', NH_TYPE.tunnel],
  [0x20, 'Multicast'],
  [0x40, 'MPLSoUDP', NH_TYPE.tunnel],
  [0x80, 'Vxlan', NH_TYPE.tunnel],
  [0x100, 'Policy(R)'],
  [0x200, 'Fabric', NH_TYPE.composite],
  [0x400, 'Ecmp', NH_TYPE.composite],
  [0x1000, 'Evpn', NH_TYPE.composite],
  [0x2000, 'Encap', NH_TYPE.composite],
  [0x4000, 'Tor', NH_TYPE.composite],
  [0x8000, 'RouteLookup'],
  [0x10000, 'Unicast Flood'],
  [0x20000, 'Copy SIP'],
  [0x40000, 'Flow Lookup'],
  [0x80000, 'Pbb', NH_TYPE.tunnel],
  [0x100000, 'Mac Learn'],
  [0x200000, 'Etree Root'],
  [0x400000, 'Indirect'],
  [0x800000, 'Evpn Control Word'],
  [0x80000000, 'Snat', NH_TYPE.vrfTranslate],
]

const FLAG_COMPOSITE_ECMP = 0x400

const HASH_FIELDS: readonly (readonly [bit: number, name: string])[] = [
  [0x01, 'Proto'],
  [0x02, 'SrcIP'],
  [0x04, 'SrcPort'],
  [0x08, 'DstIp'],
  [0x10, 'DstPort'],
]
const ALL_HASH_FIELDS = 0x1f

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
    case NH_TYPE.receive:
      return [`Oif:${nh.oif}`]
    case NH_TYPE.encap:
      return [`EncapFmly:0806 Oif:${nh.oif} Len:${rewrite.length}`, `Encap Data: ${hexBytes(rewrite)}`]
    case NH_TYPE.tunnel:
      return [
        `Oif:${nh.oif} Len:${rewrite.length} Data:${hexBytes(rewrite)}`,
        `Sip:${nh.source} Dip:${nh.destination}`,
        ...(nh.pathMtu === undefined ? [] : [`Path MTU:${nh.pathMtu.bytes} for ${nh.pathMtu.seconds} s`]),
      ]
    case NH_TYPE.vrfTranslate:
      return [`Vrf:${nh.vrf}`]
    case NH_TYPE.composite:
      return [...hashLine(nh), `Sub NH(label): ${memberList(nh.members ?? [])}`]
    default:
      return []
  }
}

function hashLine(nh: NexthopRecord): string[] {
  if ((nh.flags & FLAG_COMPOSITE_ECMP) === 0) return []
  const fields = nh.hashFields || ALL_HASH_FIELDS
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
