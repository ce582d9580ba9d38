/**
 * Keeps the model's ids over restarts: `<state>/ids.json`, and a second copy beside it, both replaced as a whole.
 *
 * The ids are read once, at the start, and saved after every change before the kernel is programmed with it; the copy follows when nothing has
 * changed for a moment, since each ADD waits for a save. A file that can't be
 * used is moved aside, and the copy is taken; when neither is left, `load` says so, and the caller takes over what the
 * running datapath's maps tell (adopt-ids.ts). A disk that is full doesn't stop anything: the ids in memory are right, the failure is
 * reported, and the next save tries again.
 */
import { mkdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '@kube-vrouter/linux/replace-file'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { Ids, type IdsOptions } from '../model/ids.ts'

/** Milliseconds without a change after which the copy is written. */
const COPY_MS = 1_000

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
  /** What the copy doesn't hold yet. */
  #uncopied: string | undefined
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
        const ids = Ids.fromJSON(JSON.parse(readFileSync(path, 'utf8')), options)
        const from = path === this.#files[0] ? 'file' : 'copy'
        if (from === 'file') this.#savedRevision = ids.revision
        return { ids, from, damage }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        const aside = `${path}.corrupt-${new Date().toISOString().replaceAll(':', '')}`
        moveAside(path, aside)
        const problem = VrouterError.of('STATE_CORRUPT', { path, reason: reasonOf(error), aside })
        this.#log.warn({ err: problem }, problem.message)
        damage.push(problem)
      }
    }
    return { ids: new Ids(options), from: 'nothing', damage }
  }

  /** Writes what changed since the last save. False: it couldn't be written, which was logged once and is tried again by the next call. */
  save(ids: Ids): boolean {
    if (ids.revision === this.#savedRevision) return true
    const text = `${JSON.stringify(ids)}\n`
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
      replace(this.#files[0], text)
    } catch (error) {
      this.#report(this.#files[0], error)
      return false
    }
    this.#copyLater(text)
    if (this.#isFailing) this.#log.info('ids are saved again')
    this.#isFailing = false
    this.#savedRevision = ids.revision
    return true
  }

  /** Brings the copy up to date. */
  flush(): void {
    clearTimeout(this.#timer)
    if (this.#uncopied === undefined) return
    try {
      replace(this.#files[1], this.#uncopied)
      this.#uncopied = undefined
    } catch (error) {
      this.#report(this.#files[1], error)
    }
  }

  [Symbol.dispose](): void {
    this.flush()
  }

  #copyLater(text: string): void {
    this.#uncopied = text
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.flush(), COPY_MS)
    this.#timer.unref()
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
