/** Starts daemon-process.ts, the tests' daemon as a process of its own, and ends it. */

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Node } from './node.ts'

export class DaemonProcess {
  readonly pid: number
  /** Resolves to true when it has ended. */
  readonly ended: Promise<true>
  /** File with all that it said; one for all starts of a node. */
  readonly log: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, log: string) {
    this.#child = child
    this.pid = child.pid!
    this.log = log
    this.ended = new Promise((resolve) => child.on('exit', () => resolve(true)))
  }

  /** Resolves when it serves. One thread writes its files, so that their order is known. */
  static async start(node: Node, env: Readonly<Record<string, string>> = {}): Promise<DaemonProcess> {
    const log = join(node.folder, 'daemon.log')
    const fd = openSync(log, 'a')
    const before = readFileSync(log, 'utf8').length
    const script = join(import.meta.dirname, 'daemon-process.ts')
    const child = spawn(process.execPath, [script, node.state, node.socket, node.netns], {
      stdio: ['ignore', fd, fd],
      env: { PATH: process.env['PATH'], UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0', ...env },
    })
    closeSync(fd)
    const daemon = new DaemonProcess(child, log)
    while (!/^ready$/m.test(readFileSync(log, 'utf8').slice(before))) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the daemon ended: ${readFileSync(log, 'utf8').slice(before)}`)
      await sleep(5)
    }
    return daemon
  }

  /** Id of the main thread, or of libuv's only pool thread. */
  thread(which: 'main' | 'pool'): number {
    if (which === 'main') return this.pid
    const folder = `/proc/${this.pid}/task`
    const found = readdirSync(folder).find((id) =>
      readFileSync(join(folder, id, 'comm'), 'utf8').startsWith('libuv-worker'),
    )
    if (!found) throw new Error('the daemon has no pool thread')
    return Number(found)
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal)
  }
}
