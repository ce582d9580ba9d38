/**
 * A made-up vRouter for tests of the tools: maps of the datapath's layouts, small, filled and pinned; no program is loaded.
 *
 * Needs a bpffs that belongs to the test run alone: hack/test mounts one and names it in KV_BPFFS.
 */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { NO_NEXTHOP } from '@kube-vrouter/daemon/dataplane/encode-nexthop'
import { ip4Number, ip6Bytes, macBytes } from '@kube-vrouter/daemon/maps/addresses'
import * as c from '@kube-vrouter/daemon/maps/constants'
import { type MapName, mapDefinitions } from '@kube-vrouter/daemon/maps/definitions'
import { mapsFolder, type PinnedMaps, typedMaps } from '@kube-vrouter/daemon/maps/open'
import { addressBytes } from '@kube-vrouter/daemon/maps/services'
import {
  type FlowStruct,
  flowAllocCodec,
  flowCodec,
  type RouteStruct,
  type VifStruct,
} from '@kube-vrouter/daemon/maps/structs'
import { encode } from '@kube-vrouter/daemon/maps/table'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { NO_CONTEXT } from '../../daemon/src/maps/flows.ts'

/** Why the tests can't run here; undefined: they can. */
export function lacking(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!process.env['KV_BPFFS']) return 'needs a bpffs of its own: run it with hack/test, or set KV_BPFFS'
  try {
    using _ = BpfMap.create({ type: 2, keySize: 4, valueSize: 4, maxEntries: 1, name: 'probe' })
    return undefined
  } catch (error) {
    return `bpf(2) is not permitted: ${(error as Error).message}`
  }
}

export interface Vrouter extends AsyncDisposable {
  readonly pins: string
  readonly maps: PinnedMaps
}

const VRF = 2

export function makeVrouter(): Vrouter {
  const pins = mkdtempSync(join(process.env['KV_BPFFS']!, 'tools-'))
  mkdirSync(mapsFolder(pins))
  const undo = new DisposableStack()
  undo.defer(() => rmSync(pins, { recursive: true }))
  const opened = new Map<MapName, BpfMap>()
  for (const [name, { type, keySize, valueSize, maxEntries, flags }] of Object.entries(mapDefinitions)) {
    const map = undo.use(
      BpfMap.create({
        type,
        keySize,
        valueSize,
        maxEntries: Math.min(maxEntries, 256),
        flags,
        name: name.slice(0, 15),
      }),
    )
    map.pin(join(mapsFolder(pins), name))
    opened.set(name as MapName, map)
  }
  const maps = typedMaps((name) => opened.get(name)!, undo)
  fill(maps)
  return { pins, maps, [Symbol.asyncDispose]: async () => undo.dispose() }
}

function fill(maps: PinnedMaps): void {
  maps.vrfs.set(0, { flags: c.VRF_VALID, label: 0, nh: 0, forwardingVrf: 0 })
  maps.vrfs.set(VRF, { flags: c.VRF_VALID, label: 17, nh: 9, forwardingVrf: VRF })
  fillVifs(maps)
  fillNexthops(maps)
  fillRoutes(maps)
  maps.mpls.set(17, 9)
  maps.mpls.set(25, 22)
  maps.bridge.set(
    { mac: macBytes('02:6f:6e:91:05:03'), vrf: VRF },
    { nh: 22, label: 0, flags: c.BRIDGE_VALID | c.BRIDGE_FLOOD_DHCP, index: 7, packets: 1042n },
  )
  fillFlows(maps)
  fillServices(maps)
}

/** Service port 5: a cluster IP of VRF 3 and a load balancer's address, with two backs, and one for others. */
function fillServices({ services }: PinnedMaps): void {
  const back = { flags: 0, vrf: VRF, nh: 22, label: c.LABEL_NONE, port: 8080 }
  services.backs.set(9, { ...back, ip: addressBytes('10.47.255.252').ip })
  services.backs.set(10, { ...back, ip: addressBytes('10.47.240.9').ip, nh: 18, label: 26 })
  const [both, one] = [
    { first: 9, count: 2 },
    { first: 9, count: 1 },
  ]
  const front = { service: 5, flags: 0, inside: both, outside: both, local: one, affinityS: 0 }
  const key = { vrf: 3, ...addressBytes('10.96.0.10'), port: 80, proto: 6 }
  services.fronts.set(key, front)
  services.fronts.set({ ...key, port: 0, proto: 0 }, { ...front, inside: NONE, outside: NONE, local: NONE })
  services.fronts.set(
    { ...key, vrf: 0, ...addressBytes('198.51.100.7') },
    { ...front, flags: c.FRONT_SOURCE_RANGES | c.FRONT_DROP_OUTSIDE, outside: one, affinityS: 60 },
  )
  services.ranges.set({ prefixlen: 64 + 24, service: 5, ...addressBytes('203.0.113.0') }, 1)
  setOnCpu(services.stats.map, 5, 0, [7n, 1n, 0n])
}

