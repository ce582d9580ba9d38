/**
 * Port records on disk: `<state>/ports/<key>.json` (`recordKey`), one per attachment, written before the allocation is answered.
 * They are what a restarted daemon knows of its pods: a file holds a record as a whole, whenever the daemon is killed, and carries a schema
 * number. A record that can't be read never stops the daemon: it is moved to `<state>/ports/corrupt/` and reported.
 *
 * An ADD waits for as little of this as can be: the disk works beside it, and no file is made for it but one, which was there before where it can be.
 */

import { createHash } from 'node:crypto'
import { closeSync, fstatSync, fsync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { replaceFile, writeAll } from '@kube-vrouter/linux/replace-file'
import type { Port } from '../model/facts.ts'
import type { PodAddress } from '../model/ipam.ts'
import type { Bandwidth } from '../port-api/messages.ts'
import { recordError } from './errors.ts'
import { SpareFile } from './spare-file.ts'

export const SCHEMA = 1

export interface PortRecord {
  readonly port: Port
  /** True once the CNI binary registered the tap: the attachment is complete. */
  readonly registered: boolean
  /** Path of the pod's network namespace. */
  readonly netns: string
  /** `name` of the CNI network that asked. */
  readonly network?: string
  /** Limits of traffic that the runtime asked for. */
  readonly bandwidth?: Bandwidth
  readonly addresses: readonly PodAddress[]
  /** Of an interface beside the pod's first: the ways to its own network. Absent: the default routes, and the pod's DNS servers. */
  readonly routes?: readonly { readonly destination: string; readonly gateway: string }[]
}

/** What happened to a file that could not be used. */
export interface CorruptRecord {
  readonly file: string
  /** From the file's name. */
  readonly key: string
  readonly reason: string
  /** Where it lies now; absent when it could not even be moved. */
  readonly movedTo?: string
}

export interface LoadedRecords {
  readonly records: readonly PortRecord[]
  readonly corrupt: readonly CorruptRecord[]
}

/** Longest key, bytes: `<key>.json.<n>.tmp` must fit a file name of 255. */
const LONGEST_KEY = 230

/**
 * The key of an attachment, and its file's name: `<containerId>-<ifname>`. Both parts may hold a '-', so those of the interface name are
 * written %2d: the last '-' always parts them. Container ids have no longest length: what fits no file name ends in a hash of all of it,
 * behind a '~', which no container id holds. The CNI binary names its queued deletions alike (release.ts).
 */
export function recordKey(containerId: string, ifname: string): string {
  const key = `${containerId}-${ifname.replaceAll('%', '%25').replaceAll('-', '%2d')}`
  if (Buffer.byteLength(key) <= LONGEST_KEY) return key
  const hash = createHash('sha256').update(`${containerId}/${ifname}`).digest('hex')
  return `${containerId.slice(0, 64)}~${hash}`
}

export const fsyncFile: (fd: number) => Promise<void> = promisify(fsync)

/** The kernel writes so much of a file in one piece, bytes: whoever is killed has written all of it or nothing. */
const ONE_PIECE = 4096

export class Records implements Disposable {
  readonly #folder: string
  readonly #spare: SpareFile
  readonly #sync: (fd: number) => Promise<void>
  readonly #syncing = new Map<string, Promise<void>>()
  #written = 0

  /** `state`: the daemon's paths.state. `sync`: brings a file to the disk. */
  constructor(state: string, sync = fsyncFile) {
    this.#sync = sync
    this.#folder = join(state, 'ports')
    this.#spare = new SpareFile(join(state, 'ports.spare'))
  }

  [Symbol.dispose](): void {
    this.#spare[Symbol.dispose]()
  }

  /** Reads all records. Removes temporary files of interrupted writes; moves what is corrupt aside. */
  async load(): Promise<LoadedRecords> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    this.#spare.makeLater()
    const records: PortRecord[] = []
    const corrupt: CorruptRecord[] = []
    for (const name of (await readdir(this.#folder)).sort()) {
      const file = join(this.#folder, name)
      if (name.endsWith('.tmp')) await rm(file, { force: true })
      if (!name.endsWith('.json')) continue
      const key = name.slice(0, -'.json'.length)
      try {
        const record = decodeRecord(await readFile(file, 'utf8'))
        if (recordKey(record.port.containerId, record.port.ifname) !== key)
          throw new Error('it belongs to another attachment')
        records.push(record)
      } catch (error) {
        corrupt.push(await this.#moveAside(name, key, (error as Error).message))
      }
    }
    return { records, corrupt }
  }

  /**
   * Writes a record. It is with the kernel then, so that no daemon that is killed forgets it; the disk goes on working (`onDisk`). Rejects with PortError
   * DISK_FULL or RECORD_FAILED; the former record, if any, is then as it was.
   */
  async write(record: PortRecord): Promise<void> {
    const key = recordKey(record.port.containerId, record.port.ifname)
    const file = this.#file(key)
    const spare = this.#spare.take()
    const temporary = spare?.path ?? `${file}.${++this.#written}.tmp`
    try {
      const fd = spare?.fd ?? openSync(temporary, 'wx', 0o600)
      try {
        writeAll(fd, Buffer.from(encodeRecord(record)))
        renameSync(temporary, file)
      } catch (error) {
        closeSync(fd)
        throw error
      }
      this.#follow(key, this.#syncAndClose(fd, file))
    } catch (error) {
      remove(temporary)
      throw recordError(file, error)
    }
  }

  /** Resolves when a power loss doesn't take from that record what was written last. Rejects as `write` does. */
  async onDisk({ port: { containerId, ifname } }: PortRecord): Promise<void> {
    await this.#syncing.get(recordKey(containerId, ifname))
  }

  async writeDurably(record: PortRecord): Promise<void> {
    await this.write(record)
    await this.onDisk(record)
  }

  /**
   * Writes a record anew that is there, for changes that a restarted daemon can find out by itself: the disk gets them at some time. Throws as `write`
   * does.
   */
  update(record: PortRecord): void {
    const file = this.#file(recordKey(record.port.containerId, record.port.ifname))
    try {
      const text = encodeRecord(record)
      if (!writtenOver(file, Buffer.from(text))) replaceFile(file, `${file}.${++this.#written}.tmp`, text, 0o600)
    } catch (error) {
      throw recordError(file, error)
    }
  }

  /** A record that is not there is fine. */
  async remove(key: string): Promise<void> {
    const file = this.#file(key)
    this.#syncing.delete(key)
    try {
      remove(file)
    } catch (error) {
      throw recordError(file, error)
    }
  }

  /** Until the disk has it; a failure stays, for whoever asks. */
  #follow(key: string, onDisk: Promise<void>): void {
    this.#syncing.set(key, onDisk)
    onDisk.then(
      () => this.#syncing.get(key) === onDisk && this.#syncing.delete(key),
      () => undefined,
    )
  }

  async #syncAndClose(fd: number, file: string): Promise<void> {
    try {
      await this.#sync(fd)
    } catch (error) {
      throw recordError(file, error)
    } finally {
      closeSync(fd)
    }
  }

  #file(key: string): string {
    return join(this.#folder, `${key}.json`)
  }

  async #moveAside(name: string, key: string, reason: string): Promise<CorruptRecord> {
    const file = join(this.#folder, name)
    const folder = join(this.#folder, 'corrupt')
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const movedTo = join(folder, `${key}.${Date.now()}`)
      await rename(file, movedTo)
      return { file, key, reason, movedTo }
    } catch {
      return { file, key, reason }
    }
  }
}

/** Writes into the file that is there, where that is one piece of work for the kernel: to make another file takes long on some machines. */
function writtenOver(file: string, bytes: Buffer): boolean {
  let fd: number
  try {
    fd = openSync(file, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  try {
    const { size } = fstatSync(fd)
    if (Math.max(size, bytes.length) > ONE_PIECE) return false
    // What a longer text leaves behind is blank.
    const whole = bytes.length < size ? Buffer.concat([bytes, Buffer.alloc(size - bytes.length, '\n')]) : bytes
    return writeSync(fd, whole, 0, whole.length, 0) === whole.length
  } finally {
    closeSync(fd)
  }
}

/** Node's own rmSync takes ten times as long. */
function remove(file: string): void {
  try {
    unlinkSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

export function encodeRecord(record: PortRecord): string {
  return `${JSON.stringify({ schema: SCHEMA, ...record }, undefined, 1)}\n`
}

/** Throws an Error that says what is wrong with the text. */
export function decodeRecord(json: string): PortRecord {
  if (json.trim() === '') throw new Error('it is empty')
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw new Error('it is not JSON')
  }
  const { schema, ...record } = object(value, 'the record')
  if (schema !== SCHEMA) throw new Error(`it has schema ${JSON.stringify(schema)}; this daemon reads ${SCHEMA}`)
  const port = object(record['port'], 'port')
  const pod = object(port['pod'], 'port.pod')
  for (const key of ['uuid', 'containerId', 'ifname', 'namespace', 'vn', 'mac', 'tap', 'createdAt'])
    text(port[key], `port.${key}`)
  for (const key of ['name', 'uid']) text(pod[key], `port.pod.${key}`)
  number(port['mtu'], 'port.mtu')
  if (port['ifindex'] !== undefined) number(port['ifindex'], 'port.ifindex')
  for (const [i, address] of list(port['addresses'], 'port.addresses').entries()) text(address, `port.addresses[${i}]`)
  for (const [key, label] of Object.entries(object(port['labels'], 'port.labels'))) text(label, `port.labels.${key}`)
  if (typeof record['registered'] !== 'boolean') throw new Error('registered is not a boolean')
  text(record['netns'], 'netns')
  if (record['network'] !== undefined) text(record['network'], 'network')
  if (port['hostPorts'] !== undefined)
    for (const [i, entry] of list(port['hostPorts'], 'port.hostPorts').entries()) {
      const hostPort = object(entry, `port.hostPorts[${i}]`)
      for (const key of ['hostPort', 'containerPort']) number(hostPort[key], `port.hostPorts[${i}].${key}`)
      text(hostPort['protocol'], `port.hostPorts[${i}].protocol`)
      if (hostPort['hostIp'] !== undefined) text(hostPort['hostIp'], `port.hostPorts[${i}].hostIp`)
    }
  if (record['bandwidth'] !== undefined) object(record['bandwidth'], 'bandwidth')
  for (const [i, entry] of list(record['addresses'], 'addresses').entries()) {
    const address = object(entry, `addresses[${i}]`)
    for (const key of ['address', 'gateway', 'service']) text(address[key], `addresses[${i}].${key}`)
    number(address['prefixLength'], `addresses[${i}].prefixLength`)
  }
  if (record['routes'] !== undefined)
    for (const [i, entry] of list(record['routes'], 'routes').entries())
      for (const key of ['destination', 'gateway']) text(object(entry, `routes[${i}]`)[key], `routes[${i}].${key}`)
  const decoded = record as unknown as PortRecord
  // Records of before this was part of the port.
  if (decoded.routes === undefined || decoded.port.isSecondary) return decoded
  return { ...decoded, port: { ...decoded.port, isSecondary: true } }
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${name} is not an object`)
  return value as Record<string, unknown>
}

function list(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`${name} is not a list`)
  return value
}

function text(value: unknown, name: string): void {
  if (typeof value !== 'string') throw new Error(`${name} is not a string`)
}

function number(value: unknown, name: string): void {
  if (!Number.isInteger(value)) throw new Error(`${name} is not an integer`)
}
