// Generated from daemon/datapath/lib by `npm run generate`. Do not edit: change the C, and generate again.

/**
 * The datapath's structs, as the maps hold them. Network-order numbers (IPv4 addresses, ports) are decoded to what they
 * mean: 10.0.0.1 is 0x0a000001 (addresses.ts turns them into text). MACs and IPv6 addresses are bytes; 64-bit counters are
 * bigints. Decoded values own their memory. Padding is written as zeroes, so that encoded keys compare as bytes.
 */

export interface Decoder<T> {
  /** Bytes. */
  readonly size: number
  decode(view: DataView, offset?: number): T
}

export interface Codec<T> extends Decoder<T> {
  encode(value: T, into: DataView, offset?: number): void
}

function bytesAt(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice()
}

function textAt(view: DataView, offset: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length)
  const end = bytes.indexOf(0)
  return bytes.toString('latin1', 0, end < 0 ? length : end)
}

/** Zeroes the `length` bytes at `offset` and copies as much of `bytes` as fits. */
function putBytes(view: DataView, offset: number, length: number, bytes: Uint8Array): void {
  const target = new Uint8Array(view.buffer, view.byteOffset + offset, length)
  target.fill(0)
  target.set(bytes.subarray(0, length))
}

/** A C string: cut so that its end mark fits. */
function putText(view: DataView, offset: number, length: number, text: string): void {
  putBytes(view, offset, length, Buffer.from(text, 'latin1').subarray(0, length - 1))
}

function zero(view: DataView, offset: number, length: number): void {
  new Uint8Array(view.buffer, view.byteOffset + offset, length).fill(0)
}

/** Map `vifs`: hash, ifindex (u32) -> struct vif. One lookup per packet, at its ingress. */
export interface VifStruct {
  readonly id: number
  readonly ifindex: number
  readonly flags: number
  readonly vrf: number
  /** nexthop that stands for this vif in flow keys */
  readonly nhId: number
  /** L3 MTU of the device, bytes */
  readonly mtu: number
  /** flow entries this vif may own; 0 = no limit */
  readonly maxFlows: number
  /** MPLS label of the workload, 0 = none */
  readonly label: number
  /** enum vif_type */
  readonly type: number
  /** router side MAC, the vRouter's "HWaddr" */
  readonly mac: Uint8Array
  /** the workload's own MAC: the only source MAC it may use */
  readonly peerMac: Uint8Array
  /** the workload's (vhost0: the node's) IPv4 address, 0 = none */
  readonly ip4: number
  /** its IPv6 address, all zero = none */
  readonly ip6: Uint8Array
  /** device name, for the tools */
  readonly name: string
}

export const vifCodec: Codec<VifStruct> = {
  size: 84,
  decode: (view, offset = 0) => ({
    id: view.getUint32(offset, true),
    ifindex: view.getUint32(offset + 4, true),
    flags: view.getUint32(offset + 8, true),
    vrf: view.getUint32(offset + 12, true),
    nhId: view.getUint32(offset + 16, true),
    mtu: view.getUint32(offset + 20, true),
    maxFlows: view.getUint32(offset + 24, true),
    label: view.getUint32(offset + 28, true),
    type: view.getUint8(offset + 32),
    mac: bytesAt(view, offset + 36, 6),
    peerMac: bytesAt(view, offset + 42, 6),
    ip4: view.getUint32(offset + 48, false),
    ip6: bytesAt(view, offset + 52, 16),
    name: textAt(view, offset + 68, 16),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 84)
    into.setUint32(offset, value.id, true)
    into.setUint32(offset + 4, value.ifindex, true)
    into.setUint32(offset + 8, value.flags, true)
    into.setUint32(offset + 12, value.vrf, true)
    into.setUint32(offset + 16, value.nhId, true)
    into.setUint32(offset + 20, value.mtu, true)
    into.setUint32(offset + 24, value.maxFlows, true)
    into.setUint32(offset + 28, value.label, true)
    into.setUint8(offset + 32, value.type)
    putBytes(into, offset + 36, 6, value.mac)
    putBytes(into, offset + 42, 6, value.peerMac)
    into.setUint32(offset + 48, value.ip4, false)
    putBytes(into, offset + 52, 16, value.ip6)
    putText(into, offset + 68, 16, value.name)
  },
}

export interface VifAddressKeyStruct {
  readonly vif: number
  /** AF_INET, AF_INET6 */
  readonly family: number
  /** IPv4: the first four bytes, the others zero */
  readonly ip: Uint8Array
}

export const vifAddressKeyCodec: Codec<VifAddressKeyStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    vif: view.getUint32(offset, true),
    family: view.getUint32(offset + 4, true),
    ip: bytesAt(view, offset + 8, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.vif, true)
    into.setUint32(offset + 4, value.family, true)
    putBytes(into, offset + 8, 16, value.ip)
  },
}

/** Map `vif_stats`: per-CPU array, vif id -> struct vif_stats. */
export interface VifStatsStruct {
  readonly rxPackets: bigint
  readonly rxBytes: bigint
  readonly rxErrors: bigint
  readonly txPackets: bigint
  readonly txBytes: bigint
  readonly txErrors: bigint
}

export const vifStatsCodec: Codec<VifStatsStruct> = {
  size: 48,
  decode: (view, offset = 0) => ({
    rxPackets: view.getBigUint64(offset, true),
    rxBytes: view.getBigUint64(offset + 8, true),
    rxErrors: view.getBigUint64(offset + 16, true),
    txPackets: view.getBigUint64(offset + 24, true),
    txBytes: view.getBigUint64(offset + 32, true),
    txErrors: view.getBigUint64(offset + 40, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setBigUint64(offset, value.rxPackets, true)
    into.setBigUint64(offset + 8, value.rxBytes, true)
    into.setBigUint64(offset + 16, value.rxErrors, true)
    into.setBigUint64(offset + 24, value.txPackets, true)
    into.setBigUint64(offset + 32, value.txBytes, true)
    into.setBigUint64(offset + 40, value.txErrors, true)
  },
}

/** Map `vif_state`: array, vif id -> struct vif_state. What the datapath itself keeps per vif. */
export interface VifStateStruct {
  /** flow entries that count against it, both families */
  readonly flows: number
  /** those of them that are IPv6 */
  readonly flows6: number
  /** token bucket of packets to the agent */
  readonly trapTokens: number
  /** last refill, bpf_ktime_get_ns() */
  readonly trapTimeNs: bigint
}

export const vifStateCodec: Codec<VifStateStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    flows: view.getUint32(offset, true),
    flows6: view.getUint32(offset + 4, true),
    trapTokens: view.getUint32(offset + 8, true),
    trapTimeNs: view.getBigUint64(offset + 16, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 24)
    into.setUint32(offset, value.flows, true)
    into.setUint32(offset + 4, value.flows6, true)
    into.setUint32(offset + 8, value.trapTokens, true)
    into.setBigUint64(offset + 16, value.trapTimeNs, true)
  },
}