const NONE = { first: 0, count: 0 }

function fillVifs(maps: PinnedMaps): void {
  const vif: VifStruct = {
    id: 3,
    ifindex: 9,
    flags: c.VIF_POLICY_ENABLED | c.VIF_L3_ENABLED | c.VIF_L2_ENABLED | c.VIF_ETREE_ROOT,
    vrf: VRF,
    nhId: 22,
    mtu: 1468,
    maxFlows: 0,
    label: 25,
    type: c.VIF_VIRTUAL,
    mac: macBytes('00:00:5e:00:01:00'),
    peerMac: macBytes('02:6f:6e:91:05:03'),
    ip4: ip4Number('10.47.255.252'),
    ip6: ip6Bytes('fd00::fc'),
    name: 'tap0a1b2c3d4e5f',
  }
  maps.vifs.set(9, vif)
  maps.vifs.set(4, {
    ...vif,
    id: 2,
    ifindex: 4,
    type: c.VIF_AGENT,
    vrf: 65535,
    nhId: 0,
    ip4: 0,
    ip6: new Uint8Array(16),
    name: 'pkt0',
  })
  setOnCpu(maps.vifStats.map, 3, 0, [42n, 3210n, 0n, 40n, 3100n, 1n])
  setOnCpu(maps.vifDropStats.map, 3, 0, counters(c.DROP_REASONS, { [c.DROP_DISCARD]: 2n, [c.DROP_INVALID_SOURCE]: 1n }))
  setOnCpu(maps.dropStats.map, 0, 0, counters(c.DROP_REASONS, { [c.DROP_DISCARD]: 15n, [c.DROP_INTERFACE_DROP]: 12n }))
  setOnCpu(maps.vrfStats.map, VRF, 0, counters(27, { 3: 41n, 18: 2n }))
  setOnCpu(maps.vrfStats.map, maps.vrfStats.maxEntries - 1, 0, counters(27, { 0: 5n }))
}

function fillNexthops(maps: PinnedMaps): void {
  const none = { ...NO_NEXTHOP, flags: c.NH_FLAG_VALID }
  const header = (destination: string, source: string) =>
    Uint8Array.of(...macBytes(destination), ...macBytes(source), 8, 0)
  maps.nexthops.set(0, none)
  maps.nexthops.set(1, none)
  maps.nexthops.set(9, { ...none, type: c.NH_VRF_TRANSLATE, vrf: VRF })
  maps.nexthops.set(18, {
    ...none,
    type: c.NH_TUNNEL,
    flags: c.NH_FLAG_VALID | c.NH_FLAG_TUNNEL_UDP_MPLS,
    rewriteLen: 14,
    rewrite: header('52:54:00:aa:bb:cc', '52:54:00:11:22:33'),
    sip: ip4Number('192.0.2.11'),
    dip: ip4Number('192.0.2.12'),
  })
  maps.nexthops.set(22, {
    ...none,
    type: c.NH_ENCAP,
    flags: c.NH_FLAG_VALID | c.NH_FLAG_POLICY_ENABLED,
    vrf: VRF,
    oif: 3,
    rewriteLen: 14,
    rewrite: header('02:6f:6e:91:05:03', '00:00:5e:00:01:00'),
  })
  maps.nexthops.set(31, { ...none, type: c.NH_COMPOSITE, flags: c.NH_FLAG_VALID | c.NH_FLAG_COMPOSITE_ECMP, vrf: VRF })
  const members = Array.from({ length: c.COMPOSITE_MAX }, () => ({ nh: 0, label: c.LABEL_NONE }))
  members[0] = { nh: 22, label: c.LABEL_NONE }
  members[1] = { nh: 18, label: 26 }
  maps.composites.set(31, { count: 2, hashFields: 0, members })
}

