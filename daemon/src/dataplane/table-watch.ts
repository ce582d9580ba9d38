/**
 * Notices when somebody else changes the tables in the kernel, of which nothing tells: once a second by the number of entries, which the kernel
 * knows at no cost, and for what leaves the number as it is by reading all of them, in slices and so seldom that it takes a thousandth of a core.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { TableMap } from './encode-tables.ts'

/** What this needs of `KernelTables`. */
export interface WatchedTables {
  /** Tables whose number of entries isn't what it was after our last change. */
  withOtherCount(): readonly TableMap[]
  /** Tables whose contents aren't what they are believed to be. */
  withOtherContents(isAborted: () => boolean): Promise<readonly TableMap[]>
}

const COUNT_MS = 1_000
/** From the end of a reading to the next one: this many times what it took, within these limits, milliseconds. */
const RARITY = 1000
const SHORTEST_MS = 2_000
const LONGEST_MS = 20_000

export class TableWatch implements AsyncDisposable {
  readonly #tables: WatchedTables
  readonly #onDifference: (tables: readonly TableMap[]) => void
  readonly #onSame: () => void
  readonly #onError: (error: unknown) => void
  readonly #abort = new AbortController()
  readonly #counting: NodeJS.Timeout
  readonly #reading: Promise<void>

  /** `onSame`: all was read, and is as it should be. `onError`: it could not be read; it is tried again. */
  constructor(
    tables: WatchedTables,
    on: {
      readonly difference: (tables: readonly TableMap[]) => void
      readonly same: () => void
      readonly error: (error: unknown) => void
    },
  ) {
    this.#tables = tables
    this.#onDifference = on.difference
    this.#onSame = on.same
    this.#onError = on.error
    this.#counting = setInterval(() => this.#count(), COUNT_MS)
    this.#counting.unref()
    this.#reading = this.#read()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#counting)
    this.#abort.abort()
    await this.#reading
  }

  async #read(): Promise<void> {
    const { signal } = this.#abort
    let pause = SHORTEST_MS
    while (!signal.aborted) {
      try {
        await sleep(pause, undefined, { signal, ref: false })
      } catch {
        return
      }
      const before = process.threadCpuUsage()
      const different = await this.#contents()
      const { user, system } = process.threadCpuUsage(before)
      // What others did on this thread between the slices is counted, too: a busy daemon reads more seldom.
      pause = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, ((user + system) / 1000) * RARITY))
      if (signal.aborted) return
      if (different === undefined) continue
      if (different.length === 0) this.#onSame()
      else {
        pause = SHORTEST_MS
        this.#tell(different)
      }
    }
  }

  #count(): void {
    try {
      this.#tell(this.#tables.withOtherCount())
    } catch (error) {
      this.#onError(error)
    }
  }

  async #contents(): Promise<readonly TableMap[] | undefined> {
    try {
      return await this.#tables.withOtherContents(() => this.#abort.signal.aborted)
    } catch (error) {
      this.#onError(error)
      return undefined
    }
  }

  #tell(tables: readonly TableMap[]): void {
    if (tables.length > 0) this.#onDifference(tables)
  }
}
