/**
 * The one shape of our errors. Each part has a table: a code, which stays as it is for scripts and documents, and what the operator can do about it.
 * The message says what was attempted, on what, and why it failed.
 */
export abstract class CodedError<Code extends string> extends Error {
  readonly code: Code
  /** What the operator can do. */
  readonly remedy: string

  constructor(code: Code, message: string, remedy: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.remedy = remedy
  }
}

/** Whether a write failed because there is no room, or no more of it for us. */
export function isDiskFull(cause: unknown): boolean {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'ENOSPC' || code === 'EDQUOT'
}
