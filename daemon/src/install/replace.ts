/** Files that others run, replaced as a whole and checked. */
import { chmodSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { replaceFileDurably } from '@kube-vrouter/linux/replace-file'
import { type Fingerprint, fingerprint, isSame } from './patch.ts'

const MODE = 0o755
const TEMPORARY = /^\.vrouter-.+\.\d+\.tmp$/

/** Same bytes, and executable. A mode that is too tight is put right where that is possible. */
export function isThere(file: string, wanted: Fingerprint): boolean {
  const info = statSync(file, { throwIfNoEntry: false })
  if (info === undefined || !info.isFile() || info.size !== wanted.size) return false
  if (!isSame(fingerprint(readFileSync(file)), wanted)) return false
  if ((info.mode & MODE) === MODE) return true
  try {
    chmodSync(file, MODE)
    return true
  } catch {
    return false
  }
}

/** Runtimes take any name for a plugin: one with a dot is none that a configuration names. */
export function replace(file: string, bytes: Uint8Array): void {
  replaceFileDurably(file, join(dirname(file), `.vrouter-${basename(file)}.${process.pid}.tmp`), bytes, MODE)
}

/** Of installers that were killed. */
export function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) if (TEMPORARY.test(name)) rmSync(join(folder, name), { force: true })
}
