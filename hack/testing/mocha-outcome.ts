/** Turns the document of mocha's JSON reporter into an outcome. Pure. */
import { STILL_OPEN } from './open-handles.ts'
import { fail, nothing, type Outcome } from './outcome.ts'

/** The part of mocha's JSON report that is used. */
interface MochaReport {
  readonly passes: readonly unknown[]
  readonly pending: readonly { readonly fullTitle: string }[]
  readonly failures: readonly {
    readonly fullTitle: string
    readonly err: { readonly message?: string; readonly stack?: string }
  }[]
}

/** A suite that can't run appends this to its title before it skips itself. */
const SKIP_REASON = /\(skipped: (.*?)\)(?: |$)/

export function outcomeOfReport(text: string): Outcome {
  const report = JSON.parse(text) as MochaReport
  return {
    passed: report.passes.length,
    failures: report.failures.map(({ fullTitle, err }) => ({
      title: fullTitle,
      message: err.stack ?? err.message ?? 'no message',
    })),
    skips: report.pending.map(({ fullTitle }) => ({
      title: fullTitle.replace(SKIP_REASON, ''),
      reason: SKIP_REASON.exec(fullTitle)?.[1] ?? 'it gives no reason',
    })),
  }
}

/** What kept mocha from ending by itself is in its output; the tests passed or failed all the same. */
export function outcomeOfOpenHandles(area: string, output: string): Outcome {
  const lines = output.split('\n').filter((line) => line.startsWith(STILL_OPEN))
  if (lines.length === 0) return nothing
  return fail(`${area} closes what it opens`, lines.map((line) => line.slice(STILL_OPEN.length)).join('\n'))
}

/** When mocha died before it could write its report: the whole area failed. */
export function outcomeOfCrash(area: string, ending: string, output: string): Outcome {
  const tail = output.trim().split('\n').slice(-30).join('\n')
  return fail(area, `mocha ended with ${ending} and left no report\n${tail}`)
}
