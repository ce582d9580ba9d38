/** What could not be brought into the kernel, and why. */
import type { Subject } from '../model/tables.ts'

export interface TableFailure {
  readonly subject: Subject
  /** The same, in words. */
  readonly object: string
  readonly error: Error
  /** Passes by itself: no error for the log. */
  readonly isExpected?: boolean
}
