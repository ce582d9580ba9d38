/**
 * GC: removes the attachments of this network that the runtime doesn't list as valid. Without a list it knows nothing of them, and nothing is removed.
 * What fails doesn't stop the rest.
 */

import type { ListReply } from '@kube-vrouter/daemon/port-api/messages'
import type { NetworkConfig } from './config.ts'
import { Daemon, daemonError } from './daemon.ts'
import { del } from './del.ts'
import { CniError, cniErrorOf, ErrorCode } from './errors.ts'
import { recordKey } from './release.ts'

export function gc(config: NetworkConfig): void {
  if (!config.validAttachments) return
  const valid = new Set(config.validAttachments.map(recordKey))
  const failures: string[] = []
  for (const attachment of attachmentsOf(config)) {
    if (valid.has(recordKey(attachment))) continue
    try {
      del(config, attachment)
    } catch (error) {
      failures.push(`${attachment.containerId} ${attachment.ifname}: ${cniErrorOf(error).message}`)
    }
  }
  if (failures.length > 0) {
    throw new CniError(ErrorCode.TRY_AGAIN, `cannot remove ${failures.length} attachments`, failures.join('; '))
  }
}

function attachmentsOf(config: NetworkConfig): ListReply['attachments'] {
  try {
    using daemon = Daemon.connect(config.socket)
    return daemon.call<ListReply>({ op: 'list', network: config.name }).attachments
  } catch (error) {
    throw daemonError(error)
  }
}
