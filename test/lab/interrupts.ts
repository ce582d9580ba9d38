/** Ctrl-C, a kill or a closed terminal while a lab is being built: remembered and passed on to who works, so that whoever waits can tidy up. */
import type { ChildProcess } from 'node:child_process'
import { constants } from 'node:os'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export class Interrupts implements Disposable {
  /** The first one that came. */
  signal: NodeJS.Signals | undefined
  readonly #workers = new Set<ChildProcess>()
  readonly #note = (signal: NodeJS.Signals): void => {
    this.signal ??= signal
    for (const worker of this.#workers) worker.kill(signal)
  }
  readonly #ignore = (): void => {}

  constructor() {
    for (const signal of signals) process.on(signal, this.#note)
    // With the terminal gone, writing to it is no reason to leave a lab behind.
    for (const stream of [process.stdout, process.stderr]) stream.on('error', this.#ignore)
  }

  /** Exit code by which shells tell the signal. */
  get exitCode(): number {
    return 128 + (this.signal === undefined ? 0 : constants.signals[this.signal])
  }

  /** Who works may have ended of a signal to the whole group before this process hears of it: that counts as its own. */
  noteEndOf(exitCode: number): void {
    this.signal ??= signals.find((signal) => exitCode === 128 + constants.signals[signal])
  }

  passTo(worker: ChildProcess): Disposable {
    this.#workers.add(worker)
    return { [Symbol.dispose]: () => void this.#workers.delete(worker) }
  }

  [Symbol.dispose](): void {
    for (const signal of signals) process.off(signal, this.#note)
    for (const stream of [process.stdout, process.stderr]) stream.off('error', this.#ignore)
  }
}
