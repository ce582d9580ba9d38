/**
 * The file beside cni.sock that says when the daemon last was in service. It outlives the daemon for a while: the CNI binary's STATUS goes by it,
 * so a daemon that restarts (an upgrade, a crash) doesn't take its node out of service; ADD waits for its successor meanwhile. The time stands in it,
 * as the boot and the milliseconds since: a wall clock may be set back or forward.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '@kube-vrouter/linux/replace-file'

/** In the folder of cni.sock; the CNI binary knows this name and what stands in the file (its status.ts). */
export const SERVICE_MARK = 'in-service'

/** The CNI binary believes a mark of up to a minute. */
const TOUCH_MS = 10_000

export class ServiceMark implements Disposable {
  readonly #path: string
  readonly #boot: string
  readonly #timer: NodeJS.Timeout

  /** `folder`: paths.run. Throws what the file system says. */
  constructor(folder: string) {
    this.#path = join(folder, SERVICE_MARK)
    this.#boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
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
    const ms = process.hrtime.bigint() / 1_000_000n
    replaceFile(this.#path, `${this.#path}.tmp`, `${this.#boot} ${ms}\n`, 0o600)
  }

  /** The mark stays, and grows old. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
