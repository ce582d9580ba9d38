/**
 * What `flow -l`, `flow --get`, `flow -s` and `flow -r` print (vRouter reference §3.6). Pure.
 */
import {
  FLOW_ACTION_DROP,
  FLOW_ACTION_FORWARD,
  FLOW_ACTION_HOLD,
  FLOW_ACTION_NAT,
  FLOW_DNAT,
  FLOW_DPAT,
  FLOW_EVICT_CANDIDATE,
  FLOW_EVICTED,
  FLOW_LINK_LOCAL,
  FLOW_NEW,
  FLOW_SNAT,
  FLOW_SPAT,
  FLOW_VRFT,
  TCP_DEAD,
  TCP_ESTABLISHED,
  TCP_ESTABLISHED_R,
  TCP_FIN,
  TCP_FIN_R,
  TCP_HALF_CLOSE,
  TCP_RST,
  TCP_SYN,
  TCP_SYN_R,
} from '../maps/constants.ts'
import { dropReasonName } from '../maps/flow-drop-reasons.ts'
import { flagSymbols, left, localTime, right } from './columns.ts'

const ACTION_LETTERS = ['D', 'H', 'F', 'N']

const NAT_FLAGS = [
  [FLOW_SNAT, 'S'],
  [FLOW_SPAT, 'Ps'],
  [FLOW_DNAT, 'D'],
  [FLOW_DPAT, 'Pd'],
  [FLOW_LINK_LOCAL, 'L'],
] as const

const NAT_NAMES = [
  [FLOW_SNAT, 'SourceNAT, '],
  [FLOW_DNAT, 'DestinationNAT, '],
  [FLOW_SPAT, 'SourcePortNAT, '],
  [FLOW_DPAT, 'DestinationPortNAT, '],
  [FLOW_LINK_LOCAL, 'LinkLocalNAT, '],
] as const

const STATE_FLAGS = [
  [FLOW_EVICTED, 'E'],
  [FLOW_EVICT_CANDIDATE, 'Ec'],
  [FLOW_NEW, 'N'],
  [0x100, 'M'],
  [0x40, 'Dm'],
] as const

const STATE_NAMES = [
  [FLOW_EVICTED, 'EVICTED '],
  [FLOW_EVICT_CANDIDATE, 'EVICT CANDIDATE '],
  [FLOW_NEW, 'NEW '],
  [0x100, 'MODIFIED '],
  [0x2000, 'MIRROR '],
] as const

const TCP_FLAGS = [
  [TCP_SYN, 'S'],
  [TCP_SYN_R, 'Sr'],
  [TCP_ESTABLISHED, 'E'],
  [TCP_ESTABLISHED_R, 'Er'],
  [TCP_FIN, 'F'],
  [TCP_FIN_R, 'Fr'],
  [TCP_RST, 'R'],
  [TCP_HALF_CLOSE, 'C'],
  [TCP_DEAD, 'D'],
] as const

const TCP_NAMES = [
  [TCP_SYN, 'SYN, '],
  [TCP_SYN_R, 'SYN(REVERSE), '],
  [TCP_ESTABLISHED, 'ESTABLISHED, '],
  [TCP_ESTABLISHED_R, 'ESTABLISHED(REVERSE), '],
  [TCP_FIN, 'FIN, '],
  [TCP_FIN_R, 'FIN(REVERSE), '],
  [TCP_RST, 'RESET, '],
  [TCP_HALF_CLOSE, 'HALFCLOSED, '],
  [TCP_DEAD, 'DEAD, '],
] as const

const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' }
const PROTOCOL_TCP = 6

export interface FlowView {
  readonly index: number
  readonly reverseIndex?: number
  readonly family: 'inet' | 'inet6'
  readonly source: string
  readonly sourcePort: number
  readonly destination: string
  readonly destinationPort: number
  readonly protocol: number
  readonly keyNexthop: number
  readonly vrf: number
  readonly destinationVrf: number
  readonly generation: number
  readonly action: number
  readonly flags: number
  readonly dropReason: number
  readonly tcpFlags: number
  /** Chosen ECMP member; absent: none. */
  readonly ecmpIndex?: number
  readonly sourceNexthop: number
  readonly packets: bigint | number
  readonly bytes: bigint | number
  readonly udpSourcePort: number
  /** Outer source address of a flow from the fabric, or the vif index (low byte first), as dotted quad. */
  readonly sourceInfo: string
}

export interface FlowTotals {
  /** Bytes of the whole table. */
  readonly size: number
  readonly entries: number
  readonly created: bigint
  readonly added: bigint
  readonly deleted: bigint
  readonly changed: bigint
  /** Ours are counted for the whole table: one number. */
  readonly createdPerCpu: readonly bigint[]
}

