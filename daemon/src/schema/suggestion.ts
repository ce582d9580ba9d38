/** "Did you mean": the known word closest to one that isn't known. */

/** The candidate with the fewest edits, or undefined when none is near. Case and separators count for nothing. */
export function suggestion(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(word)
  let best: string | undefined
  let fewest = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const candidate of candidates) {
    const other = plain(candidate)
    const edits = distance(wanted, other, fewest)
    if (edits < fewest) {
      best = candidate
      fewest = edits
    }
  }
  return best
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/** Edits (insert, delete, replace, swap neighbours) from `a` to `b`; `limit` when there are as many or more. */
export function distance(a: string, b: string, limit = Number.POSITIVE_INFINITY): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let older: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let edits = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) edits = Math.min(edits, older[j - 2]! + 1)
      row.push(edits)
    }
    older = previous
    previous = row
  }
  return Math.min(previous[b.length]!, limit)
}
