/** What log and Events tell of this node, each thing once as long as it stays so: objects set aside, problems of tables, the node as a whole. */
import type { TableUse } from '../health/health.ts'
import type { Log } from '../log.ts'
import type { Tables } from '../model/tables.ts'
import { type NodeReport, NodeReports } from './node-reports.ts'
import { openedOf, type Parts } from './parts.ts'
import { textOf } from './problem-text.ts'

export class News {
  readonly #parts: Parts
  readonly #log: Log
  readonly #sourceLog: Log
  readonly #nodeReports = new NodeReports()
  #problems: ReadonlySet<string> = new Set()
  #rejections: ReadonlySet<string> = new Set()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#log = parts.log.child({ component: 'vrouter' })
    this.#sourceLog = parts.log.child({ component: 'source' })
  }

  /** What the source set aside. */
  ofSource(): void {
    const { rejected } = this.#parts.source.state()
    const rejections = new Map(rejected.map((rejection) => [JSON.stringify(rejection), rejection]))
    for (const [text, { message, ...fields }] of rejections) {
      if (!this.#rejections.has(text)) this.#sourceLog.warn(fields, message)
    }
    this.#rejections = new Set(rejections.keys())
  }

  ofTables(tables: Tables): void {
    const problems = new Map(tables.problems.map((problem) => [textOf(problem), problem]))
    for (const [text, { object, message, subject, event }] of problems) {
      if (this.#problems.has(text)) continue
      this.#log.warn({ object }, text)
      if (event !== undefined && subject?.kind === 'port') this.#tellPod(subject.uuid, event, message)
    }
    this.#problems = new Set(problems.keys())
  }

  /** How full tables are, and whether they can be brought up to date. */
  ofNode(tables: readonly TableUse[]): void {
    const problems = this.#parts.tables?.problems ?? []
    const readiness = this.#parts.service.readiness()
    for (const report of this.#nodeReports.news({ tables, problems, readiness })) {
      if (report.type === 'Warning') this.#log.warn({ reason: report.reason }, report.message)
      else this.#log.info({ reason: report.reason }, report.message)
      this.tellNode(report)
    }
  }

  /** An Event of the Node for what concerns all of it. */
  tellNode(report: NodeReport): void {
    const { source, config } = this.#parts
    source.report({ object: { kind: 'Node', name: config.node }, ...report })
  }

  /** An Event for the pod of a port that works, but not from everywhere. */
  #tellPod(uuid: string, reason: string, message: string): void {
    const port = openedOf(this.#parts)
      .ports.all()
      .find((one) => one.uuid === uuid)
    if (port === undefined) return
    const object = { kind: 'Pod', namespace: port.namespace, ...port.pod } as const
    this.#parts.source.report({ object, type: 'Warning', reason, message, isWorking: true })
  }
}
