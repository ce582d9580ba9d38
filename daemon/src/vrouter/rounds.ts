/**
 * When a round runs. Every change is a nudge: those that come together share a round, rounds never overlap, and one that failed is tried again.
 */
import { setImmediate as turn } from 'node:timers/promises'
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

/** Milliseconds until a round that failed is tried again, if nothing changes before. */
const RETRY_MS = 1000

export interface RoundsOptions {
  /** One round, on what is true when it begins. */
  readonly work: () => Promise<void>
  readonly service: ServiceState
  readonly log: Log
  /** A round succeeded and took so long. */
  readonly onDone: (ms: number) => void
}

export class Rounds implements AsyncDisposable {
  readonly #options: RoundsOptions
  #isOpen = false
  #isClosed = false
  #round: Promise<void> = Promise.resolve()
  #isNudged = false
  #retry: NodeJS.Timeout | undefined
  /** Of the last round, milliseconds (performance.now). */
  #begunAt = Number.NEGATIVE_INFINITY
  #endedAt = Number.NEGATIVE_INFINITY
  #ms = 0
  /** Somebody waits for the next round. */
  #isUrgent = false
  #wake: () => void = () => undefined

  constructor(options: RoundsOptions) {
    this.#options = options
  }

  /** Everything that a round needs is there; until then nudges come to nothing. */
  open(): void {
    this.#isOpen = true
  }

  /** Resolves when the round under way is over; there is no other one. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#wake()
    await this.#round
  }

  /** Asks for a round; resolves when a round that began after this call is over. */
  nudge(isUrgent = true): Promise<void> {
    if (isUrgent) {
      this.#isUrgent = true
      this.#wake()
    }
    if (this.#isNudged || this.#isClosed) return this.#round
    this.#isNudged = true
    this.#round = this.#round.then(async () => {
      await this.#gather()
      this.#isNudged = false
      this.#isUrgent = false
      if (this.#isClosed || !this.#isOpen) return
      clearTimeout(this.#retry)
      await this.#run()
    })
    return this.#round
  }

  /** How far they are, for who waits for one. */
  get text(): string {
    const ms = Math.round(performance.now() - this.#begunAt)
    return this.#begunAt > this.#endedAt
      ? `the round under way began ${ms} ms ago`
      : `the last round began ${ms} ms ago`
  }

  async #run(): Promise<void> {
    const { work, service, log, onDone } = this.#options
    const begun = performance.now()
    this.#begunAt = begun
    try {
      await work()
      if (service.roundDone()) log.info({}, 'rounds succeed again')
      onDone(performance.now() - begun)
    } catch (error) {
      if (service.roundFailed(Error.isError(error) ? error.message : String(error))) {
        log.error(
          { err: errorFields(error) },
          'a round failed; what it has not changed in the kernel stays as it is, the next one tries again',
        )
      }
      this.#retry = setTimeout(() => void this.nudge(false), RETRY_MS)
    }
    this.#endedAt = performance.now()
    this.#ms = this.#endedAt - begun
  }

  /** Waits for changes that come together; whoever is in a hurry cuts it short. */
  async #gather(): Promise<void> {
    for (;;) {
      const patient = Math.min(LONGEST_GATHER_MS, Math.max(GATHER_MS, this.#ms * (SHARE - 1)))
      const urgent = Math.min(LONGEST_URGENT_MS, Math.max(GATHER_MS, this.#ms))
      const wait = this.#endedAt + (this.#isUrgent || this.#isClosed ? urgent : patient) - performance.now()
      if (wait <= 0) break
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#wake = resolve
      const timer = setTimeout(resolve, wait)
      await promise
      clearTimeout(timer)
    }
    await turn()
  }
}