/** Map `nexthops`: array, nexthop id -> struct nexthop. */
export interface NexthopStruct {
  /** enum nh_type */
  readonly type: number
  /** NH_AF_INET or NH_AF_BRIDGE */
  readonly family: number
  /** 14, or 0 where there is no rewrite */
  readonly rewriteLen: number
  readonly flags: number
  /** ENCAP: VRF of the vif; VRF_TRANSLATE: target VRF */
  readonly vrf: number
  /** vif id of the way out */
  readonly oif: number
  /** its device: where the packet is redirected to */
  readonly ifindex: number
  /** ENCAP, RCV: nh_id of that vif, which packets from the fabric are keyed with */
  readonly keyNh: number
  /** largest inner L3 packet that fits, bytes; 0 = not limited */
  readonly mtu: number
  /** TUNNEL: outer source */
  readonly sip: number
  /** TUNNEL: outer destination */
  readonly dip: number
  /** Ethernet header to write: destination, source, ethertype */
  readonly rewrite: Uint8Array
  /** enum vif_type of oif */
  readonly oifType: number
}

export const nexthopCodec: Codec<NexthopStruct> = {
  size: 52,
  decode: (view, offset = 0) => ({
    type: view.getUint8(offset),
    family: view.getUint8(offset + 1),
    rewriteLen: view.getUint8(offset + 2),
    flags: view.getUint32(offset + 4, true),
    vrf: view.getUint32(offset + 8, true),
    oif: view.getUint32(offset + 12, true),
    ifindex: view.getUint32(offset + 16, true),
    keyNh: view.getUint32(offset + 20, true),
    mtu: view.getUint32(offset + 24, true),
    sip: view.getUint32(offset + 28, false),
    dip: view.getUint32(offset + 32, false),
    rewrite: bytesAt(view, offset + 36, 14),
    oifType: view.getUint8(offset + 50),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 52)
    into.setUint8(offset, value.type)
    into.setUint8(offset + 1, value.family)
    into.setUint8(offset + 2, value.rewriteLen)
    into.setUint32(offset + 4, value.flags, true)
    into.setUint32(offset + 8, value.vrf, true)
    into.setUint32(offset + 12, value.oif, true)
    into.setUint32(offset + 16, value.ifindex, true)
    into.setUint32(offset + 20, value.keyNh, true)
    into.setUint32(offset + 24, value.mtu, true)
    into.setUint32(offset + 28, value.sip, false)
    into.setUint32(offset + 32, value.dip, false)
    putBytes(into, offset + 36, 14, value.rewrite)
    into.setUint8(offset + 50, value.oifType)
  },
}

export interface CompositeMemberStruct {
  readonly nh: number
  /** LABEL_NONE = none */
  readonly label: number
}

export const compositeMemberCodec: Codec<CompositeMemberStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    nh: view.getUint32(offset, true),
    label: view.getUint32(offset + 4, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.nh, true)
    into.setUint32(offset + 4, value.label, true)
  },
}

export interface CompositeStruct {
  readonly count: number
  /** 0x01 proto, 0x02 source ip, 0x04 source port, 0x08 destination ip, 0x10 destination port; 0 = all five */
  readonly hashFields: number
  readonly members: readonly CompositeMemberStruct[]
}

export const compositeCodec: Codec<CompositeStruct> = {
  size: 520,
  decode: (view, offset = 0) => ({
    count: view.getUint32(offset, true),
    hashFields: view.getUint32(offset + 4, true),
    members: Array.from({ length: 64 }, (_, i) => compositeMemberCodec.decode(view, offset + 8 + i * 8)),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.count, true)
    into.setUint32(offset + 4, value.hashFields, true)
    zero(into, offset + 8, 512)
    for (let i = 0; i < Math.min(value.members.length, 64); i++)
      compositeMemberCodec.encode(value.members[i]!, into, offset + 8 + i * 8)
  },
}

export interface PathMtuStruct {
  /** bpf_ktime_get_coarse_ns() */
  readonly expiresNs: bigint
  /** largest outer L3 packet, bytes */
  readonly mtu: number
}

export const pathMtuCodec: Codec<PathMtuStruct> = {
  size: 16,
  decode: (view, offset = 0) => ({
    expiresNs: view.getBigUint64(offset, true),
    mtu: view.getUint32(offset + 8, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 16)
    into.setBigUint64(offset, value.expiresNs, true)
    into.setUint32(offset + 8, value.mtu, true)
  },
}

/** Maps `route4_host` (hash), `route6_host` (hash): exact /32 and /128 routes. */
export interface Route4KeyStruct {
  readonly vrf: number
  readonly ip: number
}

export const route4KeyCodec: Codec<Route4KeyStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    vrf: view.getUint32(offset, true),
    ip: view.getUint32(offset + 4, false),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.vrf, true)
    into.setUint32(offset + 4, value.ip, false)
  },
}

export interface Route6KeyStruct {
  readonly vrf: number
  readonly ip: Uint8Array
}

export const route6KeyCodec: Codec<Route6KeyStruct> = {
  size: 20,
  decode: (view, offset = 0) => ({
    vrf: view.getUint32(offset, true),
    ip: bytesAt(view, offset + 4, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.vrf, true)
    putBytes(into, offset + 4, 16, value.ip)
  },
}

/** Maps `route4_lpm`, `route6_lpm` (LPM tries): shorter prefixes. prefixlen counts the 32 bits of vrf too; vrf is in network order here. */
export interface Route4LpmKeyStruct {
  readonly prefixlen: number
  readonly vrf: number
  readonly ip: number
}

export const route4LpmKeyCodec: Codec<Route4LpmKeyStruct> = {
  size: 12,
  decode: (view, offset = 0) => ({
    prefixlen: view.getUint32(offset, true),
    vrf: view.getUint32(offset + 4, false),
    ip: view.getUint32(offset + 8, false),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.prefixlen, true)
    into.setUint32(offset + 4, value.vrf, false)
    into.setUint32(offset + 8, value.ip, false)
  },
}

export interface Route6LpmKeyStruct {
  readonly prefixlen: number
  readonly vrf: number
  readonly ip: Uint8Array
}

export const route6LpmKeyCodec: Codec<Route6LpmKeyStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    prefixlen: view.getUint32(offset, true),
    vrf: view.getUint32(offset + 4, false),
    ip: bytesAt(view, offset + 8, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.prefixlen, true)
    into.setUint32(offset + 4, value.vrf, false)
    putBytes(into, offset + 8, 16, value.ip)
  },
}

export interface RouteStruct {
  readonly nh: number
  /** LABEL_NONE = none */
  readonly label: number
  /** bridge index of the stitched MAC, LABEL_NONE = none */
  readonly macIndex: number
  /** stitched MAC, valid with ROUTE_HAS_MAC */
  readonly mac: Uint8Array
  /** enum route_flags */
  readonly flags: number
  /** prefix length of the programmed route */
  readonly plen: number
}

