/**
 * The cluster as it was last known, on disk: with it a daemon that starts while the API server is away serves the pods of its node.
 * Written whole or not at all, in pieces that don't hold up other work, and the less often the larger it is.
 */
import { mkdirSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Slices } from '../../kubernetes/slices.ts'
import type { VirtualMachineInterface } from '../../model/objects.ts'
import type { Item } from '../objects/decode.ts'
import { type Cluster, keyOfItem, WHOLE_KINDS, type WholeKind } from './cluster.ts'
import type { KnownPod } from './pods.ts'

const VERSION = 1
/** Quiet time after a change, milliseconds. */
const DELAY_MS = 2000
/** Milliseconds between two writes for each byte: at most 64 kB/s in the long run. */
const MS_PER_BYTE = 1 / 64

interface Snapshot {
  readonly version: number
  readonly cluster: string
  readonly node: string
  readonly nodeUid?: string
  readonly objects: Readonly<Record<WholeKind, readonly Item['object'][]>>
  readonly interfaces: readonly VirtualMachineInterface[]
  readonly pods: readonly KnownPod[]
}

export interface SnapshotFileOptions {
  readonly path: string
  readonly cluster: string
  readonly node: string
  readonly onError: (error: unknown) => void
}

export class SnapshotFile implements AsyncDisposable {
  readonly #options: SnapshotFileOptions
  #timer: NodeJS.Timeout | undefined
  #isClosed = false
  #write: (() => Promise<void>) | undefined
  #writing: Promise<void> = Promise.resolve()
  #writtenAt = Number.NEGATIVE_INFINITY
  #bytes = 0

  constructor(options: SnapshotFileOptions) {
    this.#options = options
  }

  /** Fills the stores. False: nothing is kept. Throws when what is there can't be used. */
  load(cluster: Cluster): boolean {
    let text: string
    try {
      text = readFileSync(this.#options.path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    const snapshot = JSON.parse(text) as Snapshot | null
    if (snapshot?.version !== VERSION) throw new SyntaxError(`is not of version ${VERSION}`)
    if (snapshot.cluster !== this.#options.cluster || snapshot.node !== this.#options.node) {
      throw new SyntaxError('is of another cluster or node')
    }
    for (const kind of WHOLE_KINDS) {
      for (const object of snapshot.objects[kind]) {
        const item = { kind, object } as Item
        cluster.whole[kind].seed(keyOfItem(item), item)
      }
    }
    for (const one of snapshot.interfaces) cluster.interfaces.seed(`${one.namespace}/${one.name}`, one)
    for (const known of snapshot.pods) cluster.pods.seed(`${known.pod.namespace}/${known.pod.name}`, known)
    if (snapshot.nodeUid !== undefined) cluster.nodes.seed(snapshot.node, snapshot.nodeUid)
    return true
  }

  /** Something changed: writes in a while. */
  save(cluster: Cluster): void {
    if (this.#isClosed) return
    this.#write = () => this.#writeNow(cluster)
    if (this.#timer !== undefined) return
    const next = this.#writtenAt + this.#bytes * MS_PER_BYTE
    this.#timer = setTimeout(() => this.#flush(), Math.max(DELAY_MS, next - performance.now())).unref()
  }

  /** Writes what is still to be written. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== undefined) this.#flush()
    await this.#writing
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const write = this.#write
    if (write === undefined) return
    this.#write = undefined
    this.#writing = this.#writing.then(write).catch((error: unknown) => this.#options.onError(error))
  }

  async #writeNow(cluster: Cluster): Promise<void> {
    const { path, node } = this.#options
    const temporary = `${path}.tmp`
    mkdirSync(dirname(path), { recursive: true })
    const handle = await open(temporary, 'w', 0o600)
    let bytes = 0
    try {
      for await (const piece of pieces(cluster, { version: VERSION, cluster: this.#options.cluster, node })) {
        bytes += (await handle.write(piece)).bytesWritten
      }
      await handle.sync()
    } catch (error) {
      await handle.close()
      await rm(temporary, { force: true })
      throw error
    }
    await handle.close()
    await rename(temporary, path)
    this.#bytes = bytes
    this.#writtenAt = performance.now()
  }
}

type Head = Pick<Snapshot, 'version' | 'cluster' | 'node'>

/** The text of a snapshot, in pieces of some 64 kB. Objects that come or go while it is made are in it or not. */
async function* pieces(cluster: Cluster, head: Head): AsyncGenerator<string> {
  const slices = new Slices()
  let text = `${JSON.stringify({ ...head, nodeUid: cluster.nodeUid }).slice(0, -1)},\n"objects":{`
  async function* list(name: string, objects: Iterable<unknown>): AsyncGenerator<string> {
    text += `${JSON.stringify(name)}:[`
    let separator = '\n'
    for (const object of objects) {
      text += `${separator}${JSON.stringify(object)}`
      separator = ',\n'
      if (text.length > 65_536 || slices.isUsedUp) {
        yield text
        text = ''
        await slices.next()
      }
    }
    text += ']'
  }
  let separator = ''
  for (const kind of WHOLE_KINDS) {
    text += separator
    separator = ',\n'
    yield* list(kind, objectsOf(cluster.items(kind)))
  }
  text += '},\n'
  yield* list('interfaces', cluster.interfaces.values.values())
  text += ',\n'
  yield* list('pods', cluster.pods.values.values())
  yield `${text}}\n`
}

function* objectsOf(items: Iterable<Item>): Generator<Item['object']> {
  for (const { object } of items) yield object
}
