/** The kernel's side of the fixture, in plain arrays, behind the interface that the pinned maps serve. */

import { NO_NEXTHOP } from '../../daemon/src/dataplane/encode-nexthop.ts'
import { encodeVif } from '../../daemon/src/dataplane/encode-tables.ts'
import { PROTOCOL_NUMBERS } from '../../daemon/src/dataplane/services/encode-front.ts'
import type { KernelState } from '../../daemon/src/introspect/kernel.ts'
import { ip4Number, macBytes } from '../../daemon/src/maps/addresses.ts'
import * as c from '../../daemon/src/maps/constants.ts'
import type { FlowRecord } from '../../daemon/src/maps/flows.ts'
import type { KernelRoute } from '../../daemon/src/maps/routes.ts'
import type { KernelBack, KernelFront } from '../../daemon/src/maps/services.ts'
import type { FlowStruct, NexthopStruct, VrfStatsStruct } from '../../daemon/src/maps/structs.ts'
import { vrfStatsCodec } from '../../daemon/src/maps/structs.ts'
import type { BackSet, NumberedNexthop, Tables } from '../../daemon/src/model/tables.ts'

function rewrite(dst: string, src: string): Uint8Array {
  return Uint8Array.of(...macBytes(dst), ...macBytes(src), 8, 0)
}

function toNexthop({ nexthop, isValid }: NumberedNexthop): NexthopStruct {
  const base = { ...NO_NEXTHOP, flags: isValid ? c.NH_FLAG_VALID : 0 }
  switch (nexthop.type) {
    case 'discard':
      return base
    case 'receive':
      return { ...base, type: c.NH_RCV, oif: nexthop.vif, flags: base.flags | c.NH_FLAG_POLICY_ENABLED }
    case 'resolve':
      return { ...base, type: c.NH_RESOLVE, oif: nexthop.vif }
    case 'encap':
      return {
        ...base,
        type: c.NH_ENCAP,
        family: nexthop.family === 'inet' ? c.NH_AF_INET : c.NH_AF_BRIDGE,
        flags: base.flags | (nexthop.policy ? c.NH_FLAG_POLICY_ENABLED : 0),
        vrf: nexthop.vrf,
        oif: nexthop.vif,
        rewriteLen: 14,
        rewrite: rewrite(nexthop.dstMac, nexthop.srcMac),
      }
    case 'tunnel':
      return {
        ...base,
        type: c.NH_TUNNEL,
        flags: base.flags | c.NH_FLAG_TUNNEL_UDP_MPLS,
        sip: ip4Number(nexthop.source),
        dip: ip4Number(nexthop.destination),
        ...(nexthop.dstMac === undefined ? {} : { rewriteLen: 14, rewrite: rewrite(nexthop.dstMac, nexthop.srcMac) }),
      }
    case 'vrf-translate':
      return { ...base, type: c.NH_VRF_TRANSLATE, vrf: nexthop.vrf }
    case 'l2-receive':
      return { ...base, type: c.NH_L2_RCV, family: c.NH_AF_BRIDGE }
    case 'composite':
      return {
        ...base,
        type: c.NH_COMPOSITE,
        vrf: nexthop.vrf,
        family: nexthop.kind === 'ecmp' ? base.family : c.NH_AF_BRIDGE,
        flags: base.flags | COMPOSITES[nexthop.kind],
      }
    default: {
      const never: never = nexthop
      return never
    }
  }
}

const COMPOSITES = {
  ecmp: c.NH_FLAG_COMPOSITE_ECMP,
  'l2-multicast': c.NH_FLAG_MCAST,
  'l2-interface': c.NH_FLAG_COMPOSITE_ENCAP,
  evpn: c.NH_FLAG_COMPOSITE_EVPN,
} as const

