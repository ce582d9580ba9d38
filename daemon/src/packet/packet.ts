/**
 * The daemon's end of pkt0. `AgentPort` owns the descriptor of the device and the Worker that reads it; the device itself is the
 * dataplane's and stays. When the device is made anew the port opens it again by itself.
 *
 * A bundle sets its own file as the Worker's entry with `setWorkerEntry`, and begins it with
 * `if (isPacketWorker()) startPacketWorker()`.
 */
import { EventEmitter, once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { close, eventfd, eventfdSignal } from '@kube-vrouter/linux/ffi'
import type { NamespaceHandle } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { signalAtExit } from '@kube-vrouter/linux/signal-at-exit'
import { openTap } from '@kube-vrouter/linux/tap'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { PacketStats } from '../model/packet-stats.ts'
import { type Answerer, Answerers } from './answerers.ts'
import { deltaBetween, EMPTY_CONTEXT, type PacketContext } from './context.ts'
import { Counters } from './counters.ts'
import { QUESTION_LIMITS, type QuestionLimits } from './questions.ts'
import type { Injection } from './respond.ts'
import type { Service } from './service.ts'
import { type FromPacketWorker, PACKET_WORKER, type PacketWorkerData, type ToPacketWorker } from './worker-loop.ts'

export type { PacketStats } from '../model/packet-stats.ts'
export { isPacketWorker, startPacketWorker } from './worker-loop.ts'

let workerEntry = new URL('./worker.ts', import.meta.url)

/** The file that new ports' Workers run. For bundles, which have no `worker.ts` beside them. */
export function setWorkerEntry(url: URL): void {
  workerEntry = url
}

export interface AgentPortOptions {
  /** Name of pkt0; the device exists already. */
  readonly device: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  /** What to answer with until the first `updateContext`. */
  readonly context?: PacketContext
  readonly netns?: NamespaceHandle
  readonly questions?: QuestionLimits
  /** Overrides `setWorkerEntry`. */
  readonly workerEntry?: URL
}

const REOPEN_MS = 500

export class AgentPort implements AsyncDisposable {
  readonly #options: AgentPortOptions
  readonly #counters = new Counters()
  readonly #events = new EventEmitter<{ resolve: [address: string] }>()
  readonly #answerers: Answerers
  #context: PacketContext
  #reader: Reader | undefined
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(options: AgentPortOptions) {
    this.#options = options
    this.#context = options.context ?? EMPTY_CONTEXT
    this.#answerers = new Answerers(options.log, options.questions?.patienceMs)
  }

  /** Resolves when pkt0 is being read. Throws DEVICE_FAILED: the device isn't there, or another process reads it. */
  static async start(options: AgentPortOptions): Promise<AgentPort> {
    const port = new AgentPort(options)
    try {
      await port.#open()
      return port
    } catch (error) {
      await port[Symbol.asyncDispose]()
      throw error
    }
  }

  /** What to answer with from now on. The worker is told what is different; the same context again costs it nothing. */
  updateContext(context: PacketContext): void {
    const next = { ...context, services: this.#answerers.services }
    const delta = deltaBetween(this.#context, next)
    this.#context = next
    if (delta !== undefined) this.#reader?.send({ type: 'context', delta })
  }

  /**
   * What is for this service goes to `answerer`, off the thread that reads pkt0, and its answer is sent when it comes. So many wait at once
   * (questions.ts); what is more is dropped with a reason. Returns how to end that.
   */
  serve(service: Service, answerer: Answerer): () => void {
    const end = this.#answerers.add(service, answerer)
    this.updateContext(this.#context)
    return () => {
      end()
      this.updateContext(this.#context)
    }
  }

  /** Sends frames that nobody asked for. */
  announce(injections: readonly Injection[]): void {
    if (injections.length > 0) this.#reader?.send({ type: 'announce', injections })
  }

  stats(): PacketStats {
    return this.#counters.read()
  }

  /** `listener` gets the addresses of underlay neighbours that packets wait for. Returns how to end that. */
  onResolve(listener: (address: string) => void): () => void {
    this.#events.on('resolve', listener)
    return () => void this.#events.off('resolve', listener)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retry)
    const reader = this.#reader
    this.#reader = undefined
    await reader?.stop()
  }

  async #open(): Promise<void> {
    const { device, netns, log } = this.#options
    let tapFd: number
    try {
      tapFd = openExisting(device, netns)
    } catch (error) {
      throw VrouterError.of('DEVICE_FAILED', { device, reason: reasonOf(error) }, { cause: error })
    }
    const questions = this.#options.questions ?? QUESTION_LIMITS
    const { vifs: _, ...context } = this.#context
    const known = { counters: this.#counters.memory, context, questions }
    const reader = new Reader(tapFd, this.#options.workerEntry ?? workerEntry, known, {
      onMessage: (message) => {
        if (message.type === 'resolve') this.#events.emit('resolve', message.address)
        else if (message.type === 'ask') void this.#answer(reader, message)
        else log.error({ device, fault: message.message }, 'a trapped packet made its reader fail')
      },
      onFailure: (error) => {
        if (this.#isClosed || this.#reader !== reader) return
        this.#reader = undefined
        log.warn({ device, err: error }, 'the agent device is not read any more; opening it again')
        this.#reopenLater()
      },
    })
    this.#reader = reader
    await reader.online
    if (this.#isClosed) await reader.stop()
  }

  /** The reader that asked gets the answer: another one knows nothing of the question. */
  async #answer(reader: Reader, { id, question }: Extract<FromPacketWorker, { type: 'ask' }>): Promise<void> {
    const { vifs, vrfs } = this.#context
    const asker = { vif: vifs.get(question.vif), vrf: vrfs.get(question.vrf) }
    const injection = await this.#answerers.answer(question, asker)
    if (this.#reader === reader) reader.send({ type: 'answer', id, injection })
  }

  #reopenLater(): void {
    this.#retry = setTimeout(() => {
      this.#open().then(
        () => this.#options.log.info({ device: this.#options.device }, 'the agent device is read again'),
        () => !this.#isClosed && this.#reopenLater(),
      )
    }, REOPEN_MS)
  }
}

/** The descriptor of a TAP that must be there: opening one that isn't would make it, under an index that nobody knows. */
function openExisting(name: string, netns: NamespaceHandle | undefined): number {
  using route = RouteSocket.open({ netns })
  if (route.link(name) === undefined) throw new Error('there is no such device')
  return openTap({ name, persist: true, netns }).fd
}

/** One Worker on one descriptor. Owns both, and the eventfd that wakes it. */
class Reader {
  readonly online: Promise<unknown>
  readonly #worker: Worker
  readonly #wakeFd = eventfd()
  readonly #ended: Promise<unknown>
  #isStopping = false

  constructor(
    tapFd: number,
    entry: URL,
    known: Pick<PacketWorkerData, 'counters' | 'context' | 'questions'>,
    events: { readonly onMessage: (message: FromPacketWorker) => void; readonly onFailure: (error: Error) => void },
  ) {
    const wakeFd = this.#wakeFd
    const registration = signalAtExit(wakeFd)
    const workerData: PacketWorkerData = { worker: PACKET_WORKER, tapFd, wakeFd, ...known }
    this.#worker = new Worker(entry, { workerData, name: 'packet', resourceLimits: { maxYoungGenerationSizeMb: 2 } })
    this.online = once(this.#worker, 'online')
    this.#worker.on('message', events.onMessage)
    let failure: Error | undefined
    this.#worker.on('error', (error) => {
      failure = error as Error
    })
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        registration[Symbol.dispose]()
        close(tapFd)
        close(wakeFd)
        if (!this.#isStopping) events.onFailure(failure ?? new Error('its reader ended'))
        resolve(undefined)
      })
    })
  }

  send(message: ToPacketWorker): void {
    if (this.#isStopping) return
    this.#worker.postMessage(message)
    eventfdSignal(this.#wakeFd)
  }

  async stop(): Promise<void> {
    this.send({ type: 'stop' })
    this.#isStopping = true
    await this.#ended
  }
}
