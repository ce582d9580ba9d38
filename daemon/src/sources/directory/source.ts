/**
 * The directory source: a folder of Kubernetes-style manifests that people write and daemons publish into (under `published/`).
 *
 * Level-triggered: word of a change only says what to read again; a slow poll finds what no word came of. Nothing is lost by
 * damage: an object whose file turns bad, and everything when the folder itself goes away or turns up empty, stays as it was last
 * known, and the reason stands in `state().rejected`.
 */
import { readFileSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Pace } from '../../ground/pace.ts'
import { isEqual, isSameList } from '../../model/equal.ts'
import type { Address, Cidr, Published, Rejection, Source, SourceState, VirtualNetwork } from '../../model/objects.ts'
import { Assembler, EMPTY_STATE } from '../objects/assemble.ts'
import type { LoadedFile } from '../objects/collected.ts'
import { SourceError } from './errors.ts'
import { failedFile, loadText } from './files.ts'
import { type Change, list, stampOf, Watches } from './folder.ts'
import { fileName, textOf } from './manifest-files.ts'
import { NetworkMemory } from './memory.ts'
import { nodeOf, publisherOf } from './owner.ts'
import { createFile, removeFile, removeLeftovers, replaceFile } from './store.ts'

export interface DirectorySourceOptions {
  readonly path: string
  readonly cluster: string
  /** This node: it withdraws no object of another one. */
  readonly node: string
  /** Subnets of the default pod network; empty: none. */
  readonly defaultSubnets?: readonly Cidr[]
  /** CIDRs of Services, where no ServiceCIDR says others. */
  readonly serviceRanges?: readonly Cidr[]
  /** File that keeps the networks in use over restarts, such as `<state>/networks.json`; absent: a restart takes them as they are. */
  readonly memory?: string
  /** Quiet time after a change before files are read, milliseconds; default 25. */
  readonly debounceMs?: number
  /** Time between full walks, milliseconds; default 10 s, and 1 s where the kernel refuses watches. */
  readonly pollMs?: number
}

const PUBLISHED = 'published'
/** A stream of changes delays reading no longer than this, milliseconds. */
const LONGEST_DELAY = 250
/** Files of one burst after which a full walk follows. */
const MANY_CHANGES = 1000
const LARGEST_FILE = 16 * 1024 * 1024

interface Entry {
  /** Of the file when it was read; undefined: read it again in any case. */
  readonly inode: number | undefined
  readonly changedMs: number
  readonly file: LoadedFile
}

export class DirectorySource implements Source {
  readonly #options: DirectorySourceOptions
  readonly #assembler: Assembler
  readonly #watches: Watches
  readonly #entries = new Map<string, Entry>()
  readonly #memory: NetworkMemory | undefined
  /** Of the time before this start; undefined as soon as there is a state. */
  #remembered: ReadonlyMap<string, VirtualNetwork> | undefined
  #state = EMPTY_STATE
  /** What the state was made of. */
  #settled: { readonly files: readonly LoadedFile[]; readonly problems: readonly Rejection[] } | undefined
  #folderProblems: readonly Rejection[] = []
  #memoryProblems: readonly Rejection[] = []
  #saving: Promise<void> = Promise.resolve()
  #onChange: () => void = () => {}
  /** Files that word came of; undefined: everything is to be looked at. */
  #pending: Set<string> | undefined = new Set()
  #pendingSince: number | undefined
  #debounce: NodeJS.Timeout | undefined
  #poll: NodeJS.Timeout | undefined
  #work: Promise<void> = Promise.resolve()
  readonly #writes = new Map<string, Promise<void>>()
  readonly #published: string
  #batch: { readonly paths: Set<string>; readonly done: Promise<void> } | undefined
  #isStopped = false

  constructor(options: DirectorySourceOptions) {
    this.#options = options
    this.#published = join(options.path, PUBLISHED)
    const { cluster, defaultSubnets = [], serviceRanges = [] } = options
    this.#assembler = new Assembler({ cluster, defaultSubnets, serviceRanges })
    this.#memory = options.memory === undefined ? undefined : new NetworkMemory(options.memory)
    this.#watches = new Watches(options.path, (change) => this.#heard(change))
  }

