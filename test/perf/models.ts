/**
 * Results by the model of processor that they were measured on: a ratio that one model reaches another one misses. A target is reached when it is on every
 * model that was met.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { columns } from './columns.ts'
import { COMPARISONS, judge, type Verdict, valueText } from './figures.ts'

export interface Kept {
  /** As the kernel names it. */
  readonly model: string
  readonly verdicts: readonly Verdict[]
}

/** One target, and what became of it on each model. */
export interface AcrossModels {
  readonly verdict: Verdict
  /** Undefined: it wasn't measured there. */
  readonly onModels: readonly (Verdict | undefined)[]
  readonly isReached: boolean
}

export function processorModel(): string {
  return cpus()[0]?.model.trim() || 'unknown'
}

/** Where the results of a model are kept: its name as the name of a file, and nothing of the machine. */
export function fileOfModel(folder: string, model = processorModel()): string {
  const name = model.toLowerCase().replaceAll(/\((?:r|tm)\)/g, ' ')
  return join(folder, `${name.replaceAll(/[^a-z0-9]+/g, '-').replaceAll(/^-+|-+$/g, '') || 'unknown'}.json`)
}

export function readKept(folder: string): Kept[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => {
      const { machine, verdicts } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
        readonly machine: { readonly model?: string }
        readonly verdicts: readonly Verdict[]
      }
      return { model: machine.model ?? name, verdicts: verdicts.flatMap((verdict) => judgedToday(verdict) ?? []) }
    })
}

/** What was asked for once. */
const STRUCK: readonly (readonly [figure: string, against: string])[] = [
  ['CNI DEL, wall time, p50', 'the reference bridge plugin'],
]

/**
 * Targets may have changed since it was measured: what COMPARISONS name is judged anew, everything else stays as it was judged then. Undefined: nobody asks for
 * that any more.
 */
function judgedToday(verdict: Verdict): Verdict | undefined {
  const ofFigure = COMPARISONS.filter(({ figure }) => figure === verdict.figure)
  if (STRUCK.some(([figure, against]) => figure === verdict.figure && against === verdict.against)) return undefined
  if (ofFigure.length === 0) return verdict
  const comparison = ofFigure.find(({ against }) => against === verdict.against)
  if (comparison === undefined) return undefined
  return { ...verdict, ...judge(verdict.value, comparison) }
}

/** In the order in which the models' results name them. What has no target is left out. */
export function acrossModels(kept: readonly Kept[]): AcrossModels[] {
  const keyOf = ({ figure, against, variant }: Verdict) => JSON.stringify([figure, against, variant])
  const all = new Map(kept.flatMap(({ verdicts }) => verdicts.map((verdict) => [keyOf(verdict), verdict])))
  return [...all].flatMap(([key, verdict]) => {
    if (verdict.target === '') return []
    const onModels = kept.map(({ verdicts }) => verdicts.find((one) => keyOf(one) === key))
    return { verdict, onModels, isReached: onModels.every((one) => one?.isReached ?? true) }
  })
}

export function formatModels(kept: readonly Kept[]): string {
  const rows = acrossModels(kept).map(({ verdict, onModels, isReached }) => [
    isReached ? 'ok' : '--',
    [verdict.figure, verdict.variant].filter((part) => part !== '').join(', '),
    verdict.against ?? '',
    verdict.target,
    ...onModels.map((one) => (one === undefined ? '' : valueText(one))),
  ])
  return columns([['', 'figure', 'against', 'target', ...kept.map(({ model }) => model)], ...rows])
}
