/** Growing waits between attempts, with chance in them, so that failures on many nodes don't strike again in step. Pure but for chance. */
export interface BackOffOptions {
  /** The first ceiling, milliseconds; it doubles with each failure. */
  readonly firstMs: number
  readonly maxMs: number
  /** A wait lies evenly between this and the ceiling; default: half the ceiling. */
  readonly leastMs?: number
  /** Default: Math.random. */
  readonly random?: () => number
}

export class BackOff {
  readonly #options: BackOffOptions
  #failures = 0

  constructor(options: BackOffOptions) {
    this.#options = options
  }

  /** Since it last worked. */
  get failures(): number {
    return this.#failures
  }

  /** Milliseconds until the next attempt. */
  next(): number {
    const { firstMs, maxMs, leastMs, random = Math.random } = this.#options
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.#failures++, 30))
    const least = leastMs ?? ceiling / 2
    return least + random() * (ceiling - least)
  }

  /** It worked. */
  reset(): void {
    this.#failures = 0
  }
}
