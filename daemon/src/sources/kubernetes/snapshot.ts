/**
 * The cluster as it was last known, on disk: with it a daemon that starts while the API server is away serves the pods of its node. A file of everything,
 * written whole or not at all, in pieces that don't hold up other work; and a journal of what changed since. When the journal has outgrown the
 * file, both begin anew.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AppendedFile } from '../../ground/appended-file.ts'
import { Pace } from '../../ground/pace.ts'
import type { Item } from '../objects/decode.ts'
import { type Cluster, keyOfItem, type StoredKind, WHOLE_KINDS } from './cluster.ts'
import { lineOf, readJournal } from './journal.ts'
import type { ServiceObjects } from './services.ts'
import { parseSnapshot, pieces, type Snapshot } from './snapshot-text.ts'

const VERSION = 1
/** Milliseconds from the start until the first file is written, and from a failure until it is tried again. */
const DELAY_MS = 500
const RETRY_MS = 5000
/** A journal may be as large as the file, or this large, bytes. */
const LEAST_JOURNAL = 256 * 1024

export interface SnapshotFileOptions {
  readonly path: string
  readonly cluster: string
  readonly node: string
  readonly onError: (error: unknown) => void
}

export class SnapshotFile implements AsyncDisposable {
  readonly #options: SnapshotFileOptions
  #cluster: Cluster | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #writing: Promise<void> | undefined
  /** Of the file that is there; none: there is no file of this daemon's yet. */
  #journal: AppendedFile | undefined
  /** Of the file that is being written. */
  #nextJournal: AppendedFile | undefined
  #bytes = 0
  /** Lines of this turn of the event loop. */
  #lines = ''

  constructor(options: SnapshotFileOptions) {
    this.#options = options
  }

