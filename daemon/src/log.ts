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

/**
 * What of an error an operator needs: code, message, remedy, and what the causes say; a stack only where the error is nobody's own. One of ours
 * says what was attempted and why it failed: where in whose code its cause came to be says no more.
 */
export function errorFields(error: unknown): unknown {
  if (!Error.isError(error)) return error
  const { code, remedy, message, cause, stack } = error as Error & { code?: unknown; remedy?: unknown }
  const isOurs = code !== undefined
  return {
    code,
    message,
    remedy,
    cause: cause === undefined ? undefined : isOurs ? causeOf(cause) : errorFields(cause),
    stack: isOurs ? undefined : stack,
  }
}

function causeOf(cause: unknown): unknown {
  if (!Error.isError(cause)) return cause
  const messages: string[] = []
  for (let at: unknown = cause; Error.isError(at) && messages.length < 5; at = at.cause) messages.push(at.message)
  return messages.join(': ')
}

/** For a line that says the message itself, of what is tried again: the code alone, of an error that is nobody's own everything. */
export function briefly(error: unknown): object {
  const { code } = (Error.isError(error) ? error : {}) as { readonly code?: unknown }
  return code === undefined ? { err: errorFields(error) } : { code }
}