export const routeCodec: Codec<RouteStruct> = {
  size: 20,
  decode: (view, offset = 0) => ({
    nh: view.getUint32(offset, true),
    label: view.getUint32(offset + 4, true),
    macIndex: view.getUint32(offset + 8, true),
    mac: bytesAt(view, offset + 12, 6),
    flags: view.getUint8(offset + 18),
    plen: view.getUint8(offset + 19),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.nh, true)
    into.setUint32(offset + 4, value.label, true)
    into.setUint32(offset + 8, value.macIndex, true)
    putBytes(into, offset + 12, 6, value.mac)
    into.setUint8(offset + 18, value.flags)
    into.setUint8(offset + 19, value.plen)
  },
}

export interface BridgeKeyStruct {
  readonly mac: Uint8Array
  readonly vrf: number
}

export const bridgeKeyCodec: Codec<BridgeKeyStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    mac: bytesAt(view, offset, 6),
    vrf: view.getUint16(offset + 6, true),
  }),
  encode: (value, into, offset = 0) => {
    putBytes(into, offset, 6, value.mac)
    into.setUint16(offset + 6, value.vrf, true)
  },
}

export interface BridgeEntryStruct {
  readonly nh: number
  readonly label: number
  readonly flags: number
  /** position in the table, for the tools */
  readonly index: number
  readonly packets: bigint
}

export const bridgeEntryCodec: Codec<BridgeEntryStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    nh: view.getUint32(offset, true),
    label: view.getUint32(offset + 4, true),
    flags: view.getUint32(offset + 8, true),
    index: view.getUint32(offset + 12, true),
    packets: view.getBigUint64(offset + 16, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.nh, true)
    into.setUint32(offset + 4, value.label, true)
    into.setUint32(offset + 8, value.flags, true)
    into.setUint32(offset + 12, value.index, true)
    into.setBigUint64(offset + 16, value.packets, true)
  },
}

export interface VrfStruct {
  readonly flags: number
  /** VRF label (VRF_TRANSLATE nexthop), 0 = none */
  readonly label: number
  /** its VRF_TRANSLATE nexthop, 0 = none */
  readonly nh: number
  /** VRF whose routes are used (itself, or 0 for the fabric policy VRF) */
  readonly forwardingVrf: number
}

export const vrfCodec: Codec<VrfStruct> = {
  size: 16,
  decode: (view, offset = 0) => ({
    flags: view.getUint32(offset, true),
    label: view.getUint32(offset + 4, true),
    nh: view.getUint32(offset + 8, true),
    forwardingVrf: view.getUint32(offset + 12, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.flags, true)
    into.setUint32(offset + 4, value.label, true)
    into.setUint32(offset + 8, value.nh, true)
    into.setUint32(offset + 12, value.forwardingVrf, true)
  },
}

/** Map `vrf_stats`: per-CPU array, vrf id -> struct vrf_stats; the last element counts packets whose VRF is out of range (-1). */
export interface VrfStatsStruct {
  readonly discards: bigint
  readonly resolves: bigint
  readonly receives: bigint
  readonly l2Receives: bigint
  readonly vrfTranslates: bigint
  readonly unknownUnicastFloods: bigint
  readonly ecmpComposites: bigint
  readonly l2McastComposites: bigint
  readonly fabricComposites: bigint
  readonly encapComposites: bigint
  readonly evpnComposites: bigint
  readonly udpTunnels: bigint
  readonly udpMplsTunnels: bigint
  readonly greMplsTunnels: bigint
  readonly vxlanTunnels: bigint
  readonly pbbTunnels: bigint
  readonly mplsOverMplsTunnels: bigint
  readonly l2Encaps: bigint
  readonly encaps: bigint
  readonly gros: bigint
  readonly diags: bigint
  readonly arpVirtualProxys: bigint
  readonly arpVirtualStitchs: bigint
  readonly arpVirtualFloods: bigint
  readonly arpPhysicalStitchs: bigint
  readonly arpTorProxys: bigint
  readonly arpPhysicalFloods: bigint
}

export const vrfStatsCodec: Codec<VrfStatsStruct> = {
  size: 216,
  decode: (view, offset = 0) => ({
    discards: view.getBigUint64(offset, true),
    resolves: view.getBigUint64(offset + 8, true),
    receives: view.getBigUint64(offset + 16, true),
    l2Receives: view.getBigUint64(offset + 24, true),
    vrfTranslates: view.getBigUint64(offset + 32, true),
    unknownUnicastFloods: view.getBigUint64(offset + 40, true),
    ecmpComposites: view.getBigUint64(offset + 48, true),
    l2McastComposites: view.getBigUint64(offset + 56, true),
    fabricComposites: view.getBigUint64(offset + 64, true),
    encapComposites: view.getBigUint64(offset + 72, true),
    evpnComposites: view.getBigUint64(offset + 80, true),
    udpTunnels: view.getBigUint64(offset + 88, true),
    udpMplsTunnels: view.getBigUint64(offset + 96, true),
    greMplsTunnels: view.getBigUint64(offset + 104, true),
    vxlanTunnels: view.getBigUint64(offset + 112, true),
    pbbTunnels: view.getBigUint64(offset + 120, true),
    mplsOverMplsTunnels: view.getBigUint64(offset + 128, true),
    l2Encaps: view.getBigUint64(offset + 136, true),
    encaps: view.getBigUint64(offset + 144, true),
    gros: view.getBigUint64(offset + 152, true),
    diags: view.getBigUint64(offset + 160, true),
    arpVirtualProxys: view.getBigUint64(offset + 168, true),
    arpVirtualStitchs: view.getBigUint64(offset + 176, true),
    arpVirtualFloods: view.getBigUint64(offset + 184, true),
    arpPhysicalStitchs: view.getBigUint64(offset + 192, true),
    arpTorProxys: view.getBigUint64(offset + 200, true),
    arpPhysicalFloods: view.getBigUint64(offset + 208, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setBigUint64(offset, value.discards, true)
    into.setBigUint64(offset + 8, value.resolves, true)
    into.setBigUint64(offset + 16, value.receives, true)
    into.setBigUint64(offset + 24, value.l2Receives, true)
    into.setBigUint64(offset + 32, value.vrfTranslates, true)
    into.setBigUint64(offset + 40, value.unknownUnicastFloods, true)
    into.setBigUint64(offset + 48, value.ecmpComposites, true)
    into.setBigUint64(offset + 56, value.l2McastComposites, true)
    into.setBigUint64(offset + 64, value.fabricComposites, true)
    into.setBigUint64(offset + 72, value.encapComposites, true)
    into.setBigUint64(offset + 80, value.evpnComposites, true)
    into.setBigUint64(offset + 88, value.udpTunnels, true)
    into.setBigUint64(offset + 96, value.udpMplsTunnels, true)
    into.setBigUint64(offset + 104, value.greMplsTunnels, true)
    into.setBigUint64(offset + 112, value.vxlanTunnels, true)
    into.setBigUint64(offset + 120, value.pbbTunnels, true)
    into.setBigUint64(offset + 128, value.mplsOverMplsTunnels, true)
    into.setBigUint64(offset + 136, value.l2Encaps, true)
    into.setBigUint64(offset + 144, value.encaps, true)
    into.setBigUint64(offset + 152, value.gros, true)
    into.setBigUint64(offset + 160, value.diags, true)
    into.setBigUint64(offset + 168, value.arpVirtualProxys, true)
    into.setBigUint64(offset + 176, value.arpVirtualStitchs, true)
    into.setBigUint64(offset + 184, value.arpVirtualFloods, true)
    into.setBigUint64(offset + 192, value.arpPhysicalStitchs, true)
    into.setBigUint64(offset + 200, value.arpTorProxys, true)
    into.setBigUint64(offset + 208, value.arpPhysicalFloods, true)
  },
}

export interface Peer4KeyStruct {
  readonly ip: number
}

export const peer4KeyCodec: Codec<Peer4KeyStruct> = {
  size: 4,
  decode: (view, offset = 0) => ({
    ip: view.getUint32(offset, false),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.ip, false)
  },
}

export interface Peer6KeyStruct {
  readonly ip: Uint8Array
}

export const peer6KeyCodec: Codec<Peer6KeyStruct> = {
  size: 16,
  decode: (view, offset = 0) => ({
    ip: bytesAt(view, offset, 16),
  }),
  encode: (value, into, offset = 0) => {
    putBytes(into, offset, 16, value.ip)
  },
}

export interface PeerStruct {
  /** where that node's tunnels come from */
  readonly node: number
  /** the tunnel to it; 0 = none */
  readonly nh: number
}

export const peerCodec: Codec<PeerStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    node: view.getUint32(offset, false),
    nh: view.getUint32(offset + 4, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.node, false)
    into.setUint32(offset + 4, value.nh, true)
  },
}

/** Map `underlay_stats`: per-CPU array of one struct underlay_stats. */
export interface UnderlayStatsStruct {
  /** packets to a tunnel port from no known node: given to the host */
  readonly foreignTunnels: bigint
}

export const underlayStatsCodec: Codec<UnderlayStatsStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    foreignTunnels: view.getBigUint64(offset, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setBigUint64(offset, value.foreignTunnels, true)
  },
}

