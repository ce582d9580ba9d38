/** Settings of the NIC under /proc/sys/net: what is recorded of them, and what vhost0 takes over so that the node's stack behaves as before. */
import { readdirSync } from 'node:fs'
import { isErrno } from '@kube-vrouter/linux/errors'
import { type NamespaceHandle, withNamespace } from '@kube-vrouter/linux/namespace'
import { readSysctl, sysctlPath, writeSysctl } from '@kube-vrouter/linux/sysctl'

const FOLDERS = [
  ['net', 'ipv4', 'conf'],
  ['net', 'ipv6', 'conf'],
  ['net', 'ipv4', 'neigh'],
  ['net', 'ipv6', 'neigh'],
] as const

/** Set to values of our own on vhost0, or about the device and not about behaviour. */
const NOT_INHERITED: ReadonlySet<string> = new Set([
  'net/ipv6/conf/addr_gen_mode',
  'net/ipv6/conf/disable_ipv6',
  'net/ipv6/conf/keep_addr_on_down',
  'net/ipv6/conf/stable_secret',
  'net/ipv6/conf/mtu',
  'net/ipv4/conf/ignore_routes_with_linkdown',
  'net/ipv6/conf/ignore_routes_with_linkdown',
  'net/ipv6/conf/mc_forwarding',
  'net/ipv4/conf/mc_forwarding',
])

/** The kernel would make a link-local address of its own; the NIC's comes along instead. */
const ADDR_GEN_NONE = 1

/** All settings of a device that can be read, as `net/ipv4/conf/rp_filter` -> value. */
export function readDeviceSysctls(device: string, netns?: NamespaceHandle): Record<string, string> {
  const settings: Record<string, string> = {}
  for (const folder of FOLDERS) {
    for (const name of listSettings([...folder, device], netns)) {
      const value = readSetting([...folder, device, name], netns)
      if (value !== undefined) settings[[...folder, name].join('/')] = value
    }
  }
  return settings
}

/**
 * Gives vhost0 the NIC's settings. Should it be without a carrier (a TAP of an earlier version, its other end set down), routes over it are to be used
 * all the same; IPv6 addresses must survive its being set down.
 */
export function inheritSysctls(
  settings: Readonly<Record<string, string>>,
  device: string,
  netns?: NamespaceHandle,
): void {
  for (const [key, value] of Object.entries(settings)) {
    if (NOT_INHERITED.has(key)) continue
    writeSetting(deviceKey(key, device), value, netns)
  }
  writeSetting(deviceKey('net/ipv6/conf/addr_gen_mode', device), ADDR_GEN_NONE, netns)
  writeSetting(deviceKey('net/ipv6/conf/disable_ipv6', device), 0, netns)
  writeSetting(deviceKey('net/ipv6/conf/keep_addr_on_down', device), 1, netns)
  writeSetting(deviceKey('net/ipv4/conf/ignore_routes_with_linkdown', device), 0, netns)
  writeSetting(deviceKey('net/ipv6/conf/ignore_routes_with_linkdown', device), 0, netns)
}

function deviceKey(key: string, device: string): string[] {
  const parts = key.split('/')
  return [...parts.slice(0, 3), device, ...parts.slice(3)]
}

function listSettings(folder: readonly string[], netns?: NamespaceHandle): string[] {
  const list = () => {
    try {
      return readdirSync(sysctlPath(folder)).sort()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }
  return netns === undefined ? list() : withNamespace(netns, list)
}

/** Some settings can't be read (stable_secret before it is set) or written in every kernel: those aren't worth a failure. */
function readSetting(key: readonly string[], netns?: NamespaceHandle): string | undefined {
  try {
    return readSysctl(key, netns)
  } catch (error) {
    if (isErrno(error, 'EIO', 'EACCES', 'EINVAL', 'ENOENT', 'EPERM')) return undefined
    throw error
  }
}

function writeSetting(key: readonly string[], value: string | number, netns?: NamespaceHandle): void {
  try {
    writeSysctl(key, value, netns)
  } catch (error) {
    if (!isErrno(error, 'EIO', 'EACCES', 'EINVAL', 'ENOENT', 'EPERM')) throw error
  }
}
