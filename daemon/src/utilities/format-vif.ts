/** What `vif` prints (vRouter reference §3.1). Pure. */
import {
  VIF_AGENT,
  VIF_DHCP_ENABLED,
  VIF_DROP_NEW_FLOWS,
  VIF_ETREE_ROOT,
  VIF_GATEWAY,
  VIF_HOST,
  VIF_L2_ENABLED,
  VIF_L3_ENABLED,
  VIF_MAC_PROXY,
  VIF_NO_ARP_PROXY,
  VIF_PHYSICAL,
  VIF_POLICY_ENABLED,
  VIF_TX_CSUM_OFFLOAD,
  VIF_VHOST_PHYS,
  VIF_VIRTUAL,
} from '../maps/constants.ts'
import { flagSymbols, left } from './columns.ts'

/** `enum vif_type` of the datapath's types.h, which keeps the vRouter's numbers. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  [VIF_HOST]: 'Host',
  [VIF_AGENT]: 'Agent',
  [VIF_PHYSICAL]: 'Physical',
  [VIF_VIRTUAL]: 'Virtual',
  4: 'XenLL',
  [VIF_GATEWAY]: 'Gateway',
  6: 'Virtual(Vlan)',
  7: 'Stats',
  9: 'Monitoring',
}

/** In the legend's order, which is also the order in which a vif's flags are printed. */
const FLAGS: readonly (readonly [bit: number, symbol: string, meaning: string])[] = [
  [VIF_POLICY_ENABLED, 'P', 'Policy'],
  [0x2, 'X', 'Cross Connect'],
  [0x4, 'S', 'Service Chain'],
  [0x8, 'Mr', 'Receive Mirror'],
  [0x10, 'Mt', 'Transmit Mirror'],
  [VIF_TX_CSUM_OFFLOAD, 'Tc', 'Transmit Checksum Offload'],
  [VIF_L3_ENABLED, 'L3', 'Layer 3'],
  [VIF_L2_ENABLED, 'L2', 'Layer 2'],
  [VIF_DHCP_ENABLED, 'D', 'DHCP'],
  [VIF_VHOST_PHYS, 'Vp', 'Vhost Physical'],
  [0x400, 'Pr', 'Promiscuous'],
  [0x800, 'Vnt', 'Native Vlan Tagged'],
  [VIF_NO_ARP_PROXY, 'Mnp', 'No MAC Proxy'],
  [0x2000, 'Dpdk', 'DPDK PMD Interface'],
  [0x4000, 'Rfl', 'Receive Filtering Offload'],
  [0x8000, 'Mon', 'Interface is Monitored'],
  [0x10000, 'Uuf', 'Unknown Unicast Flood'],
  [0x20000, 'Vof', 'VLAN insert/strip offload'],
  [VIF_DROP_NEW_FLOWS, 'Df', 'Drop New Flows'],
  [0x80000, 'L', 'MAC Learning Enabled'],
  [VIF_MAC_PROXY, 'Proxy', 'MAC Requests Proxied Always'],
  [VIF_ETREE_ROOT, 'Er', 'Etree Root'],
  [0x1000000, 'Mn', 'Mirror without Vlan Tag'],
  [0x8000000, 'HbsL', 'HBS Left Intf'],
  [0x10000000, 'HbsR', 'HBS Right Intf'],
  [0x2000000, 'Ig', 'Igmp Trap Enabled'],
  // Of the legend only: there is no such learning, and its bit is VIF_MORE_ADDRESSES here.
  [0, 'Ml', 'MAC-IP Learning Enabled'],
]
const FLAGS_PER_LINE = 4

export interface VifCounters {
  readonly packets: bigint | number
  readonly bytes: bigint | number
  readonly errors: bigint | number
}

export interface VifRecord {
  readonly id: number
  readonly name: string
  /** The device's ifindex; 0: it has none. */
  readonly ifindex: number
  readonly type: number
  readonly vrf: number
  readonly multicastVrf: number
  readonly flags: number
  readonly nexthop: number
  readonly mac: string
  readonly ip4: string
  readonly ip6?: string
  /** Addresses beside the first of each family. */
  readonly more?: readonly string[]
  readonly references: number
  readonly rx: VifCounters
  readonly tx: VifCounters
  readonly drops: bigint | number
  /** Mb/s and duplex (0 half, 1 full) of a physical device; absent when it doesn't say. */
  readonly speed?: number
  readonly duplex?: number
}

const INDENT = ' '.repeat(12)