  /**
   * Fills the stores, in slices; what is news of the API server by then stays. False: nothing is kept. Throws when what is there can't be used, and
   * then nothing was filled.
   */
  async load(cluster: Cluster): Promise<boolean> {
    let text: string
    try {
      text = await readFile(this.#options.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    const pace = new Pace()
    const snapshot = await pace.run(parseSnapshot(text))
    if (snapshot.version !== VERSION) throw new SyntaxError(`is not of version ${VERSION}`)
    if (snapshot.cluster !== this.#options.cluster || snapshot.node !== this.#options.node) {
      throw new SyntaxError('is of another cluster or node')
    }
    await pace.run(seed(cluster, snapshot))
    if (snapshot.journal === undefined) return true
    const journal = join(dirname(this.#options.path), basename(snapshot.journal))
    for (const { kind, key, value } of readJournal(journal)) {
      cluster.store(kind)?.seed(key, value)
      if (pace.isDue) await pace.rest()
    }
    return true
  }

  /** From now on the disk follows that cluster. */
  follow(cluster: Cluster): void {
    this.#cluster = cluster
    this.#writeLater(DELAY_MS)
  }

  /** An object changed; undefined: it is gone. */
  note(kind: StoredKind, key: string, value: unknown): void {
    if (this.#journal === undefined && this.#nextJournal === undefined) return
    if (this.#lines === '') setImmediate(() => this.#append())
    this.#lines += lineOf({ kind, key, value })
  }

  /** Writes what is still to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#append()
    await this.#writing
    if (this.#cluster !== undefined && this.#journal === undefined) await this.#write(this.#cluster)
    this.#journal?.close()
    this.#journal = undefined
  }

  #append(): void {
    const lines = this.#lines
    this.#lines = ''
    if (lines === '') return
    try {
      this.#journal?.append(lines)
      this.#nextJournal?.append(lines)
    } catch (error) {
      this.#failed(error)
      return
    }
    if (this.#journal !== undefined && this.#journal.bytes > Math.max(LEAST_JOURNAL, this.#bytes)) this.#writeLater(0)
  }

  /** A journal that lacks something is worse than none: everything is written anew. */
  #failed(error: unknown): void {
    this.#options.onError(error)
    this.#journal?.close()
    this.#journal = undefined
    this.#nextJournal?.remove()
    this.#nextJournal = undefined
    this.#writeLater(RETRY_MS)
  }

  #writeLater(ms: number): void {
    if (this.#isClosed || this.#timer !== undefined || this.#writing !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write(this.#cluster!).then((isDone) => {
        this.#writing = undefined
        if (!isDone) this.#writeLater(RETRY_MS)
      })
    }, ms).unref()
  }

  /** What changes meanwhile goes into both journals: the new one counts as soon as the file has its name, and not before. Never rejects. */
  async #write(cluster: Cluster): Promise<boolean> {
    const { path, node } = this.#options
    const temporary = `${path}.tmp`
    this.#append()
    try {
      mkdirSync(dirname(path), { recursive: true })
      const journal = new AppendedFile(`${path}.journal-${Date.now().toString(36)}`, 'w')
      this.#nextJournal = journal
      const head = {
        ...{ version: VERSION, cluster: this.#options.cluster, node },
        ...{ nodeUid: cluster.nodeUid, zone: cluster.state.zone },
        ...{ journal: basename(journal.path), hasServices: cluster.services.isComplete },
      }
      const bytes = await writeWhole(temporary, pieces(cluster, head))
      this.#append()
      if (this.#nextJournal !== journal) throw new Error('the journal can not be written')
      await rename(temporary, path)
      this.#journal?.close()
      this.#journal = journal
      this.#nextJournal = undefined
      this.#bytes = bytes
      this.#removeOthers(journal)
      return true
    } catch (error) {
      this.#options.onError(error)
      this.#nextJournal?.remove()
      this.#nextJournal = undefined
      await rm(temporary, { force: true }).catch(() => undefined)
      return false
    }
  }

  #removeOthers(journal: AppendedFile): void {
    const folder = dirname(this.#options.path)
    const prefix = `${basename(this.#options.path)}.journal-`
    for (const name of readdirSync(folder))
      if (name.startsWith(prefix) && name !== basename(journal.path)) rmSync(join(folder, name), { force: true })
  }
}

/** Throws what the file system says. Returns how many bytes it has. */
async function writeWhole(path: string, text: AsyncIterable<string>): Promise<number> {
  const handle = await open(path, 'w', 0o600)
  let bytes = 0
  try {
    for await (const piece of text) bytes += (await handle.write(piece)).bytesWritten
    await handle.sync()
  } finally {
    await handle.close()
  }
  return bytes
}

function* seed(cluster: Cluster, snapshot: Snapshot): Generator<void> {
  const { objects, interfaces, pods, node, nodeUid, zone, hasServices } = snapshot
  for (const kind of WHOLE_KINDS) {
    for (const object of objects[kind]) {
      const item = { kind, object } as Item
      cluster.whole[kind].seed(keyOfItem(item), item)
      yield
    }
  }
  for (const one of interfaces) {
    cluster.interfaces.seed(`${one.namespace}/${one.name}`, one)
    yield
  }
  yield* seedServices(cluster.services, snapshot)
  if (hasServices === true) cluster.services.seedComplete()
  for (const known of pods) cluster.pods.seed(`${known.pod.namespace}/${known.pod.name}`, known)
  if (nodeUid !== undefined) cluster.nodes.seed(node, { uid: nodeUid, ...(zone !== undefined && { zone }) })
}

function* seedServices(known: ServiceObjects, { services, slices, serviceRanges, pools }: Snapshot): Generator<void> {
  for (const service of services) {
    known.services.seed(`${service.namespace}/${service.name}`, service)
    yield
  }
  for (const slice of slices) {
    known.slices.seed(`${slice.namespace}/${slice.name}`, slice)
    yield
  }
  for (const range of serviceRanges) known.ranges.seed(range.name, range)
  for (const pool of pools) known.pools.seed(pool.name, pool)
}
