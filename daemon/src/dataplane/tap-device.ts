/**
 * The host's side of a pod's tap: no addresses, no IPv6, no forwarding, no answers of the host's own stack, and up. Everything that a pod
 * sends is the tap program's; what passes by it must find nothing. It is taken up only when the program is attached, so that a pod
 * never talks to a host without it.
 */
import type { LinkInfo, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { readSysctl, writeSysctl } from '@kube-vrouter/linux/sysctl'

/** Room for bursts where somebody puts a queueing discipline on the tap. */
const TX_QUEUE_LENGTH = 1000

const ipv4: readonly (readonly [key: string, value: string])[] = [
  ['rp_filter', '0'], // sources are checked by the program; with `all` set strict the host would drop injected frames
  ['forwarding', '0'],
  ['proxy_arp', '0'],
  ['arp_ignore', '8'], // the host answers no ARP here
  ['accept_local', '0'],
  ['send_redirects', '0'],
]

/** Sets what differs; an existing tap that is right costs a few reads. Throws what the kernel refuses. */
export function configureTap(route: RouteSocket, link: LinkInfo): void {
  for (const [key, value] of ipv4) setSysctl(['net', 'ipv4', 'conf', link.name, key], value)
  setSysctl(['net', 'ipv6', 'conf', link.name, 'disable_ipv6'], '1')
  const txqlen = link.txqlen === TX_QUEUE_LENGTH ? undefined : TX_QUEUE_LENGTH
  if (!link.up || txqlen !== undefined) route.setLink(link.index, { up: true, txqlen })
}

/** Takes the tap out of service before its program is detached. One that is gone is fine. */
export function retireTap(route: RouteSocket, ifindex: number): void {
  const link = route.link(ifindex)
  if (link?.up) route.setLink(ifindex, { up: false })
}

function setSysctl(key: readonly string[], value: string): void {
  try {
    if (readSysctl(key) !== value) writeSysctl(key, value)
  } catch (error) {
    // Without IPv6 in the kernel there is nothing to turn off.
    if (key[1] === 'ipv6' && (error as { code?: unknown }).code === 'ENOENT') return
    throw error
  }
}
