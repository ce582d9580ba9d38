/** What Prometheus learns of the controller. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Action } from './actions.ts'
import type { Store } from './store.ts'

export class Metrics {
  readonly registry = new Registry()
  readonly #leader: Gauge
  readonly #actions: Counter
  readonly #passes: Histogram
  readonly #errors: Counter

  constructor(store: Store) {
    const registers = [this.registry]
    collectDefaultMetrics({ register: this.registry })
    this.#leader = new Gauge({ name: 'vrouter_controller_leader', help: '1: this replica leads.', registers })
    this.#actions = new Counter({
      name: 'vrouter_controller_actions_total',
      help: 'What was done with objects of the API server.',
      labelNames: ['action', 'outcome'],
      registers,
    })
    this.#passes = new Histogram({
      name: 'vrouter_controller_pass_seconds',
      help: 'Time of a pass over all objects, without the requests that follow.',
      buckets: [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers,
    })
    this.#errors = new Counter({
      name: 'vrouter_controller_loop_errors_total',
      help: 'Loops that broke off: report it with the log.',
      labelNames: ['loop'],
      registers,
    })
    new Gauge({
      name: 'vrouter_controller_objects',
      help: 'Objects that are watched.',
      labelNames: ['kind'],
      registers,
      collect() {
        for (const [kind, objects] of Object.entries(store.world)) this.set({ kind }, objects.size)
      },
    })
    new Gauge({
      name: 'vrouter_controller_watch_problems',
      help: 'Kinds of which no word of changes comes in at present.',
      registers,
      collect() {
        this.set(store.problems.size)
      },
    })
  }

  leads(isLeader: boolean): void {
    this.#leader.set(isLeader ? 1 : 0)
  }

  acted(action: Action['type'], outcome: string): void {
    this.#actions.inc({ action, outcome })
  }

  passed(ms: number): void {
    this.#passes.observe(ms / 1000)
  }

  broke(loop: string): void {
    this.#errors.inc({ loop })
  }
}
