/**
 * Whether pods can be started on this node, and if not, why: what the CNI binary's STATUS, /readyz and introspect tell. A daemon in service whose
 * rounds keep failing is out of service again: what runs may no longer be followed, and an update that causes it must not go on to other nodes.
 */
import type { Readiness } from './ports/ports.ts'

/** Failures that pass sooner than this are nobody's business: requests wait for the next round. */
const PATIENCE_MS = 5_000

export class ServiceState {
  readonly #now: () => number
  #doing = 'starting'
  #isInService = false
  #failure: { readonly reason: string; readonly since: number } | undefined

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** What the start is at. */
  starts(doing: string): void {
    this.#doing = doing
  }

  inService(): void {
    this.#doing = 'in service'
    this.#isInService = true
  }

  /** Whether that is news: a failure that repeats itself isn't. */
  roundFailed(reason: string): boolean {
    const before = this.#failure
    this.#failure = { reason, since: before?.since ?? this.#now() }
    return before?.reason !== reason
  }

  /** Whether the one before had failed. */
  roundDone(): boolean {
    const hadFailed = this.#failure !== undefined
    this.#failure = undefined
    return hadFailed
  }

  /** Why the last round failed; undefined: it didn't. */
  get failure(): string | undefined {
    return this.#failure?.reason
  }

  readiness(): Readiness {
    if (!this.#isInService) return { ready: false, message: this.#doing, podsAffected: false }
    const failure = this.#failure
    if (failure === undefined || this.#now() - failure.since < PATIENCE_MS) return { ready: true }
    return {
      ready: false,
      message: `the datapath can not be brought up to date: ${failure.reason}`,
      podsAffected: true,
    }
  }

  /** One line for people. */
  get text(): string {
    const readiness = this.readiness()
    return readiness.ready ? this.#doing : readiness.message
  }
}