/** Maps `flow4`, `flow6`: hash, key -> struct flow. The key has no VRF: nh_id stands for the ingress context (vRouter reference 1.5). */
export interface Flow4KeyStruct {
  readonly nhId: number
  readonly sip: number
  readonly dip: number
  readonly sport: number
  readonly dport: number
  readonly proto: number
  /** of what another node hands over: the label of its way back there (handover.h); else zero */
  readonly context: Uint8Array
}

export const flow4KeyCodec: Codec<Flow4KeyStruct> = {
  size: 20,
  decode: (view, offset = 0) => ({
    nhId: view.getUint32(offset, true),
    sip: view.getUint32(offset + 4, false),
    dip: view.getUint32(offset + 8, false),
    sport: view.getUint16(offset + 12, false),
    dport: view.getUint16(offset + 14, false),
    proto: view.getUint8(offset + 16),
    context: bytesAt(view, offset + 17, 3),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.nhId, true)
    into.setUint32(offset + 4, value.sip, false)
    into.setUint32(offset + 8, value.dip, false)
    into.setUint16(offset + 12, value.sport, false)
    into.setUint16(offset + 14, value.dport, false)
    into.setUint8(offset + 16, value.proto)
    putBytes(into, offset + 17, 3, value.context)
  },
}

export interface Flow6KeyStruct {
  readonly nhId: number
  readonly sip: Uint8Array
  readonly dip: Uint8Array
  readonly sport: number
  readonly dport: number
  readonly proto: number
  readonly context: Uint8Array
}

export const flow6KeyCodec: Codec<Flow6KeyStruct> = {
  size: 44,
  decode: (view, offset = 0) => ({
    nhId: view.getUint32(offset, true),
    sip: bytesAt(view, offset + 4, 16),
    dip: bytesAt(view, offset + 20, 16),
    sport: view.getUint16(offset + 36, false),
    dport: view.getUint16(offset + 38, false),
    proto: view.getUint8(offset + 40),
    context: bytesAt(view, offset + 41, 3),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.nhId, true)
    putBytes(into, offset + 4, 16, value.sip)
    putBytes(into, offset + 20, 16, value.dip)
    into.setUint16(offset + 36, value.sport, false)
    into.setUint16(offset + 38, value.dport, false)
    into.setUint8(offset + 40, value.proto)
    putBytes(into, offset + 41, 3, value.context)
  },
}

export interface FlowStruct {
  readonly packets: bigint
  readonly bytes: bigint
  /** bpf_ktime_get_coarse_ns(); written at most once per tick */
  readonly lastSeenNs: bigint
  /** handle, an index of `flow_slots` */
  readonly index: number
  /** handle of the reverse flow, FLOW_NONE = none */
  readonly rindex: number
  /** nh_id of the entry's key: tells a reader whose packets the memory belongs to by now (flow_is_of) */
  readonly keyNh: number
  /** enum flow_flags */
  readonly flags: number
  /** globals.epoch when nh and label were looked up; another value = look up again */
  readonly epoch: number
  /** resolved nexthop: what an established packet uses */
  readonly nh: number
  /** label for a TUNNEL nexthop, LABEL_NONE = none */
  readonly label: number
  readonly vrf: number
  readonly dvrf: number
  /** nexthop of the way back (RPF) */
  readonly srcNh: number
  /** from the fabric: outer source IP (network order); from a vif: vif id */
  readonly srcInfo: number
  /** vif whose limit this entry counts against */
  readonly vif: number
  readonly tcpSeq: number
  readonly tcpAck: number
  /** enum flow_tcp_flags */
  readonly tcpFlags: number
  /** entropy port of the tunnel, host order; 0 = none */
  readonly udpSrcPort: number
  /** enum flow_action */
  readonly action: number
  readonly gen: number
  /** enum flow_drop_reason, of a flow that is dropped */
  readonly dropReason: number
  /** composite member, ECMP_NONE = none */
  readonly ecmp: number
  /** with FLOW_SNAT: device that it leaves the node by, and whose address it leaves with */
  readonly out: number
  /** gen of the reverse flow: tells whether slot `rindex` still is its */
  readonly rgen: number
}

