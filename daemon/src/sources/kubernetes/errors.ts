/** Failures of the kubernetes source beside those of the API client (`kubernetes/errors.ts`). */

const REMEDIES = {
  BLOCK_TAKEN: 'claim another block',
} as const

export type ClusterErrorCode = keyof typeof REMEDIES

export class ClusterError extends Error {
  override readonly name = 'ClusterError'
  readonly code: ClusterErrorCode
  readonly remedy: string

  constructor(code: ClusterErrorCode, message: string) {
    super(message)
    this.code = code
    this.remedy = REMEDIES[code]
  }
}
