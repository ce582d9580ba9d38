import { setImmediate } from 'node:timers/promises'

/** Long work in short slices: lets other work go first whenever the present slice is used up. */
export class Slices {
  readonly #lengthMs: number
  #end: number

  constructor(lengthMs = 5) {
    this.#lengthMs = lengthMs
    this.#end = performance.now() + lengthMs
  }

  /** Whether `next` would wait. */
  get isUsedUp(): boolean {
    return performance.now() >= this.#end
  }

  async next(): Promise<void> {
    if (!this.isUsedUp) return
    await setImmediate()
    this.#end = performance.now() + this.#lengthMs
  }
}
