/**
 * Keeps the model's ids over restarts: `<state>/ids.json`, a second copy beside it, and the journal that both name: what has changed since they were
 * written, a line each.
 *
 * The ids are read once, at the start, and saved after every change before the kernel is programmed with it. Each ADD waits for that, so it is one write to
 * a file that is open; when nothing has changed for a moment both files are written as a whole, and the journal begins anew. A line is
 * with the kernel when `save` returns: a daemon that is killed loses none. A file that can't be
 * used is moved aside, and the copy is taken; when neither is left, `load` says so, and the caller takes over what the
 * running datapath's maps tell (adopt-ids.ts). A disk that is full doesn't stop anything: the ids in memory are right, the failure is
 * reported, and the next save tries again.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { replaceFile } from '@kube-vrouter/linux/replace-file'
import { reasonOf, VrouterError } from '../errors.ts'
import type { AppendedFile } from '../ground/appended-file.ts'
import type { Log } from '../log.ts'
import { Ids, type IdsOptions, type SerialisedIds } from '../model/ids.ts'
import { appendChanges, createJournal, JOURNAL_NAME, resumeJournal } from './ids-journal.ts'

/** Milliseconds without a change after which both files are written as a whole. */
const SETTLE_MS = 1_000
/** A journal that grows larger, bytes, is ended although changes go on. */
const LARGEST_JOURNAL = 256 * 1024

export interface LoadedIds {
  readonly ids: Ids
  /** Where they came from; `nothing`: the first start, or a start after both files were lost. */
  readonly from: 'file' | 'copy' | 'nothing'
  /** What was wrong with a file that was moved aside. */
  readonly damage: readonly VrouterError[]
}

export class IdsStore implements Disposable {
  readonly #folder: string
  readonly #files: readonly [main: string, copy: string]
  readonly #log: Log
  #savedRevision: number | undefined
  #isFailing = false
  /** Goes on from the main file; undefined: there is none yet, or a line of it couldn't be written. The next save writes everything. */
  #journal: AppendedFile | undefined
  /** What isn't in the files as a whole yet. */
  #unsettled: Ids | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(stateFolder: string, log: Log) {
    this.#folder = stateFolder
    this.#files = [join(stateFolder, 'ids.json'), join(stateFolder, 'ids.copy.json')]
    this.#log = log
  }

  load(options: IdsOptions): LoadedIds {
    const damage: VrouterError[] = []
    for (const path of this.#files) {
      try {
        const { ids, journal } = this.#read(path, options, damage)
        const from = path === this.#files[0] ? 'file' : 'copy'
        if (from === 'file') {
          this.#savedRevision = ids.revision
          this.#journal = journal
        }
        return { ids, from, damage }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        damage.push(this.#setAside(path, error))
      }
    }
    return { ids: new Ids(options), from: 'nothing', damage }
  }

  /** Writes what changed since the last save. False: it couldn't be written, which was logged once and is tried again by the next call. */
  save(ids: Ids): boolean {
    if (ids.revision === this.#savedRevision) return true
    const changes = ids.takeChanges()
    try {
      if (this.#journal === undefined || this.#journal.bytes > LARGEST_JOURNAL) this.#writeAll(ids)
      else appendChanges(this.#journal, changes)
    } catch (error) {
      // What is behind half a line isn't read.
      this.#dropJournal()
      this.#report(this.#files[0], error)
      return false
    }
    this.#settleLater(ids)
    if (this.#isFailing) this.#log.info('ids are saved again')
    this.#isFailing = false
    this.#savedRevision = ids.revision
    return true
  }

  /** Brings both files up to date. */
  flush(): void {
    clearTimeout(this.#timer)
    const ids = this.#unsettled
    if (ids === undefined) return
    let path = this.#files[0]
    try {
      const text = this.#writeAll(ids)
      path = this.#files[1]
      replace(path, text)
      this.#unsettled = undefined
      this.#removeOldJournals()
    } catch (error) {
      this.#report(path, error)
    }
  }

  [Symbol.dispose](): void {
    this.flush()
    this.#dropJournal()
  }

  /** Throws what is wrong with the file. What is wrong with its journal is damage: all before that counts. */
  #read(path: string, options: IdsOptions, damage: VrouterError[]): { ids: Ids; journal: AppendedFile | undefined } {
    const data = JSON.parse(readFileSync(path, 'utf8')) as (SerialisedIds & { readonly journal?: unknown }) | null
    const ids = Ids.fromJSON(data, options)
    const name = data?.journal
    if (typeof name !== 'string' || !JOURNAL_NAME.test(name)) return { ids, journal: undefined }
    const journal = join(this.#folder, name)
    try {
      return { ids, journal: resumeJournal(journal, (change) => ids.apply(change)) }
    } catch (error) {
      damage.push(this.#setAside(journal, error))
      return { ids, journal: undefined }
    }
  }

  /** Replaces the main file; from here on there is a new journal. Returns the text. */
  #writeAll(ids: Ids): string {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    const journal = createJournal(this.#folder)
    const text = `${JSON.stringify({ ...ids.toJSON(), journal: basename(journal.path) })}\n`
    try {
      replace(this.#files[0], text)
    } catch (error) {
      journal.remove()
      throw error
    }
    this.#dropJournal()
    this.#journal = journal
    // All changes are in the text.
    ids.takeChanges()
    this.#savedRevision = ids.revision
    return text
  }

  #dropJournal(): void {
    this.#journal?.close()
    this.#journal = undefined
  }

  /** Those that neither file names. */
  #removeOldJournals(): void {
    const current = this.#journal && basename(this.#journal.path)
    for (const name of readdirSync(this.#folder)) {
      if (JOURNAL_NAME.test(name) && name !== current) rmSync(join(this.#folder, name), { force: true })
    }
  }

  #settleLater(ids: Ids): void {
    this.#unsettled = ids
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.flush(), SETTLE_MS)
    this.#timer.unref()
  }

  #setAside(path: string, error: unknown): VrouterError {
    const aside = `${path}.corrupt-${new Date().toISOString().replaceAll(':', '')}`
    moveAside(path, aside)
    const problem = VrouterError.of('STATE_CORRUPT', { path, reason: reasonOf(error), aside })
    this.#log.warn({ err: problem }, problem.message)
    return problem
  }

  #report(path: string, error: unknown): void {
    if (this.#isFailing) return
    this.#isFailing = true
    const problem = VrouterError.of('STATE_NOT_WRITABLE', { path, reason: reasonOf(error) })
    this.#log.error({ err: problem }, problem.message)
  }
}

function moveAside(path: string, aside: string): void {
  try {
    renameSync(path, aside)
  } catch {
    // Not even that: the next save replaces it.
  }
}

/** No fsync, which every ADD would wait for: when the machine goes down the kernel's tables go too, and nothing is left that the numbers would have to fit. */
function replace(path: string, text: string): void {
  replaceFile(path, `${path}.tmp`, text, 0o600)
}
