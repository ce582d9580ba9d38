/** Failures of the kubernetes source beside those of the API client (`kubernetes/errors.ts`). */

import { CodedError } from '../../ground/coded-error.ts'

const REMEDIES = {
  BLOCK_TAKEN: 'claim another block',
} as const

export type ClusterErrorCode = keyof typeof REMEDIES

export class ClusterError extends CodedError<ClusterErrorCode> {
  override readonly name = 'ClusterError'

  constructor(code: ClusterErrorCode, message: string) {
    super(code, message, REMEDIES[code])
  }
}
