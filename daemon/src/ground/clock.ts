/** What time it is, and what is done later: handed in where tests turn the hands themselves (`test/doubles/fake-clock.ts`). */
export interface Clock {
  /** Milliseconds since some moment; they only go forward. */
  now(): number
  /** Does `work` in that many milliseconds, with 0 in the next turn of the event loop, unless the timer is cleared before. */
  after(ms: number, work: () => void): Timer
}

export interface Timer {
  clear(): void
}

export const realClock: Clock = {
  now: () => performance.now(),
  after: (ms, work) => {
    if (ms <= 0) {
      const turn = setImmediate(work)
      return { clear: () => clearImmediate(turn) }
    }
    const timer = setTimeout(work, ms)
    return { clear: () => clearTimeout(timer) }
  },
}
