/** What a run of checks or tests amounts to; outcomes add up. */

export interface Failure {
  readonly title: string
  readonly message: string
}

export interface Skip {
  readonly title: string
  readonly reason: string
}

export interface Outcome {
  readonly passed: number
  readonly failures: readonly Failure[]
  readonly skips: readonly Skip[]
}

export const nothing: Outcome = { passed: 0, failures: [], skips: [] }

export function pass(count = 1): Outcome {
  return { ...nothing, passed: count }
}

export function fail(title: string, message: string): Outcome {
  return { ...nothing, failures: [{ title, message }] }
}

export function skip(title: string, reason: string): Outcome {
  return { ...nothing, skips: [{ title, reason }] }
}

export function add(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((sum, outcome) => sum + outcome.passed, 0),
    failures: outcomes.flatMap((outcome) => outcome.failures),
    skips: outcomes.flatMap((outcome) => outcome.skips),
  }
}

/** The closing line, which CI reads. */
export function summaryLine({ passed, failures, skips }: Outcome): string {
  return `${passed} passed, ${failures.length} failed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`
}
