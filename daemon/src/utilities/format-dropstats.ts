/**
 * What `dropstats` prints (vRouter reference §3.10, reasons §4.1): non-zero counters only, in the vRouter's order, which is not
 * the order of their numbers. Pure.
 */
import { DROP_REASON } from '../maps/constants.ts'
import { left } from './columns.ts'

export interface DropReason {
  /** `enum drop_reason` of the datapath's types.h. */
  readonly reason: number
  readonly label: string
  /** As `--drop-type` and JSON name it. */
  readonly type: string
}

type Name = keyof typeof DROP_REASON extends `DROP_${infer Rest}` ? Rest : never

const reason = (name: Name, label: string): DropReason => ({
  reason: DROP_REASON[`DROP_${name}`],
  label,
  type: `VP_DROP_${name}`,
})

/** In printing order. */
export const DROP_REASONS: readonly DropReason[] = [
  reason('INVALID_IF', 'Invalid IF'),
  reason('INVALID_ARP', 'Invalid ARP'),
  reason('TRAP_NO_IF', 'Trap No IF'),
  reason('INTERFACE_TX_DISCARD', 'IF TX Discard'),
  reason('INTERFACE_DROP', 'IF Drop'),
  reason('INTERFACE_RX_DISCARD', 'IF RX Discard'),
  reason('FLOW_UNUSABLE', 'Flow Unusable'),
  reason('FLOW_NO_MEMORY', 'Flow No Memory'),
  reason('FLOW_TABLE_FULL', 'Flow Table Full'),
  reason('FLOW_NAT_NO_RFLOW', 'Flow NAT no rflow'),
  reason('FLOW_ACTION_DROP', 'Flow Action Drop'),
  reason('FLOW_ACTION_INVALID', 'Flow Action Invalid'),
  reason('FLOW_INVALID_PROTOCOL', 'Flow Invalid Protocol'),
  reason('FLOW_QUEUE_LIMIT_EXCEEDED', 'Flow Queue Limit Exceeded'),
  reason('NEW_FLOWS', 'New Flow Drops'),
  reason('FLOW_EVICT', 'Flow Unusable (Eviction)'),
  reason('TRAP_ORIGINAL', 'Original Packet Trapped'),
  reason('DISCARD', 'Discards'),
  reason('TTL_EXCEEDED', 'TTL Exceeded'),
  reason('MCAST_CLONE_FAIL', 'Mcast Clone Fail'),
  reason('INVALID_NH', 'Invalid NH'),
  reason('INVALID_LABEL', 'Invalid Label'),
  reason('INVALID_PROTOCOL', 'Invalid Protocol'),
  reason('LEAF_TO_LEAF', 'Etree Leaf to Leaf'),
  reason('BMAC_ISID_MISMATCH', 'Bmac/ISID Mismatch'),
  reason('REWRITE_FAIL', 'Rewrite Fail'),
  reason('INVALID_MCAST_SOURCE', 'Invalid Mcast Source'),
  reason('PKT_LOOP', 'Packet Loop'),
  reason('PUSH', 'Push Fails'),
  reason('PULL', 'Pull Fails'),
  reason('DUPLICATED', 'Duplicate'),
  reason('HEAD_ALLOC_FAIL', 'Head Alloc Fails'),
  reason('PCOW_FAIL', 'PCOW fails'),
  reason('INVALID_PACKET', 'Invalid Packets'),
  reason('MISC', 'Misc'),
  reason('NOWHERE_TO_GO', 'Nowhere to go'),
  reason('CKSUM_ERR', 'Checksum errors'),
  reason('NO_FMD', 'No Fmd'),
  reason('INVALID_VNID', 'Invalid VNID'),
  reason('FRAGMENTS', 'Fragment errors'),
  reason('INVALID_SOURCE', 'Invalid Source'),
  reason('MCAST_DF_BIT', 'Jumbo Mcast Pkt with DF Bit'),
  reason('L2_NO_ROUTE', 'No L2 Route'),
  reason('NO_MEMORY', 'Memory Failures'),
  reason('FRAGMENT_QUEUE_FAIL', 'Fragment Queueing Failures'),
  reason('NO_CRYPT_PATH', 'No Encrypt Path Failures'),
  reason('INVALID_HBS_PKT', 'Invalid HBS received packet'),
  reason('NO_FRAG_ENTRY', 'No Fragment Entries'),
  reason('ICMP_ERROR', 'ICMP errors'),
  reason('CLONE_FAIL', 'Clone Failures'),
  reason('INVALID_UNDERLAY_ECMP', 'Invalid underlay ECMP'),
  reason('VLAN_FWD_TX', 'VLAN fwd intf failed TX'),
  reason('VLAN_FWD_ENQ', 'VLAN fwd intf failed enq'),
  // Ours: what a vif may send to the agent is limited by a token bucket instead of a hold queue.
  reason('TRAP_LIMIT', 'Trap Limit Exceeded'),
  // Ours: SNAT is the underlay's alone.
  reason('OTHER_NIC', 'Outside By Other NIC'),
  // Ours: the original neither copies ECN marks nor looks at them.
  reason('ECN', 'ECN Marked Not Capable'),
]

/** Shown with --debug only: the original of a packet that went on as copies, which is no loss. */
export const CLONED_ORIGINAL: DropReason = reason('CLONED_ORIGINAL', 'Cloned Original')

/** Counters by reason number. */
export type DropCounters = ArrayLike<bigint | number>

export interface DropstatsView {
  readonly counters: DropCounters
  /** 0-based, as the user named it; absent: sum of all cores. */
  readonly core?: number
  readonly isDebug?: boolean
}

/** The whole output of `dropstats`. The heading of one core comes twice, as it always did. */
export function formatDropstats(view: DropstatsView): string {
  const heading = view.core === undefined ? '' : `Statistics for core ${view.core}\n\n`.repeat(2)
  return (
    heading +
    (view.isDebug
      ? formatLine(CLONED_ORIGINAL, counterOf(view.counters, CLONED_ORIGINAL))
      : formatDropCounters(view.counters))
  )
}

/** Only the counters: also the end of `vif --get N --get-drop-stats`. */
export function formatDropCounters(counters: DropCounters): string {
  return DROP_REASONS.filter((entry) => BigInt(counterOf(counters, entry)) !== 0n)
    .map((entry) => formatLine(entry, counterOf(counters, entry)))
    .join('')
}

/** Non-zero counters by type, for --json. */
export function dropCountersByType(counters: DropCounters): Record<string, bigint | number> {
  const entries = [...DROP_REASONS, CLONED_ORIGINAL].map((entry) => [entry.type, counterOf(counters, entry)] as const)
  return Object.fromEntries(entries.filter(([, count]) => BigInt(count) !== 0n))
}

/** Sum of all reasons, as `vif` prints it behind "Drops:"; Cloned Original is part of it. */
export function sumOfDrops(counters: DropCounters): bigint {
  let sum = 0n
  for (const { reason: number } of [...DROP_REASONS, CLONED_ORIGINAL]) sum += BigInt(counters[number] ?? 0)
  return sum
}

function counterOf(counters: DropCounters, entry: DropReason): bigint | number {
  return counters[entry.reason] ?? 0
}

function formatLine(entry: DropReason, count: bigint | number): string {
  return `${left(entry.label, 28)}  ${count}\n`
}
