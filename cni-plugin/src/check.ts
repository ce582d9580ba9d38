/** CHECK: compares what is there with what the daemon says should be, and with the result of ADD. What others added beside it is fine. */

import type { AllocateReply } from '@kube-vrouter/daemon/port-api/messages'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { openNamespace } from './attachment.ts'
import type { NetworkConfig } from './config.ts'
import { Daemon, daemonError } from './daemon.ts'
import type { Attachment } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'

export function check(config: NetworkConfig, attachment: Attachment): void {
  const { containerId, ifname, netns } = attachment
  if (!config.prevResult)
    throw new CniError(
      ErrorCode.INVALID_CONFIG,
      'CHECK needs prevResult',
      'the container runtime passes the result of ADD',
    )
  using namespace = openNamespace(netns, attachment.netnsOverride)
  const port = expected(config.socket, containerId, ifname)
  using node = RouteSocket.open()
  using pod = RouteSocket.open({ netns: namespace })

  const tap = node.link(port.tap)
  if (!tap) throw failed(`device ${port.tap} is gone`)
  if (!tap.up) throw failed(`device ${port.tap} is down`)
  const link = pod.link(ifname)
  if (!link) throw failed(`the pod has no interface ${ifname}`)
  if (!link.up) throw failed(`interface ${ifname} is down`)
  if (link.mac !== port.mac) throw failed(`interface ${ifname} has MAC ${link.mac}; it should be ${port.mac}`)
  if (link.mtu > port.mtu) throw failed(`interface ${ifname} has MTU ${link.mtu}; it should be at most ${port.mtu}`)
  if (tap.peerIndex !== link.index) throw failed(`interface ${ifname} is not the peer of ${port.tap}`)

  const addresses = pod.addresses({ index: link.index })
  for (const { address, prefixLength } of port.addresses) {
    const isThere = addresses.some((there) => there.address === address && there.prefixLength === prefixLength)
    if (!isThere) throw failed(`interface ${ifname} lacks the address ${address}/${prefixLength}`)
  }
  for (const { destination, gateway } of port.routes) {
    const [address, length] = destination.split('/')
    const isThere = pod
      .routes({ oif: link.index })
      .some(
        (route) => route.gateway === gateway && route.destination === address && route.prefixLength === Number(length),
      )
    if (!isThere) throw failed(`the pod lacks the route ${destination} via ${gateway}`)
  }
  checkPrevResult(config.prevResult, port, ifname)
}

function expected(socket: string, containerId: string, ifname: string): AllocateReply {
  try {
    using daemon = Daemon.connect(socket)
    return daemon.call<AllocateReply>({ op: 'get', containerId, ifname })
  } catch (error) {
    const refusal = daemonError(error)
    throw refusal.code === ErrorCode.REFUSED ? failed(refusal.message, refusal.details) : refusal
  }
}

/** The runtime and the daemon must speak of the same addresses. */
function checkPrevResult(prevResult: Record<string, unknown>, port: AllocateReply, ifname: string): void {
  const ips = Array.isArray(prevResult['ips']) ? (prevResult['ips'] as { address?: unknown }[]) : []
  for (const { address, prefixLength } of port.addresses) {
    if (ips.length > 0 && !ips.some((ip) => ip.address === `${address}/${prefixLength}`)) {
      throw failed(`prevResult lacks the address ${address}/${prefixLength} of ${ifname}`)
    }
  }
}

function failed(message: string, details = 'delete the pod: the runtime makes it anew'): CniError {
  return new CniError(ErrorCode.CHECK_FAILED, message, details)
}
