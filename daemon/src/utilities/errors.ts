/**
 * Every failure of the utilities: a stable code, what is printed, and what the operator can do.
 *
 * Requests about something that isn't in the tables fail as the vRouter's own tools do: `vRouter(Response): <strerror> (<errno>)`
 * on stdout (vRouter reference §3). Everything else goes to stderr.
 */

import { CodedError } from '../ground/coded-error.ts'

export type UtilityErrorCode = 'VR_RESPONSE' | 'VR_USAGE' | 'VR_NOT_SUPPORTED' | 'VR_NO_SUCH_TOOL'

export class UtilityError extends CodedError<UtilityErrorCode> {
  override readonly name = 'UtilityError'
}

/** The errors that a request can be answered with, as strerror(3) words them. */
const STRERROR = {
  ENOENT: [2, 'No such file or directory'],
  EINVAL: [22, 'Invalid argument'],
} as const

/** The answer to a request that the tables can't serve: `vRouter(Response): No such file or directory (2)`. */
export function responseError(name: keyof typeof STRERROR): UtilityError {
  const [errno, text] = STRERROR[name]
  return new UtilityError(
    'VR_RESPONSE',
    `vRouter(Response): ${text} (${errno})`,
    'ask for an entry that the list or dump verb shows',
  )
}

export function usageError(message: string): UtilityError {
  return new UtilityError('VR_USAGE', message, 'see --help')
}

export function notSupportedError(what: string, remedy: string): UtilityError {
  return new UtilityError('VR_NOT_SUPPORTED', `${what} is not supported`, remedy)
}

export function noSuchToolError(name: string, tools: readonly string[]): UtilityError {
  return new UtilityError('VR_NO_SUCH_TOOL', `there is no tool named '${name}'`, `name one of: ${tools.join(' ')}`)
}
