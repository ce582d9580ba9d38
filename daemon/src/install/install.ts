/**
 * `vrouter install`, the init container: puts the CNI binary where the container runtime looks for it. The file is never opened for writing
 * while a runtime may run it: a copy is made beside it, synced, and renamed. What is there and the same is left alone, so a host whose folder is
 * read-only and whose image has the binary baked in is fine.
 */
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { applyPatch, type Fingerprint, fingerprint, isSame, patchHeader } from './patch.ts'

export const PLUGIN_NAME = 'vrouter-cni'

/** Where the image has what the binary is made of. */
export const DEFAULT_PLUGIN = '/usr/lib/vrouter/cni/vrouter-cni.patch'
/** The loopback plugin of the reference plugins (containernetworking-plugins). */
export const DEFAULT_LOOPBACK = '/usr/lib/cni/loopback'
export const DEFAULT_FOLDER = '/opt/cni/bin'

export interface InstallOptions {
  /** The runtime's folder of plugins. */
  readonly folder: string
  /** The binary, or (`*.patch`) what makes it of `base`. */
  readonly plugin: string
  /** The node binary that the patch was made for; default: the one that runs this. */
  readonly base?: string
  readonly log: Log
}

export type Installed = 'identical' | 'installed'

/** Throws CNI_PLUGIN_UNUSABLE or CNI_FOLDER_NOT_WRITABLE. */
export function installPlugin({ folder, plugin, base = process.execPath, log }: InstallOptions): Installed {
  const file = join(folder, PLUGIN_NAME)
  const wanted = readPlugin(plugin, base)
  if (isThere(file, wanted.fingerprint)) {
    log.info({ component: 'install', file, sha256: wanted.fingerprint.sha256 }, 'the CNI binary is there already')
    return 'identical'
  }
  const bytes = wanted.bytes()
  try {
    mkdirSync(folder, { recursive: true })
    removeLeftovers(folder)
    replace(folder, file, bytes)
    if (!isThere(file, wanted.fingerprint)) throw new Error('what was written reads differently')
  } catch (error) {
    throw VrouterError.of('CNI_FOLDER_NOT_WRITABLE', { file, reason: reasonOf(error) }, { cause: error })
  }
  log.info({ component: 'install', file, sha256: wanted.fingerprint.sha256 }, 'the CNI binary is installed')
  return 'installed'
}

/** The plugin that brings up `lo`: container runtimes call it by this name for every pod. */
const LOOPBACK = 'loopback'
/** What `loopback` links to where we brought it: so an uninstall knows. */
const OUR_LOOPBACK = '.vrouter-loopback'

/** Puts the loopback plugin where there is none; that of somebody else is never touched. Throws CNI_FOLDER_NOT_WRITABLE, CNI_PLUGIN_UNUSABLE. */
export function installLoopback({ folder, plugin, log }: Omit<InstallOptions, 'base'>): Installed {
  const link = join(folder, LOOPBACK)
  const file = join(folder, OUR_LOOPBACK)
  const existing = lstatSync(link, { throwIfNoEntry: false })
  if (existing !== undefined && !isOurLoopback(link)) return 'identical'
  const wanted = readPlugin(plugin, '')
  if (existing !== undefined && isThere(file, wanted.fingerprint)) return 'identical'
  try {
    replace(folder, file, wanted.bytes())
    if (existing === undefined) symlinkSync(OUR_LOOPBACK, link)
  } catch (error) {
    throw VrouterError.of('CNI_FOLDER_NOT_WRITABLE', { file: link, reason: reasonOf(error) }, { cause: error })
  }
  log.info({ component: 'install', file: link }, 'there was no loopback plugin: ours is installed')
  return 'installed'
}

function isOurLoopback(link: string): boolean {
  return lstatSync(link).isSymbolicLink() && readlinkSync(link) === OUR_LOOPBACK
}

/** For an uninstall: without the binary a runtime can't even delete pods, so it goes last. */
export function removePlugin(folder: string): void {
  if (readable(folder) === undefined) return
  removeLeftovers(folder)
  rmSync(join(folder, PLUGIN_NAME), { force: true })
  const link = join(folder, LOOPBACK)
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined && isOurLoopback(link)) rmSync(link)
  rmSync(join(folder, OUR_LOOPBACK), { force: true })
}

interface Plugin {
  readonly fingerprint: Fingerprint
  readonly bytes: () => Uint8Array
}

function readPlugin(plugin: string, base: string): Plugin {
  try {
    const content = readFileSync(plugin)
    if (!plugin.endsWith('.patch')) return { fingerprint: fingerprint(content), bytes: () => content }
    return {
      fingerprint: patchHeader(content).result,
      bytes: () => {
        try {
          return applyPatch(readFileSync(base), content)
        } catch (error) {
          throw VrouterError.of('CNI_PLUGIN_UNUSABLE', { file: plugin, reason: reasonOf(error) }, { cause: error })
        }
      },
    }
  } catch (error) {
    throw VrouterError.of('CNI_PLUGIN_UNUSABLE', { file: plugin, reason: reasonOf(error) }, { cause: error })
  }
}

const MODE = 0o755

/** Same bytes, and executable. A mode that is too tight is put right where that is possible. */
function isThere(file: string, wanted: Fingerprint): boolean {
  const info = statSync(file, { throwIfNoEntry: false })
  if (info === undefined || !info.isFile() || info.size !== wanted.size) return false
  if (!isSame(fingerprint(readFileSync(file)), wanted)) return false
  if ((info.mode & MODE) !== MODE) {
    try {
      chmodSync(file, MODE)
    } catch {
      return false
    }
  }
  return true
}

/** Runtimes take any name for a plugin: one with a dot is none that a configuration names. */
function replace(folder: string, file: string, bytes: Uint8Array): void {
  const temporary = join(folder, `.${PLUGIN_NAME}.${process.pid}.tmp`)
  try {
    const fd = openSync(temporary, 'wx', MODE)
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written)
      fchmodSync(fd, MODE)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, file)
    const directory = openSync(folder, 'r')
    try {
      fsyncSync(directory)
    } finally {
      closeSync(directory)
    }
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Of installers that were killed. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith(`.${PLUGIN_NAME}.`) && name.endsWith('.tmp')) rmSync(join(folder, name), { force: true })
  }
}

function readable(folder: string): readonly string[] | undefined {
  try {
    return readdirSync(folder)
  } catch {
    return undefined
  }
}
