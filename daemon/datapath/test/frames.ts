/** Frames made by hand, checksums included, and read again. Everything is bytes; addresses are text. */
import { parseAddress, parseMac } from '@kube-vrouter/linux/address'

export const ETH = 14
export const IP4 = 20
export const IP6 = 40

export const PROTO = { ICMP: 1, TCP: 6, UDP: 17, FRAGMENT: 44, ICMP6: 58, SCTP: 132 } as const
export const TCP_FLAG = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16 } as const

export function join(...parts: readonly (Uint8Array | readonly number[])[]): Buffer {
  return Buffer.concat(parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part))))
}

export function u16(value: number): Buffer {
  return Buffer.of((value >> 8) & 255, value & 255)
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export function checksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts)
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

export function eth(dst: string, src: string, type: number, payload: Uint8Array): Buffer {
  return join(parseMac(dst), parseMac(src), u16(type), payload)
}

/** Ethertype of an IP packet. */
export function typeOf(packet: Uint8Array): number {
  return packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd
}

/** Ethernet around an IP packet. */
export function frame(dst: string, src: string, packet: Uint8Array): Buffer {
  return eth(dst, src, typeOf(packet), packet)
}

export interface Ip4Options {
  readonly ttl?: number
  readonly id?: number
  /** Bytes into the datagram, a multiple of 8. */
  readonly offset?: number
  readonly more?: boolean
  readonly df?: boolean
  /** A multiple of 4 bytes. */
  readonly options?: Uint8Array
  readonly tos?: number
  /** Says something other than the truth. */
  readonly length?: number
}

export function ip4(src: string, dst: string, proto: number, payload: Uint8Array, options: Ip4Options = {}): Buffer {
  const extra = options.options ?? new Uint8Array(0)
  const header = join(
    [0x45 + extra.length / 4, options.tos ?? 0],
    u16(options.length ?? IP4 + extra.length + payload.length),
    u16(options.id ?? 0x1234),
    u16((options.df ? 0x4000 : 0) | (options.more ? 0x2000 : 0) | ((options.offset ?? 0) / 8)),
    [options.ttl ?? 64, proto, 0, 0],
    parseAddress(src),
    parseAddress(dst),
    extra,
  )
  header.writeUInt16BE(checksum(header), 10)
  return join(header, payload)
}

export interface Ip6Options {
  readonly hopLimit?: number
  readonly length?: number
}

export function ip6(src: string, dst: string, next: number, payload: Uint8Array, options: Ip6Options = {}): Buffer {
  return join(
    [0x60, 0, 0, 0],
    u16(options.length ?? payload.length),
    [next, options.hopLimit ?? 64],
    parseAddress(src),
    parseAddress(dst),
    payload,
  )
}

function pseudo(src: string, dst: string, proto: number, length: number): Buffer {
  return join(parseAddress(src), parseAddress(dst), u32(length), [0, 0, 0, proto])
}

/** An IP packet of the addresses' family around an L4 segment whose checksum lies at `at`. */
function ip(
  src: string,
  dst: string,
  proto: number,
  segment: Buffer,
  at: number,
  options: Ip4Options & Ip6Options = {},
): Buffer {
  const sum = checksum(pseudo(src, dst, proto, segment.length), segment)
  segment.writeUInt16BE(sum === 0 && proto === PROTO.UDP ? 0xffff : sum, at)
  if (!src.includes(':')) return ip4(src, dst, proto, segment, options)
  return ip6(src, dst, proto, segment, { ...options, hopLimit: options.hopLimit ?? options.ttl ?? 64 })
}

export type IpOptions = Ip4Options & Ip6Options

export function udp(
  src: string,
  dst: string,
  sport: number,
  dport: number,
  data: Uint8Array = Buffer.from('data'),
  options?: IpOptions,
): Buffer {
  return ip(src, dst, PROTO.UDP, join(u16(sport), u16(dport), u16(8 + data.length), [0, 0], data), 6, options)
}

export interface TcpOptions extends IpOptions {
  readonly seq?: number
  readonly ack?: number
  readonly options?: Uint8Array
  readonly data?: Uint8Array
  readonly tcpOptions?: Uint8Array
}

export function tcp(
  src: string,
  dst: string,
  sport: number,
  dport: number,
  flags: number,
  options: TcpOptions = {},
): Buffer {
  const extra = options.tcpOptions ?? new Uint8Array(0)
  const segment = join(
    u16(sport),
    u16(dport),
    u32(options.seq ?? 1000),
    u32(options.ack ?? 0),
    [((20 + extra.length) / 4) << 4, flags],
    u16(65535),
    [0, 0, 0, 0],
    extra,
    options.data ?? new Uint8Array(0),
  )
  return ip(src, dst, PROTO.TCP, segment, 16, options)
}

