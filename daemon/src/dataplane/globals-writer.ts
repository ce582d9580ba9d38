/** The settings that every program reads (map `globals`), and the epoch, which tells flows to look up their nexthop again. */
import { randomInt } from 'node:crypto'
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import type { Config } from '../config/config.ts'
import { ip4Number, ip6Bytes, macBytes } from '../maps/addresses.ts'
import { DATAPATH_ABI, OPTION_MPLS_PORT_OLD, OPTION_SNAT_LINK_LOCAL, TUNNEL_DSCP_COPY } from '../maps/constants.ts'
import { readGlobals, updateGlobals } from '../maps/globals.ts'
import type { PinnedMaps } from '../maps/open.ts'
import type { GlobalsStruct } from '../maps/structs.ts'
import { flowAllocCodec } from '../maps/structs.ts'
import { decode, encode, u32Codec } from '../maps/table.ts'
import type { NodeFacts } from '../model/facts.ts'
import { AGENT_MAC, ROUTER_MAC } from '../model/names.ts'
import type { Tables } from '../model/tables.ts'
import { parsePortRange } from '../schema/port-range.ts'

/** Sets what the configuration, the node and the tables say; the epoch and the seed stay. */
export function writeGlobals(
  maps: PinnedMaps,
  facts: NodeFacts,
  config: Pick<Config, 'limits' | 'ageing' | 'snat' | 'tunnels'>,
  tables: Tables,
): void {
  const { limits, ageing, tunnels } = config
  const old = readGlobals(maps.globals)
  const source = sourceOfSnat(facts, config, tables)
  // Flows that leave with another source now have to learn it: they end at their next packet.
  const isOther = old.abi !== 0 && isOtherSource(old, source)
  maps.globals.set(0, {
    ...old,
    ...source,
    epoch: isOther ? (old.epoch + 1) >>> 0 : old.epoch,
    abi: DATAPATH_ABI,
    underlayMtu: facts.underlay.mtu,
    fabricIfindex: facts.underlay.ifindex,
    vhostIfindex: facts.vhost.ifindex,
    agentIfindex: facts.agent.ifindex,
    hashSeed: old.hashSeed === 0 ? randomInt(1, 2 ** 32) : old.hashSeed,
    trapRate: limits.trapRate,
    trapBurst: limits.trapBurst,
    maxVifs: limits.vifs,
    maxVrfs: limits.vrfs,
    maxLabels: limits.labels,
    maxNexthops: limits.nexthops,
    ageTcpS: ageing.tcpSeconds,
    ageOtherS: ageing.otherSeconds,
    routerMac: macBytes(ROUTER_MAC),
    vhostMac: macBytes(facts.underlay.mac),
    agentMac: macBytes(AGENT_MAC),
    tunnelDscp: tunnels.dscp === 'copy' ? TUNNEL_DSCP_COPY : tunnels.dscp,
    daemonSeenNs: process.hrtime.bigint(),
    natFromNs: 0n,
  })
}

type SnatSource = Pick<GlobalsStruct, 'underlayIp' | 'underlayIp6' | 'snatPort' | 'snatPorts' | 'hostNh' | 'options'>

/** What packets to the outside get as their source. No ports while no network wants SNAT: it then costs nothing. */
function sourceOfSnat(
  { underlay }: NodeFacts,
  { snat, tunnels }: Pick<Config, 'snat' | 'tunnels'>,
  { nexthops, vifs }: Tables,
): SnatSource {
  const isWanted = nexthops.some(({ nexthop }) => nexthop.type === 'vrf-translate' && nexthop.snat)
  const range = isWanted ? parsePortRange(snat.ports) : undefined
  return {
    underlayIp: ip4Number(underlay.address),
    underlayIp6: underlay.address6 === undefined ? new Uint8Array(16) : ip6Bytes(underlay.address6),
    snatPort: range?.first ?? 0,
    snatPorts: range === undefined ? 0 : range.last - range.first + 1,
    hostNh: vifs.find(({ type }) => type === 'host')?.flowNexthop ?? 0,
    options: (tunnels.oldPort ? OPTION_MPLS_PORT_OLD : 0) | (snat.linkLocal ? OPTION_SNAT_LINK_LOCAL : 0),
  }
}

function isOtherSource(old: SnatSource, source: SnatSource): boolean {
  return (
    old.underlayIp !== source.underlayIp ||
    Buffer.compare(old.underlayIp6, source.underlayIp6) !== 0 ||
    old.snatPort !== source.snatPort ||
    old.snatPorts !== source.snatPorts ||
    old.hostNh !== source.hostNh ||
    old.options !== source.options
  )
}

/** Flows resolve anew at their next packet; none is dropped. */
export function raiseEpoch(maps: PinnedMaps): void {
  updateGlobals(maps.globals, { epoch: (readGlobals(maps.globals).epoch + 1) >>> 0 })
}

/**
 * What programs remember of peers4 holds as long as the epoch (lib/tunnel.h). A daemon may have been killed after it had taken a node from the
 * table and before it raised the epoch.
 */
export function forgetPeers(cache: BpfMap): void {
  const value = new Uint8Array(cache.valueSize)
  cache.updateBatch(Array.from({ length: cache.maxEntries }, (_, slot) => ({ key: encode(u32Codec, slot), value })))
}

/** For the tools: the daemon lives. CLOCK_MONOTONIC, as bpf_ktime_get_ns() gives it. */
export function markAlive(maps: PinnedMaps): void {
  updateGlobals(maps.globals, { daemonSeenNs: process.hrtime.bigint() })
}

/** A new flow table learns how many slots it has, and how many entries of each family. An existing one isn't touched: the datapath counts in it. */
export function initialiseFlows(maps: PinnedMaps): void {
  const { alloc, slots, flow4, flow6 } = maps.flows
  const current = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
  if (current.size !== 0) return
  alloc.update(
    encode(u32Codec, 0),
    encode(flowAllocCodec, {
      ...current,
      size: slots.maxEntries,
      ip4: { ...current.ip4, size: flow4.map.maxEntries },
      ip6: { ...current.ip6, size: flow6.map.maxEntries },
    }),
  )
}
