/**
 * The file beside cni.sock that says since when the daemon last was in service. It outlives the daemon for a while: the CNI binary's STATUS goes by it,
 * so a daemon that restarts (an upgrade, a crash) doesn't take its node out of service; ADD waits for its successor meanwhile. In a folder that
 * doesn't outlive a reboot.
 */
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** In the folder of cni.sock; the CNI binary knows this name too. */
export const SERVICE_MARK = 'in-service'

/** The CNI binary believes a mark of up to a minute. */
const TOUCH_MS = 10_000

export class ServiceMark implements Disposable {
  readonly #path: string
  readonly #timer: NodeJS.Timeout

  /** `folder`: paths.run. Throws what the file system says. */
  constructor(folder: string) {
    this.#path = join(folder, SERVICE_MARK)
    this.#touch()
    this.#timer = setInterval(() => {
      try {
        this.#touch()
      } catch {
        // Said once at the start; a folder that is lost later shows in ADD, too.
      }
    }, TOUCH_MS).unref()
  }

  #touch(): void {
    const now = new Date()
    try {
      utimesSync(this.#path, now, now)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      writeFileSync(this.#path, '', { mode: 0o600 })
    }
  }

  /** The mark stays, and grows old. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