  /**
   * Reads everything, then watches. Throws FOLDER_MISSING when the folder isn't there: a missing folder must not look like an
   * empty cluster.
   */
  async start(onChange: () => void): Promise<void> {
    const { path } = this.#options
    try {
      if (!statSync(path).isDirectory()) throw new SourceError('FOLDER_MISSING', `${path} is not a folder`)
      await mkdir(this.#published, { recursive: true })
      await removeLeftovers(this.#published)
    } catch (error) {
      if (error instanceof SourceError) throw error
      const { code = String(error) } = error as NodeJS.ErrnoException
      throw new SourceError('FOLDER_MISSING', `cannot read the folder ${path}: ${code}`, { cause: error })
    }
    this.#remember()
    await this.#exclusively(() => this.#walk())
    await this.#exclusively(() => this.#removeUnreadable())
    this.#remembered = undefined
    this.#onChange = onChange
    // What changed between the walk and its watches.
    await this.#exclusively(() => this.#walk())
    this.#schedulePoll()
  }

  state(): SourceState {
    return this.#state
  }

  async publish(published: Published, options: { readonly create?: boolean } = {}): Promise<void> {
    const { kind, object } = published
    const name = fileName(kind, object.name)
    await this.#oneByOne(name, async () => {
      if (options.create === true) {
        const isCreated = await createFile(this.#published, name, textOf(published))
        await this.#readTogether(`${PUBLISHED}/${name}`)
        if (isCreated) this.#refuseLost(published)
        else this.#refuseTaken(published, name)
      } else {
        await replaceFile(this.#published, name, textOf(published))
        await this.#readTogether(`${PUBLISHED}/${name}`)
      }
    })
  }

  async withdraw(kind: Published['kind'], name: string): Promise<void> {
    const file = fileName(kind, name)
    await this.#oneByOne(file, async () => {
      const item = this.#entries.get(`${PUBLISHED}/${file}`)?.file.items[0]
      if (item !== undefined && nodeOf(item) !== this.#options.node) return
      await removeFile(this.#published, file)
      await this.#exclusively(async () => {
        this.#entries.delete(`${PUBLISHED}/${file}`)
        this.#settle()
      })
    })
  }

  readonly knowsPods = false

  /** A folder of networks knows no pods: what the runtime says of them is all there is. */
  async findPod(): Promise<undefined> {}

  hostPeers(): readonly Address[] {
    return []
  }

  /** There is nobody to tell: what goes wrong stands in the log and in introspect. */
  report(): void {}

  /** Interfaces that this node once published and that no reader takes: nobody else would ever remove them. Pods that live are published anew. */
  async #removeUnreadable(): Promise<void> {
    for (const [path, { file }] of this.#entries) {
      const name = path.slice(PUBLISHED.length + 1)
      const isInterface = path === `${PUBLISHED}/${name}` && name.startsWith('VirtualMachineInterface-')
      if (!isInterface || file.items.length > 0 || file.rejections.length === 0) continue
      if (publisherOf(join(this.#options.path, path)) !== this.#options.node) continue
      await removeFile(this.#published, name)
      this.#entries.delete(path)
    }
  }

  /** Writes of different files go side by side (each waits for the disk), those of one file one after the other. */
  async #oneByOne(file: string, work: () => Promise<void>): Promise<void> {
    const done = (this.#writes.get(file) ?? Promise.resolve()).then(work)
    const settled = done.catch(() => undefined)
    this.#writes.set(file, settled)
    try {
      await done
    } finally {
      if (this.#writes.get(file) === settled) this.#writes.delete(file)
    }
  }

  /** Reads a file that was written, with all others that were written while earlier work was going on. */
  #readTogether(path: string): Promise<void> {
    if (this.#batch === undefined) {
      const paths = new Set<string>()
      const done = this.#exclusively(() => {
        this.#batch = undefined
        return this.#read([...paths])
      })
      this.#batch = { paths, done }
    }
    this.#batch.paths.add(path)
    return this.#batch.done
  }

  /** A file of that name is there. If it is our own (made before a crash), the object is ours. */
  #refuseTaken(published: Published, name: string): void {
    const item = this.#entries.get(`${PUBLISHED}/${name}`)?.file.items[0]
    const owner = item?.kind === 'IPAMBlock' ? item.object.node : undefined
    if (item !== undefined && published.kind === 'IPAMBlock' && owner === published.object.node) return
    const holder = owner === undefined ? 'a file that is not readable' : `node ${owner}`
    throw new SourceError('BLOCK_TAKEN', `${published.kind} ${published.object.name} is held by ${holder}`)
  }

  /** The file could be made, but another object has the name or overlaps it: that one counts. */
  #refuseLost({ kind, object }: Published): void {
    if (kind !== 'IPAMBlock' || this.#state.blocks.get(object.name)?.node === object.node) return
    throw new SourceError(
      'BLOCK_TAKEN',
      `IPAMBlock ${object.name} is defined by another manifest, or overlaps another block`,
    )
  }

