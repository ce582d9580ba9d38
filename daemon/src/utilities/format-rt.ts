/**
 * What `rt` prints (vRouter reference §3.2). Pure: the reader (rt.ts) decides which rows there are and in which order.
 */
import {
  BRIDGE_FLOOD_DHCP,
  BRIDGE_LABEL_VALID,
  ROUTE_ARP_FLOOD,
  ROUTE_ARP_PROXY,
  ROUTE_ARP_TRAP,
  ROUTE_LABEL_VALID,
  ROUTE_MAC_IP_LEARNT,
} from '../maps/constants.ts'
import { etherNtoa, flagSymbols, left, right } from './columns.ts'

/** `enum route_flags` of the datapath's types.h, as the tool names them. */
const ROUTE_FLAGS = [
  [ROUTE_LABEL_VALID, 'L'],
  [ROUTE_ARP_PROXY, 'P'],
  [ROUTE_ARP_TRAP, 'T'],
  [ROUTE_ARP_FLOOD, 'F'],
  [ROUTE_MAC_IP_LEARNT, 'Ml'],
] as const

/** `enum bridge_flags`; the last symbol repeats bit 0x10, so that such rows read `L2cMl`, as they always did. */
const BRIDGE_FLAGS = [
  [BRIDGE_LABEL_VALID, 'L'],
  [BRIDGE_FLOOD_DHCP, 'Df'],
  [0x08, 'Mm'],
  [0x10, 'L2c'],
  [0x20, 'N'],
  [0x40, 'Ec'],
  [0x10, 'Ml'],
] as const

export type InetFamily = 'inet' | 'inet6'

export interface RouteRow {
  readonly address: string
  readonly prefixLength: number
  /** Prefix length of the programmed route ("PPL"). */
  readonly programmedPrefixLength: number
  readonly flags: number
  readonly label?: number
  readonly nexthop: number
  readonly stitchedMac?: string
  readonly macIndex?: number
}

export interface BridgeRow {
  readonly index: number
  readonly mac: string
  readonly flags: number
  readonly label?: number
  readonly nexthop: number
  readonly packets: bigint | number
}

export function formatRoutes(family: InetFamily, vrf: number, rows: readonly RouteRow[]): string {
  return formatRoutesHeader(family, vrf) + rows.map(formatRoute).join('')
}

export function formatRoutesHeader(family: InetFamily, vrf: number): string {
  return (
    'Flags: L=Label Valid, P=Proxy ARP, T=Trap ARP, F=Flood ARP, Ml=MAC-IP learnt route\n' +
    `vRouter ${tableName(family)} routing table 0/${vrf}/unicast\n` +
    'Destination           PPL        Flags        Label         Nexthop    Stitched MAC(Index)\n'
  )
}

export function formatRoute(row: RouteRow): string {
  const destination = `${row.address}/${left(row.prefixLength, 2)}`
  const mac = row.stitchedMac === undefined ? '-' : `${etherNtoa(row.stitchedMac)}(${row.macIndex})`
  return (
    left(destination, 21) +
    right(row.programmedPrefixLength, 4) +
    gap(8) +
    right(flagSymbols(row.flags, ROUTE_FLAGS), 5) +
    gap(6) +
    right(row.label ?? '-', 5) +
    gap(8) +
    right(row.nexthop, 7) +
    gap(8) +
    `${mac}\n`
  )
}

export function formatBridge(vrf: number, rows: readonly BridgeRow[]): string {
  return formatBridgeHeader(vrf) + rows.map(formatBridgeRow).join('')
}

export function formatBridgeHeader(vrf: number): string {
  return (
    'Flags: L=Label Valid, Df=DHCP flood, Mm=Mac Moved, L2c=L2 Evpn Control Word, N=New Entry, Ec=EvpnControlProcessing\n' +
    `vRouter bridge table 0/${vrf}\n` +
    'Index       DestMac                  Flags           Label/VNID      Nexthop           Stats\n'
  )
}

export function formatBridgeRow(row: BridgeRow): string {
  return (
    left(left(row.index, 9), 12) +
    left(etherNtoa(row.mac), 20) +
    gap(1) +
    right(flagSymbols(row.flags, BRIDGE_FLAGS), 9) +
    gap(12) +
    right(row.label ?? '-', 9) +
    gap(6) +
    right(row.nexthop, 7) +
    gap(4) +
    `${right(row.packets, 12)}\n`
  )
}

/** The line that `--get` prints before the table, and the blank one after it. `target` = masked prefix, or MAC. */
export function formatMatch(family: InetFamily | 'bridge', vrf: number, target: string): string {
  const shown = family === 'bridge' ? etherNtoa(target) : target
  return `Match ${shown} in vRouter ${tableName(family)} table 0/${vrf}/unicast\n\n`
}

function tableName(family: InetFamily | 'bridge'): string {
  switch (family) {
    case 'inet':
      return 'inet4'
    case 'inet6':
      return 'inet6'
    case 'bridge':
      return 'bridge'
    default:
      return family satisfies never
  }
}

const gap = (width: number) => ' '.repeat(width)
