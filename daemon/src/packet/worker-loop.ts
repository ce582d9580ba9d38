/**
 * The thread that reads pkt0: it answers there and then, so no packet waits for the main thread. The main thread sends what is new in the
 * context, gets the neighbours that are asked for, and what services are to answer; their answers are sent when they come.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { formatAddress } from '@kube-vrouter/linux/address'
import { TapReader, writeFrame } from '@kube-vrouter/linux/tap'
import { decodeTrap, encodePacket, type Trap } from './agent-header.ts'
import type { Question } from './answerers.ts'
import { type CompiledContext, type ContextDelta, compileContext, type RouterContext, withDelta } from './context.ts'
import { Counters } from './counters.ts'
import { type QuestionLimits, Questions } from './questions.ts'
import { type Injection, type Outcome, respond } from './respond.ts'
import type { Service } from './service.ts'

/** How a bundle's one entry file knows which worker it is. */
export const PACKET_WORKER = 'kube-vrouter-packet'

export interface PacketWorkerData {
  readonly worker: typeof PACKET_WORKER
  readonly tapFd: number
  readonly wakeFd: number
  readonly counters: SharedArrayBuffer
  readonly context: RouterContext
  readonly questions: QuestionLimits
}

export type ToPacketWorker =
  | { readonly type: 'context'; readonly delta: ContextDelta }
  /** Absent: there is no answer. */
  | { readonly type: 'answer'; readonly id: number; readonly injection: Injection | undefined }
  | { readonly type: 'announce'; readonly injections: readonly Injection[] }
  | { readonly type: 'stop' }
export type FromPacketWorker =
  | { readonly type: 'resolve'; readonly address: string }
  | { readonly type: 'ask'; readonly id: number; readonly question: Question }
  | { readonly type: 'fault'; readonly message: string }

/** A neighbour is asked for at most this often. */
const RESOLVE_INTERVAL_MS = 1000
const RESOLVE_MEMORY = 1024

/** True in a Worker that an AgentPort has started. */
export function isPacketWorker(): boolean {
  return parentPort !== null && (workerData as Partial<PacketWorkerData> | null)?.worker === PACKET_WORKER
}

/** Works until told to stop. Throws when the device is gone. Call it once, in a Worker that an AgentPort started. */
export function startPacketWorker(): void {
  const port = parentPort
  if (port === null) throw new Error('not in a worker')
  const { tapFd, wakeFd, counters: memory, context: initial, questions: limits } = workerData as PacketWorkerData
  const post = (message: FromPacketWorker) => port.postMessage(message)
  const counters = new Counters(memory)
  const reader = new TapReader({ fd: tapFd, wakeFd })
  const recent = new RecentResolves()
  const questions = new Questions(limits)
  let context: CompiledContext = compileContext(initial)
  let isStopped = false

  const takeMessages = () => {
    for (let received = receiveMessageOnPort(port); received; received = receiveMessageOnPort(port)) {
      const message = received.message as ToPacketWorker
      if (message.type === 'stop') {
        isStopped = true
        reader.stop()
      } else if (message.type === 'announce') {
        for (const injection of message.injections)
          counters.add(inject(tapFd, injection) ? 'announcements' : 'sendFailures')
      } else if (message.type === 'answer') takeAnswer(message.id, message.injection)
      else {
        context = withDelta(context, message.delta)
        for (const vif of message.delta.goneVifs) questions.forget(vif)
      }
    }
  }
  const giveUpLate = () => {
    for (let late = questions.expire(performance.now()); late > 0; late--) counters.addSilent('answer_late')
  }
  const takeAnswer = (id: number, injection: Injection | undefined) => {
    giveUpLate()
    if (!questions.close(id)) return
    if (injection === undefined) counters.addSilent('unanswered')
    else counters.add(inject(tapFd, injection) ? 'replies' : 'sendFailures')
  }
  const ask = (service: Service, { vif, vrf, frame }: Trap) => {
    giveUpLate()
    const id = questions.open(vif, performance.now())
    if (typeof id === 'string') counters.addSilent(id)
    else {
      counters.add('asks')
      // The frame lies in memory that the next one is read into.
      post({ type: 'ask', id, question: { service, vif, vrf, frame: frame.slice() } })
    }
  }
  const takeFrame = (frame: Uint8Array) => {
    counters.add('received')
    const trap = decodeTrap(frame)
    if (trap === undefined) {
      counters.add('invalid')
      return
    }
    counters.addTrap(trap.command)
    let outcome: Outcome
    try {
      outcome = respond(trap, context)
    } catch (error) {
      // A packet from outside must not end the thread, whatever it found.
      counters.add('faults')
      post({ type: 'fault', message: String((error as Error).stack ?? error) })
      return
    }
    switch (outcome.kind) {
      case 'silent':
        counters.addSilent(outcome.reason)
        return
      case 'resolve':
        if (recent.isNew(outcome.address)) {
          counters.add('resolves')
          post({ type: 'resolve', address: formatAddress(outcome.address) })
        }
        return
      case 'ask':
        ask(outcome.service, trap)
        return
      case 'reply':
        counters.add(inject(tapFd, outcome.injection) ? 'replies' : 'sendFailures')
        return
    }
  }
  // The main thread may have spoken, even of stopping, before this one listened.
  takeMessages()
  if (!isStopped) reader.run(takeFrame, takeMessages)
}

function inject(fd: number, injection: Injection): boolean {
  try {
    return writeFrame(fd, encodePacket(injection, injection.frame))
  } catch {
    // The device is down, or going: reading it tells.
    return false
  }
}

/** Keeps a burst to one unknown neighbour from becoming a burst of messages. */
class RecentResolves {
  readonly #last = new Map<string, number>()

  isNew(address: Uint8Array): boolean {
    const key = formatAddress(address)
    const now = performance.now()
    const last = this.#last.get(key)
    if (last !== undefined && now - last < RESOLVE_INTERVAL_MS) return false
    this.#last.delete(key)
    this.#last.set(key, now)
    if (this.#last.size > RESOLVE_MEMORY) this.#last.delete(this.#last.keys().next().value!)
    return true
  }
}
