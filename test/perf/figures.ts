/** What has to be reached, and how a figure is judged. Pure. */
import { columns } from './columns.ts'
import type { Measure } from './traffic.ts'

export interface Comparison {
  readonly figure: string
  readonly place: 'sameNode' | 'crossNode'
  readonly measure: Measure
  /** Name of the topology that ours is compared with. */
  readonly against: string
  /** Ours divided by theirs must be at least this; absent: it is told, and nothing is wanted of it. */
  readonly atLeast?: number
}

export const OURS = 'kube-vrouter'

export const COMPARISONS: readonly Comparison[] = [
  { figure: 'same node TCP_RR', place: 'sameNode', measure: 'rr', against: 'bare redirect_peer', atLeast: 0.92 },
  { figure: 'same node TCP_RR', place: 'sameNode', measure: 'rr', against: 'routed veth' },
  {
    figure: 'same node TCP stream',
    place: 'sameNode',
    measure: 'stream',
    against: 'bare redirect_peer',
    atLeast: 0.97,
  },
  { figure: 'same node TCP stream', place: 'sameNode', measure: 'stream', against: 'routed veth' },
  {
    figure: 'cross node TCP stream',
    place: 'crossNode',
    measure: 'stream',
    against: 'kernel VXLAN + bridge',
    atLeast: 1.15,
  },
  { figure: 'cross node TCP stream', place: 'crossNode', measure: 'stream', against: 'bare tunnel' },
  {
    figure: 'cross node TCP stream',
    place: 'crossNode',
    measure: 'stream',
    against: 'bare host to host',
    atLeast: 0.9,
  },
  { figure: 'cross node TCP_RR', place: 'crossNode', measure: 'rr', against: 'kernel VXLAN + bridge', atLeast: 1.2 },
  { figure: 'cross node TCP_RR', place: 'crossNode', measure: 'rr', against: 'bare tunnel' },
  {
    figure: 'cross node connect-request-close',
    place: 'crossNode',
    measure: 'crr',
    against: 'kernel VXLAN + bridge',
    atLeast: 1.15,
  },
  { figure: 'cross node connect-request-close', place: 'crossNode', measure: 'crr', against: 'bare tunnel' },
]

/** One figure of one topology, all its runs. */
export interface Series {
  readonly topology: string
  readonly place: 'sameNode' | 'crossNode'
  readonly measure: Measure
  readonly pinning: string
  readonly runs: readonly number[]
}

export interface Verdict {
  readonly figure: string
  /** What it is compared with; absent: an absolute limit. */
  readonly against?: string
  readonly variant: string
  readonly ours: Spread
  readonly theirs?: Spread
  readonly unit: string
  /** Ours / theirs, or ours itself where there is only a limit. */
  readonly value: number
  /** Empty: there is none. */
  readonly target: string
  readonly isReached: boolean
}

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

export function spreadOf(runs: readonly number[]): Spread {
  const sorted = runs.toSorted((a, b) => a - b)
  if (sorted.length === 0) throw new RangeError('no runs')
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, least: sorted[0]!, most: sorted.at(-1)! }
}

/** Judges each comparison in each pinning that both sides were measured in. Comparisons without data are left out. */
export function compare(series: readonly Series[], unitOf: (measure: Measure) => string): Verdict[] {
  const find = (topology: string, { place, measure }: Comparison, pinning: string) =>
    series.find(
      (one) => one.topology === topology && one.place === place && one.measure === measure && one.pinning === pinning,
    )
  const pinnings = [...new Set(series.map((one) => one.pinning))]
  return COMPARISONS.flatMap((comparison) =>
    pinnings.flatMap((pinning) => {
      const our = find(OURS, comparison, pinning)
      const their = find(comparison.against, comparison, pinning)
      if (!our || !their) return []
      const ours = spreadOf(our.runs)
      const theirs = spreadOf(their.runs)
      const value = ours.median / theirs.median
      return {
        figure: comparison.figure,
        against: comparison.against,
        variant: pinning,
        ours,
        theirs,
        unit: unitOf(comparison.measure),
        value,
        ...judge(value, comparison),
      }
    }),
  )
}

/** Whether a ratio is what is wanted of it. */
export function judge(value: number, { atLeast }: Comparison): Pick<Verdict, 'target' | 'isReached'> {
  return { target: atLeast === undefined ? '' : `>= ${atLeast}`, isReached: value >= (atLeast ?? 0) }
}

/** A figure that must stay below a limit. */
export function limit(figure: string, variant: string, runs: readonly number[], unit: string, atMost: number): Verdict {
  const ours = spreadOf(runs)
  return { figure, variant, ours, unit, value: ours.median, target: `<= ${atMost}`, isReached: ours.median <= atMost }
}

/** Ours may take that much longer than theirs, in the median. */
export function atMostLonger(
  figure: string,
  against: string,
  ours: readonly number[],
  theirs: readonly number[],
  ms: number,
): Verdict {
  const value = spreadOf(ours).median - spreadOf(theirs).median
  const target = `<= ${ms} ms longer`
  const unit = 'ms'
  return {
    figure,
    against,
    variant: '',
    ours: spreadOf(ours),
    theirs: spreadOf(theirs),
    unit,
    value,
    target,
    isReached: value <= ms,
  }
}

export function formatTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => [
    verdict.target === '' ? '' : verdict.isReached ? 'ok' : '--',
    verdict.figure,
    verdict.variant,
    spreadText(verdict.ours, verdict.unit),
    verdict.against === undefined ? '' : `${verdict.against}: ${spreadText(verdict.theirs!, verdict.unit)}`,
    valueText(verdict),
    verdict.target,
  ])
  return columns([['', 'figure', 'variant', 'ours (least-most)', 'against', 'value', 'target'], ...rows])
}

function spreadText({ median, least, most }: Spread, unit: string): string {
  const digits = median < 100 ? 2 : 0
  const [middle, low, high] = [median, least, most].map((value) => value.toFixed(digits))
  return `${middle} ${unit} (${low}-${high})`
}

export function valueText({ against, target, value, unit }: Verdict): string {
  if (target.endsWith('longer')) return `${value.toFixed(1)} ms`
  return against === undefined ? `${value.toFixed(value < 100 ? 2 : 0)} ${unit}` : `${value.toFixed(2)} x`
}
