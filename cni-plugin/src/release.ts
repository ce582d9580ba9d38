/** Giving an attachment back to the daemon, now or, when it is down, by a file that it reads when it is back. */

import { mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { Daemon, DaemonRefused, DaemonUnreachable } from './daemon.ts'
import { CniError, ErrorCode } from './errors.ts'

interface Key {
  readonly containerId: string
  readonly ifname: string
}

/** How long DEL waits for a daemon that took the connection but doesn't answer. */
const ANSWER_MS = 10_000

export type Release = 'released' | 'queued'

/** Never fails because of the daemon. Throws TRY_AGAIN when not even the file can be written. */
export function release(config: { readonly socket: string; readonly stateDir: string }, key: Key): Release {
  if (tryRelease(config.socket, key)) return 'released'
  const file = queue(config.stateDir, key)
  // The daemon reads the queue after it has begun to listen. So either it will find the file, or it listens by now.
  if (!tryRelease(config.socket, key)) return 'queued'
  rmSync(file, { force: true })
  return 'released'
}

function tryRelease(socket: string, key: Key): boolean {
  try {
    using daemon = Daemon.connect(socket)
    daemon.call({ op: 'release', containerId: key.containerId, ifname: key.ifname }, ANSWER_MS)
    return true
  } catch (error) {
    if (error instanceof DaemonUnreachable || error instanceof DaemonRefused) return false
    throw error
  }
}

function queue(stateDir: string, key: Key): string {
  const folder = `${stateDir}/deletes`
  const file = `${folder}/${recordKey(key)}.json`
  const temporary = `${file}.${process.pid}.tmp`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(temporary, `${JSON.stringify({ containerId: key.containerId, ifname: key.ifname })}\n`, {
      mode: 0o600,
      flush: true,
    })
    renameSync(temporary, file)
    return file
  } catch (error) {
    try {
      unlinkSync(temporary)
    } catch {
      // It was never made.
    }
    const { code, message } = error as NodeJS.ErrnoException
    throw new CniError(
      ErrorCode.TRY_AGAIN,
      `the vRouter daemon is down, and the deletion cannot be queued in ${folder}: ${code ?? message}`,
      'start the daemon, or free space on that file system',
    )
  }
}

/** As the daemon names its records: '-' in the interface's name is written %2d, so the last '-' always parts the two. */
export function recordKey({ containerId, ifname }: Key): string {
  return `${containerId}-${ifname.replaceAll('%', '%25').replaceAll('-', '%2d')}`
}
