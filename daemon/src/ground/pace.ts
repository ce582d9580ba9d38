/** Lets long work run in slices, so that the event loop isn't held up. */
import { setImmediate as turn } from 'node:timers/promises'

/** Milliseconds of work between two turns of the event loop; far below the 50 ms that nothing may exceed. */
const SLICE_MS = 8

export class Pace {
  #started = performance.now()

  /** True when it is time for `rest`. Cheap enough to be asked for every entry. */
  get isDue(): boolean {
    return performance.now() - this.#started >= SLICE_MS
  }

  /** Gives the event loop its turn. */
  async rest(): Promise<void> {
    await turn()
    this.#started = performance.now()
  }

  /** Runs a generator that yields between pieces of its work, and returns what it returns. */
  async run<T>(steps: Generator<void, T>): Promise<T> {
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
      if (this.isDue) await this.rest()
    }
  }
}

/** The same work in one go. */
export function finish<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}
