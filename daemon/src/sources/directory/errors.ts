/** Failures of the directory source: stable code, and what the operator can do. */

import { CodedError, isDiskFull } from '../../ground/coded-error.ts'

const REMEDIES = {
  FOLDER_MISSING: 'create the folder, or correct source.path',
  BLOCK_TAKEN: 'claim another block',
  DISK_FULL: 'free space on the file system of source.path',
  WRITE_FAILED: 'make source.path writable for the daemon',
} as const

export type SourceErrorCode = keyof typeof REMEDIES

export class SourceError extends CodedError<SourceErrorCode> {
  override readonly name = 'SourceError'

  constructor(code: SourceErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, REMEDIES[code], options)
  }
}

/** The error of a failed write or removal of `file`. */
export function writeError(attempted: string, file: string, cause: unknown): SourceError {
  const { code, message } = cause as NodeJS.ErrnoException
  const reason = isDiskFull(cause) ? 'DISK_FULL' : 'WRITE_FAILED'
  return new SourceError(reason, `cannot ${attempted} ${file}: ${code ?? message}`, { cause })
}