export const flowCodec: Codec<FlowStruct> = {
  size: 96,
  decode: (view, offset = 0) => ({
    packets: view.getBigUint64(offset, true),
    bytes: view.getBigUint64(offset + 8, true),
    lastSeenNs: view.getBigUint64(offset + 16, true),
    index: view.getUint32(offset + 24, true),
    rindex: view.getUint32(offset + 28, true),
    keyNh: view.getUint32(offset + 32, true),
    flags: view.getUint32(offset + 36, true),
    epoch: view.getUint32(offset + 40, true),
    nh: view.getUint32(offset + 44, true),
    label: view.getUint32(offset + 48, true),
    vrf: view.getUint32(offset + 52, true),
    dvrf: view.getUint32(offset + 56, true),
    srcNh: view.getUint32(offset + 60, true),
    srcInfo: view.getUint32(offset + 64, true),
    vif: view.getUint32(offset + 68, true),
    tcpSeq: view.getUint32(offset + 72, true),
    tcpAck: view.getUint32(offset + 76, true),
    tcpFlags: view.getUint16(offset + 80, true),
    udpSrcPort: view.getUint16(offset + 82, true),
    action: view.getUint8(offset + 84),
    gen: view.getUint8(offset + 85),
    dropReason: view.getUint8(offset + 86),
    ecmp: view.getUint8(offset + 87),
    out: view.getUint32(offset + 88, true),
    rgen: view.getUint8(offset + 92),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 96)
    into.setBigUint64(offset, value.packets, true)
    into.setBigUint64(offset + 8, value.bytes, true)
    into.setBigUint64(offset + 16, value.lastSeenNs, true)
    into.setUint32(offset + 24, value.index, true)
    into.setUint32(offset + 28, value.rindex, true)
    into.setUint32(offset + 32, value.keyNh, true)
    into.setUint32(offset + 36, value.flags, true)
    into.setUint32(offset + 40, value.epoch, true)
    into.setUint32(offset + 44, value.nh, true)
    into.setUint32(offset + 48, value.label, true)
    into.setUint32(offset + 52, value.vrf, true)
    into.setUint32(offset + 56, value.dvrf, true)
    into.setUint32(offset + 60, value.srcNh, true)
    into.setUint32(offset + 64, value.srcInfo, true)
    into.setUint32(offset + 68, value.vif, true)
    into.setUint32(offset + 72, value.tcpSeq, true)
    into.setUint32(offset + 76, value.tcpAck, true)
    into.setUint16(offset + 80, value.tcpFlags, true)
    into.setUint16(offset + 82, value.udpSrcPort, true)
    into.setUint8(offset + 84, value.action)
    into.setUint8(offset + 85, value.gen)
    into.setUint8(offset + 86, value.dropReason)
    into.setUint8(offset + 87, value.ecmp)
    into.setUint32(offset + 88, value.out, true)
    into.setUint8(offset + 92, value.rgen)
  },
}

export interface FlowSlotStruct {
  /** 0 = free, 2 = flow4, 10 = flow6, and enum flow_slot_bits */
  readonly family: number
  /** generation of this slot, kept while free */
  readonly gen: number
  /** vif whose share the entry counts against */
  readonly vif: number
  readonly k4: Flow4KeyStruct
  readonly k6: Flow6KeyStruct
  readonly group: number
}

export const flowSlotCodec: Decoder<FlowSlotStruct> = {
  size: 52,
  decode: (view, offset = 0) => ({
    family: view.getUint8(offset),
    gen: view.getUint8(offset + 1),
    vif: view.getUint16(offset + 2, true),
    k4: flow4KeyCodec.decode(view, offset + 4),
    k6: flow6KeyCodec.decode(view, offset + 4),
    group: view.getUint32(offset + 48, true),
  }),
}

/** Entries that count against one share. Maps `vrf_flows`: array, VRF id; `flow_sources`: array, hash of a source address. */
export interface FlowCountStruct {
  /** both families */
  readonly flows: number
  readonly flows6: number
}

export const flowCountCodec: Codec<FlowCountStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    flows: view.getUint32(offset, true),
    flows6: view.getUint32(offset + 4, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.flows, true)
    into.setUint32(offset + 4, value.flows6, true)
  },
}

export interface ExitStruct {
  /** the node's addresses there, which packets leave with; 0 = none */
  readonly ip: number
  /** L3 MTU, bytes */
  readonly mtu: number
  /** all zero = none */
  readonly ip6: Uint8Array
}

export const exitCodec: Codec<ExitStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    ip: view.getUint32(offset, false),
    mtu: view.getUint32(offset + 4, true),
    ip6: bytesAt(view, offset + 8, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.ip, false)
    into.setUint32(offset + 4, value.mtu, true)
    putBytes(into, offset + 8, 16, value.ip6)
  },
}

export interface AnnouncedKeyStruct {
  /** AF_INET or AF_INET6 */
  readonly family: number
  /** IPv4 in the first four, the others zero */
  readonly ip: Uint8Array
}

export const announcedKeyCodec: Codec<AnnouncedKeyStruct> = {
  size: 20,
  decode: (view, offset = 0) => ({
    family: view.getUint32(offset, true),
    ip: bytesAt(view, offset + 4, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.family, true)
    putBytes(into, offset + 4, 16, value.ip)
  },
}

export interface AnnouncedStruct {
  readonly answers: bigint
}

export const announcedCodec: Codec<AnnouncedStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    answers: view.getBigUint64(offset, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setBigUint64(offset, value.answers, true)
  },
}

export interface FlowFamilyStruct {
  /** entries of flow4 or flow6, set by the daemon */
  readonly size: number
  /** in use or promised */
  readonly entries: number
  /** of these, not over */
  readonly live: number
}

