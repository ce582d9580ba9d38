/**
 * Port records on disk: `<state>/ports/<key>.json` (`recordKey`), one per attachment, written before the allocation is answered.
 * They are what a restarted daemon knows of its pods, so they are replaced as a whole (temporary file, fsync, rename) and carry a schema
 * number. A record that can't be read never stops the daemon: it is moved to `<state>/ports/corrupt/` and reported.
 */

import { createHash } from 'node:crypto'
import { closeSync, fsync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { replaceFile } from '@kube-vrouter/linux/replace-file'
import type { Port } from '../model/facts.ts'
import type { PodAddress } from '../model/ipam.ts'
import type { Bandwidth, PortMapping } from '../port-api/messages.ts'
import { recordError } from './errors.ts'

export const SCHEMA = 1

export interface PortRecord {
  readonly port: Port
  /** True once the CNI binary registered the tap: the attachment is complete. */
  readonly registered: boolean
  /** Path of the pod's network namespace. */
  readonly netns: string
  /** `name` of the CNI network that asked. */
  readonly network?: string
  /** What the runtime asked for besides: ports of the node, limits of traffic. */
  readonly portMappings?: readonly PortMapping[]
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

export class Records {
  readonly #folder: string
  #written = 0

  /** `state`: the daemon's paths.state. */
  constructor(state: string) {
    this.#folder = join(state, 'ports')
  }

  /** Reads all records. Removes temporary files of interrupted writes; moves what is corrupt aside. */
  async load(): Promise<LoadedRecords> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const records: PortRecord[] = []
    const corrupt: CorruptRecord[] = []
    for (const name of (await readdir(this.#folder)).sort()) {
      const file = join(this.#folder, name)
      if (name.endsWith('.tmp')) await unlink(file)
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
   * Writes a record. `durable: false` leaves out the fsync, for changes that a restarted daemon can find out by itself.
   * Throws PortError DISK_FULL or RECORD_FAILED; the former record, if any, is then as it was.
   */
  async write(record: PortRecord, options: { readonly durable: boolean } = { durable: true }): Promise<void> {
    const file = this.#file(recordKey(record.port.containerId, record.port.ifname))
    const temporary = `${file}.${++this.#written}.tmp`
    try {
      if (!options.durable) return replaceFile(file, temporary, encodeRecord(record), 0o600)
      const fd = openSync(temporary, 'wx', 0o600)
      try {
        const bytes = Buffer.from(encodeRecord(record))
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
        await promisify(fsync)(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(temporary, file)
    } catch (error) {
      remove(temporary)
      throw recordError(file, error)
    }
  }

  /** A record that is not there is fine. */
  async remove(key: string): Promise<void> {
    const file = this.#file(key)
    try {
      remove(file)
    } catch (error) {
      throw recordError(file, error)
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
  if (record['portMappings'] !== undefined) list(record['portMappings'], 'portMappings')
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
