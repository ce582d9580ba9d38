/**
 * /proc/sys. Keys are given as their parts, because interface names may hold dots and slashes may not:
 * `['net', 'ipv4', 'conf', 'eth0.100', 'rp_filter']`, or as a path 'net/ipv4/ip_forward'.
 * Everything under net/ is looked up in the namespace of the opening thread, so `netns` works without a process in there.
 */

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { SystemError } from './errors.ts'
import { type NamespaceHandle, withNamespace } from './namespace.ts'

export type SysctlKey = string | readonly string[]

let root = '/proc/sys'

/**
 * Where the settings are for the whole process; default: /proc/sys. In a container without privileges that is read-only, and another mount of
 * the host's takes its place.
 */
export function setSysctlRoot(folder: string): void {
  root = folder
}

/** The file of a key. A string is split at slashes, never at dots. */
export function sysctlPath(key: SysctlKey): string {
  const parts = typeof key === 'string' ? key.split('/') : key
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..' || part.includes('/') || part.includes('\0')) {
      throw new SystemError('open', 22, `cannot name a sysctl with the part '${part}'`)
    }
  }
  return `${root}/${parts.join('/')}`
}

/** The value, without the trailing newline. */
export function readSysctl(key: SysctlKey, netns?: NamespaceHandle): string {
  const path = sysctlPath(key)
  return inside(netns, () => attempt(`cannot read ${path}`, () => readFileSync(path, 'utf8').trimEnd()))
}

export function writeSysctl(key: SysctlKey, value: string | number, netns?: NamespaceHandle): void {
  const path = sysctlPath(key)
  inside(netns, () =>
    attempt(`cannot write ${value} to ${path}`, () => {
      const fd = openSync(path, 'w')
      try {
        writeSync(fd, `${value}\n`)
      } finally {
        closeSync(fd)
      }
    }),
  )
}

function inside<T>(netns: NamespaceHandle | undefined, fn: () => T): T {
  return netns === undefined ? fn() : withNamespace(netns, fn)
}

function attempt<T>(attempted: string, fn: () => T): T {
  try {
    return fn()
  } catch (error) {
    const { errno, syscall } = error as NodeJS.ErrnoException
    if (typeof errno !== 'number') throw error
    throw new SystemError(syscall ?? 'open', Math.abs(errno), attempted)
  }
}
