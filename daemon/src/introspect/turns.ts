/**
 * Who may work at a page now. Pages are made on the thread that serves pods: however many clients ask, few are worked on at a time, the others wait
 * in the order in which they came, and when too many wait more are refused. Between two slices of a page everything else has its turn, and while a
 * pod is being started pages are made slower.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'

export interface TurnsOptions {
  /** Something that pods wait for is under way. */
  readonly isUrgent?: (() => boolean) | undefined
  readonly atOnce?: number
  readonly mayWait?: number
}

/** Two: one client that asks for much doesn't hold up all others. */
const AT_ONCE = 2
const MAY_WAIT = 256

/** Between two slices, for what is urgent, at most this long: pages go on, whatever happens. */
const LONGEST_PAUSE_MS = 50
const PAUSE_MS = 2

export class Turns {
  readonly #isUrgent: () => boolean
  readonly #atOnce: number
  readonly #mayWait: number
  readonly #waiting: { readonly begin: () => void }[] = []
  #taken = 0

  constructor({ isUrgent = () => false, atOnce = AT_ONCE, mayWait = MAY_WAIT }: TurnsOptions = {}) {
    this.#isUrgent = isUrgent
    this.#atOnce = atOnce
    this.#mayWait = mayWait
  }

  /** Resolves when it is this one's turn; undefined: too many wait already, or `signal` has ended the interest. */
  async take(signal: AbortSignal): Promise<Turn | undefined> {
    if (signal.aborted) return undefined
    if (this.#taken < this.#atOnce) {
      this.#taken++
      return this.#turn()
    }
    if (this.#waiting.length >= this.#mayWait) return undefined
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const entry = { begin: () => resolve(true) }
    const leave = () => {
      const place = this.#waiting.indexOf(entry)
      if (place >= 0) this.#waiting.splice(place, 1)
      // It may just have been given the turn.
      if (place >= 0) resolve(false)
    }
    this.#waiting.push(entry)
    signal.addEventListener('abort', leave)
    const hasBegun = await promise
    signal.removeEventListener('abort', leave)
    return hasBegun ? this.#turn() : undefined
  }

  #turn(): Turn {
    return new Turn(this.#isUrgent, () => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#taken--
      else next.begin()
    })
  }
}

/** Disposing it lets the next one begin. */
export class Turn implements Disposable {
  readonly #isUrgent: () => boolean
  readonly #end: () => void
  #hasEnded = false

  constructor(isUrgent: () => boolean, end: () => void) {
    this.#isUrgent = isUrgent
    this.#end = end
  }

  /** Between two slices. */
  async rest(): Promise<void> {
    await turn()
    const until = performance.now() + LONGEST_PAUSE_MS
    while (this.#isUrgent() && performance.now() < until) await sleep(PAUSE_MS)
  }

  [Symbol.dispose](): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#end()
  }
}
