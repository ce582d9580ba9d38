/**
 * The daemon's log: one JSON object per line on standard output, with `time` (ISO 8601), `level` (a word), `component` and `msg`.
 * Each part of the daemon gets its own child: `log.child({ component: 'dataplane' })`.
 */
import { pino } from 'pino'
import type { Config } from './config/config.ts'

export type Log = Pick<pino.Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'> & {
  child(fields: { readonly component: string }): Log
}

export function createLog(level: Config['log']['level'], destination?: pino.DestinationStream): Log {
  const options: pino.LoggerOptions = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: errorFields },
  }
  return destination ? pino(options, destination) : pino(options)
}

/** A log that says nothing, for tests and tools. */
export const silent: Log = pino({ level: 'silent' })

/** What of an error an operator needs: code, message, remedy, and the causes; the stack only where the error is nobody's own. */
export function errorFields(error: unknown): unknown {
  if (!Error.isError(error)) return error
  const { code, remedy, message, cause, stack } = error as Error & { code?: unknown; remedy?: unknown }
  return {
    code,
    message,
    remedy,
    cause: cause === undefined ? undefined : errorFields(cause),
    stack: code === undefined ? stack : undefined,
  }
}
