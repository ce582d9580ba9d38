/** Network devices: what RTM_NEWLINK says about one, and the requests that make, change and delete them. Pure. */

import { formatMac, parseMac } from '../address.ts'
import {
  type Attribute,
  bytes,
  decodeAttributes,
  encodeAttributes,
  listAttributes,
  type Message,
  nested,
  optional,
  present,
  readI32,
  readText,
  readU8,
  readU32,
  readU64,
  text,
  u8,
  u32,
  viewOf,
} from './codec.ts'
import { NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, type Request } from './socket.ts'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18

/** Flags of a device (if.h). */
export const LinkFlag = {
  UP: 0x1,
  BROADCAST: 0x2,
  LOOPBACK: 0x8,
  POINTOPOINT: 0x10,
  RUNNING: 0x40,
  NOARP: 0x80,
  PROMISC: 0x100,
  ALLMULTI: 0x200,
  MULTICAST: 0x1000,
  LOWER_UP: 0x10000,
} as const

/** RFC 2863 §6, in the kernel's order. */
const OPERSTATES = ['unknown', 'notpresent', 'down', 'lowerlayerdown', 'testing', 'dormant', 'up'] as const
export type OperState = (typeof OPERSTATES)[number]

export interface LinkStatistics {
  readonly rxPackets: bigint
  readonly txPackets: bigint
  readonly rxBytes: bigint
  readonly txBytes: bigint
  readonly rxErrors: bigint
  readonly txErrors: bigint
  readonly rxDropped: bigint
  readonly txDropped: bigint
}

export interface LinkInfo {
  readonly index: number
  readonly name: string
  readonly altNames: readonly string[]
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none. */
  readonly type: number
  /** Lower case; undefined for devices without a link-layer address. */
  readonly mac: string | undefined
  readonly broadcastMac: string | undefined
  /** The address burnt into the hardware, where there is one. */
  readonly permanentMac: string | undefined
  readonly mtu: number
  readonly minMtu: number | undefined
  readonly maxMtu: number | undefined
  /** LinkFlag bits. */
  readonly flags: number
  /** Administratively up. */
  readonly up: boolean
  readonly carrier: boolean
  readonly operstate: OperState
  /** 'veth', 'tun', 'bridge', 'vlan'…; undefined for hardware and the loopback. */
  readonly kind: string | undefined
  readonly alias: string | undefined
  readonly qdisc: string | undefined
  readonly txqlen: number
  readonly group: number
  /** The bridge, bond or VRF device that this one is enslaved to. */
  readonly masterIndex: number | undefined
  /** IFLA_LINK: the other end of a veth, the lower device of a VLAN. In the namespace `linkNetnsId` when that is given. */
  readonly linkIndex: number | undefined
  /** The id, in the namespace asked, of the namespace in which `linkIndex` lives, when it is another one. */
  readonly linkNetnsId: number | undefined
  /** The index of a veth's other end. */
  readonly peerIndex: number | undefined
  readonly numTxQueues: number
  readonly numRxQueues: number
  readonly gsoMaxSize: number | undefined
  readonly groMaxSize: number | undefined
  /** IFLA_INFO_DATA as it is, for kinds that callers know. */
  readonly kindData: Uint8Array | undefined
  readonly statistics: LinkStatistics | undefined
}

const IFLA_ADDRESS = 1
const IFLA_BROADCAST = 2
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINK = 5
const IFLA_QDISC = 6
const IFLA_MASTER = 10
const IFLA_TXQLEN = 13
const IFLA_OPERSTATE = 16
const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_STATS64 = 23
const IFLA_AF_SPEC = 26
const IFLA_GROUP = 27
const IFLA_NET_NS_FD = 28
const IFLA_EXT_MASK = 29
const IFLA_NUM_TX_QUEUES = 31
const IFLA_NUM_RX_QUEUES = 32
const IFLA_CARRIER = 33
const IFLA_LINK_NETNSID = 37
const IFLA_GSO_MAX_SIZE = 41
const IFLA_NEW_IFINDEX = 49
const IFLA_MIN_MTU = 50
const IFLA_MAX_MTU = 51
const IFLA_PROP_LIST = 52
const IFLA_ALT_IFNAME = 53
const IFLA_PERM_ADDRESS = 54
const IFLA_GRO_MAX_SIZE = 58
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INET_CONF = 1
const AF_INET = 2
const VETH_INFO_PEER = 1
const RTEXT_FILTER_SKIP_STATS = 8

const IFINFOMSG_SIZE = 16

