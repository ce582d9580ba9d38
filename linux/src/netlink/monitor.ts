/**
 * Follows a namespace's links, addresses, routes and neighbours. The waiting is done by a Worker; events arrive on the thread that made the
 * monitor, in the kernel's order. Events say that something changed, not how things are: level-triggered users read the
 * state after one, and always after 'resync'.
 *
 * A bundle sets its own file as the Worker's entry with `setWorkerEntry`, and begins it with
 * `if (isMonitorWorker()) startWorker()`.
 */

import { EventEmitter } from 'node:events'
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
  /** Nothing is seen for the moment: the Worker ended. Another one is started, and 'resync' follows. Before 'ready': it can't be had at all. */
  error: [error: Error]
}

const ALL_KINDS: readonly EventKind[] = ['link', 'address', 'route', 'neighbour']
const QUEUE_BYTES = 8 << 20
/** Until a Worker that ended has a successor. */
const RESTART_MS = 1000

export class RouteMonitor extends EventEmitter<Events> implements AsyncDisposable {
  /** Resolves when the subscription stands: read the state after it, and no change is missed. Rejects when it can't be had. */
  readonly ready: Promise<void>
  readonly #options: RouteMonitorOptions
  readonly #ready = Promise.withResolvers<void>()
  #wasReady = false
  /** Of the Worker that runs. */
  #stopFd: number | undefined
  #ended: Promise<void>
  #restart: NodeJS.Timeout | undefined
  #closing = false

  constructor(options: RouteMonitorOptions = {}) {
    super()
    this.#options = options
    this.ready = this.#ready.promise
    // Whoever doesn't wait for it learns of the failure by 'error'.
    this.ready.catch(() => {})
    this.#ended = this.#start()
  }

  /** Starts a Worker; resolves when it has ended. */
  #start(): Promise<void> {
    const { netns, kinds = ALL_KINDS, queueBytes = QUEUE_BYTES } = this.#options
    const stopFd = eventfd()
    this.#stopFd = stopFd
    const registration = signalAtExit(stopFd)
    const workerData: MonitorWorkerData = { worker: MONITOR_WORKER, netns, kinds, stopFd, queueBytes }
    const worker = new Worker(workerEntry, {
      workerData,
      name: 'route-monitor',
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    })
    let failure: Error | undefined
    worker.on('message', (message: MonitorMessage) => {
      if (message.type === 'error')
        failure = new SystemError(message.syscall, message.errno, message.attempted, message.detail)
      else this.#take(message)
    })
    worker.on('error', (error) => {
      failure ??= error as Error
    })
    return new Promise((resolve) =>
      worker.once('exit', () => {
        registration[Symbol.dispose]()
        close(stopFd)
        this.#stopFd = undefined
        resolve()
        this.#hasEnded(failure ?? new Error('the monitor ended unexpectedly'))
      }),
    )
  }

  #take(message: Exclude<MonitorMessage, { type: 'error' }>): void {
    if (this.#closing) return
    switch (message.type) {
      case 'ready':
        if (this.#wasReady) {
          // Nobody saw what changed since the Worker before this one ended.
          this.emit('resync')
          return
        }
        this.#wasReady = true
        this.#ready.resolve()
        this.emit('ready')
        return
      case 'events':
        for (const event of message.events) this.#announce(event)
        return
      case 'resync':
        this.emit('resync')
        return
    }
  }

  #announce(event: RouteEvent): void {
    // A listener may close it.
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

  #hasEnded(error: Error): void {
    if (this.#closing) return
    if (this.#wasReady) {
      this.#restart = setTimeout(() => {
        this.#ended = this.#start()
      }, RESTART_MS)
    } else {
      this.#closing = true
      this.#ready.reject(error)
    }
    if (this.listenerCount('error') > 0) this.emit('error', error)
  }

  /** Ends the Worker; no event comes after it. */
  async close(): Promise<void> {
    this.#closing = true
    clearTimeout(this.#restart)
    if (this.#stopFd !== undefined) eventfdSignal(this.#stopFd)
    await this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
