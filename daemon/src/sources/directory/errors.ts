/** Failures of the directory source: stable code, and what the operator can do. */

const REMEDIES = {
  FOLDER_MISSING: 'create the folder, or correct source.path',
  BLOCK_TAKEN: 'claim another block',
  DISK_FULL: 'free space on the file system of source.path',
  WRITE_FAILED: 'make source.path writable for the daemon',
} as const

export type SourceErrorCode = keyof typeof REMEDIES

export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code: SourceErrorCode
  readonly remedy: string

  constructor(code: SourceErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.remedy = REMEDIES[code]
  }
}

/** The error of a failed write or removal of `file`. */
export function writeError(attempted: string, file: string, cause: unknown): SourceError {
  const { code, message } = cause as NodeJS.ErrnoException
  const isFull = code === 'ENOSPC' || code === 'EDQUOT'
  return new SourceError(isFull ? 'DISK_FULL' : 'WRITE_FAILED', `cannot ${attempted} ${file}: ${code ?? message}`, {
    cause,
  })
}
