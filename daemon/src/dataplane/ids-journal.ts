/**
 * What has changed of the ids since the file that names this journal was written: a JSON document a line, in order. A line is with the kernel when `append`
 * returns, so a daemon that is killed loses none; when the machine goes down the kernel's tables go too, and nothing is left that the numbers would
 * have to fit.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { IdChange } from '../model/ids.ts'

export const JOURNAL_NAME = /^ids\.journal-[0-9a-f]{16}$/

export class IdsJournal {
  readonly path: string
  readonly #fd: number
  #bytes: number

  private constructor(path: string, fd: number, bytes: number) {
    this.path = path
    this.#fd = fd
    this.#bytes = bytes
  }

  /** A new one, under a name that no file has named before. Throws what the file system says; so do the others. */
  static create(folder: string): IdsJournal {
    const path = join(folder, `ids.journal-${randomBytes(8).toString('hex')}`)
    return new IdsJournal(path, openSync(path, 'wx', 0o600), 0)
  }

  /**
   * Reads the one that a file names and goes on with it. Undefined: its last line was cut short, so nothing can be put behind it, or it is
   * gone. Throws what `apply` throws.
   */
  static resume(path: string, apply: (change: unknown) => void): IdsJournal | undefined {
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
    return rest === '' ? new IdsJournal(path, openSync(path, 'a', 0o600), Buffer.byteLength(text)) : undefined
  }

  get bytes(): number {
    return this.#bytes
  }

  /** All of them with one write. */
  append(changes: readonly IdChange[]): void {
    const bytes = Buffer.from(changes.map((change) => `${JSON.stringify(change)}\n`).join(''))
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
