/**
 * DEL: removes the devices, then gives the addresses back. It needs neither the daemon nor the pod's namespace, and it succeeds when there is
 * nothing to remove. The namespace is never entered: the node's end takes the pod's end with it.
 */

import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { deleteTap, tapName } from './attachment.ts'
import { type Release, release } from './release.ts'

export function del(
  config: { readonly socket: string; readonly stateDir: string },
  key: { readonly containerId: string; readonly ifname: string },
): Release {
  using node = RouteSocket.open()
  deleteTap(node, tapName(key.containerId, key.ifname))
  return release(config, key)
}