const FLOW: FlowStruct = {
  packets: 96n,
  bytes: 12873n,
  lastSeenNs: 0n,
  index: 0,
  rindex: c.FLOW_NONE,
  keyNh: 0,
  flags: c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID,
  epoch: 1,
  nh: 14,
  label: 31,
  vrf: 2,
  dvrf: 2,
  srcNh: 10,
  srcInfo: 3,
  vif: 3,
  tcpSeq: 0x12345678,
  tcpAck: 0,
  tcpFlags: c.TCP_SYN | c.TCP_SYN_R | c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R,
  udpSrcPort: 56411,
  action: c.FLOW_ACTION_FORWARD,
  gen: 3,
  dropReason: 0,
  ecmp: 0xff,
  out: 0,
  rgen: 0,
}

/** A TCP connection of web-0 to the pod on node-2, and a dropped UDP/IPv6 packet. */
export const flows: readonly FlowRecord[] = [
  {
    family: 4,
    nexthop: 10,
    source: '10.47.255.10',
    destination: '10.47.255.70',
    sourcePort: 41002,
    destinationPort: 80,
    protocol: 6,
    flow: { ...FLOW, index: 7, rindex: 8 },
  },
  {
    family: 4,
    nexthop: 10,
    source: '10.47.255.70',
    destination: '10.47.255.10',
    sourcePort: 80,
    destinationPort: 41002,
    protocol: 6,
    flow: { ...FLOW, index: 8, rindex: 7, nh: 10, srcNh: 14, packets: 88n, bytes: 0x1_8000_0000n, ecmp: 1 },
  },
  {
    family: 6,
    nexthop: 10,
    source: 'fd00:47::a',
    destination: 'fd00:47::99',
    sourcePort: 5000,
    destinationPort: 53,
    protocol: 17,
    flow: {
      ...FLOW,
      index: 1500,
      flags: c.FLOW_ACTIVE,
      nh: 1,
      action: c.FLOW_ACTION_DROP,
      dropReason: 5,
      packets: 1n,
      bytes: 60n,
    },
  },
]

/** Many flows of one pair, ports 1000 and up. */
export function manyFlows(count: number): readonly FlowRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    ...flows[0]!,
    sourcePort: 1000 + index,
    flow: { ...FLOW, index: index * 3 },
  }))
}

async function* sliced<T>(rows: readonly T[], size = 64): AsyncGenerator<readonly T[]> {
  for (let first = 0; first < rows.length; first += size) yield rows.slice(first, first + size)
}

function servicesOf(tables: Tables): {
  readonly fronts: readonly KernelFront[]
  readonly backs: readonly KernelBack[]
} {
  const backs: KernelBack[] = []
  const placed = new Map<BackSet, { readonly first: number; readonly count: number }>()
  const place = (set: BackSet) => {
    const known = placed.get(set)
    if (known !== undefined) return known
    const block = { first: set.backs.length === 0 ? 0 : backs.length, count: set.backs.length }
    placed.set(set, block)
    backs.push(
      ...set.backs.map(({ address, port, isHost, vrf, nexthop, label }) => ({
        ...{ address, port, isHost: isHost === true, nexthop: nexthop ?? 0 },
        ...(vrf !== undefined && { vrf }),
        ...(label !== undefined && { label }),
      })),
    )
    return block
  }
  const fronts = (tables.fronts ?? []).map((front) => ({
    ...{ vrf: front.vrf, address: front.address, service: front.id, affinitySeconds: front.affinitySeconds ?? 0 },
    protocol: front.listener === undefined ? 0 : PROTOCOL_NUMBERS[front.listener.protocol],
    port: front.listener?.port ?? 0,
    ...{ inside: place(front.inside), outside: place(front.outside) },
    ...{ dropsInside: front.inside.whenEmpty === 'drop', dropsOutside: front.outside.whenEmpty === 'drop' },
    hasRanges: front.sourceRanges !== undefined,
  }))
  return { fronts, backs }
}

