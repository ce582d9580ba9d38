/** Repeats look, plan, act until the plan is empty. */
import { reasonOf } from '../errors.ts'
import type { Failure, VhostKernel } from './kernel.ts'
import type { Operation, Situation } from './plan.ts'

/** Adding, taking away, correcting: three rounds do; foreign changes in between may cost more. */
const MAX_ROUNDS = 12

/** Ends when `plan` has nothing to do. Throws when the kernel refuses something again, or when there is no end. Returns the number of operations. */
export function converge(
  kernel: VhostKernel,
  plan: (situation: Situation) => readonly Operation[],
  onRound: (operations: readonly Operation[]) => void = () => {},
  onFailure: (failures: readonly Failure[]) => void = () => {},
): number {
  let refused: ReadonlySet<string> = new Set()
  let done = 0
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const operations = plan(kernel.observe())
    if (operations.length === 0) return done
    onRound(operations)
    const failures = kernel.execute(operations)
    done += operations.length - failures.length
    const again = failures.find(({ operation }) => refused.has(operationKey(operation)))
    if (again !== undefined) throw again.error
    if (failures.length > 0) onFailure(failures)
    refused = new Set(failures.map(({ operation }) => operationKey(operation)))
  }
  throw new Error(`the configuration of ${kernel.nicName} keeps changing`)
}

export function describeFailure({ operation, error }: Failure): string {
  return `${operation.op}: ${reasonOf(error)}`
}

/** An operation but for its clocks. */
function operationKey(operation: Operation): string {
  return JSON.stringify(operation, (key, value) =>
    ['since', 'validLifetime', 'preferredLifetime', 'expires'].includes(key) ? undefined : value,
  )
}
