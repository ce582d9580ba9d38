/** The log file that the configuration may name: one JSON line for each call. stdout belongs to the result, stderr stays empty. */

import { appendFileSync } from 'node:fs'
import type { LogLevel, NetworkConfig } from './config.ts'

const ORDER: readonly LogLevel[] = ['debug', 'info', 'error']

/** A log that can't be written is no reason to fail. */
export function log(config: Pick<NetworkConfig, 'logFile' | 'logLevel'>, level: LogLevel, fields: object): void {
  if (!config.logFile || ORDER.indexOf(level) < ORDER.indexOf(config.logLevel)) return
  try {
    appendFileSync(
      config.logFile,
      `${JSON.stringify({ time: new Date().toISOString(), level, pid: process.pid, ...fields })}\n`,
      { mode: 0o600 },
    )
  } catch {
    // Nowhere to say so.
  }
}
