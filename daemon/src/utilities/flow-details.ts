/** What `flow --get` tells about a flow beyond its own entry: routes, nexthops and interfaces of both ends. */

import { ip4Number, ip4Text, ip6Bytes } from '../maps/addresses.ts'
import { bridgeEntry } from '../maps/bridge.ts'
import {
  DROP_BMAC_ISID_MISMATCH,
  DROP_CLONE_FAIL,
  DROP_FLOW_ACTION_DROP,
  DROP_FLOW_ACTION_INVALID,
  DROP_FLOW_EVICT,
  DROP_FLOW_INVALID_PROTOCOL,
  DROP_FLOW_NAT_NO_RFLOW,
  DROP_FLOW_NO_MEMORY,
  DROP_FLOW_QUEUE_LIMIT_EXCEEDED,
  DROP_FLOW_TABLE_FULL,
  DROP_FLOW_UNUSABLE,
  DROP_ICMP_ERROR,
  DROP_INVALID_HBS_PKT,
  DROP_INVALID_SOURCE,
  DROP_LEAF_TO_LEAF,
  DROP_NEW_FLOWS,
  DROP_NO_FRAG_ENTRY,
  NH_COMPOSITE,
  NH_ENCAP,
  NH_RCV,
  NH_TUNNEL,
} from '../maps/constants.ts'
import { membersOf, nexthopById } from '../maps/nexthops.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { listVifs } from '../maps/vifs.ts'
import type { FlowDetails, FlowNexthop, FlowSide, FlowView } from './format-flow.ts'
import { lookup4, lookup6 } from './rt.ts'

/** Upper case here, unlike in `nh`; an id without entry is NONE. */
const TYPE_NAMES = [
  'DEAD',
  'RECEIVE',
  'ENCAP',
  'TUNNEL',
  'RESOLVE',
  'DISCARD',
  'COMPOSITE',
  'VRF_TRANSLATE',
  'L2_RECEIVE',
]

/** Reasons that "Flow Block Drops" adds up, and those that "System Wide Packet Drops" leaves out (vRouter reference §4.1). */
const FLOW_BLOCK_REASONS = [
  DROP_FLOW_QUEUE_LIMIT_EXCEEDED,
  DROP_FLOW_NO_MEMORY,
  DROP_FLOW_INVALID_PROTOCOL,
  DROP_FLOW_NAT_NO_RFLOW,
  DROP_FLOW_ACTION_DROP,
  DROP_FLOW_ACTION_INVALID,
  DROP_FLOW_UNUSABLE,
  DROP_FLOW_TABLE_FULL,
  DROP_NEW_FLOWS,
]
const NOT_SYSTEM_WIDE_REASONS = new Set([
  DROP_FLOW_EVICT,
  DROP_LEAF_TO_LEAF,
  DROP_BMAC_ISID_MISMATCH,
  DROP_INVALID_HBS_PKT,
  DROP_NO_FRAG_ENTRY,
  DROP_ICMP_ERROR,
  DROP_CLONE_FAIL,
])

export function describeFlow(maps: PinnedMaps, flow: FlowView, reverse: FlowView | undefined): FlowDetails {
  const drops = maps.dropStats.get(0)?.reasons ?? []
  return {
    flow,
    reverse,
    expectedSource: describeNexthop(maps, flow.sourceNexthop, 'source', flow.ecmpIndex),
    source: describeSide(maps, flow, flow.vrf, flow.source, 'source'),
    destination: describeSide(maps, flow, flow.destinationVrf, flow.destination, 'destination'),
    systemWideDrops: drops.reduce(
      (sum, count, reason) => (NOT_SYSTEM_WIDE_REASONS.has(reason) ? sum : sum + count),
      0n,
    ),
    reversePathFailures: drops[DROP_INVALID_SOURCE] ?? 0n,
    flowBlockDrops: FLOW_BLOCK_REASONS.reduce((sum, reason) => sum + (drops[reason] ?? 0n), 0n),
  }
}

type End = 'source' | 'destination'

function describeSide(maps: PinnedMaps, flow: FlowView, vrf: number, address: string, end: End): FlowSide {
  const route =
    flow.family === 'inet'
      ? lookup4(maps.routes, vrf, { ip: ip4Number(address), length: 32 })
      : lookup6(maps.routes, vrf, { ip: ip6Bytes(address), length: 128 })
  const layer3 = {
    route: `${route.address}/${route.programmedPrefixLength}`,
    nexthop: describeNexthop(maps, route.nexthop, end, flow.ecmpIndex),
  }
  const bridged = route.stitchedMac === undefined ? undefined : bridgeEntry(maps.bridge, vrf, route.stitchedMac)
  if (!bridged) return { vrf, layer3 }
  return {
    vrf,
    layer3,
    layer2: { mac: bridged.mac, nexthop: describeNexthop(maps, bridged.nexthop, end, flow.ecmpIndex) },
  }
}

function describeNexthop(maps: PinnedMaps, id: number, end: End, ecmpIndex: number | undefined): FlowNexthop {
  const nexthop = nexthopById(maps.nexthops, id)
  if (!nexthop) return { id, vrf: 0, type: 'NONE' }
  const { type, vrf, oif } = nexthop
  const common = { id, vrf, type: TYPE_NAMES[type] ?? 'NONE' }
  switch (type) {
    case NH_RCV:
    case NH_ENCAP: {
      const vif = listVifs(maps.vifs).find((candidate) => candidate.id === oif)
      const stats = vif && maps.vifStats.get(vif.id)
      if (!vif || !stats) return common
      const counters = { out: stats.txPackets, in: stats.rxPackets, errors: stats.rxErrors + stats.txErrors }
      return { ...common, interface: { vif: vif.id, vrf: vif.vrf, device: vif.name, counters } }
    }
    case NH_TUNNEL:
      // Packets of the source end arrive from the tunnel's far end; those to the destination leave from ours.
      return { ...common, tunnelSource: ip4Text(end === 'source' ? nexthop.dip : nexthop.sip) }
    case NH_COMPOSITE:
      return {
        ...common,
        members: membersOf(maps.composites, id).map((member, at) => ({
          nexthop: member.nh,
          isChosen: at === ecmpIndex,
        })),
      }
    default:
      return common
  }
}
