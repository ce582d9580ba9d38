/**
 * STATUS: whether ADD can be served. Asked every few seconds, so it is one question on the socket. A daemon that was in service less than a minute ago
 * is being restarted: ADD waits for it, so the node stays in service.
 */

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NetworkConfig } from './config.ts'
import { Daemon, DaemonGarbled, DaemonRefused, DaemonUnreachable, GARBLED_REMEDY } from './daemon.ts'
import { CniError, ErrorCode } from './errors.ts'

const ANSWER_MS = 5_000
/** What the daemon writes while it is in service (its port-api/service-mark.ts): the boot, and the milliseconds since; how old it may be, milliseconds. */
const SERVICE_MARK = 'in-service'
const MARK_MS = 60_000
const BOOT_ID = '/proc/sys/kernel/random/boot_id'

export function status(config: NetworkConfig): void {
  try {
    using daemon = Daemon.connect(config.socket)
    daemon.call({ op: 'status' }, ANSWER_MS)
  } catch (error) {
    if (error instanceof DaemonUnreachable) {
      if (config.daemonWaitMs > 0 && isRestarting(config.socket)) return
      throw new CniError(
        ErrorCode.NOT_AVAILABLE,
        error.message,
        'start the vRouter daemon on this node, or see its log',
      )
    }
    if (error instanceof DaemonGarbled) throw new CniError(ErrorCode.NOT_AVAILABLE, error.message, GARBLED_REMEDY)
    if (!(error instanceof DaemonRefused)) throw error
    const isBroken = error.reply.code === 'DATAPATH_BROKEN'
    const code = isBroken ? ErrorCode.NOT_AVAILABLE_PODS_AFFECTED : ErrorCode.NOT_AVAILABLE
    throw new CniError(code, error.message, error.reply.details)
  }
}

function isRestarting(socket: string): boolean {
  try {
    const [boot, ms] = readFileSync(join(dirname(socket), SERVICE_MARK), 'utf8').split(' ')
    const age = Number(process.hrtime.bigint() / 1_000_000n) - Number(ms)
    return boot === readFileSync(BOOT_ID, 'utf8').trim() && age >= 0 && age < MARK_MS
  } catch {
    return false
  }
}
