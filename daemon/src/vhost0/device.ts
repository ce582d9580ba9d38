/**
 * The device vhost0: one end of a veth pair, with the NIC's MAC and MTU. The programs on it and on the NIC redirect every frame, so nothing
 * ever reaches its other end, which is there for the carrier: routes over a device without one may be ignored (`ignore_routes_with_linkdown`).
 * It is ours when its other end has our name for it. Versions before made a persistent TAP, which has no carrier and serves on until the node starts anew.
 */
import { isErrno } from '@kube-vrouter/linux/errors'
import type { LinkInfo } from '@kube-vrouter/linux/netlink/route'
import { writeSysctl } from '@kube-vrouter/linux/sysctl'
import { deleteTap } from '@kube-vrouter/linux/tap'
import { VrouterError } from '../errors.ts'
import type { VhostKernel } from './kernel.ts'
import { inheritSysctls } from './sysctls.ts'

const TX_QUEUE_LENGTH = 1000
/** Bytes of a device's name. */
const NAME_MAX = 15

export function vhostAlias(nic: string): string {
  return `vrouter: carries the addresses of ${nic}`
}

/** Name of the end that nothing reaches. */
export function vhostPeer(vhost: string): string {
  return `${vhost.slice(0, NAME_MAX - '-peer'.length)}-peer`
}

/** Makes vhost0, or brings an existing one in line with the NIC. */
export function ensureVhost(kernel: VhostKernel, nic: LinkInfo, sysctls: Readonly<Record<string, string>>): LinkInfo {
  const existing = kernel.vhost()
  if (existing !== undefined && !isOurs(kernel, existing)) {
    throw VrouterError.of('VHOST_NAME_TAKEN', { vhost: kernel.vhostName, kind: existing.kind ?? 'hardware device' })
  }
  try {
    if (existing === undefined) createVhost(kernel, nic)
    // The alias is set last: without it an earlier daemon didn't get as far as the settings.
    if (existing?.alias !== vhostAlias(kernel.nicName)) inheritSysctls(sysctls, kernel.vhostName, kernel.netns)
    alignVhost(kernel, nic)
    const link = kernel.vhost()
    if (link === undefined) throw new Error('it went away again')
    return link
  } catch (error) {
    throw VrouterError.of(
      'VHOST_DEVICE_FAILED',
      { vhost: kernel.vhostName, reason: (error as Error).message },
      { cause: error },
    )
  }
}

function isOurs(kernel: VhostKernel, link: LinkInfo): boolean {
  return link.kind === 'tun' || peerOf(kernel, link) !== undefined
}

function peerOf(kernel: VhostKernel, { peerIndex }: LinkInfo): LinkInfo | undefined {
  const peer = peerIndex === undefined ? undefined : kernel.route.link(peerIndex)
  return peer?.name === vhostPeer(kernel.vhostName) ? peer : undefined
}

/** MAC and MTU as the NIC's, and up, with a carrier. Returns whether something had to be changed. */
export function alignVhost(kernel: VhostKernel, nic: LinkInfo): boolean {
  const link = kernel.vhost()
  if (link === undefined) return false
  const mac = nic.mac !== link.mac ? nic.mac : undefined
  const mtu = nic.mtu !== link.mtu ? nic.mtu : undefined
  const up = link.up ? undefined : true
  const alias = link.alias === vhostAlias(kernel.nicName) ? undefined : vhostAlias(kernel.nicName)
  const txqlen = link.txqlen === TX_QUEUE_LENGTH ? undefined : TX_QUEUE_LENGTH
  const isRaised = raiseCarrier(kernel, link)
  if ([mac, mtu, up, alias, txqlen].every((change) => change === undefined)) return isRaised
  kernel.route.setLink(link.index, { mac, mtu, up, alias, txqlen })
  return true
}

/** The other end is up, and the host's stack has nothing to do with it. */
function raiseCarrier(kernel: VhostKernel, vhost: LinkInfo): boolean {
  const peer = peerOf(kernel, vhost)
  if (peer === undefined || peer.up) return false
  for (const [family, key, value] of [
    ['ipv6', 'disable_ipv6', 1],
    ['ipv4', 'arp_ignore', 8],
    ['ipv4', 'forwarding', 0],
  ] as const) {
    try {
      writeSysctl(['net', family, 'conf', peer.name, key], value, kernel.netns)
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error // a kernel without IPv6
    }
  }
  kernel.route.setLink(peer.index, { up: true })
  return true
}

export function removeVhost(kernel: VhostKernel): void {
  deleteTap(kernel.vhostName, kernel.netns)
}

/** A veth takes 64 KB packets with open checksums from the stack; the NIC cuts them. */
function createVhost(kernel: VhostKernel, nic: LinkInfo): void {
  const peer = { name: vhostPeer(kernel.vhostName) }
  kernel.route.createVeth({ name: kernel.vhostName, mac: nic.mac, mtu: nic.mtu, peer })
}