export function decodeLink(message: Message): LinkInfo {
  const { payload } = message
  const head = viewOf(payload)
  const attributes = decodeAttributes(payload.subarray(IFINFOMSG_SIZE))
  const info = optional(attributes.get(IFLA_LINKINFO), decodeAttributes)
  const kind = optional(info?.get(IFLA_INFO_KIND), readText)
  const flags = head.getUint32(8, true)
  const linkIndex = optional(attributes.get(IFLA_LINK), readU32)
  return {
    index: head.getInt32(4, true),
    name: optional(attributes.get(IFLA_IFNAME), readText) ?? '',
    altNames: optional(attributes.get(IFLA_PROP_LIST), readAltNames) ?? [],
    type: head.getUint16(2, true),
    mac: optional(attributes.get(IFLA_ADDRESS), readMac),
    broadcastMac: optional(attributes.get(IFLA_BROADCAST), readMac),
    permanentMac: optional(attributes.get(IFLA_PERM_ADDRESS), readMac),
    mtu: optional(attributes.get(IFLA_MTU), readU32) ?? 0,
    minMtu: optional(attributes.get(IFLA_MIN_MTU), readU32),
    maxMtu: optional(attributes.get(IFLA_MAX_MTU), readU32),
    flags,
    up: (flags & LinkFlag.UP) !== 0,
    carrier: optional(attributes.get(IFLA_CARRIER), readU8) === 1,
    operstate: OPERSTATES[optional(attributes.get(IFLA_OPERSTATE), readU8) ?? 0] ?? 'unknown',
    kind,
    alias: optional(attributes.get(IFLA_IFALIAS), readText),
    qdisc: optional(attributes.get(IFLA_QDISC), readText),
    txqlen: optional(attributes.get(IFLA_TXQLEN), readU32) ?? 0,
    group: optional(attributes.get(IFLA_GROUP), readU32) ?? 0,
    masterIndex: optional(attributes.get(IFLA_MASTER), readU32),
    linkIndex,
    linkNetnsId: optional(attributes.get(IFLA_LINK_NETNSID), readI32),
    peerIndex: kind === 'veth' ? linkIndex : undefined,
    numTxQueues: optional(attributes.get(IFLA_NUM_TX_QUEUES), readU32) ?? 1,
    numRxQueues: optional(attributes.get(IFLA_NUM_RX_QUEUES), readU32) ?? 1,
    gsoMaxSize: optional(attributes.get(IFLA_GSO_MAX_SIZE), readU32),
    groMaxSize: optional(attributes.get(IFLA_GRO_MAX_SIZE), readU32),
    kindData: info?.get(IFLA_INFO_DATA)?.slice(),
    statistics: optional(attributes.get(IFLA_STATS64), readStatistics),
  }
}

const readMac = (value: Uint8Array): string => formatMac(value)

function readAltNames(list: Uint8Array): string[] {
  return Array.from(listAttributes(list))
    .filter(({ type }) => type === IFLA_ALT_IFNAME)
    .map(({ value }) => readText(value))
}

/** The first eight counters of struct rtnl_link_stats64. */
function readStatistics(value: Uint8Array): LinkStatistics {
  const counter = (i: number) => readU64(value.subarray(8 * i))
  return {
    rxPackets: counter(0),
    txPackets: counter(1),
    rxBytes: counter(2),
    txBytes: counter(3),
    rxErrors: counter(4),
    txErrors: counter(5),
    rxDropped: counter(6),
    txDropped: counter(7),
  }
}

// ---- requests ---------------------------------------------------------------------------------------------------------------

/** struct ifinfomsg. */
function ifinfomsg(index: number, flags = 0, change = 0): Uint8Array {
  const fixed = new Uint8Array(IFINFOMSG_SIZE)
  const view = viewOf(fixed)
  view.setInt32(4, index, true)
  view.setUint32(8, flags, true)
  view.setUint32(12, change, true)
  return fixed
}

/** One device by index or name, or all of them (as a dump). IPv6's own statistics are left out: they are a third of the message. */
export function getLink(which?: number | string): Request {
  return {
    type: RTM_GETLINK,
    flags: 0,
    fixed: ifinfomsg(typeof which === 'number' ? which : 0),
    attributes: present(
      typeof which === 'string' && text(IFLA_IFNAME, which),
      u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS),
    ),
    attempted: which === undefined ? 'cannot list the links' : `cannot read link ${which}`,
  }
}

/** What may be given to a device when it is made. */
export interface NewLink {
  readonly name: string
  /** By default the kernel chooses. A veth's peer gets the one asked for only if the near end asks for one, too. */
  readonly index?: number
  readonly mac?: string
  readonly mtu?: number
  readonly txqlen?: number
  /** The namespace it is born in. */
  readonly netnsFd?: number
  readonly numTxQueues?: number
  readonly numRxQueues?: number
}

export interface VethSpec extends NewLink {
  readonly alias?: string
  readonly peer: NewLink
}

function newLinkAttributes(link: NewLink): Attribute[] {
  return present(
    text(IFLA_IFNAME, link.name),
    link.netnsFd !== undefined && u32(IFLA_NET_NS_FD, link.netnsFd),
    link.mac !== undefined && bytes(IFLA_ADDRESS, parseMac(link.mac)),
    link.mtu !== undefined && u32(IFLA_MTU, link.mtu),
    link.txqlen !== undefined && u32(IFLA_TXQLEN, link.txqlen),
    link.numTxQueues !== undefined && u32(IFLA_NUM_TX_QUEUES, link.numTxQueues),
    link.numRxQueues !== undefined && u32(IFLA_NUM_RX_QUEUES, link.numRxQueues),
  )
}