export const flowFamilyCodec: Codec<FlowFamilyStruct> = {
  size: 16,
  decode: (view, offset = 0) => ({
    size: view.getUint32(offset, true),
    entries: view.getUint32(offset + 4, true),
    live: view.getUint32(offset + 8, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 16)
    into.setUint32(offset, value.size, true)
    into.setUint32(offset + 4, value.entries, true)
    into.setUint32(offset + 8, value.live, true)
  },
}

export interface FlowAllocStruct {
  /** first index never used */
  readonly next: number
  /** number of slots, set by the daemon */
  readonly size: number
  readonly created: bigint
  readonly added: bigint
  readonly deleted: bigint
  readonly changed: bigint
  readonly evicted: bigint
  readonly aged: bigint
  /** where the ageing timer goes on */
  readonly cursor: number
  readonly ip4: FlowFamilyStruct
  readonly ip6: FlowFamilyStruct
}

export const flowAllocCodec: Codec<FlowAllocStruct> = {
  size: 96,
  decode: (view, offset = 0) => ({
    next: view.getUint32(offset, true),
    size: view.getUint32(offset + 4, true),
    created: view.getBigUint64(offset + 8, true),
    added: view.getBigUint64(offset + 16, true),
    deleted: view.getBigUint64(offset + 24, true),
    changed: view.getBigUint64(offset + 32, true),
    evicted: view.getBigUint64(offset + 40, true),
    aged: view.getBigUint64(offset + 48, true),
    cursor: view.getUint32(offset + 56, true),
    ip4: flowFamilyCodec.decode(view, offset + 64),
    ip6: flowFamilyCodec.decode(view, offset + 80),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 96)
    into.setUint32(offset, value.next, true)
    into.setUint32(offset + 4, value.size, true)
    into.setBigUint64(offset + 8, value.created, true)
    into.setBigUint64(offset + 16, value.added, true)
    into.setBigUint64(offset + 24, value.deleted, true)
    into.setBigUint64(offset + 32, value.changed, true)
    into.setBigUint64(offset + 40, value.evicted, true)
    into.setBigUint64(offset + 48, value.aged, true)
    into.setUint32(offset + 56, value.cursor, true)
    flowFamilyCodec.encode(value.ip4, into, offset + 64)
    flowFamilyCodec.encode(value.ip6, into, offset + 80)
  },
}

/** Whose fragments of one packet these are. */
export interface FragKeyStruct {
  /** IPv4 in the first four bytes, rest zero */
  readonly sip: Uint8Array
  readonly dip: Uint8Array
  readonly id: number
  readonly vrf: number
  readonly proto: number
  readonly family: number
  /** ingress: nobody's fragments follow those of another sender */
  readonly vif: number
}

export const fragKeyCodec: Codec<FragKeyStruct> = {
  size: 44,
  decode: (view, offset = 0) => ({
    sip: bytesAt(view, offset, 16),
    dip: bytesAt(view, offset + 16, 16),
    id: view.getUint32(offset + 32, true),
    vrf: view.getUint32(offset + 36, true),
    proto: view.getUint8(offset + 40),
    family: view.getUint8(offset + 41),
    vif: view.getUint16(offset + 42, true),
  }),
  encode: (value, into, offset = 0) => {
    putBytes(into, offset, 16, value.sip)
    putBytes(into, offset + 16, 16, value.dip)
    into.setUint32(offset + 32, value.id, true)
    into.setUint32(offset + 36, value.vrf, true)
    into.setUint8(offset + 40, value.proto)
    into.setUint8(offset + 41, value.family)
    into.setUint16(offset + 42, value.vif, true)
  },
}

/** Map `fragments`: LRU hash, struct frag_place -> struct frag_entry. Ports of the first fragment, for those that follow (fragment.h). */
export interface FragPlaceStruct {
  readonly sender: number
  /** among those of the sender */
  readonly place: number
}

export const fragPlaceCodec: Codec<FragPlaceStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    sender: view.getUint32(offset, true),
    place: view.getUint32(offset + 4, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.sender, true)
    into.setUint32(offset + 4, value.place, true)
  },
}

export interface FragEntryStruct {
  readonly sport: number
  readonly dport: number
  /** tells which packet it is */
  readonly check: number
  readonly timeNs: bigint
}

export const fragEntryCodec: Codec<FragEntryStruct> = {
  size: 16,
  decode: (view, offset = 0) => ({
    sport: view.getUint16(offset, false),
    dport: view.getUint16(offset + 2, false),
    check: view.getUint32(offset + 4, true),
    timeNs: view.getBigUint64(offset + 8, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint16(offset, value.sport, false)
    into.setUint16(offset + 2, value.dport, false)
    into.setUint32(offset + 4, value.check, true)
    into.setBigUint64(offset + 8, value.timeNs, true)
  },
}

export interface HeldFragmentStruct {
  /** enum held_state */
  readonly state: number
  readonly owner: number
  readonly timeNs: bigint
  readonly key: FragKeyStruct
  readonly length: number
  /** the packet itself went to the host */
  readonly copy: number
  readonly frame: Uint8Array
}

export const heldFragmentCodec: Codec<HeldFragmentStruct> = {
  size: 2048,
  decode: (view, offset = 0) => ({
    state: view.getUint32(offset, true),
    owner: view.getUint32(offset + 4, true),
    timeNs: view.getBigUint64(offset + 8, true),
    key: fragKeyCodec.decode(view, offset + 16),
    length: view.getUint16(offset + 60, true),
    copy: view.getUint16(offset + 62, true),
    frame: bytesAt(view, offset + 64, 1984),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.state, true)
    into.setUint32(offset + 4, value.owner, true)
    into.setBigUint64(offset + 8, value.timeNs, true)
    fragKeyCodec.encode(value.key, into, offset + 16)
    into.setUint16(offset + 60, value.length, true)
    into.setUint16(offset + 62, value.copy, true)
    putBytes(into, offset + 64, 1984, value.frame)
  },
}

export interface FrontKeyStruct {
  /** of the service network; 0 = the underlay: NodePorts, and addresses that load balancers bring */
  readonly vrf: number
  readonly port: number
  readonly proto: number
  /** AF_INET, AF_INET6 */
  readonly family: number
  /** IPv4: the first four bytes, the others zero */
  readonly ip: Uint8Array
}

export const frontKeyCodec: Codec<FrontKeyStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    vrf: view.getUint32(offset, true),
    port: view.getUint16(offset + 4, false),
    proto: view.getUint8(offset + 6),
    family: view.getUint8(offset + 7),
    ip: bytesAt(view, offset + 8, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.vrf, true)
    into.setUint16(offset + 4, value.port, false)
    into.setUint8(offset + 6, value.proto)
    into.setUint8(offset + 7, value.family)
    putBytes(into, offset + 8, 16, value.ip)
  },
}

/** Backs that one may be chosen of: a block of the map `service_backs`. */
export interface BackSetStruct {
  readonly first: number
  readonly count: number
}

