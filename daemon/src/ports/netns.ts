/** Whether a path still is a network namespace: a file of nsfs. An unmounted name leaves an ordinary file, or none. */

import { statfs } from 'node:fs/promises'

const NSFS_MAGIC = 0x6e736673

export async function isNamespaceAlive(path: string): Promise<boolean> {
  try {
    return (await statfs(path)).type === NSFS_MAGIC
  } catch {
    return false
  }
}