/** A veth pair whose peer is born in its own namespace under its final name. The kernel echoes the near end, with the indices of both. */
export function newVeth(spec: VethSpec): Request {
  const peer = Buffer.concat([ifinfomsg(spec.peer.index ?? 0), encodeAttributes(newLinkAttributes(spec.peer))])
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO,
    fixed: ifinfomsg(spec.index ?? 0),
    attributes: [
      ...newLinkAttributes(spec),
      nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'veth'), nested(IFLA_INFO_DATA, [bytes(VETH_INFO_PEER, peer)])]),
    ],
    attempted: `cannot create the veth pair ${spec.name} and ${spec.peer.name}`,
  }
}

/** What to change of a device; what isn't given stays. */
export interface LinkChange {
  readonly up?: boolean
  readonly mtu?: number
  readonly mac?: string
  readonly name?: string
  /** '' removes it. */
  readonly alias?: string
  /** Moves the device into that namespace. */
  readonly netnsFd?: number
  /** The index it gets in the namespace it is moved to. */
  readonly newIndex?: number
  readonly txqlen?: number
  /** false sets NOARP. */
  readonly arp?: boolean
  readonly multicast?: boolean
  readonly allMulticast?: boolean
  readonly promiscuous?: boolean
  /** 0 takes it out of its bridge. */
  readonly masterIndex?: number
  readonly group?: number
  readonly gsoMaxSize?: number
  readonly carrier?: boolean
  /** Settings of IPv4 on the device: what net/ipv4/conf/<device> is by files. */
  readonly ipv4?: { readonly [setting in Ipv4Setting]?: number }
}

/** IPV4_DEVCONF_* (ip.h). */
const IPV4_SETTINGS = {
  forwarding: 1,
  proxy_arp: 3,
  send_redirects: 6,
  rp_filter: 8,
  arp_ignore: 19,
  accept_local: 23,
} as const

export type Ipv4Setting = keyof typeof IPV4_SETTINGS

function ipv4Settings(values: NonNullable<LinkChange['ipv4']>): Attribute {
  const settings = Object.entries(values).map(([name, value]) => u32(IPV4_SETTINGS[name as Ipv4Setting], value))
  return nested(IFLA_AF_SPEC, [nested(AF_INET, [nested(IFLA_INET_CONF, settings)])])
}

/** `which`: the device's index, or its name where the index isn't known yet (the name can't be changed then). */
export function setLink(which: number | string, change: LinkChange): Request {
  const bits: [boolean | undefined, number][] = [
    [change.up, LinkFlag.UP],
    [change.arp === undefined ? undefined : !change.arp, LinkFlag.NOARP],
    [change.multicast, LinkFlag.MULTICAST],
    [change.allMulticast, LinkFlag.ALLMULTI],
    [change.promiscuous, LinkFlag.PROMISC],
  ]
  const mask = bits.reduce((sum, [wanted, bit]) => (wanted === undefined ? sum : sum | bit), 0)
  const flags = bits.reduce((sum, [wanted, bit]) => (wanted ? sum | bit : sum), 0)
  return {
    type: RTM_NEWLINK,
    flags: 0,
    fixed: ifinfomsg(typeof which === 'number' ? which : 0, flags, mask),
    attributes: present(
      typeof which === 'string' && text(IFLA_IFNAME, which),
      change.name !== undefined && text(IFLA_IFNAME, change.name),
      change.mtu !== undefined && u32(IFLA_MTU, change.mtu),
      change.mac !== undefined && bytes(IFLA_ADDRESS, parseMac(change.mac)),
      // An empty alias is sent without the NUL: a string of length 0 is what removes it.
      change.alias !== undefined && bytes(IFLA_IFALIAS, Buffer.from(change.alias)),
      change.netnsFd !== undefined && u32(IFLA_NET_NS_FD, change.netnsFd),
      change.newIndex !== undefined && u32(IFLA_NEW_IFINDEX, change.newIndex),
      change.txqlen !== undefined && u32(IFLA_TXQLEN, change.txqlen),
      change.masterIndex !== undefined && u32(IFLA_MASTER, change.masterIndex),
      change.group !== undefined && u32(IFLA_GROUP, change.group),
      change.gsoMaxSize !== undefined && u32(IFLA_GSO_MAX_SIZE, change.gsoMaxSize),
      change.carrier !== undefined && u8(IFLA_CARRIER, change.carrier ? 1 : 0),
      change.ipv4 !== undefined && ipv4Settings(change.ipv4),
    ),
    attempted: `cannot change link ${which}`,
  }
}

export function delLink(which: number | string): Request {
  return {
    type: RTM_DELLINK,
    flags: 0,
    fixed: ifinfomsg(typeof which === 'number' ? which : 0),
    attributes: typeof which === 'string' ? [text(IFLA_IFNAME, which)] : [],
    attempted: `cannot delete link ${which}`,
  }
}
