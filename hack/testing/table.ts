/** What hack/test prints before its last line: what each area came to, and how long it took. Pure. */
import type { Outcome } from './outcome.ts'

export interface AreaResult {
  readonly name: string
  readonly outcome: Outcome
  readonly seconds: number
}

export function tableOf(results: readonly AreaResult[]): string[] {
  const rows = results.map(({ name, outcome: { passed, failures, skips }, seconds }) => ({
    name,
    counts: [passed, failures.length, skips.length, seconds],
  }))
  const total = [0, 1, 2, 3].map((column) => rows.reduce((sum, { counts }) => sum + counts[column]!, 0))
  const line = (name: string, cells: readonly string[]) =>
    name.padEnd(14) + cells.map((cell) => cell.padStart(9)).join('')
  return [
    line('area', ['passed', 'failed', 'skipped', 'seconds']),
    ...[...rows, { name: 'total', counts: total }].map(({ name, counts: [passed, failed, skipped, seconds] }) =>
      line(name, [`${passed}`, `${failed}`, `${skipped}`, seconds!.toFixed(1)]),
    ),
  ]
}