function fillRoutes(maps: PinnedMaps): void {
  const route = (nh: number, plen: number, flags: number, more: Partial<RouteStruct> = {}): RouteStruct => ({
    nh,
    label: c.LABEL_NONE,
    macIndex: c.LABEL_NONE,
    mac: new Uint8Array(6),
    flags,
    plen,
    ...more,
  })
  const { host4, lpm4, host6, lpm6 } = maps.routes
  const put4 = (prefix: string, length: number, value: RouteStruct) =>
    lpm4.set({ prefixlen: 32 + length, vrf: VRF, ip: ip4Number(prefix) }, value)
  put4('10.47.240.0', 20, route(1, 20, c.ROUTE_ARP_FLOOD))
  put4('10.47.255.192', 26, route(18, 26, c.ROUTE_ARP_PROXY | c.ROUTE_LABEL_VALID, { label: 19 }))
  host4.set(
    { vrf: VRF, ip: ip4Number('10.47.255.253') },
    route(18, 32, c.ROUTE_ARP_PROXY | c.ROUTE_LABEL_VALID, { label: 25 }),
  )
  host4.set(
    { vrf: VRF, ip: ip4Number('10.47.255.252') },
    route(22, 32, c.ROUTE_ARP_PROXY | c.ROUTE_HAS_MAC, { macIndex: 7, mac: macBytes('02:6f:6e:91:05:03') }),
  )
  // Another VRF with the same addresses must never show up.
  host4.set({ vrf: 3, ip: ip4Number('10.47.255.252') }, route(31, 32, 0))
  lpm6.set({ prefixlen: 32 + 64, vrf: VRF, ip: ip6Bytes('fd00::') }, route(1, 64, c.ROUTE_ARP_FLOOD))
  host6.set({ vrf: VRF, ip: ip6Bytes('fd00::fc') }, route(22, 128, c.ROUTE_ARP_PROXY))
}

function fillFlows(maps: PinnedMaps): void {
  const forward = {
    context: NO_CONTEXT,
    nhId: 22,
    sip: ip4Number('10.47.255.252'),
    dip: ip4Number('10.47.255.253'),
    sport: 43210,
    dport: 80,
    proto: 6,
  }
  const reverse = { ...forward, nhId: 18, sip: forward.dip, dip: forward.sip, sport: 80, dport: 43210 }
  const flow: FlowStruct = {
    packets: 12n,
    bytes: 1204n,
    lastSeenNs: 0n,
    index: 4,
    rindex: 5,
    keyNh: 0,
    flags: c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID,
    epoch: 1,
    nh: 18,
    label: 25,
    vrf: VRF,
    dvrf: VRF,
    srcNh: 22,
    srcInfo: 3,
    vif: 3,
    tcpSeq: 0,
    tcpAck: 0,
    tcpFlags: c.TCP_SYN | c.TCP_SYN_R | c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R,
    udpSrcPort: 61223,
    action: c.FLOW_ACTION_FORWARD,
    gen: 5,
    dropReason: 0,
    ecmp: 0xff,
    out: 0,
    rgen: 0,
  }
  maps.flows.flow4.set(forward, flow)
  maps.flows.flow4.set(reverse, {
    ...flow,
    index: 5,
    rindex: 4,
    srcNh: 18,
    srcInfo: 0x0c0200c0,
    nh: 22,
    label: c.LABEL_NONE,
  })
  const slot = (key: typeof forward) => {
    const bytes = new Uint8Array(maps.flows.slots.valueSize)
    bytes[0] = 2
    bytes.set(encode(maps.flows.flow4.key, key), 4)
    return bytes
  }
  const index = (value: number) => Uint8Array.of(value, 0, 0, 0)
  maps.flows.slots.update(index(4), slot(forward))
  maps.flows.slots.update(index(5), slot(reverse))
  const alloc = {
    next: 6,
    size: 256,
    created: 1n,
    added: 2n,
    deleted: 0n,
    changed: 0n,
    evicted: 0n,
    aged: 0n,
    cursor: 0,
    ip4: { size: 0, entries: 0, live: 0 },
    ip6: { size: 0, entries: 0, live: 0 },
  }
  maps.flows.alloc.update(index(0), encode(flowAllocCodec, alloc))
  if (maps.flows.flow4.map.valueSize !== flowCodec.size) throw new Error('struct flow has another size than its codec')
}

function counters(size: number, values: Readonly<Record<number, bigint>>): bigint[] {
  return Array.from({ length: size }, (_, at) => values[at] ?? 0n)
}

/** Sets an element of a per-CPU array on one CPU and leaves the others at zero. */
function setOnCpu(map: BpfMap, index: number, cpu: number, values: readonly bigint[]): void {
  const element = new Uint8Array(map.elementSize)
  const view = new DataView(element.buffer, cpu * map.valueSize)
  values.forEach((value, at) => {
    view.setBigUint64(at * 8, value, true)
  })
  map.update(Uint8Array.of(index & 255, index >> 8, 0, 0), element)
}
