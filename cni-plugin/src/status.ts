/**
 * STATUS: whether ADD can be served. Asked every few seconds, so it is one question on the socket. A daemon that was in service less than a minute ago
 * is being restarted: ADD waits for it, so the node stays in service.
 */

import { statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { NetworkConfig } from './config.ts'
import { Daemon, DaemonRefused, DaemonUnreachable } from './daemon.ts'
import { CniError, ErrorCode } from './errors.ts'

const ANSWER_MS = 5_000
/** What the daemon touches while it is in service (its port-api/service-mark.ts), and how old it may be, milliseconds. */
const SERVICE_MARK = 'in-service'
const MARK_MS = 60_000

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
    if (!(error instanceof DaemonRefused)) throw error
    const isBroken = error.reply.code === 'DATAPATH_BROKEN'
    const code = isBroken ? ErrorCode.NOT_AVAILABLE_PODS_AFFECTED : ErrorCode.NOT_AVAILABLE
    throw new CniError(code, error.message, error.reply.details)
  }
}

function isRestarting(socket: string): boolean {
  try {
    return Date.now() - statSync(join(dirname(socket), SERVICE_MARK)).mtimeMs < MARK_MS
  } catch {
    return false
  }
}