export function formatVifHeader(): string {
  const lines: string[] = []
  for (let at = 0; at < FLAGS.length; at += FLAGS_PER_LINE) {
    const entries = FLAGS.slice(at, at + FLAGS_PER_LINE)
    lines.push(entries.map(([, symbol, meaning]) => `${symbol}=${meaning}`).join(', '))
  }
  return `Vrouter Interface Table\n\nFlags: ${lines.join(`\n${' '.repeat(7)}`)}\n\n`
}

/** One vif's block with the blank line that ends it. `core` as the user named it, 0-based; absent: sum of all cores. */
export function formatVif(vif: VifRecord, core?: number): string {
  const cpu = core === undefined ? '' : `Core ${core} `
  const flags = vif.flags === 0 ? 'NULL' : vifFlagSymbols(vif.flags)
  return `${[
    left(`vif0/${vif.id}`, 12) + deviceOf(vif) + speedOf(vif) + (vif.nexthop === 0 ? '' : ` NH: ${vif.nexthop}`),
    `${INDENT}Type:${vifTypeName(vif.type)} HWaddr:${vif.mac} IPaddr:${vif.ip4}`,
    ...(vif.ip6 === undefined ? [] : [`${INDENT}IP6addr:${vif.ip6}`]),
    ...(vif.more === undefined ? [] : [`${INDENT}Allowed addrs:${vif.more.join(' ')}`]),
    `${INDENT}Vrf:${vif.vrf} Mcast Vrf:${vif.multicastVrf} Flags:${flags} QOS:-1 Ref:${vif.references}`,
    `${INDENT}${cpu}RX packets:${vif.rx.packets}  bytes:${vif.rx.bytes} errors:${vif.rx.errors}`,
    `${INDENT}${cpu}TX packets:${vif.tx.packets}  bytes:${vif.tx.bytes} errors:${vif.tx.errors}`,
    `${INDENT}Drops:${vif.drops}`,
  ].join('\n')}\n\n`
}

export function vifTypeName(type: number): string {
  return TYPE_NAMES[type] ?? 'Invalid'
}

export function vifFlagSymbols(flags: number): string {
  return flagSymbols(
    flags,
    FLAGS.map(([bit, symbol]) => [bit, symbol]),
  )
}

function deviceOf(vif: VifRecord): string {
  return vif.ifindex > 0 ? `OS: ${vif.name}` : `    ${vif.name}`
}

function speedOf(vif: VifRecord): string {
  if (vif.speed === undefined || vif.speed < 0) return ''
  return ` (Speed ${vif.speed},${vif.duplex === undefined ? '' : ` Duplex ${vif.duplex}`})`
}

/** What one vif did since the last refresh, per second. */
export interface VifRate {
  readonly id: number
  readonly name: string
  readonly type: number
  readonly rxErrors: number
  readonly rxPackets: number
  readonly txErrors: number
  readonly txPackets: number
}

/** Lines above and below the vifs of a rate screen: a page holds what is left of the terminal. */
export const RATE_FRAME_LINES = 8
export const RATE_LINES_PER_VIF = 3

export function formatVifRates(rates: readonly VifRate[], footer?: string): string {
  const column = 30
  const titles = ['Interface name', 'VIF ID', 'RX', 'TX'].map((title) => left(title, column)).join('')
  const subtitles = `${' '.repeat(54)}${left('Errors   Packets', column)}Errors   Packets`
  const rows = rates.map(
    (rate) =>
      left(`${vifTypeName(rate.type)}: ${rate.name}`, column) +
      left(`vif0/${rate.id}`, 24) +
      left(pair(rate.rxErrors, rate.rxPackets), column) +
      left(pair(rate.txErrors, rate.txPackets), 25) +
      '\n\n\n',
  )
  return `Interface rate statistics\n${'-'.repeat(25)}\n\n${titles}\n${subtitles}\n\n${rows.join('')}${footer ?? ''}`
}

/** Keys and date below `--list --rate`. */
export function formatRateFooter(date: string): string {
  return `Key 'q' for quit, key 'k' for previous page, key 'j' for next page.\n${date} \n`
}

function pair(errors: number, packets: number): string {
  return `${left(errors, 7)}  ${left(packets, 7)}`
}

/** What `--clear` answers; the doubled s is the vRouter's. */
export function formatCleared(name: string | undefined, core: number | undefined): string {
  if (name !== undefined) {
    return `\nVif stats cleared successfully for ${name} on ${core === undefined ? 'all cores' : `core ${core}`} \n\n`
  }
  if (core !== undefined) return `\nVif stats cleared successfully on core ${core} for all interfacess \n\n`
  return '\nVif stats cleared successfully on all cores for all interfaces \n\n'
}
