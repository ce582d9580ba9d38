/** What goes wrong in a call to the kernel. Everything that this package throws on purpose is a SystemError. */

import { errnoName, errnoText } from './errno.ts'

/**
 * A failed call. `message` reads "<what was attempted>: <CODE> <text>", with the kernel's own words instead of the errno's text
 * where it gave some (netlink's extended acknowledgement, the verifier).
 */
export class SystemError extends Error {
  override readonly name: string = 'SystemError'
  /** The symbolic errno, such as 'EEXIST'. */
  readonly code: string
  /** The positive errno number. */
  readonly errno: number
  /** The call that failed, such as 'setns', 'bpf' or 'netlink'. */
  readonly syscall: string
  /** What was attempted: the beginning of the message. */
  readonly attempted: string
  /** The kernel's own words, where it gave some. */
  readonly detail: string | undefined

  constructor(syscall: string, errno: number, attempted: string, detail?: string) {
    const code = errnoName(errno)
    super(`${attempted}: ${code} ${detail || errnoText(errno)}`)
    this.code = code
    this.errno = errno
    this.syscall = syscall
    this.attempted = attempted
    this.detail = detail || undefined
  }
}

/** True for a SystemError with one of `codes`, so that callers write `if (!isErrno(error, 'ENOENT')) throw error`. */
export function isErrno(error: unknown, ...codes: readonly string[]): error is SystemError {
  return error instanceof SystemError && codes.includes(error.code)
}
