/** Which run of a kernel, and which of its network namespaces: what is written down about one counts for no other. */
import { readFileSync, statSync } from 'node:fs'
import { type NamespaceHandle, withNamespace } from './namespace.ts'

export interface KernelIdentity {
  readonly boot: string
  /** Inode of the network namespace. */
  readonly netns: number
}

/** Of this thread's namespace, or of that one. */
export function kernelIdentity(netns?: NamespaceHandle): KernelIdentity {
  const inode = () => statSync('/proc/thread-self/ns/net').ino
  return {
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    netns: netns === undefined ? inode() : withNamespace(netns, inode),
  }
}