export interface FlowFilter {
  readonly source?: FlowEndpoint
  readonly destination?: FlowEndpoint
  readonly protocol?: number
  readonly vrf?: number
}

/** Absent address or port: any (`*`). */
export interface FlowEndpoint {
  readonly address?: string
  readonly port?: number
}

/** The part of `flow -l` above the entries. */
export function formatFlowHeader(totals: FlowTotals, filter?: FlowFilter): string {
  return (
    `Flow table(size ${totals.size}, entries ${totals.entries})\n\n` +
    // No blank before "Processed": scripts know the line as it is. What the datapath creates it also processes; there is no overflow area.
    `Entries: Created ${totals.created} Added ${totals.added} Deleted ${totals.deleted} Changed ${totals.changed}` +
    `Processed ${totals.created} Used Overflow entries 0\n` +
    `(Created Flows/CPU: ${totals.createdPerCpu.join(' ')})(oflows 0)\n\n` +
    'Action:F=Forward, D=Drop N=NAT(S=SNAT, D=DNAT, Ps=SPAT, Pd=DPAT, L=Link Local Port)\n' +
    ' Other:K(nh)=Key_Nexthop, S(nh)=RPF_Nexthop\n' +
    ' Flags:E=Evicted, Ec=Evict Candidate, N=New Flow, M=Modified Dm=Delete Marked\n' +
    'TCP(r=reverse):S=SYN, F=FIN, R=RST, C=HalfClose, E=Established, D=Dead\n\n' +
    (filter ? `${formatFilter(filter)}\n\n` : '') +
    '    Index                Source:Port/Destination:Port                      Proto(V)\n' +
    `${'-'.repeat(83)}\n`
  )
}

function formatFilter(filter: FlowFilter): string {
  const parts: string[] = []
  if (filter.source) parts.push(formatEndpoint(filter.source))
  if (filter.destination) parts.push(formatEndpoint(filter.destination))
  if (filter.protocol !== undefined) parts.push(`Protocol ${protocolName(filter.protocol)}`)
  if (filter.vrf !== undefined) parts.push(`VRF ${filter.vrf}`)
  return `Listing flows matching (${parts.join(', ')})`
}

function formatEndpoint(endpoint: FlowEndpoint): string {
  return `[${endpoint.address ?? '*'}]:${endpoint.port ?? '*'}`
}

const ENTRY_INDENT = ' '.repeat(25)
/** An entry's line is broken after the field with which it reaches this length. */
const ENTRY_LINE_CHARACTERS = 70

/** One entry of `flow -l` with the blank line that ends it. */
export function formatFlow(flow: FlowView): string {
  const reverse = flow.reverseIndex === undefined ? ' '.repeat(12) : `<=>${left(flow.reverseIndex, 9)}`
  const isTranslated = (flow.flags & FLOW_VRFT) !== 0
  const vrfs = isTranslated ? `${flow.vrf}->${flow.destinationVrf}` : `${flow.vrf}`
  return (
    `${right(flow.index, 9)}${reverse}    ${left(endpointOf(flow, flow.source, flow.sourcePort), 46)}    ` +
    `${right(flow.protocol, 3)} (${vrfs})\n` +
    `${ENTRY_INDENT}${endpointOf(flow, flow.destination, flow.destinationPort)}\n` +
    `${formatFlowState(flow)}\n\n`
  )
}

function endpointOf(flow: FlowView, address: string, port: number): string {
  return `${address}:${left(port, 5)}${flow.family === 'inet6' ? '    ' : ''}`
}

function formatFlowState(flow: FlowView): string {
  let text = ''
  let lineLength = 0
  const add = (piece: string) => {
    text += piece
    lineLength += piece.length
  }
  const breakIfLong = () => {
    if (lineLength < ENTRY_LINE_CHARACTERS) return
    text += '\n'
    lineLength = 0
  }
  add(`(Gen: ${flow.generation}, K(nh):${flow.keyNexthop}, Action:${actionText(flow)}, `)
  add(`Flags:${flagSymbols(flow.flags, STATE_FLAGS)}, `)
  if (flow.protocol === PROTOCOL_TCP) add(`TCP:${flagSymbols(flow.tcpFlags, TCP_FLAGS)}, `)
  if (flow.ecmpIndex !== undefined) add(`E:${flow.ecmpIndex}, `)
  add(`QOS:-1, S(nh):${flow.sourceNexthop}, `)
  breakIfLong()
  add(` Stats:${flow.packets}/${flow.bytes}, `)
  breakIfLong()
  add(` SPort ${flow.udpSourcePort},`)
  breakIfLong()
  add(' TTL 0,')
  breakIfLong()
  add(` Sinfo ${flow.sourceInfo})`)
  return text
}

