/**
 * Mocha loads this before all tests (.mocharc.json): what a test or suite says of its time holds for a quick machine that does nothing
 * else. It only ends what hangs, so five times as much does no harm.
 */
import { Runnable } from 'mocha'

const FACTOR = 5

const limit = Runnable.prototype.timeout as (this: Runnable, ms?: string | number) => number & Runnable
/** A suite hands its limit to its tests by the same call, and mocha reads it by one without an argument. */
Runnable.prototype.timeout = function (this: Runnable, ms?: string | number) {
  return ms === undefined ? limit.call(this) : limit.call(this, Number(ms) * FACTOR)
} as typeof Runnable.prototype.timeout
