/** How busy the machine is with other things: a figure is worth more when it is taken in a quiet moment. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const SAMPLE_MS = 100
const QUIET_SHARE = 0.1

/** Share of the CPUs' time that was taken while this process slept for `ms`. */
export async function busyShare(ms: number): Promise<number> {
  const before = readTicks()
  await sleep(ms)
  const after = readTicks()
  return 1 - (after.idle - before.idle) / Math.max(1, after.total - before.total)
}

/** Returns in a quiet moment, or when `patienceSeconds` are over. */
export async function untilQuiet(patienceSeconds: number): Promise<void> {
  const deadline = performance.now() + patienceSeconds * 1000
  while (performance.now() < deadline && (await busyShare(SAMPLE_MS)) > QUIET_SHARE);
}

function readTicks(): { readonly total: number; readonly idle: number } {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/)
  const total = ticks.slice(0, 8).reduce((sum, value) => sum + Number(value), 0)
  return { total, idle: Number(ticks[3]) + Number(ticks[4]) }
}