function actionText(flow: FlowView): string {
  const letter = ACTION_LETTERS[flow.action] ?? 'U'
  if (flow.action === FLOW_ACTION_NAT) return `${letter}(${flagSymbols(flow.flags, NAT_FLAGS)})`
  if (flow.action === FLOW_ACTION_DROP) return `${letter}(${dropReasonName(flow.dropReason)})`
  return letter
}

export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? 'UNKNOWN'
}

/* ---- flow --get --------------------------------------------------------------------------------------------------- */

/** A nexthop as `flow --get` describes it. */
export interface FlowNexthop {
  readonly id: number
  readonly vrf: number
  /** DEAD, RECEIVE, ENCAP, … */
  readonly type: string
  readonly interface?: {
    readonly vif: number
    readonly vrf: number
    readonly device: string
    readonly counters: InterfaceCounters
  }
  readonly tunnelSource?: string
  readonly members?: readonly { readonly nexthop: number; readonly isChosen: boolean }[]
}

export interface InterfaceCounters {
  readonly out: bigint | number
  readonly in: bigint | number
  readonly errors: bigint | number
}

/** Where one side of a flow lies: the route, or the bridge entry, that was used. */
export interface FlowSide {
  readonly vrf: number
  readonly layer3?: { readonly route: string; readonly nexthop: FlowNexthop }
  readonly layer2?: { readonly mac: string; readonly nexthop: FlowNexthop }
}

export interface FlowDetails {
  readonly flow: FlowView
  /** Key of the reverse flow, which holds the addresses after NAT. */
  readonly reverse?: FlowView
  readonly expectedSource: FlowNexthop
  readonly source: FlowSide
  readonly destination: FlowSide
  readonly systemWideDrops: bigint | number
  readonly reversePathFailures: bigint | number
  readonly flowBlockDrops: bigint | number
}

const LABEL_WIDTH = 30

export function formatFlowDetails(details: FlowDetails): string {
  const { flow } = details
  const lines = [
    field('Flow Index', flow.index),
    field('Flow Generation ID', flow.generation),
    field('Reverse Flow Index', flow.reverseIndex ?? -1),
    field('VRF', flow.vrf),
    field('Destination VRF', flow.destinationVrf),
    field('Flow Source', `[${flow.source}]:${left(flow.sourcePort, 5)}`),
    field('Flow Destination', `[${flow.destination}]:${left(flow.destinationPort, 5)}`),
    field('Flow Protocol', protocolName(flow.protocol)),
    ...actionLines(details),
    field('Expected Source', nexthopText(details.expectedSource)),
    ...nexthopLines(details.expectedSource, 'Ingress'),
    ...sideLines('Source Information', 'SourceMAC', details.source, 'Ingress'),
    ...sideLines('Destination Information', 'DestinationMAC', details.destination, 'Egress'),
    '',
    field('Flow Flags', flagSymbols(flow.flags, STATE_NAMES)),
    ...(flow.protocol === PROTOCOL_TCP ? [field('TCP FLAGS', flagSymbols(flow.tcpFlags, TCP_NAMES))] : []),
    field('UDP Source Port', flow.udpSourcePort),
    '',
    field('Flow Statistics', `${flow.packets}/${flow.bytes}`),
    field('System Wide Packet Drops', details.systemWideDrops),
    continuation(`Reverse Path Failures: ${details.reversePathFailures}`),
    continuation(`Flow Block Drops: ${details.flowBlockDrops}`),
  ]
  return `${lines.join('\n')}\n`
}

function field(label: string, value: string | number | bigint): string {
  return left(`${label}:`, LABEL_WIDTH) + value
}

function continuation(text: string): string {
  return ' '.repeat(LABEL_WIDTH) + text
}

function actionLines({ flow, reverse }: FlowDetails): string[] {
  switch (flow.action) {
    case FLOW_ACTION_HOLD:
      return [field('Flow Action', 'HOLD')]
    case FLOW_ACTION_FORWARD:
      return [field('Flow Action', 'FORWARD')]
    case FLOW_ACTION_DROP:
      return [field('Flow Action', `DROP:${' '.repeat(LABEL_WIDTH)}${dropReasonName(flow.dropReason)}`)]
    case FLOW_ACTION_NAT:
      return [
        field('Flow Action', `NAT: ${flagSymbols(flow.flags, NAT_NAMES)}`),
        ...(reverse
          ? [
              continuation(
                `NAT(Source, Destination): [${reverse.destination}]:${reverse.destinationPort}, [${reverse.source}]:${reverse.sourcePort}`,
              ),
            ]
          : []),
      ]
    default:
      return [field('Flow Action', 'UNKNOWN')]
  }
}

