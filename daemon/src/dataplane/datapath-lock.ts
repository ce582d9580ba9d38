/**
 * One daemon for each datapath: a second one would take the first one's entries for damage, and each would undo the other's work. The lock is taken
 * before anything is touched and kept as long as the process lives; the kernel lets go of it when the process ends, however it does.
 *
 * It lies on the folder of pins itself, which all containers of a node see as the same, and on `daemon.lock` in the state folder, since ids and records
 * have one writer, too. That file says who holds it: process ids mean nothing in another container, so it says more.
 */
import { mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close, flock, O_CREAT, O_RDWR, open } from '@kube-vrouter/linux/ffi'
import type { Config } from '../config/config.ts'
import { VrouterError } from '../errors.ts'
import { openPins } from './pins.ts'

/** A daemon that is ending, or was killed and has not ended yet, is waited for. */
const WAIT_MS = 3_000
const POLL_MS = 20

type Paths = Pick<Config['paths'], 'pins' | 'state'>

interface Holder {
  readonly pid: number
  readonly pidNamespace: string
  readonly host: string
  readonly since: string
}

export class DatapathLock implements Disposable {
  readonly #descriptors: readonly number[]

  private constructor(descriptors: readonly number[]) {
    this.#descriptors = descriptors
  }

  /** Makes the folders. Throws DAEMON_RUNNING, naming who holds the lock, and PINS_NOT_BPFFS. */
  static async take(paths: Paths, waitMs = WAIT_MS): Promise<DatapathLock> {
    openPins(paths.pins)
    mkdirSync(paths.state, { recursive: true })
    const until = performance.now() + waitMs
    for (;;) {
      const lock = DatapathLock.#try(paths)
      if (lock instanceof DatapathLock) return lock
      if (performance.now() >= until) throw VrouterError.of('DAEMON_RUNNING', lock)
      await sleep(POLL_MS)
    }
  }

  /** For those who take the datapath away: locks what there is of it. Throws DAEMON_RUNNING. */
  static takeExisting(paths: Paths): DatapathLock {
    const lock = DatapathLock.#try(paths)
    if (lock instanceof DatapathLock) return lock
    throw VrouterError.of('DAEMON_RUNNING', lock)
  }

  /** Or what is held, and by whom. */
  static #try({ pins, state }: Paths): DatapathLock | { readonly what: string; readonly holder: string } {
    const file = join(state, 'daemon.lock')
    const descriptors: number[] = []
    const refused = (what: string, holder: string) => {
      for (const fd of descriptors) close(fd)
      return { what, holder }
    }
    const folder = openIfThere(pins)
    if (folder !== undefined) {
      descriptors.push(folder)
      if (!flock(folder)) return refused(`the datapath at ${pins}`, describe(ownerOf(pins), readHolder(file)))
    }
    const record = openIfThere(file, O_RDWR | O_CREAT)
    if (record !== undefined) {
      descriptors.push(record)
      if (!flock(record)) return refused(`the state in ${state}`, describe(undefined, readHolder(file)))
      writeFileSync(file, `${JSON.stringify(ourselves())}\n`)
    }
    return new DatapathLock(descriptors)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#descriptors) close(fd)
  }
}

function openIfThere(path: string, flags?: number): number | undefined {
  try {
    return open(path, flags, 0o600)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw error
  }
}

const pidNamespace = (): string => readlinkSync('/proc/self/ns/pid')

function ourselves(): Holder {
  return { pid: process.pid, pidNamespace: pidNamespace(), host: hostname(), since: new Date().toISOString() }
}

/** What the last holder of the file has written; undefined: nobody has, or not in full. */
function readHolder(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Holder
  } catch {
    return undefined
  }
}

/** The process that holds a lock on `path`, by the kernel's list, which shows those of our process namespace and below. */
function ownerOf(path: string): number | undefined {
  const { dev, ino } = statSync(path, { bigint: true })
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn)
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn)
  const hex = (number: bigint) => number.toString(16).padStart(2, '0')
  const place = `${hex(major)}:${hex(minor)}:${ino}`
  for (const line of readFileSync('/proc/locks', 'utf8').split('\n')) {
    const [, kind, , , pid, where] = line.split(/\s+/)
    if (kind === 'FLOCK' && where === place) return Number(pid)
  }
  return undefined
}

function describe(owner: number | undefined, holder: Holder | undefined): string {
  if (owner !== undefined) return `process ${owner}`
  if (holder === undefined) return 'a process of another container'
  const { pid, host, since } = holder
  const place = holder.pidNamespace === pidNamespace() ? '' : ' of another container'
  return `process ${pid}${place} (host ${host}, since ${since})`
}
