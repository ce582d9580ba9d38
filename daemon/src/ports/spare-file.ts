/**
 * An empty file that was made ahead of time, for whoever needs a new one at once: to make a file takes some machines milliseconds, to rename one doesn't.
 * The next one is made when nobody has asked for a while. That there is none is no failure.
 */
import { closeSync, fstatSync, openSync, statSync, unlinkSync } from 'node:fs'

const QUIET_MS = 200

export interface TakenFile {
  readonly fd: number
  readonly path: string
}

export class SpareFile implements Disposable {
  readonly #path: string
  #fd: number | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** `path`: on the file system of the file that it becomes, and nobody else's. */
  constructor(path: string) {
    this.#path = path
  }

  /** There will be one in a moment. */
  makeLater(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#timer = setTimeout(() => this.#make(), QUIET_MS)
    this.#timer.unref()
  }

  /** The file, open for writing: the caller renames it and closes it. Undefined: none is ready. */
  take(): TakenFile | undefined {
    const fd = this.#fd
    this.#fd = undefined
    this.makeLater()
    if (fd === undefined) return undefined
    if (this.#isThere(fd)) return { fd, path: this.#path }
    closeSync(fd)
    return undefined
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
    this.#remove()
  }

  /** What a killed daemon left may have been written to. */
  #make(): void {
    this.#remove()
    try {
      this.#fd = openSync(this.#path, 'wx', 0o600)
    } catch {
      // The next record says what is wrong with the disk.
    }
  }

  #isThere(fd: number): boolean {
    return statSync(this.#path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino
  }

  #remove(): void {
    try {
      unlinkSync(this.#path)
    } catch {
      // There is none.
    }
  }
}