function nexthopText(nexthop: FlowNexthop): string {
  return `NextHop(Index, VRF, Type): ${nexthop.id}, ${nexthop.vrf}, ${nexthop.type}`
}

function nexthopLines(nexthop: FlowNexthop, direction: 'Ingress' | 'Egress'): string[] {
  const { interface: way, tunnelSource, members } = nexthop
  const lines: string[] = []
  if (way) {
    lines.push(`${direction} Interface(Index, VRF, OS): vif0/${way.vif}, ${way.vrf}, ${way.device}`)
    lines.push(`Interface Statistics(Out, In, Errors): ${way.counters.out}, ${way.counters.in}, ${way.counters.errors}`)
  }
  if (tunnelSource !== undefined) lines.push(`Tunnel Source: ${tunnelSource}`)
  if (members) lines.push(`ECMP ${members.map((member) => `${member.nexthop}${member.isChosen ? '*' : ''}`).join(' ')}`)
  return lines.map(continuation)
}

function sideLines(title: string, macLabel: string, side: FlowSide, direction: 'Ingress' | 'Egress'): string[] {
  const lines = [field(title, `VRF: ${side.vrf}`)]
  if (side.layer3) {
    lines.push(
      continuation('Layer 3 Route Information'),
      continuation(`Matching Route: ${side.layer3.route}`),
      continuation(nexthopText(side.layer3.nexthop)),
      ...nexthopLines(side.layer3.nexthop, direction),
    )
  }
  if (side.layer2) {
    lines.push(
      '',
      continuation('Layer 2 Route Information'),
      continuation(`${macLabel}: ${side.layer2.mac}`),
      continuation(nexthopText(side.layer2.nexthop)),
      ...nexthopLines(side.layer2.nexthop, direction),
    )
  }
  return lines
}

/* ---- flow -s, flow -r ---------------------------------------------------------------------------------------------- */

export interface FlowCensus {
  readonly total: number
  readonly active: number
  readonly hold: number
  readonly forward: number
  readonly drop: number
  readonly nat: number
  readonly created: bigint
  readonly added: bigint
  readonly deleted: bigint
}

export interface FlowRates {
  /** Since the refresh before, per second. */
  readonly active: number
  readonly newTotal: number
  readonly newActive: number
  readonly newHold: number
  /** Over the whole run, per second. */
  readonly setup: number
  readonly teardown: number
}

export function formatFlowStatistics(now: Date, census: FlowCensus, rates: FlowRates): string {
  const line = (label: string, total: number, added: number) =>
    `    ${label}  --- Total = ${right(total, 7)}, new = ${right(added, 7)} \n`
  return (
    `${localTime(now)}\nFlow Statistics\n${'-'.repeat(15)}\n` +
    line('Total  Entries', census.total, rates.newTotal) +
    line('Active Entries', census.active, rates.newActive) +
    line('Hold   Entries', census.hold, rates.newHold) +
    `    Fwd flow Entries  - Total = ${right(census.forward, 7)}\n` +
    `    drop flow Entries - Total = ${right(census.drop, 7)}\n` +
    `    NAT flow Entries  - Total = ${right(census.nat, 7)}\n\n` +
    '    Rate of change of Active Entries\n' +
    `    ${'-'.repeat(32)}\n` +
    `        current rate      = ${right(rates.active, 8)}\n` +
    `        Avg setup rate    = ${right(rates.setup, 8)}\n` +
    `        Avg teardown rate = ${right(rates.teardown, 8)}\n`
  )
}

export interface FlowRateLine {
  readonly entries: number
  readonly rate: number
  /** Created by the datapath, added by the agent, deleted: per second. */
  readonly forward: number
  readonly reverse: number
  readonly deleted: number
  readonly hold: number
}

export function formatFlowRate(now: Date, line: FlowRateLine): string {
  const time = `${localTime(now, false)}.${String(now.getMilliseconds()).padStart(3, '0')}`
  return (
    `${time}:  Entries = ${right(line.entries, 8)} Rate = ${right(line.rate, 6)} (Fwd = ${right(line.forward, 8)} ` +
    `Rev = ${right(line.reverse, 8)} Del = ${right(line.deleted, 8)}) Hold = ${right(line.hold, 8)} ` +
    `Free Burst Tokens = ${right(0, 8)} Total Hold Entries ${right(line.hold, 8)}\n`
  )
}
