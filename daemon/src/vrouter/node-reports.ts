/** What operators should hear about the node as a whole, once for each change: tables that fill up, and a datapath that can't be brought up to date. */
import type { TableUse } from '../health/health.ts'
import type { Problem } from '../model/tables.ts'
import type { Readiness } from '../ports/options.ts'

export interface NodeObserved {
  readonly tables: readonly TableUse[]
  readonly problems: readonly Problem[]
  readonly readiness: Readiness
}

export interface NodeReport {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
}

type Level = 'roomy' | 'filling' | 'full'

/** Parts of a table from which on it is told of, and below which it is roomy again. */
const FILLING = 0.8
const ROOMY = 0.7

/** What makes a table larger. */
const SETTINGS: Readonly<Record<string, string>> = {
  vif: 'limits.vifs',
  vrf: 'limits.vrfs',
  nexthop: 'limits.nexthops',
  label: 'limits.labels',
  route4: 'limits.routes',
  route6: 'limits.routes',
  bridge: 'limits.routes',
  service: 'limits.services',
  front: 'limits.services',
  range: 'limits.services',
  back: 'limits.backends',
  flow: 'limits.flows4 or limits.flows6',
}

export class NodeReports {
  readonly #levels = new Map<string, Level>()
  #isOutOfDate = false

  /** What is news since the last call. */
  news({ tables, problems, readiness }: NodeObserved): NodeReport[] {
    return [...tables.flatMap((table) => this.#ofTable(table, problems)), ...this.#ofReadiness(readiness)]
  }

  #ofTable({ table, used, max }: TableUse, problems: readonly Problem[]): NodeReport[] {
    const before = this.#levels.get(table) ?? 'roomy'
    const problem = problems.find((one) => one.table === table)
    const level = problem !== undefined ? 'full' : levelOf(used, max, before)
    this.#levels.set(table, level)
    if (level === before) return []
    const use = `${used} of ${max} entries`
    const raise = `raise ${SETTINGS[table] ?? 'its limit'} and restart the daemon`
    switch (level) {
      case 'full': {
        const what = problem === undefined ? use : `${use}; ${problem.object}: ${problem.message}`
        return [
          { type: 'Warning', reason: 'TableFull', message: `table ${table} has no room left (${what}): ${raise}` },
        ]
      }
      case 'filling':
        if (before === 'full') return [{ type: 'Normal', reason: 'TableHasRoom', message: roomText(table, use) }]
        return [{ type: 'Warning', reason: 'TableFilling', message: `table ${table} fills up (${use}): ${raise}` }]
      case 'roomy':
        return [{ type: 'Normal', reason: 'TableHasRoom', message: roomText(table, use) }]
      default:
        return level satisfies never
    }
  }

  #ofReadiness(readiness: Readiness): NodeReport[] {
    // A start is no news: who waits for it sees the pod.
    const isOutOfDate = !readiness.ready && readiness.podsAffected
    if (isOutOfDate === this.#isOutOfDate) return []
    this.#isOutOfDate = isOutOfDate
    if (!readiness.ready) return [{ type: 'Warning', reason: 'DatapathOutOfDate', message: readiness.message }]
    return [{ type: 'Normal', reason: 'DatapathUpToDate', message: 'the datapath is up to date again' }]
  }
}

function levelOf(used: number, max: number, before: Level): Level {
  if (used >= max) return 'full'
  return used >= max * (before === 'roomy' ? FILLING : ROOMY) ? 'filling' : 'roomy'
}

function roomText(table: string, use: string): string {
  return `table ${table} has room again (${use})`
}
