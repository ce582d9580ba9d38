/** What a list of samples says. Pure. */
import { columns } from '../columns.ts'

export interface Summary {
  readonly count: number
  readonly least: number
  readonly p50: number
  readonly p99: number
  readonly most: number
}

/** The smallest sample that at least this share of all samples doesn't exceed. */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError('no samples')
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!
}

export function summaryOf(samples: readonly number[]): Summary {
  return {
    count: samples.length,
    least: quantile(samples, 0),
    p50: quantile(samples, 0.5),
    p99: quantile(samples, 0.99),
    most: quantile(samples, 1),
  }
}

/** One line of the table: a figure, what it shall be, and everything that was measured for it. */
export interface Figure {
  readonly figure: string
  readonly value: number
  readonly unit: string
  /** Absent: nothing is asked of it. */
  readonly atMost?: number
  readonly isReached?: boolean
  readonly summary?: Summary
  /** Of what it is compared with. */
  readonly against?: Summary
  readonly note?: string
  readonly samples?: Readonly<Record<string, readonly number[]>>
}

/** A figure of samples; `by` says which of the summary's values counts. */
export function figure(
  name: string,
  samples: readonly number[],
  unit: string,
  { by = 'p50', atMost, note }: { by?: keyof Summary; atMost?: number; note?: string } = {},
): Figure {
  const summary = summaryOf(samples)
  return {
    ...judged(name, summary[by], unit, atMost),
    summary,
    ...(note !== undefined && { note }),
    samples: { ours: samples },
  }
}

export function single(name: string, value: number, unit: string, atMost?: number, note?: string): Figure {
  return { ...judged(name, value, unit, atMost), ...(note !== undefined && { note }) }
}

/** The ratio of two medians. */
export function ratio(name: string, ours: readonly number[], theirs: readonly number[], atMost: number): Figure {
  const [summary, against] = [summaryOf(ours), summaryOf(theirs)]
  return { ...judged(name, summary.p50 / against.p50, 'x', atMost), summary, against, samples: { ours, theirs } }
}

function judged(name: string, value: number, unit: string, atMost?: number): Figure {
  return { figure: name, value, unit, ...(atMost !== undefined && { atMost, isReached: value <= atMost }) }
}

export function formatFigures(figures: readonly Figure[]): string {
  const spread = (summary?: Summary) =>
    summary === undefined
      ? ''
      : `${summary.count} runs, p50 ${short(summary.p50)}, p99 ${short(summary.p99)}, most ${short(summary.most)}`
  const rows = figures.map(({ figure: name, value, unit, atMost, isReached, summary, against, note }) => [
    isReached === undefined ? '' : isReached ? 'ok' : '--',
    name,
    `${short(value)} ${unit}`,
    atMost === undefined ? '' : `<= ${atMost}`,
    [spread(summary), against && `against ${spread(against)}`, note].filter((text) => text).join('; '),
  ])
  return columns([['', 'figure', 'measured', 'wanted', ''], ...rows])
}

function short(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0)
}
