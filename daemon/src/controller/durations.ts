/**
 * For how long things have been so: the only memory that loops have. A new leader starts it anew, so it waits rather longer than too
 * short before it takes anything away.
 */
export class Durations {
  readonly #since = new Map<string, number>()
  #seen = new Set<string>()
  #now = 0
  #wakeAt = Number.POSITIVE_INFINITY

  /** A pass begins. `now`: milliseconds of any clock that doesn't jump. */
  begin(now: number): void {
    this.#now = now
    this.#seen = new Set()
    this.#wakeAt = Number.POSITIVE_INFINITY
  }

  /** Whether `what` has been asked for in every pass since at least `ms` ago. Things that aren't asked for in a pass start anew. */
  haveLasted(what: string, ms: number): boolean {
    this.#seen.add(what)
    const since = this.#since.get(what) ?? this.#now
    this.#since.set(what, since)
    if (this.#now - since >= ms) return true
    this.#wakeAt = Math.min(this.#wakeAt, since + ms)
    return false
  }

  /** The pass is over. Milliseconds until the next thing that was asked for will have lasted; undefined: none. */
  end(): number | undefined {
    for (const what of this.#since.keys()) if (!this.#seen.has(what)) this.#since.delete(what)
    return this.#wakeAt === Number.POSITIVE_INFINITY ? undefined : this.#wakeAt - this.#now
  }
}
