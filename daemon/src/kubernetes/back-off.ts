/** Growing waits with full jitter: after a failure that strikes every node at once, they must not come back at once. */
export interface BackOffOptions {
  readonly minMs: number
  readonly maxMs: number
  readonly random?: () => number
}

export const API_BACK_OFF: BackOffOptions = { minMs: 200, maxMs: 30_000 }

export class BackOff {
  readonly #options: BackOffOptions
  #failures = 0

  constructor(options: BackOffOptions = API_BACK_OFF) {
    this.#options = options
  }

  get failures(): number {
    return this.#failures
  }

  /** Milliseconds until the next attempt: evenly between the least and a ceiling that doubles with each failure. */
  next(): number {
    const { minMs, maxMs, random = Math.random } = this.#options
    const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(++this.#failures, 30))
    return minMs + random() * Math.max(0, ceiling - minMs)
  }

  reset(): void {
    this.#failures = 0
  }
}
