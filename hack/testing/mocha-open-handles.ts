/**
 * Mocha loads this before all tests (.mocharc.json). When the tests are over the process has to end by itself: what keeps it from that, a
 * server, a child, a Worker, a timer, is named with the file of tests after which it was first seen, and makes the run fail.
 */
import type { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Worker } from 'node:worker_threads'
import { STILL_OPEN } from './open-handles.ts'

/** Only what is never closed is waited for so long. */
const GRACE_MS = Number(process.env['KV_OPEN_HANDLES_GRACE_MS'] ?? 30_000)
const STATUS = 250

/** Node's own list of what keeps a process alive; there is no public one of objects. Neither timers nor Workers are in it. */
const { _getActiveHandles: active } = process as unknown as { _getActiveHandles: () => object[] }
const workers = new Set<Worker>()
subscribe('worker_threads', (message) => {
  const { worker } = message as { worker: Worker }
  workers.add(worker)
  worker.once('exit', () => workers.delete(worker))
})
const handles = () => [...active(), ...workers]
const firstSeen = new WeakMap<object, string>()
let timersAfter: readonly [file: string, timers: number] = ['', 0]

export const mochaHooks = {
  beforeAll(this: Mocha.Context): void {
    // The pipes to whoever started mocha, and what belongs to it.
    for (const handle of handles()) firstSeen.set(handle, '')
    const root = this.test!.parent!
    for (const suite of root.suites) suite.afterAll('note what is open', () => note(suite.file ?? suite.title))
  },
  afterAll(): void {
    note('another')
    setTimeout(fail, GRACE_MS).unref()
  },
}

function note(file: string): void {
  for (const handle of handles()) if (!firstSeen.has(handle)) firstSeen.set(handle, file)
  const timers = countTimers()
  if (timers > timersAfter[1]) timersAfter = [file, timers]
}

function fail(): void {
  const left = handles().filter((handle) => firstSeen.get(handle) !== '')
  const lines = left.map((handle) => `${nameOf(handle)}, first seen after ${firstSeen.get(handle) ?? 'all tests'}`)
  const timers = countTimers()
  if (timers > 0) lines.push(`${timers} timers, most of them seen after ${timersAfter[0]}`)
  if (lines.length === 0)
    lines.push(`something that Node has no name for (${process.getActiveResourcesInfo().join(', ')})`)
  for (const line of lines) console.error(STILL_OPEN + line)
  // Mocha, too, sets the status at this event: to the number of failed tests.
  process.on('exit', () => {
    process.exitCode = STATUS
  })
  process.exit()
}

function countTimers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout' || kind === 'Immediate').length
}

function nameOf(handle: object): string {
  const kind = handle.constructor.name
  switch (kind) {
    case 'Server': {
      const address = (handle as Server).address() as AddressInfo | string | null
      return `Server on ${typeof address === 'string' ? address : `${address?.address}:${address?.port}`}`
    }
    case 'Socket': {
      const { remoteAddress, remotePort, localPort } = handle as Socket
      return remotePort === undefined ? 'Socket or pipe' : `Socket from ${localPort} to ${remoteAddress}:${remotePort}`
    }
    case 'Worker':
      return `Worker ${(handle as Worker).threadName}`
    case 'ChildProcess': {
      const { pid, spawnargs } = handle as ChildProcess
      return `ChildProcess ${pid} ${spawnargs.join(' ').slice(0, 200)}`
    }
    default:
      return kind
  }
}