export const backSetCodec: Codec<BackSetStruct> = {
  size: 8,
  decode: (view, offset = 0) => ({
    first: view.getUint32(offset, true),
    count: view.getUint32(offset + 4, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.first, true)
    into.setUint32(offset + 4, value.count, true)
  },
}

export interface FrontStruct {
  /** id of the service port: what affinity, source ranges and counters are kept under */
  readonly service: number
  /** enum front_flags */
  readonly flags: number
  readonly inside: BackSetStruct
  readonly outside: BackSetStruct
  readonly local: BackSetStruct
  /** 0 = none; idle time of a client's affinity */
  readonly affinityS: number
}

export const frontCodec: Codec<FrontStruct> = {
  size: 40,
  decode: (view, offset = 0) => ({
    service: view.getUint32(offset, true),
    flags: view.getUint32(offset + 4, true),
    inside: backSetCodec.decode(view, offset + 8),
    outside: backSetCodec.decode(view, offset + 16),
    local: backSetCodec.decode(view, offset + 24),
    affinityS: view.getUint32(offset + 32, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 40)
    into.setUint32(offset, value.service, true)
    into.setUint32(offset + 4, value.flags, true)
    backSetCodec.encode(value.inside, into, offset + 8)
    backSetCodec.encode(value.outside, into, offset + 16)
    backSetCodec.encode(value.local, into, offset + 24)
    into.setUint32(offset + 32, value.affinityS, true)
  },
}

export interface NodePortsStruct {
  /** bit n & 7 of byte n >> 3 is port n */
  readonly bits: Uint8Array
}

export const nodePortsCodec: Codec<NodePortsStruct> = {
  size: 8192,
  decode: (view, offset = 0) => ({
    bits: bytesAt(view, offset, 8192),
  }),
  encode: (value, into, offset = 0) => {
    putBytes(into, offset, 8192, value.bits)
  },
}

export interface BackStruct {
  readonly ip: Uint8Array
  readonly port: number
  /** enum back_flags */
  readonly flags: number
  /** of the endpoint's network on this node, LABEL_NONE = it has none here */
  readonly vrf: number
  /** where the endpoint is, for clients whose own routes don't lead there: its interface here, or a tunnel; 0 = by route */
  readonly nh: number
  /** with a tunnel: the service label of that node */
  readonly label: number
}

export const backCodec: Codec<BackStruct> = {
  size: 32,
  decode: (view, offset = 0) => ({
    ip: bytesAt(view, offset, 16),
    port: view.getUint16(offset + 16, false),
    flags: view.getUint16(offset + 18, true),
    vrf: view.getUint32(offset + 20, true),
    nh: view.getUint32(offset + 24, true),
    label: view.getUint32(offset + 28, true),
  }),
  encode: (value, into, offset = 0) => {
    putBytes(into, offset, 16, value.ip)
    into.setUint16(offset + 16, value.port, false)
    into.setUint16(offset + 18, value.flags, true)
    into.setUint32(offset + 20, value.vrf, true)
    into.setUint32(offset + 24, value.nh, true)
    into.setUint32(offset + 28, value.label, true)
  },
}

/** Map `service_affinity`: LRU hash, struct affinity_key -> struct affinity. */
export interface AffinityKeyStruct {
  readonly service: number
  /** of the client: addresses of networks overlap */
  readonly vrf: number
  readonly ip: Uint8Array
}

export const affinityKeyCodec: Codec<AffinityKeyStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    service: view.getUint32(offset, true),
    vrf: view.getUint32(offset + 4, true),
    ip: bytesAt(view, offset + 8, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.service, true)
    into.setUint32(offset + 4, value.vrf, true)
    putBytes(into, offset + 8, 16, value.ip)
  },
}

export interface AffinityStruct {
  /** the endpoint's */
  readonly ip: Uint8Array
  readonly port: number
  /** where it was in its set: looked at first */
  readonly place: number
  /** bpf_ktime_get_coarse_ns() */
  readonly expiresNs: bigint
}

