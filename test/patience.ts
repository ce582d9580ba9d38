/**
 * How long tests wait. They wait for what must happen, never for time to pass, and give up after a limit that only what never happens
 * reaches: also on a machine that is many times slower, and busy with other work.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export const PATIENCE_MS = 60_000

export interface WaitOptions {
  readonly limitMs?: number
  readonly pollMs?: number
}

/** The first value of `check` that isn't undefined, null or false. What it throws means: not yet. */
export async function until<T>(
  what: string,
  check: () => T | Promise<T>,
  { limitMs = PATIENCE_MS, pollMs = 10 }: WaitOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + limitMs
  for (;;) {
    let last: unknown
    try {
      const seen = await check()
      if (seen !== undefined && seen !== null && seen !== false) return seen as NonNullable<Exclude<T, false>>
      last = `it was ${String(seen)}`
    } catch (error) {
      last = error
    }
    if (performance.now() > end) {
      const said = Error.isError(last) ? last.message : String(last)
      throw new Error(`not within ${limitMs / 1000} s: ${what} (${said})`, { cause: last })
    }
    await sleep(pollMs)
  }
}
