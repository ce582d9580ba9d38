/**
 * What `dropstats` prints (vRouter reference §3.10, reasons §4.1): non-zero counters only, in the vRouter's order, which is not
 * the order of their numbers. Pure.
 */
import { left } from './columns.ts'

export interface DropReason {
  /** `enum drop_reason` of the datapath's types.h. */
  readonly reason: number
  readonly label: string
  /** As `--drop-type` and JSON name it. */
  readonly type: string
}

const reason = (number: number, label: string, name: string): DropReason => ({
  reason: number,
  label,
  type: `VP_DROP_${name}`,
})

/** In printing order. */
export const DROP_REASONS: readonly DropReason[] = [
  reason(3, 'Invalid IF', 'INVALID_IF'),
  reason(4, 'Invalid ARP', 'INVALID_ARP'),
  reason(5, 'Trap No IF', 'TRAP_NO_IF'),
  reason(15, 'IF TX Discard', 'INTERFACE_TX_DISCARD'),
  reason(16, 'IF Drop', 'INTERFACE_DROP'),
  reason(23, 'IF RX Discard', 'INTERFACE_RX_DISCARD'),
  reason(13, 'Flow Unusable', 'FLOW_UNUSABLE'),
  reason(8, 'Flow No Memory', 'FLOW_NO_MEMORY'),
  reason(14, 'Flow Table Full', 'FLOW_TABLE_FULL'),
  reason(10, 'Flow NAT no rflow', 'FLOW_NAT_NO_RFLOW'),
  reason(11, 'Flow Action Drop', 'FLOW_ACTION_DROP'),
  reason(12, 'Flow Action Invalid', 'FLOW_ACTION_INVALID'),
  reason(9, 'Flow Invalid Protocol', 'FLOW_INVALID_PROTOCOL'),
  reason(7, 'Flow Queue Limit Exceeded', 'FLOW_QUEUE_LIMIT_EXCEEDED'),
  reason(43, 'New Flow Drops', 'NEW_FLOWS'),
  reason(44, 'Flow Unusable (Eviction)', 'FLOW_EVICT'),
  reason(45, 'Original Packet Trapped', 'TRAP_ORIGINAL'),
  reason(1, 'Discards', 'DISCARD'),
  reason(19, 'TTL Exceeded', 'TTL_EXCEEDED'),
  reason(28, 'Mcast Clone Fail', 'MCAST_CLONE_FAIL'),
  reason(20, 'Invalid NH', 'INVALID_NH'),
  reason(21, 'Invalid Label', 'INVALID_LABEL'),
  reason(22, 'Invalid Protocol', 'INVALID_PROTOCOL'),
  reason(46, 'Etree Leaf to Leaf', 'LEAF_TO_LEAF'),
  reason(47, 'Bmac/ISID Mismatch', 'BMAC_ISID_MISMATCH'),
  reason(30, 'Rewrite Fail', 'REWRITE_FAIL'),
  reason(24, 'Invalid Mcast Source', 'INVALID_MCAST_SOURCE'),
  reason(48, 'Packet Loop', 'PKT_LOOP'),
  reason(18, 'Push Fails', 'PUSH'),
  reason(2, 'Pull Fails', 'PULL'),
  reason(17, 'Duplicate', 'DUPLICATED'),
  reason(25, 'Head Alloc Fails', 'HEAD_ALLOC_FAIL'),
  reason(26, 'PCOW fails', 'PCOW_FAIL'),
  reason(32, 'Invalid Packets', 'INVALID_PACKET'),
  reason(31, 'Misc', 'MISC'),
  reason(6, 'Nowhere to go', 'NOWHERE_TO_GO'),
  reason(33, 'Checksum errors', 'CKSUM_ERR'),
  reason(34, 'No Fmd', 'NO_FMD'),
  reason(36, 'Invalid VNID', 'INVALID_VNID'),
  reason(37, 'Fragment errors', 'FRAGMENTS'),
  reason(38, 'Invalid Source', 'INVALID_SOURCE'),
  reason(27, 'Jumbo Mcast Pkt with DF Bit', 'MCAST_DF_BIT'),
  reason(39, 'No L2 Route', 'L2_NO_ROUTE'),
  reason(29, 'Memory Failures', 'NO_MEMORY'),
  reason(40, 'Fragment Queueing Failures', 'FRAGMENT_QUEUE_FAIL'),
  reason(49, 'No Encrypt Path Failures', 'NO_CRYPT_PATH'),
  reason(50, 'Invalid HBS received packet', 'INVALID_HBS_PKT'),
  reason(51, 'No Fragment Entries', 'NO_FRAG_ENTRY'),
  reason(52, 'ICMP errors', 'ICMP_ERROR'),
  reason(53, 'Clone Failures', 'CLONE_FAIL'),
  reason(54, 'Invalid underlay ECMP', 'INVALID_UNDERLAY_ECMP'),
  reason(41, 'VLAN fwd intf failed TX', 'VLAN_FWD_TX'),
  reason(42, 'VLAN fwd intf failed enq', 'VLAN_FWD_ENQ'),
  // Ours: what a vif may send to the agent is limited by a token bucket instead of a hold queue.
  reason(56, 'Trap Limit Exceeded', 'TRAP_LIMIT'),
  // Ours: SNAT is the underlay's alone.
  reason(61, 'Outside By Other NIC', 'OTHER_NIC'),
  // Ours: the original neither copies ECN marks nor looks at them.
  reason(60, 'ECN Marked Not Capable', 'ECN'),
]

/** Shown with --debug only: the original of a packet that went on as copies, which is no loss. */
export const CLONED_ORIGINAL: DropReason = reason(35, 'Cloned Original', 'CLONED_ORIGINAL')

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
