/**
 * Follows a namespace's links, addresses, routes and neighbours. The waiting is done by a Worker; events arrive on the thread that made the
 * monitor, in the kernel's order. Events say that something changed, not how things are: level-triggered users read the
 * state after one, and always after 'resync'.
 *
 * A bundle sets its own file as the Worker's entry with `setWorkerEntry`, and begins it with
 * `if (isMonitorWorker()) startWorker()`.
 */

import { EventEmitter, once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { SystemError } from '../errors.ts'
import { close, eventfd, eventfdSignal } from '../ffi.ts'
import { signalAtExit } from '../signal-at-exit.ts'
import type { EventKind, RouteEvent } from './events.ts'
import { MONITOR_WORKER, type MonitorMessage, type MonitorWorkerData } from './monitor-loop.ts'

export type { EventKind, RouteEvent } from './events.ts'
export { isMonitorWorker, startWorker } from './monitor-loop.ts'

let workerEntry = new URL('./monitor-worker.ts', import.meta.url)

/** The file that new monitors' Workers run. For bundles, which have no `monitor-worker.ts` beside them. */
export function setWorkerEntry(url: URL): void {
  workerEntry = url
}

export interface RouteMonitorOptions {
  /** Path of the namespace; by default the one of the process's main thread. */
  readonly netns?: string
  /** Default: all. */
  readonly kinds?: readonly EventKind[]
  /** Size of the kernel's queue for this monitor; default 8 MiB. When it overflows, 'resync' is emitted. */
  readonly queueBytes?: number
}

interface Events {
  event: [event: RouteEvent]
  link: [event: Extract<RouteEvent, { kind: 'link' }>]
  address: [event: Extract<RouteEvent, { kind: 'address' }>]
  route: [event: Extract<RouteEvent, { kind: 'route' }>]
  neighbour: [event: Extract<RouteEvent, { kind: 'neighbour' }>]
  /** Events were lost: read everything anew. */
  resync: []
  /** From now on every change is seen. */
  ready: []
  error: [error: Error]
}

const ALL_KINDS: readonly EventKind[] = ['link', 'address', 'route', 'neighbour']
const QUEUE_BYTES = 8 << 20

export class RouteMonitor extends EventEmitter<Events> implements AsyncDisposable {
  /** Resolves when the subscription stands: read the state after it, and no change is missed. Rejects when it can't be had. */
  readonly ready: Promise<void>
  readonly #worker: Worker
  readonly #stopFd: number
  readonly #ended: Promise<unknown>
  #closing = false

  constructor(options: RouteMonitorOptions = {}) {
    super()
    this.#stopFd = eventfd()
    const registration = signalAtExit(this.#stopFd)
    const workerData: MonitorWorkerData = {
      worker: MONITOR_WORKER,
      netns: options.netns,
      kinds: options.kinds ?? ALL_KINDS,
      stopFd: this.#stopFd,
      queueBytes: options.queueBytes ?? QUEUE_BYTES,
    }
    this.#worker = new Worker(workerEntry, {
      workerData,
      name: 'route-monitor',
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    })
    this.#ended = once(this.#worker, 'exit').finally(() => {
      registration[Symbol.dispose]()
      close(this.#stopFd)
    })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ready = promise
    // Whoever doesn't wait for it learns of the failure by 'error'.
    promise.catch(() => {})
    this.#worker.on('message', (message: MonitorMessage) => this.#take(message, resolve, reject))
    this.#worker.on('error', (error) => this.#fail(error as Error, reject))
    this.#worker.on('exit', () => {
      if (!this.#closing) this.#fail(new Error('the monitor ended unexpectedly'), reject)
    })
  }

  #take(message: MonitorMessage, resolve: () => void, reject: (error: Error) => void): void {
    switch (message.type) {
      case 'ready':
        resolve()
        this.emit('ready')
        return
      case 'events':
        for (const event of message.events) this.#announce(event)
        return
      case 'resync':
        this.emit('resync')
        return
      case 'error':
        this.#fail(new SystemError(message.syscall, message.errno, message.attempted, message.detail), reject)
        return
    }
  }

  #announce(event: RouteEvent): void {
    if (this.#closing) return
    this.emit('event', event)
    switch (event.kind) {
      case 'link':
        this.emit('link', event)
        return
      case 'address':
        this.emit('address', event)
        return
      case 'route':
        this.emit('route', event)
        return
      case 'neighbour':
        this.emit('neighbour', event)
        return
    }
  }

  #fail(error: Error, reject: (error: Error) => void): void {
    if (this.#closing) return
    this.#closing = true
    reject(error)
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }

  /** Ends the Worker; no event comes after it. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true
      eventfdSignal(this.#stopFd)
    }
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
