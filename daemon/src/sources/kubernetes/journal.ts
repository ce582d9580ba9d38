/**
 * What came and went since a snapshot was begun, a JSON document a line, in order. A line is with the kernel when `append` returns, so a daemon that is
 * killed loses none; a power loss may.
 */
import { readFileSync } from 'node:fs'
import type { StoredKind } from './cluster.ts'

export interface Entry {
  readonly kind: StoredKind
  readonly key: string
  /** Absent: it is gone. */
  readonly value?: unknown
}

export function lineOf(entry: Entry): string {
  return `${JSON.stringify(entry)}\n`
}

/** Up to the first line that isn't whole. A journal that isn't there is empty. */
export function* readJournal(path: string): Generator<Entry> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      yield JSON.parse(line) as Entry
    } catch {
      return
    }
  }
}
