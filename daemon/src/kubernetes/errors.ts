/** What can go wrong with the API server: stable code, and what the operator can do. */

import { CodedError } from '../ground/coded-error.ts'

const REMEDIES = {
  API_UNREACHABLE: 'see whether the API server runs, and whether this node reaches its address (source.server)',
  API_UNAUTHORIZED: "see whether the token or certificate is still valid; a service account's is renewed by kubelet",
  API_FORBIDDEN: 'give the service account the roles of the chart',
  API_NOT_FOUND:
    'nothing, where the object is not needed any more; a kind that is missing comes with the CRDs of the chart',
  API_CONFLICT: 'nothing: it is tried again with the object as it is now',
  API_GONE: 'nothing: everything is listed again',
  API_BUSY: 'nothing, if it passes; else see the flow control of the API server',
  API_INVALID: 'see whether the CRDs are of the same version as the program',
  API_FAILED: 'see the log of the API server',
  API_GARBLED: 'see whether a proxy lies between this node and the API server',
  CREDENTIALS_UNUSABLE: 'correct source.kubeconfig, or give the pod a service account',
} as const

export type ApiErrorCode = keyof typeof REMEDIES

interface Details extends ErrorOptions {
  /** HTTP status. */
  readonly status?: number
  /** `reason` of the Status object, such as AlreadyExists. */
  readonly reason?: string
  /** Reasons of the Status object's causes, such as NamespaceTerminating. */
  readonly causes?: readonly string[]
  /** As the server asked for. */
  readonly retryAfterMs?: number
}

export class ApiError extends CodedError<ApiErrorCode> {
  override readonly name = 'ApiError'
  readonly status: number | undefined
  readonly reason: string | undefined
  readonly causes: readonly string[]
  readonly retryAfterMs: number | undefined

  constructor(code: ApiErrorCode, message: string, { status, reason, causes, retryAfterMs, cause }: Details = {}) {
    super(code, message, REMEDIES[code], cause === undefined ? undefined : { cause })
    this.status = status
    this.reason = reason
    this.causes = causes ?? []
    this.retryAfterMs = retryAfterMs
  }
}

/** `Status` of the Kubernetes API, of which any part may be missing. */
export interface StatusObject {
  readonly message?: string
  readonly reason?: string
  readonly code?: number
  readonly details?: {
    readonly retryAfterSeconds?: number
    readonly causes?: readonly { readonly reason?: string }[]
  }
}

export function codeOfStatus(status: number): ApiErrorCode {
  if (status === 401) return 'API_UNAUTHORIZED'
  if (status === 403) return 'API_FORBIDDEN'
  if (status === 404) return 'API_NOT_FOUND'
  if (status === 409) return 'API_CONFLICT'
  if (status === 410) return 'API_GONE'
  if (status === 429) return 'API_BUSY'
  return status >= 500 || status < 400 ? 'API_FAILED' : 'API_INVALID'
}

/** The error of an answer that isn't a success. `attempted`: `GET /api/v1/nodes/a`. */
export function statusError(attempted: string, status: number, body: unknown, retryAfterMs?: number): ApiError {
  const { message, reason, details } = (typeof body === 'object' && body !== null ? body : {}) as StatusObject
  const words = typeof message === 'string' ? message : typeof body === 'string' ? body.trim().slice(0, 200) : ''
  const seconds = details?.retryAfterSeconds
  return new ApiError(codeOfStatus(status), `${attempted}: ${status}${words === '' ? '' : ` ${words}`}`, {
    status,
    reason,
    causes: Array.isArray(details?.causes) ? details.causes.map((one) => String(one?.reason)) : [],
    retryAfterMs: retryAfterMs ?? (typeof seconds === 'number' ? seconds * 1000 : undefined),
  })
}

export function isApiError(error: unknown, ...codes: readonly ApiErrorCode[]): error is ApiError {
  return error instanceof ApiError && (codes.length === 0 || codes.includes(error.code))
}

/** Whether an object could not be made because its namespace is being deleted, or gone: nobody will miss it. */
export function isNamespaceLeaving(error: unknown): boolean {
  return (
    isApiError(error, 'API_NOT_FOUND') ||
    (isApiError(error, 'API_FORBIDDEN') && error.causes.includes('NamespaceTerminating'))
  )
}
