/**
 * `vrouter install`, the init container: puts the CNI binary where the container runtime looks for it. No file is ever opened for writing while a
 * runtime may run it: a copy is made beside it, synced, and renamed. What is there and the same is left alone, so a host whose folder is read-only
 * and whose image has the same files baked in is fine.
 *
 * The image holds (IMAGE_FOLDER) the plugin as a patch to its own node, the libraries that it needs, and a launcher without needs; the host gets
 *
 *   vrouter-cni                              the launcher: what the runtime runs
 *   .vrouter-cni -> .vrouter-cni-<digest>    the plugin with its libraries
 *   loopback -> .vrouter-loopback            where there is none
 */
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { syncFolder } from '@kube-vrouter/linux/replace-file'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { isNoexec } from './mount-flags.ts'
import { applyPatch, type Fingerprint, fingerprint, patchHeader } from './patch.ts'
import { isThere, removeLeftovers, replace } from './replace.ts'

export const PLUGIN_NAME = 'vrouter-cni'
export const DEFAULT_FOLDER = '/opt/cni/bin'
export const IMAGE_FOLDER = '/usr/lib/vrouter/cni'

/** In the image's folder. */
const LAUNCHER = 'launcher'
const PATCH = 'vrouter-cni.patch'
const LIBRARIES = 'lib'
const LOOPBACK = 'loopback'

/** In the host's folder. */
const FOLDER_LINK = '.vrouter-cni'
const OUR_LOOPBACK = '.vrouter-loopback'

export interface InstallOptions {
  /** The runtime's folder of plugins. */
  readonly folder: string
  /** What is installed. */
  readonly image: string
  /** The node binary that the patch was made for; default: the one that runs this. */
  readonly base?: string
  readonly log: Log
}

interface Part {
  readonly name: string
  readonly fingerprint: Fingerprint
  readonly bytes: () => Uint8Array
}

/** Tells whether anything had to be written. Throws CNI_PLUGIN_UNUSABLE, CNI_FOLDER_NOT_WRITABLE or CNI_FOLDER_NOEXEC. */
export function install(options: InstallOptions): boolean {
  const { folder, image, log } = options
  const launcher = readPart(join(image, LAUNCHER), PLUGIN_NAME)
  const parts = [
    readPlugin(options),
    ...namesIn(join(image, LIBRARIES)).map((name) => readPart(join(image, LIBRARIES, name), name)),
  ]
  const version = `${FOLDER_LINK}-${digestOf(parts)}`
  try {
    let isChanged = false
    if (!isInstalled(folder, version, launcher, parts)) {
      mkdirSync(folder, { recursive: true })
      removeLeftovers(folder)
      installParts(folder, version, parts)
      pointTo(folder, version)
      if (!isThere(join(folder, PLUGIN_NAME), launcher.fingerprint)) {
        replace(join(folder, PLUGIN_NAME), launcher.bytes())
      }
      if (!isInstalled(folder, version, launcher, parts)) throw new Error('what was written reads differently')
      isChanged = true
    }
    if (isNoexec(folder)) throw VrouterError.of('CNI_FOLDER_NOEXEC', { folder })
    log.info({ component: 'install', folder, version }, isChanged ? 'installed the CNI binary' : 'nothing to install')
    return installLoopback(options) || isChanged
  } catch (error) {
    if (error instanceof VrouterError) throw error
    throw VrouterError.of(
      'CNI_FOLDER_NOT_WRITABLE',
      { file: join(folder, PLUGIN_NAME), reason: reasonOf(error) },
      { cause: error },
    )
  }
}

/** For an uninstall: without the binary a runtime can't even delete pods, so it goes last. What others brought stays. */
export function uninstall(folder: string): void {
  if (!existsSync(folder)) return
  removeLeftovers(folder)
  rmSync(join(folder, PLUGIN_NAME), { force: true })
  for (const name of namesIn(folder)) {
    if (name === FOLDER_LINK || name.startsWith(`${FOLDER_LINK}-`)) rmSync(join(folder, name), { recursive: true })
  }
  if (hasOurLoopback(folder)) rmSync(join(folder, LOOPBACK))
  rmSync(join(folder, OUR_LOOPBACK), { force: true })
}

// ---- what is installed ------------------------------------------------------------------------------------------------------

function readPlugin({ image, base = process.execPath }: InstallOptions): Part {
  const file = join(image, PATCH)
  const attempt = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw VrouterError.of('CNI_PLUGIN_UNUSABLE', { file, reason: reasonOf(error) }, { cause: error })
    }
  }
  const patch = attempt(() => readFileSync(file))
  return {
    name: PLUGIN_NAME,
    fingerprint: attempt(() => patchHeader(patch)).result,
    bytes: () => attempt(() => applyPatch(readFileSync(base), patch)),
  }
}

function readPart(file: string, name: string): Part {
  try {
    const bytes = readFileSync(file)
    return { name, fingerprint: fingerprint(bytes), bytes: () => bytes }
  } catch (error) {
    throw VrouterError.of('CNI_PLUGIN_UNUSABLE', { file, reason: reasonOf(error) }, { cause: error })
  }
}

function digestOf(parts: readonly Part[]): string {
  const hash = createHash('sha256')
  for (const { name, fingerprint } of parts) hash.update(`${name} ${fingerprint.sha256}\n`)
  return hash.digest('hex').slice(0, 16)
}

// ---- where it is installed ----------------------------------------------------------------------------------------------------

function isInstalled(folder: string, version: string, launcher: Part, parts: readonly Part[]): boolean {
  return (
    linkTarget(join(folder, FOLDER_LINK)) === version &&
    isThere(join(folder, PLUGIN_NAME), launcher.fingerprint) &&
    parts.every(({ name, fingerprint }) => isThere(join(folder, version, name), fingerprint))
  )
}

function installParts(folder: string, version: string, parts: readonly Part[]): void {
  mkdirSync(join(folder, version), { recursive: true, mode: 0o755 })
  for (const { name, fingerprint, bytes } of parts) {
    const file = join(folder, version, name)
    if (!isThere(file, fingerprint)) replace(file, bytes())
  }
}

/** A plugin that is being started may still read the version before; older ones go. */
function pointTo(folder: string, version: string): void {
  const link = join(folder, FOLDER_LINK)
  const before = linkTarget(link)
  if (before !== version) {
    const temporary = `${link}.${process.pid}.tmp`
    symlinkSync(version, temporary)
    renameSync(temporary, link)
    syncFolder(folder)
  }
  for (const name of namesIn(folder)) {
    if (!name.startsWith(`${FOLDER_LINK}-`) || name === version || name === before) continue
    rmSync(join(folder, name), { recursive: true })
  }
}

/** The plugin that brings up `lo`, which container runtimes call for every pod. One of somebody else is never touched. */
function installLoopback({ folder, image, log }: InstallOptions): boolean {
  const source = join(image, LOOPBACK)
  const link = join(folder, LOOPBACK)
  const isAbsent = lstatSync(link, { throwIfNoEntry: false }) === undefined
  if (!existsSync(source) || (!isAbsent && !hasOurLoopback(folder))) return false
  const part = readPart(source, LOOPBACK)
  const file = join(folder, OUR_LOOPBACK)
  if (!isAbsent && isThere(file, part.fingerprint)) return false
  replace(file, part.bytes())
  if (isAbsent) symlinkSync(OUR_LOOPBACK, link)
  log.info({ component: 'install', file: link }, 'installed the loopback plugin: there was none')
  return true
}

function hasOurLoopback(folder: string): boolean {
  return linkTarget(join(folder, LOOPBACK)) === OUR_LOOPBACK
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : []
}
