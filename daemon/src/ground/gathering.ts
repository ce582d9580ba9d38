/**
 * Work that is asked for more often than it is done. Runs never overlap; who asks while one runs, or before the next one begins, shares that next one.
 * A run that failed is told, and tried again after a wait that grows, if nobody asks before.
 */
import { BackOff, type BackOffOptions } from './back-off.ts'
import { type Clock, realClock, type Timer } from './clock.ts'

export interface GatheringOptions<T> {
  /** One run, on what is true when it begins. */
  readonly work: () => T | Promise<T>
  /** A run failed. */
  readonly onError: (error: unknown) => void
  /** Milliseconds from the end of a run to the next one, at least, by how long that run took; default 0. Somebody may be in a hurry. */
  readonly restMs?: (tookMs: number, isUrgent: boolean) => number
  /** Absent: a run that failed isn't tried again by itself. */
  readonly retry?: BackOffOptions
  readonly clock?: Clock
}

export interface Ask {
  /** Milliseconds until the run begins, at most: so that what comes together is worked on together. Default 0: the next turn of the event loop. */
  readonly inMs?: number
  /** Somebody waits for it. */
  readonly isUrgent?: boolean
}

/** One run that is asked for. */
interface Next<T> {
  readonly outcome: PromiseWithResolvers<T | undefined>
  /** When it may begin, as far as it was asked for. */
  at: number
  isUrgent: boolean
}

export class Gathering<T = void> implements AsyncDisposable {
  readonly #options: GatheringOptions<T>
  readonly #clock: Clock
  readonly #backOff: BackOff | undefined
  #next: Next<T> | undefined
  #timer: Timer | undefined
  #retry: Timer | undefined
  #running: Promise<unknown> | undefined
  #endedAt = Number.NEGATIVE_INFINITY
  #tookMs = 0
  #isClosed = false

  constructor(options: GatheringOptions<T>) {
    this.#options = options
    this.#clock = options.clock ?? realClock
    this.#backOff = options.retry && new BackOff(options.retry)
  }

  /** Resolves when a run that began after this call is over, however it ended; at once when there will be none. */
  async ask(ask: Ask = {}): Promise<void> {
    await this.outcome(ask).catch(() => undefined)
  }

  /** As `ask`, with what the run returns, or its failure. Undefined: closed, there was no run. */
  outcome({ inMs = 0, isUrgent = false }: Ask = {}): Promise<T | undefined> {
    if (this.#isClosed) return Promise.resolve(undefined)
    const at = this.#clock.now() + inMs
    if (this.#next === undefined) {
      this.#next = { outcome: Promise.withResolvers(), at, isUrgent }
      // Who only asks doesn't look at it.
      this.#next.outcome.promise.catch(() => undefined)
    } else {
      this.#next.at = Math.min(this.#next.at, at)
      this.#next.isUrgent ||= isUrgent
    }
    const { promise } = this.#next.outcome
    this.#schedule()
    return promise
  }

  /** Somebody has just done it: there is no run for what was asked so far. Who waits is answered, with undefined. */
  cancel(): void {
    this.#timer?.clear()
    this.#next?.outcome.resolve(undefined)
    this.#next = undefined
  }

  /** No run begins any more; resolves when the one under way is over. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#timer?.clear()
    this.#retry?.clear()
    await this.#running
    this.cancel()
  }

  #schedule(): void {
    if (this.#next === undefined || this.#running !== undefined || this.#isClosed) return
    const rest = this.#options.restMs?.(this.#tookMs, this.#next.isUrgent) ?? 0
    const begin = Math.max(this.#next.at, this.#endedAt + rest)
    this.#timer?.clear()
    this.#timer = this.#clock.after(begin - this.#clock.now(), () => {
      this.#running = this.#run().finally(() => {
        this.#running = undefined
        this.#schedule()
      })
    })
  }

  async #run(): Promise<void> {
    const { outcome } = this.#next!
    this.#next = undefined
    this.#timer = undefined
    this.#retry?.clear()
    const begun = this.#clock.now()
    try {
      const result = await this.#options.work()
      this.#backOff?.reset()
      outcome.resolve(result)
    } catch (error) {
      this.#options.onError(error)
      outcome.reject(error)
      if (this.#backOff !== undefined && !this.#isClosed)
        this.#retry = this.#clock.after(this.#backOff.next(), () => void this.ask())
    } finally {
      this.#endedAt = this.#clock.now()
      this.#tookMs = this.#endedAt - begun
    }
  }
}
