/** What became of the last pass: what could not be brought into the kernel, told and logged once, and how far each attachment is. */
import { errorFields, type Log } from '../log.ts'
import type { Problem, Tables } from '../model/tables.ts'
import { faultsByVif } from './port-faults.ts'
import type { TableFailure } from './table-failure.ts'

/** How far one attachment is: in the kernel with all that it needs, or kept from there by a failure that is tried again. */
export type PortState =
  | { readonly isWritten: true; readonly vif: number; readonly vrf: number }
  | { readonly isWritten: false; readonly fault: Problem; readonly isExpected: boolean }

/** Lines of the log for one pass. */
const MOST_LOGGED = 10

export class PassOutcome {
  readonly #log: Log
  readonly #listeners = new Set<(problems: readonly Problem[]) => void>()
  #tables: Tables | undefined
  #failures: readonly TableFailure[] = []
  #problems: readonly Problem[] = []
  /** By vif id; made when somebody asks. */
  #faults: ReadonlyMap<number, TableFailure> | undefined

  constructor(log: Log) {
    this.#log = log
  }

  get problems(): readonly Problem[] {
    return this.#problems
  }

  onProblems(callback: (problems: readonly Problem[]) => void): void {
    this.#listeners.add(callback)
  }

  /** A pass over `tables` is over, and `failures` are left of it. What is new is logged once. */
  settle(tables: Tables, failures: readonly TableFailure[]): void {
    const before = new Set(this.#problems.map(({ object, message }) => `${object}: ${message}`))
    this.#tables = tables
    this.#failures = failures
    this.#faults = undefined
    this.#problems = failures.map(problemOf)
    const fresh = failures.filter(({ object, error }) => !before.has(`${object}: ${error.message}`))
    const grave = fresh.filter(({ isExpected }) => isExpected !== true)
    for (const { object, error } of grave.slice(0, MOST_LOGGED)) {
      this.#log.error({ object, err: errorFields(error) }, `${object} isn't in the kernel: ${error.message}`)
    }
    const more = grave.length - MOST_LOGGED
    if (more > 0) this.#log.error({ more }, `${more} more objects aren't in the kernel`)
    if (before.size > 0 && failures.length === 0) this.#log.info('all problems of the dataplane are solved')
    if (fresh.length > 0 || before.size !== this.#problems.length) {
      for (const callback of this.#listeners) callback(this.#problems)
    }
  }

  /** What has become of a port (Port.uuid) whose tap has that ifindex. Undefined: no pass has been over it yet. */
  stateOf(port: string, ifindex: number): PortState | undefined {
    const vif = this.#tables?.vifs.find((one) => one.port === port)
    if (this.#tables === undefined || vif?.ifindex !== ifindex) return undefined
    this.#faults ??= faultsByVif(this.#tables, this.#failures)
    const fault = this.#faults.get(vif.id)
    if (fault === undefined) return { isWritten: true, vif: vif.id, vrf: vif.vrf }
    return { isWritten: false, fault: problemOf(fault), isExpected: fault.isExpected === true }
  }
}

function problemOf({ subject, object, error }: TableFailure): Problem {
  return { subject, object, message: error.message }
}
