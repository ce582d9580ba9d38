/** Growing waits between attempts, with jitter, so that failures on many nodes don't strike in step. Pure but for chance. */
export interface BackOffOptions {
  readonly firstMs: number
  readonly maxMs: number
  /** Default: Math.random. */
  readonly random?: () => number
}

export class BackOff {
  readonly #options: BackOffOptions
  #attempt = 0

  constructor(options: BackOffOptions) {
    this.#options = options
  }

  /** Milliseconds until the next attempt: doubling up to the maximum, of which between a half and the whole is waited. */
  next(): number {
    const { firstMs, maxMs, random = Math.random } = this.#options
    const ceiling = Math.min(maxMs, firstMs * 2 ** Math.min(this.#attempt++, 30))
    return ceiling / 2 + (random() * ceiling) / 2
  }

  /** It worked. */
  reset(): void {
    this.#attempt = 0
  }
}
