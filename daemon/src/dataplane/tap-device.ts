/**
 * The host's side of a pod's tap: no addresses, no IPv6, no forwarding, no answers of the host's own stack, and up. Everything that a pod
 * sends is the tap program's; what passes by it must find nothing. It is taken up only when the program is attached, so that a pod
 * never talks to a host without it.
 */
import { existsSync } from 'node:fs'
import { isErrno } from '@kube-vrouter/linux/errors'
import { type LinkInfo, type RouteSocket, setLink } from '@kube-vrouter/linux/netlink/route'
import { readSysctl, sysctlPath, writeSysctl } from '@kube-vrouter/linux/sysctl'

/** Room for bursts where somebody puts a queueing discipline on the tap. */
const TX_QUEUE_LENGTH = 1000

const ipv4 = {
  rp_filter: 0, // sources are checked by the program; with `all` set strict the host would drop injected frames
  forwarding: 0,
  proxy_arp: 0,
  arp_ignore: 8, // the host answers no ARP here
  accept_local: 0,
  send_redirects: 0,
} as const

/**
 * Sets up the tap of a new pod, whatever it is like. By netlink: the files of /proc/sys cost a pod 40 system calls, and whoever writes `forwarding` there
 * while somebody holds the kernel's network lock spins until it is free.
 */
export function configureNewTap(route: RouteSocket, link: LinkInfo): void {
  disableIpv6(link.name)
  route.applyAll([setLink(link.index, { ipv4 }), setLink(link.index, { up: true, txqlen: TX_QUEUE_LENGTH })])
}

/** Sets what differs; an existing tap that is right costs a few reads. Throws what the kernel refuses. */
export function configureTap(route: RouteSocket, link: LinkInfo): void {
  const isRight = Object.entries(ipv4).every(
    ([key, value]) => readSysctl(['net', 'ipv4', 'conf', link.name, key]) === `${value}`,
  )
  if (!isRight) route.setLink(link.index, { ipv4 })
  disableIpv6(link.name)
  const txqlen = link.txqlen === TX_QUEUE_LENGTH ? undefined : TX_QUEUE_LENGTH
  if (!link.up || txqlen !== undefined) route.setLink(link.index, { up: true, txqlen })
}

/** Without asking by netlink, which would wait for the kernel's network lock. */
export function hasDevice(name: string): boolean {
  return existsSync(sysctlPath(['net', 'ipv4', 'conf', name]))
}

/** Takes the tap out of service before its program is detached. One that is gone is fine. */
export function retireTap(route: RouteSocket, ifindex: number): void {
  const link = route.link(ifindex)
  if (link?.up) route.setLink(ifindex, { up: false })
}

function disableIpv6(device: string): void {
  const key = ['net', 'ipv6', 'conf', device, 'disable_ipv6']
  try {
    if (readSysctl(key) !== '1') writeSysctl(key, 1)
  } catch (error) {
    // Without IPv6 in the kernel there is nothing to turn off.
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
