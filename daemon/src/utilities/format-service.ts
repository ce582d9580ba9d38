/** What `service` prints. Pure. */
import { flagSymbols, left, right } from './columns.ts'

export interface BackView {
  readonly address: string
  readonly port: number
  readonly isHost: boolean
  /** Absent: its network isn't on this node. */
  readonly vrf?: number
  /** 0: by route. */
  readonly nexthop: number
  readonly label?: number
}

export interface FrontView {
  readonly service: number
  readonly vrf: number
  readonly address: string
  /** Protocol and port 0: the address itself. */
  readonly protocol: number
  readonly port: number
  readonly inside: { readonly first: number; readonly count: number }
  readonly outside: { readonly first: number; readonly count: number }
  readonly dropsInside: boolean
  readonly dropsOutside: boolean
  readonly hasRanges: boolean
  readonly affinitySeconds: number
  /** This node answers for the address on the underlay. */
  readonly isAnnounced?: boolean
}

/** A front with all that belongs to it. */
export interface FrontDetails extends FrontView {
  readonly insideBacks: readonly BackView[]
  readonly outsideBacks: readonly BackView[]
}

export interface ServiceCounts {
  readonly connections: bigint | number
  readonly refused: bigint | number
  readonly dropped: bigint | number
}

export interface ServiceDetails extends ServiceCounts {
  readonly service: number
  readonly fronts: readonly FrontDetails[]
  /** Empty: all may come. */
  readonly sources: readonly string[]
}

const PROTOCOLS: Readonly<Record<number, string>> = { 0: '*', 6: 'TCP', 17: 'UDP', 132: 'SCTP' }

const FLAGS = [
  [1, 'Di'],
  [2, 'Do'],
  [4, 'R'],
  [8, 'A'],
] as const

const LEGEND = 'Flags: Di/Do=Without backs inside/outside: silence, R=Source ranges, A=Announced by this node\n'

export function formatServices(rows: readonly (FrontView & ServiceCounts)[]): string {
  const header =
    `vRouter services\n${LEGEND}\n` +
    `${right('Service', 8)}  ${right('Vrf', 5)}  ${left('Address:Port', 46)}  ${left('Proto', 5)}  ` +
    `${right('Inside', 6)}  ${right('Outside', 7)}  ${left('Flags', 6)}  ${right('Affinity', 8)}  ` +
    `${right('Connections', 12)}  ${right('Refused', 9)}  ${right('Dropped', 9)}\n`
  return `${header}${'-'.repeat(header.split('\n').at(-2)!.length)}\n${rows.map(formatRow).join('')}`
}

function formatRow(row: FrontView & ServiceCounts): string {
  return (
    `${right(row.service, 8)}  ${right(row.vrf, 5)}  ${left(placeOf(row), 46)}  ${left(protocolOf(row), 5)}  ` +
    `${right(row.inside.count, 6)}  ${right(row.outside.count, 7)}  ${left(flagsOf(row) || '-', 6)}  ` +
    `${right(row.affinitySeconds || '-', 8)}  ` +
    `${right(row.connections, 12)}  ${right(row.refused, 9)}  ${right(row.dropped, 9)}\n`
  )
}

/** One service port, its fronts and what they choose from, with the blank line that ends it. */
export function formatService({ service, fronts, sources, ...counts }: ServiceDetails): string {
  const ranges = sources.length === 0 ? '' : `        Sources ${sources.join(', ')}\n`
  return (
    `Service:${service}  Connections:${counts.connections}  Refused:${counts.refused}  Dropped:${counts.dropped}\n` +
    `${ranges}${fronts.map(formatFront).join('')}\n`
  )
}

function formatFront(front: FrontDetails): string {
  const affinity = front.affinitySeconds === 0 ? '' : `  Affinity:${front.affinitySeconds} s`
  const head = `        ${placeOf(front)} ${protocolOf(front)}  Vrf:${front.vrf}  Flags:${flagsOf(front) || '-'}${affinity}\n`
  const isOne = front.inside.first === front.outside.first && front.inside.count === front.outside.count
  if (isOne) return head + formatSet('Backs', front.inside.first, front.insideBacks)
  return (
    head +
    formatSet('Inside', front.inside.first, front.insideBacks) +
    formatSet('Outside', front.outside.first, front.outsideBacks)
  )
}

function formatSet(name: string, first: number, backs: readonly BackView[]): string {
  if (backs.length === 0) return `          ${name}: none\n`
  return `          ${name} from ${first}:\n${backs.map(formatBack).join('')}`
}

function formatBack({ address, port, isHost, vrf, nexthop, label }: BackView): string {
  const where = isHost ? '  Host' : `  Vrf:${vrf ?? '-'}`
  const way = nexthop === 0 ? '' : `  Nexthop:${nexthop}`
  return `            ${left(endpoint(address, port), 46)}${where}${way}${label === undefined ? '' : `  Label:${label}`}\n`
}

function placeOf({ address, port, protocol }: FrontView): string {
  return protocol === 0 ? `${address}` : endpoint(address, port)
}

function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

function protocolOf({ protocol }: FrontView): string {
  return PROTOCOLS[protocol] ?? `${protocol}`
}

function flagsOf({ dropsInside, dropsOutside, hasRanges, isAnnounced = false }: FrontView): string {
  const bits = [dropsInside, dropsOutside, hasRanges, isAnnounced].map((is, bit) => (is ? 1 << bit : 0))
  return flagSymbols(
    bits.reduce((sum, bit) => sum | bit, 0),
    FLAGS,
  )
}
