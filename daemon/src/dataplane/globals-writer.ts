/** The settings that every program reads (map `globals`), and the epoch, which tells flows to look up their nexthop again. */
import { randomInt } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { ip4Number, macBytes } from '../maps/addresses.ts'
import { DATAPATH_ABI } from '../maps/constants.ts'
import { readGlobals, updateGlobals } from '../maps/globals.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { flowAllocCodec } from '../maps/structs.ts'
import { decode, encode, u32Codec } from '../maps/table.ts'
import type { NodeFacts } from '../model/facts.ts'

const ROUTER_MAC = '00:00:5e:00:01:00'
const AGENT_MAC = '00:00:00:00:00:01'

/** Sets what the configuration and the node say; the epoch and the seed stay. */
export function writeGlobals(maps: PinnedMaps, facts: NodeFacts, config: Pick<Config, 'limits' | 'ageing'>): void {
  const { limits, ageing } = config
  const old = readGlobals(maps.globals)
  maps.globals.set(0, {
    ...old,
    abi: DATAPATH_ABI,
    underlayIp: ip4Number(facts.underlay.address),
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
    daemonSeenNs: process.hrtime.bigint(),
  })
}

/** Flows resolve anew at their next packet; none is dropped. */
export function raiseEpoch(maps: PinnedMaps): void {
  updateGlobals(maps.globals, { epoch: (readGlobals(maps.globals).epoch + 1) >>> 0 })
}

/** For the tools: the daemon lives. CLOCK_MONOTONIC, as bpf_ktime_get_ns() gives it. */
export function markAlive(maps: PinnedMaps): void {
  updateGlobals(maps.globals, { daemonSeenNs: process.hrtime.bigint() })
}

/** A new flow table learns how many slots it has. An existing one isn't touched: the datapath counts in it. */
export function initialiseFlows(maps: PinnedMaps): void {
  const { alloc, slots } = maps.flows
  const current = decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!)
  if (current.size !== 0) return
  alloc.update(encode(u32Codec, 0), encode(flowAllocCodec, { ...current, size: slots.maxEntries }))
}
