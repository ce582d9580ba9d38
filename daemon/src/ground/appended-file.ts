/** A file that is written at its end only. What was appended is with the kernel: a daemon that is killed loses none of it, a loss of power may. */
import { closeSync, openSync, rmSync } from 'node:fs'
import { writeAll } from '@kube-vrouter/linux/replace-file'

export class AppendedFile {
  readonly path: string
  readonly #fd: number
  #bytes: number

  /** `flags` as openSync has them; `bytes`: how long it is already. Throws what the file system says; so does `append`. */
  constructor(path: string, flags: 'w' | 'wx' | 'a', bytes = 0) {
    this.path = path
    this.#fd = openSync(path, flags, 0o600)
    this.#bytes = bytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** With one write, as far as the kernel takes it. */
  append(text: string): void {
    const bytes = Buffer.from(text)
    writeAll(this.#fd, bytes)
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
