/**
 * Whether pods can be started on this node, and if not, why: what the CNI binary's STATUS, /readyz and introspect tell. A daemon in service whose
 * rounds keep failing is out of service again: what runs may no longer be followed, and an update that causes it must not go on to other nodes.
 */
import type { Readiness } from '../ports/options.ts'

/** Failures that pass sooner than this are nobody's business: requests wait for the next round. */
const PATIENCE_MS = 5_000

export class ServiceState {
  readonly #now: () => number
  #doing = 'starting'
  #isInService = false
  #damage: { readonly message: string; readonly since: number } | undefined
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

  /** Somebody else changes the tables; undefined: not any more. */
  damaged(damage: string | undefined): void {
    this.#damage = damage === undefined ? undefined : { message: damage, since: this.#damage?.since ?? this.#now() }
  }

  /** Why the last round failed; undefined: it didn't. */
  get failure(): string | undefined {
    return this.#failure?.reason
  }

  readiness(): Readiness {
    if (!this.#isInService) return { ready: false, message: this.#doing, podsAffected: false }
    const isLasting = (what: { readonly since: number }) => this.#now() - what.since >= PATIENCE_MS
    const [failure, damage] = [this.#failure, this.#damage]
    if (failure !== undefined && isLasting(failure)) {
      const message = `the datapath can not be brought up to date: ${failure.reason}`
      return { ready: false, message, podsAffected: true }
    }
    if (damage !== undefined && isLasting(damage)) return { ready: false, message: damage.message, podsAffected: true }
    return { ready: true }
  }

  /** The same for /readyz and introspect, which tell of damage at once: nobody's pods are moved away because of them. */
  health(): Readiness {
    const readiness = this.readiness()
    if (!readiness.ready || this.#damage === undefined) return readiness
    return { ready: false, message: this.#damage.message, podsAffected: true }
  }

  /** One line for people. */
  get text(): string {
    const readiness = this.health()
    return readiness.ready ? this.#doing : readiness.message
  }
}
