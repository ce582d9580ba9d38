/** What distinguishes one list of fronts from the one before: most are the same objects at the same places. Pure. */
import type { Front } from '../../model/tables.ts'

export interface FrontChanges {
  /** New objects; such that take the place of others with the same address and port are among them. */
  readonly made: readonly Front[]
  readonly gone: readonly Front[]
}

export function changesOf(before: readonly Front[], after: readonly Front[]): FrontChanges {
  if (before === after) return { made: [], gone: [] }
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before[head] === after[head]) head++
  let tail = 0
  while (tail < shorter - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  const made: Front[] = []
  const gone: Front[] = []
  for (let at = head; at < Math.max(before.length, after.length) - tail; at++) {
    const [old, now] = [before[at], after[at]]
    if (old === now) continue
    if (old !== undefined && at < before.length - tail) gone.push(old)
    if (now !== undefined && at < after.length - tail) made.push(now)
  }
  // Where one came or went, all behind it are at other places.
  const [olds, news] = [new Set(gone), new Set(made)]
  return { made: made.filter((front) => !olds.has(front)), gone: gone.filter((front) => !news.has(front)) }
}
