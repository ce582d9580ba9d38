/**
 * What has changed of the ids since the file that names this journal was written: a JSON document a line, in order. A line is with the kernel when `append`
 * returns, so a daemon that is killed loses none; when the machine goes down the kernel's tables go too, and nothing is left that the numbers would
 * have to fit.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AppendedFile } from '../ground/appended-file.ts'
import type { IdChange } from '../model/ids.ts'

export const JOURNAL_NAME = /^ids\.journal-[0-9a-f]{16}$/

/** A new one, under a name that no file has named before. Throws what the file system says; so do the others. */
export function createJournal(folder: string): AppendedFile {
  return new AppendedFile(join(folder, `ids.journal-${randomBytes(8).toString('hex')}`), 'wx')
}

/**
 * Reads the one that a file names and goes on with it. Undefined: its last line was cut short, so nothing can be put behind it, or it is
 * gone. Throws what `apply` throws.
 */
export function resumeJournal(path: string, apply: (change: unknown) => void): AppendedFile | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const lines = text.split('\n')
  const rest = lines.pop()
  for (const line of lines) apply(JSON.parse(line))
  return rest === '' ? new AppendedFile(path, 'a', Buffer.byteLength(text)) : undefined
}

/** All of them with one write. */
export function appendChanges(journal: AppendedFile, changes: readonly IdChange[]): void {
  journal.append(changes.map((change) => `${JSON.stringify(change)}\n`).join(''))
}
