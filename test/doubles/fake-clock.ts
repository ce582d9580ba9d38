/** A clock that stands still until the test moves its hands. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock, Timer } from '../../daemon/src/ground/clock.ts'

interface Pending {
  readonly at: number
  readonly work: () => void
}

export class FakeClock implements Clock {
  #now = 0
  readonly #pending = new Set<Pending>()

  now(): number {
    return this.#now
  }

  after(ms: number, work: () => void): Timer {
    const pending = { at: this.#now + Math.max(0, ms), work }
    this.#pending.add(pending)
    return { clear: () => this.#pending.delete(pending) }
  }

  /** How many timers run. */
  get pending(): number {
    return this.#pending.size
  }

  /** Goes that far, timer by timer; what each of them starts has its turn before the next one. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    await turn()
    for (;;) {
      const due = [...this.#pending].filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0]
      if (due === undefined) break
      this.#pending.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.work()
      await turn()
    }
    this.#now = end
  }
}
