/**
 * The folder as the kernel shows it: which manifest files there are, whether one changed since it was read, and word of changes
 * (inotify). Every walk is made of short slices, so a folder of many thousand files doesn't stall the event loop.
 */
import { type Dirent, type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { extname, join } from 'node:path'
import { Pace } from '../../ground/pace.ts'

const EXTENSIONS = new Set(['.yaml', '.yml', '.json'])

/** Hidden names (temporary files, the `..data` of a mounted ConfigMap) and other kinds of file are not ours. */
export function isManifestName(name: string): boolean {
  return !name.startsWith('.') && EXTENSIONS.has(extname(name))
}

/** A file as it is now. Its change time moves with every write, rename and chmod, and nobody can set it. */
export interface Stamp {
  readonly inode: number
  readonly changedMs: number
  readonly size: number
  /** Not a pipe, device, socket or folder, of which reading may never end. */
  readonly isFile: boolean
}

/** Throws the system's error. */
export function stampOf(file: string): Stamp {
  const found = statSync(file)
  return { inode: found.ino, changedMs: found.ctimeMs, size: found.size, isFile: found.isFile() }
}

export interface Listing {
  /** Relative paths of manifest files, sorted within each folder. */
  readonly files: readonly string[]
  /** Relative paths of folders; the root is ''. */
  readonly folders: readonly string[]
  /** Folders below the root that can't be listed: what lies in them is unknown, not gone. */
  readonly unreadable: readonly { readonly path: string; readonly reason: string }[]
}

/** All manifest files below the root. Throws the system's error when the root itself can't be listed. */
export async function list(root: string): Promise<Listing> {
  const files: string[] = []
  const folders: string[] = []
  const unreadable: { path: string; reason: string }[] = []
  const pace = new Pace()
  const open = ['']
  for (let folder = open.shift(); folder !== undefined; folder = open.shift()) {
    let entries: Dirent[]
    try {
      entries = readdirSync(join(root, folder), { withFileTypes: true })
    } catch (error) {
      if (folder === '') throw error
      const { code = String(error) } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT') unreadable.push({ path: folder, reason: `cannot list: ${code}` })
      continue
    }
    folders.push(folder)
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory()) {
        if (!entry.name.startsWith('.')) open.push(path)
      } else if (isManifestName(entry.name)) files.push(path)
    }
    if (pace.isDue) await pace.rest()
  }
  return { files, folders, unreadable }
}

/** What changed: a manifest file, or something that only a full walk can tell. */
export type Change = { readonly file: string } | 'unknown'

/** Watches folders, each by itself. Where the kernel refuses (too many watches), only polling is left: `isComplete` says so. */
export class Watches implements Disposable {
  readonly #root: string
  readonly #onChange: (change: Change) => void
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: number }>()
  #isComplete = false

  constructor(root: string, onChange: (change: Change) => void) {
    this.#root = root
    this.#onChange = onChange
  }

  get isComplete(): boolean {
    return this.#isComplete
  }

  /** Makes the watched folders these; one that was replaced is watched anew. */
  set(folders: readonly string[]): void {
    this.#isComplete = true
    const wanted = new Set(folders)
    for (const [folder, { watcher }] of this.#watchers) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const folder of folders) this.#watch(folder)
  }

  #watch(folder: string): void {
    const path = join(this.#root, folder)
    try {
      const { ino } = statSync(path)
      const known = this.#watchers.get(folder)
      if (known?.inode === ino) return
      known?.watcher.close()
      const watcher = watch(path, { persistent: false }, (_event, name) => this.#changed(folder, name))
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(folder)
        this.#onChange('unknown')
      })
      this.#watchers.set(folder, { watcher, inode: ino })
    } catch {
      this.#isComplete = false
    }
  }

  #changed(folder: string, name: string | null): void {
    if (name === null) this.#onChange('unknown')
    else if (isManifestName(name)) this.#onChange({ file: folder === '' ? name : `${folder}/${name}` })
    else if (!name.startsWith('.') || name === '..data') this.#onChange('unknown')
  }

  [Symbol.dispose](): void {
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }
}
