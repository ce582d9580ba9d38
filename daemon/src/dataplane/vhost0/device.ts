/**
 * The device vhost0: a persistent TAP with the NIC's MAC and MTU that nobody holds open. It shows NO-CARRIER and carries traffic all the
 * same, because the programs on it and on the NIC redirect every frame. It is ours when it has our alias.
 */
import { close, ioctl } from '@kube-vrouter/linux/ffi'
import type { LinkInfo } from '@kube-vrouter/linux/netlink/route'
import { deleteTap, openTap } from '@kube-vrouter/linux/tap'
import { VrouterError } from '../../errors.ts'
import type { VhostKernel } from './kernel.ts'
import { inheritSysctls } from './sysctls.ts'

const TX_QUEUE_LENGTH = 1000
const TUNSETOFFLOAD = 0x400454d0
const OFFLOAD = { CSUM: 0x01, TSO4: 0x02, TSO6: 0x04, TSO_ECN: 0x08, USO4: 0x20, USO6: 0x40 } as const
const OFFLOADS = OFFLOAD.CSUM | OFFLOAD.TSO4 | OFFLOAD.TSO6 | OFFLOAD.TSO_ECN
const OFFLOADS_UDP = OFFLOADS | OFFLOAD.USO4 | OFFLOAD.USO6

export function vhostAlias(nic: string): string {
  return `vrouter: carries the addresses of ${nic}`
}

/** Makes vhost0, or brings an existing one in line with the NIC. An existing one isn't opened: that would raise and drop its carrier. */
export function ensureVhost(kernel: VhostKernel, nic: LinkInfo, sysctls: Readonly<Record<string, string>>): LinkInfo {
  const existing = kernel.vhost()
  if (existing !== undefined && existing.kind !== 'tun') {
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

/** MAC and MTU as the NIC's, and up. Returns whether something had to be changed. */
export function alignVhost(kernel: VhostKernel, nic: LinkInfo): boolean {
  const link = kernel.vhost()
  if (link === undefined) return false
  const mac = nic.mac !== link.mac ? nic.mac : undefined
  const mtu = nic.mtu !== link.mtu ? nic.mtu : undefined
  const up = link.up ? undefined : true
  const alias = link.alias === vhostAlias(kernel.nicName) ? undefined : vhostAlias(kernel.nicName)
  const txqlen = link.txqlen === TX_QUEUE_LENGTH ? undefined : TX_QUEUE_LENGTH
  if ([mac, mtu, up, alias, txqlen].every((change) => change === undefined)) return false
  kernel.route.setLink(link.index, { mac, mtu, up, alias, txqlen })
  return true
}

export function removeVhost(kernel: VhostKernel): void {
  deleteTap(kernel.vhostName, kernel.netns)
}

/** The offloads stay with the device after its descriptor is closed: the stack hands 64 KB packets with open checksums to the programs, and the NIC cuts them. */
function createVhost(kernel: VhostKernel, nic: LinkInfo): void {
  const tap = openTap({ name: kernel.vhostName, persist: true, mac: nic.mac, mtu: nic.mtu, netns: kernel.netns })
  try {
    try {
      ioctl(tap.fd, TUNSETOFFLOAD, OFFLOADS_UDP)
    } catch {
      // Kernels before 6.2 know no UDP segmentation on a TAP.
      ioctl(tap.fd, TUNSETOFFLOAD, OFFLOADS, `cannot set the offloads of ${kernel.vhostName}`)
    }
  } finally {
    close(tap.fd)
  }
}
