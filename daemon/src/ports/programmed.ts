/** Waiting until the datapath forwards for a port. */

import { PortError } from './errors.ts'
import type { Programmed, Settings } from './options.ts'

/** Throws PortError: it took too long, can't be done, or what `signal` was aborted with. */
export async function untilProgrammed(
  { programmed, obstacle, programTimeoutMs }: Pick<Settings, 'programmed' | 'obstacle' | 'programTimeoutMs'>,
  uuid: string,
  signal: AbortSignal,
): Promise<Programmed> {
  const timeout = AbortSignal.timeout(programTimeoutMs)
  const given = Promise.withResolvers<never>()
  const isLate = (): void => {
    const why = obstacle?.(uuid)
    const message = `the datapath was not programmed within ${programTimeoutMs} ms${why === undefined ? '' : `: ${why}`}`
    given.reject(PortError.of('PROGRAM_TIMEOUT', message))
  }
  const isEnded = (): void => given.reject(signal.reason)
  timeout.addEventListener('abort', isLate)
  signal.addEventListener('abort', isEnded)
  if (signal.aborted) isEnded()
  try {
    return await Promise.race([programmed(uuid, AbortSignal.any([signal, timeout])), given.promise])
  } catch (error) {
    if (error instanceof PortError) throw error
    throw PortError.of('PROGRAM_FAILED', `cannot program the datapath: ${(error as Error).message}`, { cause: error })
  } finally {
    timeout.removeEventListener('abort', isLate)
    signal.removeEventListener('abort', isEnded)
    given.promise.catch(() => undefined)
  }
}
