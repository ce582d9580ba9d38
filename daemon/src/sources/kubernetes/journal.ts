/**
 * What came and went since a snapshot was begun, a JSON document a line, in order. A line is with the kernel when `append` returns, so a daemon that is
 * killed loses none; a power loss may.
 */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import type { StoredKind } from './cluster.ts'

export interface Entry {
  readonly kind: StoredKind
  readonly key: string
  /** Absent: it is gone. */
  readonly value?: unknown
}

export class Journal {
  readonly path: string
  readonly #fd: number
  #bytes = 0

  /** Throws what the file system says; so does `append`. */
  constructor(path: string) {
    this.path = path
    this.#fd = openSync(path, 'w', 0o600)
  }

  get bytes(): number {
    return this.#bytes
  }

  append(lines: string): void {
    const bytes = Buffer.from(lines)
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at)
    this.#bytes += bytes.length
  }

  close(): void {
    closeSync(this.#fd)
  }

  remove(): void {
    this.close()
    rmSync(this.path, { force: true })
  }
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
