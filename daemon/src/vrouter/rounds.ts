/**
 * When a round runs. Every change is a nudge: those that come together share a round, rounds never overlap, and one that failed is tried again.
 */
import type { Clock } from '../ground/clock.ts'
import { Gathering } from '../ground/gathering.ts'
import { errorFields, type Log } from '../log.ts'
import type { ServiceState } from './service-state.ts'

/**
 * Milliseconds from the end of a round to the next one, which is as long as the last round took, within these limits: a burst of changes costs few rounds,
 * and a change after a quiet time doesn't wait.
 */
const GATHER_MS = 2
const LONGEST_URGENT_MS = 10

/**
 * For what others change, rounds take one part of the time in so many at most; the wait has a limit, milliseconds. With tens of thousands of remote
 * pods a round takes tens of milliseconds, and somewhere in the cluster pods come and go all the time. What this node's own pods need doesn't wait.
 */
const SHARE = 5
const LONGEST_GATHER_MS = 200

/** A round that failed is tried again every so often, if nothing changes before. */
const RETRY = { firstMs: 1000, maxMs: 1000, leastMs: 1000 }

export interface RoundsOptions {
  /** One round, on what is true when it begins. */
  readonly work: () => Promise<void>
  readonly service: ServiceState
  readonly log: Log
  /** A round succeeded and took so long. */
  readonly onDone: (ms: number) => void
  readonly clock?: Clock
}

export class Rounds implements AsyncDisposable {
  readonly #options: RoundsOptions
  readonly #gathering: Gathering
  #isOpen = false
  /** Of the last round, milliseconds (performance.now). */
  #begunAt = Number.NEGATIVE_INFINITY
  #endedAt = Number.NEGATIVE_INFINITY

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#gathering = new Gathering({
      work: () => this.#run(),
      onError: (error) => this.#failed(error),
      restMs,
      retry: RETRY,
      ...(options.clock && { clock: options.clock }),
    })
  }

  /** Everything that a round needs is there; until then nudges come to nothing. */
  open(): void {
    this.#isOpen = true
  }

  /** Resolves when the round under way is over; there is no other one. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#gathering[Symbol.asyncDispose]()
  }

  /** Asks for a round; resolves when a round that began after this call is over. */
  nudge(isUrgent = true): Promise<void> {
    return this.#gathering.ask({ isUrgent })
  }

  /** How far they are, for who waits for one. */
  get text(): string {
    const ms = Math.round(performance.now() - this.#begunAt)
    return this.#begunAt > this.#endedAt
      ? `the round under way began ${ms} ms ago`
      : `the last round began ${ms} ms ago`
  }

  async #run(): Promise<void> {
    if (!this.#isOpen) return
    const { work, service, log, onDone } = this.#options
    this.#begunAt = performance.now()
    try {
      await work()
    } finally {
      this.#endedAt = performance.now()
    }
    if (service.roundDone()) log.info({}, 'rounds succeed again')
    onDone(this.#endedAt - this.#begunAt)
  }

  #failed(error: unknown): void {
    const { service, log } = this.#options
    if (!service.roundFailed(Error.isError(error) ? error.message : String(error))) return
    log.error(
      { err: errorFields(error) },
      'a round failed; what it has not changed in the kernel stays as it is, the next one tries again',
    )
  }
}

function restMs(tookMs: number, isUrgent: boolean): number {
  const longest = isUrgent ? LONGEST_URGENT_MS : LONGEST_GATHER_MS
  return Math.min(longest, Math.max(GATHER_MS, isUrgent ? tookMs : tookMs * (SHARE - 1)))
}
