import { QUESTION_REFUSALS } from './questions.ts'

/** Why there is no answer. */
export const SILENT_REASONS = [
  'not_handled',
  'malformed',
  'truncated',
  'unknown_vrf',
  'not_own_address',
  'no_source_address',
  'answer_not_allowed',
  'later_service',
  'unanswered',
  'answer_late',
  ...QUESTION_REFUSALS,
] as const
export type SilentReason = (typeof SILENT_REASONS)[number]

/** An IP packet to send back, or why there is none. */
export type Answer = Uint8Array | SilentReason