export const affinityCodec: Codec<AffinityStruct> = {
  size: 32,
  decode: (view, offset = 0) => ({
    ip: bytesAt(view, offset, 16),
    port: view.getUint16(offset + 16, false),
    place: view.getUint32(offset + 20, true),
    expiresNs: view.getBigUint64(offset + 24, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 32)
    putBytes(into, offset, 16, value.ip)
    into.setUint16(offset + 16, value.port, false)
    into.setUint32(offset + 20, value.place, true)
    into.setBigUint64(offset + 24, value.expiresNs, true)
  },
}

/** Map `service_ranges`: LPM trie, struct range_key -> 1. prefixlen counts the 64 bits of service and family, too. */
export interface RangeKeyStruct {
  readonly prefixlen: number
  readonly service: number
  readonly family: number
  readonly ip: Uint8Array
}

export const rangeKeyCodec: Codec<RangeKeyStruct> = {
  size: 28,
  decode: (view, offset = 0) => ({
    prefixlen: view.getUint32(offset, true),
    service: view.getUint32(offset + 4, false),
    family: view.getUint32(offset + 8, false),
    ip: bytesAt(view, offset + 12, 16),
  }),
  encode: (value, into, offset = 0) => {
    into.setUint32(offset, value.prefixlen, true)
    into.setUint32(offset + 4, value.service, false)
    into.setUint32(offset + 8, value.family, false)
    putBytes(into, offset + 12, 16, value.ip)
  },
}

/** Of flows whose endpoint is gone (endpoints.bpf.c): where they were sent, and what has answered them. The same twice: they were not translated. */
export interface GoneKeyStruct {
  readonly front: Uint8Array
  readonly back: Uint8Array
  readonly frontPort: number
  readonly backPort: number
  /** AF_INET, AF_INET6 */
  readonly family: number
  readonly proto: number
}

export const goneKeyCodec: Codec<GoneKeyStruct> = {
  size: 40,
  decode: (view, offset = 0) => ({
    front: bytesAt(view, offset, 16),
    back: bytesAt(view, offset + 16, 16),
    frontPort: view.getUint16(offset + 32, false),
    backPort: view.getUint16(offset + 34, false),
    family: view.getUint8(offset + 36),
    proto: view.getUint8(offset + 37),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 40)
    putBytes(into, offset, 16, value.front)
    putBytes(into, offset + 16, 16, value.back)
    into.setUint16(offset + 32, value.frontPort, false)
    into.setUint16(offset + 34, value.backPort, false)
    into.setUint8(offset + 36, value.family)
    into.setUint8(offset + 37, value.proto)
  },
}

/** Map `service_stats`: per-CPU array, service id -> struct service_stats. */
export interface ServiceStatsStruct {
  /** flows that were given a back */
  readonly connections: bigint
  /** answered that there is none */
  readonly refused: bigint
  readonly dropped: bigint
}

export const serviceStatsCodec: Codec<ServiceStatsStruct> = {
  size: 24,
  decode: (view, offset = 0) => ({
    connections: view.getBigUint64(offset, true),
    refused: view.getBigUint64(offset + 8, true),
    dropped: view.getBigUint64(offset + 16, true),
  }),
  encode: (value, into, offset = 0) => {
    into.setBigUint64(offset, value.connections, true)
    into.setBigUint64(offset + 8, value.refused, true)
    into.setBigUint64(offset + 16, value.dropped, true)
  },
}

/** Map `globals`: array of one struct globals, written by the daemon. */
export interface GlobalsStruct {
  /** DATAPATH_ABI */
  readonly abi: number
  /** raised after any change of a route, so that flows look up their nexthop again */
  readonly epoch: number
  /** the node's IPv4 address, network order */
  readonly underlayIp: number
  /** L3 MTU of the fabric NIC */
  readonly underlayMtu: number
  readonly fabricIfindex: number
  readonly vhostIfindex: number
  /** pkt0; 0 = traps are dropped with TRAP_NO_IF */
  readonly agentIfindex: number
  /** of entropy ports and ECMP */
  readonly hashSeed: number
  /** packets per second and vif that may go to the agent */
  readonly trapRate: number
  readonly trapBurst: number
  readonly maxVifs: number
  readonly maxVrfs: number
  readonly maxLabels: number
  readonly maxNexthops: number
  /** idle time of established TCP */
  readonly ageTcpS: number
  /** of everything else */
  readonly ageOtherS: number
  /** 00:00:5e:00:01:00 */
  readonly routerMac: Uint8Array
  /** MAC of vhost0 = MAC of the NIC */
  readonly vhostMac: Uint8Array
  /** 00:00:00:00:00:01 */
  readonly agentMac: Uint8Array
  /** DSCP of outer headers, 0 to 63; TUNNEL_DSCP_COPY: that of the packet inside */
  readonly tunnelDscp: number
  /** CLOCK_MONOTONIC, raised by the daemon while it lives; for the tools */
  readonly daemonSeenNs: bigint
  /** the node's IPv6 address, all zero = none */
  readonly underlayIp6: Uint8Array
  /** first source port of SNAT, host order */
  readonly snatPort: number
  /** how many from there on; 0 = no SNAT */
  readonly snatPorts: number
  /** nh_id of vhost0: the ingress context of what the underlay sends to the node */
  readonly hostNh: number
  /** enum options */
  readonly options: number
  /** CLOCK_MONOTONIC: an upgrade carries flows over, and no new translation begins before */
  readonly natFromNs: bigint
}

export const globalsCodec: Codec<GlobalsStruct> = {
  size: 136,
  decode: (view, offset = 0) => ({
    abi: view.getUint32(offset, true),
    epoch: view.getUint32(offset + 4, true),
    underlayIp: view.getUint32(offset + 8, false),
    underlayMtu: view.getUint32(offset + 12, true),
    fabricIfindex: view.getUint32(offset + 16, true),
    vhostIfindex: view.getUint32(offset + 20, true),
    agentIfindex: view.getUint32(offset + 24, true),
    hashSeed: view.getUint32(offset + 28, true),
    trapRate: view.getUint32(offset + 32, true),
    trapBurst: view.getUint32(offset + 36, true),
    maxVifs: view.getUint32(offset + 40, true),
    maxVrfs: view.getUint32(offset + 44, true),
    maxLabels: view.getUint32(offset + 48, true),
    maxNexthops: view.getUint32(offset + 52, true),
    ageTcpS: view.getUint32(offset + 56, true),
    ageOtherS: view.getUint32(offset + 60, true),
    routerMac: bytesAt(view, offset + 64, 6),
    vhostMac: bytesAt(view, offset + 70, 6),
    agentMac: bytesAt(view, offset + 76, 6),
    tunnelDscp: view.getUint8(offset + 82),
    daemonSeenNs: view.getBigUint64(offset + 88, true),
    underlayIp6: bytesAt(view, offset + 96, 16),
    snatPort: view.getUint16(offset + 112, true),
    snatPorts: view.getUint16(offset + 114, true),
    hostNh: view.getUint32(offset + 116, true),
    options: view.getUint32(offset + 120, true),
    natFromNs: view.getBigUint64(offset + 128, true),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 136)
    into.setUint32(offset, value.abi, true)
    into.setUint32(offset + 4, value.epoch, true)
    into.setUint32(offset + 8, value.underlayIp, false)
    into.setUint32(offset + 12, value.underlayMtu, true)
    into.setUint32(offset + 16, value.fabricIfindex, true)
    into.setUint32(offset + 20, value.vhostIfindex, true)
    into.setUint32(offset + 24, value.agentIfindex, true)
    into.setUint32(offset + 28, value.hashSeed, true)
    into.setUint32(offset + 32, value.trapRate, true)
    into.setUint32(offset + 36, value.trapBurst, true)
    into.setUint32(offset + 40, value.maxVifs, true)
    into.setUint32(offset + 44, value.maxVrfs, true)
    into.setUint32(offset + 48, value.maxLabels, true)
    into.setUint32(offset + 52, value.maxNexthops, true)
    into.setUint32(offset + 56, value.ageTcpS, true)
    into.setUint32(offset + 60, value.ageOtherS, true)
    putBytes(into, offset + 64, 6, value.routerMac)
    putBytes(into, offset + 70, 6, value.vhostMac)
    putBytes(into, offset + 76, 6, value.agentMac)
    into.setUint8(offset + 82, value.tunnelDscp)
    into.setBigUint64(offset + 88, value.daemonSeenNs, true)
    putBytes(into, offset + 96, 16, value.underlayIp6)
    into.setUint16(offset + 112, value.snatPort, true)
    into.setUint16(offset + 114, value.snatPorts, true)
    into.setUint32(offset + 116, value.hostNh, true)
    into.setUint32(offset + 120, value.options, true)
    into.setBigUint64(offset + 128, value.natFromNs, true)
  },
}

export interface DropStatsStruct {
  readonly reasons: readonly bigint[]
}

export const dropStatsCodec: Codec<DropStatsStruct> = {
  size: 512,
  decode: (view, offset = 0) => ({
    reasons: Array.from({ length: 64 }, (_, i) => view.getBigUint64(offset + i * 8, true)),
  }),
  encode: (value, into, offset = 0) => {
    for (let i = 0; i < 64; i++) into.setBigUint64(offset + i * 8, value.reasons[i] ?? 0n, true)
  },
}

/** 30 bytes, network order, between a 14-byte Ethernet header and the original frame (vRouter reference 2.10). */
export interface AgentHdrStruct {
  /** vif id */
  readonly ifindex: number
  readonly vrf: number
  readonly cmd: number
  readonly param: number
  readonly param1: number
  readonly param2: number
  readonly param3: number
  readonly param4: number
  readonly param5: number
}

export const agentHdrCodec: Codec<AgentHdrStruct> = {
  size: 30,
  decode: (view, offset = 0) => ({
    ifindex: view.getUint16(offset, false),
    vrf: view.getUint16(offset + 2, false),
    cmd: view.getUint16(offset + 4, false),
    param: view.getUint32(offset + 6, false),
    param1: view.getUint32(offset + 10, false),
    param2: view.getUint32(offset + 14, false),
    param3: view.getUint32(offset + 18, false),
    param4: view.getUint32(offset + 22, false),
    param5: view.getUint8(offset + 26),
  }),
  encode: (value, into, offset = 0) => {
    zero(into, offset, 30)
    into.setUint16(offset, value.ifindex, false)
    into.setUint16(offset + 2, value.vrf, false)
    into.setUint16(offset + 4, value.cmd, false)
    into.setUint32(offset + 6, value.param, false)
    into.setUint32(offset + 10, value.param1, false)
    into.setUint32(offset + 14, value.param2, false)
    into.setUint32(offset + 18, value.param3, false)
    into.setUint32(offset + 22, value.param4, false)
    into.setUint8(offset + 26, value.param5)
  },
}