export function kernelOfFixture(tables: Tables, records: readonly FlowRecord[] = flows): KernelState {
  const nexthops = tables.nexthops.map((numbered) => [numbered.id, toNexthop(numbered)] as const)
  const routesOf = (vrf: number, family: 4 | 6): KernelRoute[] =>
    ((family === 4 ? tables.inet : tables.inet6).get(vrf) ?? []).map((route) => ({
      vrf,
      address: route.address,
      prefixLength: route.prefixLength,
      nexthop: route.nexthop,
      label: route.kind === 'pod' ? undefined : route.label,
      flags: (route.flags.arpProxy ? c.ROUTE_ARP_PROXY : 0) | (route.flags.arpFlood ? c.ROUTE_ARP_FLOOD : 0),
      stitchedMac: route.stitchedMac,
      bridgeIndex: route.bridgeIndex,
    }))
  const { fronts, backs } = servicesOf(tables)
  const drops = Array<bigint>(c.DROP_REASONS).fill(0n)
  drops[c.DROP_DISCARD] = 12n
  drops[c.DROP_INVALID_ARP] = 3n
  drops[c.DROP_FLOW_ACTION_DROP] = 41n
  drops[c.DROP_L2_NO_ROUTE] = 7n
  return {
    vifs: () => tables.vifs.map(encodeVif),
    vifStats: (id) => ({
      rxPackets: BigInt(id * 1000 + 96),
      rxBytes: BigInt(id * 128_000 + 12873),
      rxErrors: 0n,
      txPackets: BigInt(id * 900 + 88),
      txBytes: BigInt(id * 90_000 + 9921),
      txErrors: BigInt(id === 4 ? 2 : 0),
    }),
    nexthop: (id) => nexthops.find(([candidate]) => candidate === id)?.[1],
    nexthops: () => sliced(nexthops),
    members: (id) => {
      const found = tables.nexthops.find((numbered) => numbered.id === id)?.nexthop
      return found?.type === 'composite'
        ? found.members.map(({ nexthop, label }) => ({ nh: nexthop, label: label ?? c.LABEL_NONE }))
        : []
    },
    label: (label) => tables.labels.find((entry) => entry.label === label)?.nexthop,
    labels: () => tables.labels,
    routes: (vrf, family) => sliced([...routesOf(vrf, family)].reverse(), 3),
    route: (vrf, address) => routesOf(vrf, address.includes(':') ? 6 : 4).find((route) => route.address === address),
    bridge: (vrf) =>
      sliced(
        (tables.bridge.get(vrf) ?? []).map((entry) => ({
          vrf,
          mac: entry.mac,
          index: entry.index,
          nexthop: entry.nexthop,
          label: entry.label,
          flags: c.BRIDGE_VALID,
          packets: 0n,
        })),
      ),
    vrfs: () => tables.vrfs.map(({ id }) => id),
    vrfStats: (id) => {
      const zero = vrfStatsCodec.decode(new DataView(new ArrayBuffer(vrfStatsCodec.size)))
      const counted: Partial<VrfStatsStruct> =
        id === 2 ? { receives: 2n, udpMplsTunnels: 95n, encaps: 88n, gros: 40n } : {}
      return { ...zero, ...counted, arpVirtualProxys: 4n, l2Receives: 3n }
    },
    fronts: () => sliced([...fronts].reverse(), 2),
    backs: ({ first, count }) => backs.slice(first, first + count),
    serviceCounts: (id) => ({ connections: BigInt(id * 100), refused: 2n, dropped: 1n }),
    foreignTunnels: () => 0n,
    drops: () => drops,
    flow: (index) => records.find(({ flow }) => flow.index === index),
    flowWithKey: (key) =>
      records.find(
        (record) =>
          record.nexthop === key.nexthop &&
          record.source === key.source &&
          record.destination === key.destination &&
          record.sourcePort === key.sourcePort &&
          record.destinationPort === key.destinationPort &&
          record.protocol === key.protocol,
      ),
    flows: () => sliced([...records].reverse(), 7),
    flowIndexEnd: () => Math.max(0, ...records.map(({ flow }) => flow.index + 1)),
    flowCounters: () => ({
      next: 1501,
      size: 196608,
      created: 90n,
      added: 96n,
      deleted: 93n,
      changed: 0n,
      evicted: 40n,
      aged: 53n,
      cursor: 0,
      ip4: { size: 131072, entries: 3, live: 3 },
      ip6: { size: 65536, entries: 0, live: 0 },
      inUse: 3n,
    }),
  }
}
