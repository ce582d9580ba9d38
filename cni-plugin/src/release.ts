/** Giving an attachment back to the daemon, now or, when it is down, by a file that it reads when it is back. */

import { closeSync, fsyncSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { Daemon, DaemonGarbled, DaemonRefused, DaemonUnreachable } from './daemon.ts'
import { CniError, ErrorCode } from './errors.ts'
import { sha256Hex } from './sha256.ts'

interface Key {
  readonly containerId: string
  readonly ifname: string
}

/** How long DEL waits for a daemon that took the connection but doesn't answer: its request is in the daemon's hands then, and in the queue too. */
const ANSWER_MS = 3_000

export type Release = 'released' | 'queued'

/** Never fails because of the daemon. Throws TRY_AGAIN when not even the file can be made. */
export function release(config: { readonly socket: string; readonly stateDir: string }, key: Key): Release {
  const first = tryRelease(config.socket, key)
  if (first === 'released') return 'released'
  const file = queue(config.stateDir, key)
  if (first === 'late') return 'queued'
  // The daemon reads the queue after it has begun to listen. So either it will find the file, or it listens by now.
  if (tryRelease(config.socket, key) !== 'released') return 'queued'
  rmSync(file, { force: true })
  return 'released'
}

function tryRelease(socket: string, key: Key): 'released' | 'late' | 'failed' {
  const giveUp = performance.now() + ANSWER_MS
  try {
    using daemon = Daemon.connect(socket)
    daemon.call({ op: 'release', containerId: key.containerId, ifname: key.ifname }, ANSWER_MS)
    return 'released'
  } catch (error) {
    const isDaemons =
      error instanceof DaemonUnreachable || error instanceof DaemonRefused || error instanceof DaemonGarbled
    if (!isDaemons) throw error
    return performance.now() >= giveUp ? 'late' : 'failed'
  }
}

/**
 * The name says all: an empty file is enough, which even a full disk takes, and there is no moment at which half of it is there.
 */
function queue(stateDir: string, key: Key): string {
  const folder = `${stateDir}/deletes`
  const file = `${folder}/${recordKey(key)}.json`
  try {
    makeFolder(folder)
    const fd = openSync(file, 'w', 0o600)
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    return file
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CniError(
      ErrorCode.TRY_AGAIN,
      `the vRouter daemon is down, and the deletion cannot be queued in ${folder}: ${code ?? message}`,
      'start the daemon, or make that file system writable',
    )
  }
}

/** With its parents. Node's own `recursive` calls a read-only file system ENOENT, and never ends below /proc. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || path === '/') throw error
    makeFolder(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}

/** Longest key, bytes: `<key>.json.<n>.tmp` must fit a file name of 255. */
const LONGEST_KEY = 230

/** As the daemon names its records (its ports/records.ts): what fits no file name ends in a hash of all of it. */
export function recordKey({ containerId, ifname }: Key): string {
  const key = `${containerId}-${ifname.replaceAll('%', '%25').replaceAll('-', '%2d')}`
  if (Buffer.byteLength(key) <= LONGEST_KEY) return key
  return `${containerId.slice(0, 64)}~${sha256Hex(`${containerId}/${ifname}`)}`
}
