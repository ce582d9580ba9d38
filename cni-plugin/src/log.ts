/**
 * What a call leaves behind besides its result: one JSON line in the log file that the configuration may name, and word to the daemon of what failed here.
 * stdout belongs to the result, stderr stays empty.
 */

import { appendFileSync, closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs'
import type { LogLevel, NetworkConfig } from './config.ts'
import { Daemon } from './daemon.ts'

const ORDER: readonly LogLevel[] = ['debug', 'info', 'error']

/** A file that is longer is put aside: `<file>.1` is the youngest of `KEPT`. */
const MAX_BYTES = 10 * 1024 * 1024
const KEPT = 3

/** Who rotates holds `<file>.lock`; one that is older was left by a process that was killed. */
const LOCK_MS = 10_000
/** Clocks of files and of processes differ by a tick. */
const CLOCK_ERROR_MS = 1000

/** How long a call that failed waits for the daemon to take the report. */
const REPORT_MS = 500

/** A log that can't be written is no reason to fail. */
export function log(
  config: Pick<NetworkConfig, 'logFile' | 'logLevel'>,
  level: LogLevel,
  fields: object,
  maxBytes = MAX_BYTES,
): void {
  if (!config.logFile || ORDER.indexOf(level) < ORDER.indexOf(config.logLevel)) return
  try {
    rotate(config.logFile, maxBytes)
    appendFileSync(
      config.logFile,
      `${JSON.stringify({ time: new Date().toISOString(), level, pid: process.pid, ...fields })}\n`,
      { mode: 0o600 },
    )
  } catch {
    // Nowhere to say so.
  }
}

/** Tells the daemon, whose log people read first. It may be what failed: then nobody hears. */
export function report(
  config: Pick<NetworkConfig, 'socket'>,
  message: string,
  fields: Readonly<Record<string, string | number>>,
): void {
  try {
    using daemon = Daemon.connect(config.socket, REPORT_MS)
    daemon.call({ op: 'report', message, fields }, REPORT_MS)
  } catch {
    // The runtime has the error.
  }
}

function rotate(file: string, maxBytes: number): void {
  if (!isLong(file, maxBytes)) return
  const lock = `${file}.lock`
  if (ageOf(lock) > LOCK_MS) rmSync(lock, { force: true })
  let fd: number
  try {
    fd = openSync(lock, 'wx', 0o600)
  } catch {
    // Somebody else is at it.
    return
  }
  try {
    // Two that saw a long file must not put a new one aside after it.
    if (!isLong(file, maxBytes)) return
    for (let i = KEPT - 1; i >= 1; i--) moveIfThere(`${file}.${i}`, `${file}.${i + 1}`)
    moveIfThere(file, `${file}.1`)
  } finally {
    closeSync(fd)
    rmSync(lock, { force: true })
  }
}

function isLong(file: string, maxBytes: number): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > maxBytes
}

/** Milliseconds; 0 when it isn't there. One of the future was made before the clock was set back: nobody knows when. */
function ageOf(file: string): number {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  const age = Date.now() - stat.mtimeMs
  return age < -CLOCK_ERROR_MS ? Number.POSITIVE_INFINITY : age
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