  #remember(): void {
    try {
      this.#remembered = this.#memory?.load()
    } catch (error) {
      const message = `can't be used (${(error as Error).message}); networks are taken as the folder defines them`
      this.#memoryProblems = [{ object: 'file', file: this.#options.memory, message }]
    }
  }

  async #keepInMemory(): Promise<void> {
    if (this.#memory === undefined) return
    try {
      await this.#memory.save(this.#state)
      this.#memoryProblems = []
    } catch (error) {
      this.#memoryProblems = [{ object: 'file', file: this.#options.memory, message: (error as Error).message }]
    }
  }

  #heard(change: Change): void {
    if (this.#isStopped) return
    if (change === 'unknown') this.#pending = undefined
    else this.#pending?.add(change.file)
    this.#pendingSince ??= performance.now()
    const waited = performance.now() - this.#pendingSince
    clearTimeout(this.#debounce)
    const delay = Math.max(0, Math.min(this.#options.debounceMs ?? 25, LONGEST_DELAY - waited))
    this.#debounce = setTimeout(() => void this.#exclusively(() => this.#catchUp()), delay).unref()
  }

  async #catchUp(): Promise<void> {
    const pending = this.#pending
    this.#pending = new Set()
    this.#pendingSince = undefined
    if (pending === undefined) await this.#walk()
    else if (pending.size > 0) await this.#read([...pending])
    // The kernel's queue of changes is finite, and says nothing when it overflows.
    if (pending !== undefined && pending.size >= MANY_CHANGES) this.#heard('unknown')
  }

  #schedulePoll(): void {
    if (this.#isStopped) return
    const interval = this.#options.pollMs ?? (this.#watches.isComplete ? 10_000 : 1_000)
    this.#poll = setTimeout(async () => {
      await this.#exclusively(() => this.#walk())
      this.#schedulePoll()
    }, interval).unref()
  }

  /** One piece of work at a time. */
  #exclusively(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(() => (this.#isStopped ? undefined : work()))
    this.#work = done.catch(() => undefined)
    return done
  }

  /** Reads what changed, wherever it is. */
  async #walk(): Promise<void> {
    const { path } = this.#options
    try {
      const { files, folders, unreadable } = await list(path)
      this.#watches.set(folders)
      if (files.length === 0 && this.#entries.size > 0) {
        this.#folderIsBad('is empty; everything that was read from it stays in force')
        return
      }
      this.#folderProblems = unreadable.map(({ path: folder, reason }) => ({
        object: 'folder',
        isStale: true as const,
        file: folder,
        message: reason,
      }))
      const pace = new Pace()
      const present = new Set(files)
      for (const file of files) {
        this.#refresh(file, false)
        if (pace.isDue) await pace.rest()
      }
      for (const file of this.#entries.keys()) {
        const isUnknown = unreadable.some((folder) => file.startsWith(`${folder.path}/`))
        if (!present.has(file) && !isUnknown && !this.#refresh(file, false)) this.#entries.delete(file)
      }
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException
      this.#watches.set([])
      this.#folderIsBad(`cannot be listed (${code}); everything that was read from it stays in force`)
      return
    }
    this.#settle()
  }

  #folderIsBad(message: string): void {
    this.#folderProblems = [{ object: 'folder', file: this.#options.path, message, isStale: true }]
    this.#settle()
  }

  async #read(files: readonly string[]): Promise<void> {
    const pace = new Pace()
    let isSomethingGone = false
    for (const file of files) {
      // One that was removed by ourselves is known to be gone.
      if (!this.#refresh(file, true) && this.#entries.has(file)) isSomethingGone = true
      if (pace.isDue) await pace.rest()
    }
    // Gone by itself, or with everything else: only a walk can tell.
    if (isSomethingGone) await this.#walk()
    else this.#settle()
  }

  /**
   * Reads one file if it changed (or `isForced`: an edit may leave size and times alone). False: there is no such file; what was
   * read from it stands until a walk finds the folder otherwise in order.
   */
  #refresh(path: string, isForced: boolean): boolean {
    const file = join(this.#options.path, path)
    const before = this.#entries.get(path)
    try {
      const { inode, changedMs, size, isFile } = stampOf(file)
      if (!isForced && before?.inode === inode && before.changedMs === changedMs) return true
      if (!isFile) throw new RangeError('is not a regular file')
      if (size > LARGEST_FILE) throw new RangeError(`is larger than ${LARGEST_FILE} bytes`)
      const text = readFileSync(file, 'utf8')
      this.#entries.set(path, { inode, changedMs, file: loadText(path, text, this.#options.cluster, before?.file) })
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return false
      const reason = code === undefined ? message : `cannot be read: ${code}`
      this.#entries.set(path, { inode: undefined, changedMs: 0, file: failedFile(path, reason, before?.file) })
    }
    return true
  }

  #settle(): void {
    const files = [...this.#entries.values()].map((entry) => entry.file)
    const problems = [...this.#folderProblems, ...this.#memoryProblems]
    // Word of what this node wrote itself comes after it was read.
    const settled = this.#settled
    if (settled !== undefined && isSameList(settled.files, files) && isEqual(settled.problems, problems)) return
    this.#settled = { files, problems }
    const before = this.#state
    const assembled = this.#assembler.assemble(files, before, this.#remembered)
    const rejected = [...problems, ...assembled.rejected]
    const next: SourceState = { ...assembled, rejected }
    const isSame = (Object.keys(next) as (keyof SourceState)[]).every((key) =>
      key === 'rejected' ? JSON.stringify(rejected) === JSON.stringify(before.rejected) : next[key] === before[key],
    )
    if (isSame) return
    this.#state = next
    this.#saving = this.#saving.then(() => this.#keepInMemory())
    this.#onChange()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#debounce)
    clearTimeout(this.#poll)
    this.#watches[Symbol.dispose]()
    await this.#work
    await this.#saving
  }
}
