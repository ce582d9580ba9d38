/** Long work of the model in pieces: generators that yield between them, so that whoever runs them can give the event loop a turn. */

/** Items between two turns: about a millisecond. */
export const SLICE = 1024

/** Sorted, as a new list; what compares as equal stays in its order. */
export function* sortInSlices<T>(items: readonly T[], compare: (a: T, b: T) => number): Generator<void, T[]> {
  let runs: T[][] = []
  for (let from = 0; from < items.length; from += SLICE) {
    runs.push(items.slice(from, from + SLICE).sort(compare))
    yield
  }
  while (runs.length > 1) {
    const longer: T[][] = []
    for (let at = 0; at < runs.length; at += 2) longer.push(yield* merge(runs[at]!, runs[at + 1] ?? [], compare))
    runs = longer
  }
  return runs[0] ?? []
}

function* merge<T>(first: readonly T[], second: readonly T[], compare: (a: T, b: T) => number): Generator<void, T[]> {
  const merged: T[] = []
  let [i, j] = [0, 0]
  while (i < first.length && j < second.length) {
    merged.push(compare(first[i]!, second[j]!) <= 0 ? first[i++]! : second[j++]!)
    if (merged.length % SLICE === 0) yield
  }
  return merged.concat(first.slice(i), second.slice(j))
}
