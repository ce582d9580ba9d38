/**
 * Dumps of kernel tables: rows in messages of 100, taken from slices so that the event loop is never held up.
 */
import type { Message } from './wire.ts'

export const ROWS_PER_DUMP_MESSAGE = 100

/**
 * A dump as messages. `isWrapped`: clients expect at least two of them (introspect reference 2.12), so a short dump gets an
 * empty one at its end.
 */
export async function* dump<Row>(
  rows: AsyncIterable<Row> | Iterable<Row>,
  response: (rows: readonly Row[]) => Message,
  { isWrapped = false } = {},
): AsyncGenerator<Message> {
  let batch: Row[] = []
  let messages = 0
  for await (const row of rows) {
    if (batch.length === ROWS_PER_DUMP_MESSAGE) {
      yield response(batch)
      messages++
      batch = []
    }
    batch.push(row)
  }
  if (batch.length > 0 || messages === 0) {
    yield response(batch)
    messages++
  }
  if (isWrapped && messages < 2) yield response([])
}

export async function* flat<T>(slices: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const slice of slices) yield* slice
}

/**
 * The rows of unordered slices in the order of `keyOf`. Each slice is sorted by itself and they are merged as rows are asked
 * for, so no step is longer than a slice.
 */
export async function* inOrder<T>(slices: AsyncIterable<readonly T[]>, keyOf: (row: T) => string): AsyncGenerator<T> {
  const runs: { readonly row: T; readonly key: string }[][] = []
  for await (const slice of slices) {
    // Last one first, so that taking the head is a pop.
    const run = slice.map((row) => ({ row, key: keyOf(row) })).sort((a, b) => (a.key < b.key ? 1 : -1))
    if (run.length > 0) runs.push(run)
  }
  while (runs.length > 0) {
    let first = 0
    for (let index = 1; index < runs.length; index++) {
      if (runs[index]!.at(-1)!.key < runs[first]!.at(-1)!.key) first = index
    }
    yield runs[first]!.pop()!.row
    if (runs[first]!.length === 0) runs.splice(first, 1)
  }
}

/** The `count` rows with the smallest keys beyond `after`, in order; memory is bounded by `count`. */
export async function smallest<T>(
  slices: AsyncIterable<readonly T[]>,
  keyOf: (row: T) => string,
  { after, count }: { readonly after: string; readonly count: number },
): Promise<readonly T[]> {
  let best: { readonly row: T; readonly key: string }[] = []
  for await (const slice of slices) {
    for (const row of slice) {
      const key = keyOf(row)
      if (key > after) best.push({ row, key })
    }
    best = best.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, count)
  }
  return best.map(({ row }) => row)
}

/** Text that sorts as the address does: IPv4 and IPv6 each among themselves. */
export function sortableAddress(address: string): string {
  if (!address.includes(':'))
    return address
      .split('.')
      .map((byte) => byte.padStart(3, '0'))
      .join('.')
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length
  return [...groups, ...Array<string>(zeros).fill('0'), ...rest].map((group) => group.padStart(4, '0')).join(':')
}
