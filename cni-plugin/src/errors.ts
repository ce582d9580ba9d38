/**
 * Every failure of the CNI binary: the code that the runtime gets (CNI specification 1.1, "Well-known error codes"; 100 and up are ours, listed for
 * operators in docs/cni.md) and the message. `details` says what the operator can do.
 */

import { SystemError } from '@kube-vrouter/linux/errors'

export const ErrorCode = {
  INCOMPATIBLE_VERSION: 1,
  INVALID_ENVIRONMENT: 4,
  IO_FAILURE: 5,
  DECODING_FAILURE: 6,
  INVALID_CONFIG: 7,
  /** CNI_NETNS is the namespace of the plugin itself. */
  INVALID_NETNS: 8,
  TRY_AGAIN: 11,
  NOT_AVAILABLE: 50,
  NOT_AVAILABLE_PODS_AFFECTED: 51,
  /** The daemon refused, and repeating won't help. */
  REFUSED: 100,
  /** The interface name is taken in the pod's namespace. */
  INTERFACE_EXISTS: 101,
  /** The kernel refused to make or configure a device. */
  KERNEL: 102,
  /** CHECK found the attachment different from what it should be. */
  CHECK_FAILED: 103,
  /** The pod's network namespace is gone. */
  NETNS_GONE: 104,
  /** CNI_NETNS names something that is no network namespace. */
  NOT_A_NETNS: 105,
  INTERNAL: 999,
} as const

export class CniError extends Error {
  override readonly name = 'CniError'
  readonly code: number
  readonly details: string | undefined

  constructor(code: number, message: string, details?: string) {
    super(message)
    this.code = code
    this.details = details
  }
}

/** Whatever was thrown, as a CniError. */
export function cniErrorOf(error: unknown): CniError {
  if (error instanceof CniError) return error
  if (error instanceof SystemError) return new CniError(ErrorCode.KERNEL, error.message)
  // What failed first is the cause; errors of the clean-up come on top of it.
  if (error instanceof SuppressedError) {
    const first = cniErrorOf(error.suppressed)
    return new CniError(
      first.code,
      first.message,
      [first.details, `cleaning up failed too: ${cniErrorOf(error.error).message}`].filter(Boolean).join('; '),
    )
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return new CniError(ErrorCode.INTERNAL, error instanceof Error ? error.message : text, text)
}

export function errorDocument(error: CniError, cniVersion: string): object {
  const { code, message: msg, details } = error
  return { cniVersion, code, msg, ...(details ? { details } : {}) }
}
