import type { Problem } from '../model/tables.ts'

/** A problem in one line, for people. */
export function textOf({ object, message }: Problem): string {
  return `${object}: ${message}`
}