export function mss(value: number): Buffer {
  return join([2, 4], u16(value))
}

export function icmp4(
  src: string,
  dst: string,
  type: number,
  code: number,
  rest: Uint8Array,
  options?: Ip4Options,
): Buffer {
  const message = join([type, code, 0, 0], rest)
  message.writeUInt16BE(checksum(message), 2)
  return ip4(src, dst, PROTO.ICMP, message, options)
}

export function icmp6(
  src: string,
  dst: string,
  type: number,
  code: number,
  rest: Uint8Array,
  options?: IpOptions,
): Buffer {
  return ip(src, dst, PROTO.ICMP6, join([type, code, 0, 0], rest), 2, options)
}

/** An echo request of either family. */
/** The error of a router behind which packets may have `mtu` bytes, about `quoted`. */
export function tooBig(src: string, dst: string, mtu: number, quoted: Uint8Array): Buffer {
  const body = join(u32(mtu), quoted)
  return src.includes(':') ? icmp6(src, dst, 2, 0, body) : icmp4(src, dst, 3, 4, body)
}

export function ping(src: string, dst: string, id: number, options?: IpOptions): Buffer {
  const rest = join(u16(id), u16(1), Buffer.from('ping data'))
  return src.includes(':') ? icmp6(src, dst, 128, 0, rest, options) : icmp4(src, dst, 8, 0, rest, options)
}

export function pong(src: string, dst: string, id: number, options?: IpOptions): Buffer {
  const rest = join(u16(id), u16(1), Buffer.from('ping data'))
  return src.includes(':') ? icmp6(src, dst, 129, 0, rest, options) : icmp4(src, dst, 0, 0, rest, options)
}

export interface ArpFields {
  readonly op: number
  readonly sha: string
  readonly spa: string
  readonly tha: string
  readonly tpa: string
}

export function arp({ op, sha, spa, tha, tpa }: ArpFields): Buffer {
  return join(u16(1), u16(0x0800), [6, 4], u16(op), parseMac(sha), parseAddress(spa), parseMac(tha), parseAddress(tpa))
}

/** A neighbour solicitation, with or without its source link-layer address option. */
export function solicit(src: string, dst: string, target: string, mac?: string): Buffer {
  const option = mac === undefined ? [] : join([1, 1], parseMac(mac))
  return icmp6(src, dst, 135, 0, join([0, 0, 0, 0], parseAddress(target), option), { hopLimit: 255 })
}

export function advert(src: string, dst: string, flags: number, target: string, mac: string): Buffer {
  return icmp6(src, dst, 136, 0, join([flags, 0, 0, 0], parseAddress(target), [2, 1], parseMac(mac)), { hopLimit: 255 })
}

export interface TunnelFields {
  readonly src: string
  readonly dst: string
  readonly sport?: number
  readonly dport?: number
  readonly label: number
  readonly mplsTtl?: number
  readonly bottom?: boolean
  readonly id?: number
  readonly udpLength?: number
  readonly ip?: Ip4Options
}

/** IPv4, UDP and one MPLS label around `inner`. */
export function mplsOverUdp(tunnel: TunnelFields, inner: Uint8Array): Buffer {
  const length = 8 + 4 + inner.length
  const header = join(u16(tunnel.sport ?? 50000), u16(tunnel.dport ?? 6635), u16(tunnel.udpLength ?? length), [0, 0])
  const shim = u32((tunnel.label * 4096 + (tunnel.bottom === false ? 0 : 0x100) + (tunnel.mplsTtl ?? 64)) >>> 0)
  return ip4(tunnel.src, tunnel.dst, PROTO.UDP, join(header, shim, inner), { id: tunnel.id ?? 0, ...tunnel.ip })
}

/** The same packet with another TTL or hop limit, checksum included. */
export function withTtl(packet: Uint8Array, ttl: number): Buffer {
  const copy = Buffer.from(packet)
  if (copy[0]! >> 4 === 6) {
    copy[7] = ttl
    return copy
  }
  copy[8] = ttl
  copy.writeUInt16BE(0, 10)
  copy.writeUInt16BE(checksum(copy.subarray(0, (copy[0]! & 15) * 4)), 10)
  return copy
}

export interface AgentFields {
  readonly vif: number
  readonly vrf: number
  readonly cmd: number
  readonly param?: number
  readonly param1?: number
}

export function agentFrame(dst: string, src: string, fields: AgentFields, frame: Uint8Array): Buffer {
  const header = join(
    u16(fields.vif),
    u16(fields.vrf),
    u16(fields.cmd),
    u32(fields.param ?? 0),
    u32(fields.param1 ?? 0),
  )
  return eth(dst, src, 0x0800, join(header, Buffer.alloc(30 - header.length), frame))
}
