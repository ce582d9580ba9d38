/**
 * Taps of new pods get their links, in place of the filters that they began with, when no pod has come for a while: one at a time, for each holds the
 * kernel's network lock for some milliseconds.
 */
import type { Links } from './links.ts'

/** Quiet time before, and the pause between two of them. */
const QUIET_MS = 2_000
const PAUSE_MS = 25

export class LinkPromotion implements Disposable {
  readonly #links: Pick<Links, 'provisional' | 'promote'>
  #timer: NodeJS.Timeout | undefined

  constructor(links: Pick<Links, 'provisional' | 'promote'>) {
    this.#links = links
  }

  /** A pod has come. */
  later(): void {
    clearTimeout(this.#timer)
    if (this.#links.provisional === 0) return
    const step = (): void => {
      if (this.#links.promote()) this.#timer = setTimeout(step, PAUSE_MS)
    }
    this.#timer = setTimeout(step, QUIET_MS)
  }

  /** All of them now: those who detach everything afterwards look for links. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    while (this.#links.promote());
  }
}
