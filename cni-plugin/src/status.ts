/** STATUS: whether ADD can be served. Asked every few seconds, so it is one question on the socket. */

import type { NetworkConfig } from './config.ts'
import { Daemon, DaemonRefused, DaemonUnreachable } from './daemon.ts'
import { CniError, ErrorCode } from './errors.ts'

const ANSWER_MS = 5_000

export function status(config: NetworkConfig): void {
  try {
    using daemon = Daemon.connect(config.socket)
    daemon.call({ op: 'status' }, ANSWER_MS)
  } catch (error) {
    if (error instanceof DaemonUnreachable) {
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
