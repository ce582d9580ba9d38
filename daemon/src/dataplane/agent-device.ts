/** pkt0: the TAP between the datapath and the daemon. The device is made here; who reads it is packet/. It stays when the daemon ends. */
import { isErrno } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { writeSysctl } from '@kube-vrouter/linux/sysctl'
import { openTap } from '@kube-vrouter/linux/tap'
import { reasonOf, VrouterError } from '../errors.ts'
import { AGENT_MAC } from '../model/names.ts'

/** Makes the device, or repairs it; returns its ifindex. Throws DEVICE_FAILED. */
export function ensureAgentDevice(name: string): number {
  try {
    using route = RouteSocket.open()
    const existing = route.link(name)
    if (existing !== undefined && existing.kind !== 'tun') {
      throw new Error(`there is a device of kind ${existing.kind ?? 'hardware'} with that name`)
    }
    // Somebody who holds the device open (a reader that still runs) is fine: it exists then.
    if (!existing) close(openTap({ name, persist: true }).fd)
    const link = route.link(name)!
    quiet(name)
    const mac = link.mac === AGENT_MAC ? undefined : AGENT_MAC
    if (mac !== undefined || !link.up) route.setLink(link.index, { mac, up: true })
    return link.index
  } catch (error) {
    throw VrouterError.of('DEVICE_FAILED', { device: name, reason: reasonOf(error) }, { cause: error })
  }
}

/**
 * The host's own stack has no business on pkt0: the program there takes every frame. It counts as a device that forwards, because
 * programs may look up the kernel's routes for such only (lib/neighbour.h and lib/kernel_route.h of the datapath).
 */
function quiet(name: string): void {
  for (const [family, key, value] of [
    ['ipv6', 'disable_ipv6', '1'],
    ['ipv4', 'arp_ignore', '8'],
    ['ipv4', 'forwarding', '1'],
    ['ipv6', 'forwarding', '1'],
  ] as const) {
    try {
      writeSysctl(['net', family, 'conf', name, key], value)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    }
  }
}
