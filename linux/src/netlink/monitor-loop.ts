/** The monitor's thread: waits for announcements of the kernel and hands them, decoded, to the thread that made it. */

import { parentPort, workerData } from 'node:worker_threads'
import { isErrno, SystemError } from '../errors.ts'
import { allocate, bind, close, POLLERR, POLLIN, PollSet, recv } from '../ffi.ts'
import { decodeMessages } from './codec.ts'
import { decodeEvent, type EventKind, groupsOf, type RouteEvent } from './events.ts'
import { NETLINK_ROUTE, openNetlink, sockaddr } from './socket.ts'

/** How a bundle's one entry file knows which worker it is. */
export const MONITOR_WORKER = 'kube-vrouter-route-monitor'

export interface MonitorWorkerData {
  readonly worker: typeof MONITOR_WORKER
  readonly netns: string | undefined
  readonly kinds: readonly EventKind[]
  /** Readable: end. */
  readonly stopFd: number
  readonly queueBytes: number
}

export type MonitorMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'events'; readonly events: readonly RouteEvent[] }
  | { readonly type: 'resync' }
  | {
      readonly type: 'error'
      readonly syscall: string
      readonly errno: number
      readonly attempted: string
      readonly detail?: string
    }

/** True in a Worker that a RouteMonitor has started. */
export function isMonitorWorker(): boolean {
  return parentPort !== null && (workerData as Partial<MonitorWorkerData> | null)?.worker === MONITOR_WORKER
}

const RECEIVE_BYTES = 256 * 1024
const MSG_DONTWAIT = 0x40
/** Datagrams taken before what they say is handed over. */
const ROUND = 256

/** Runs until the stop descriptor is readable. Call it once, in a Worker that a RouteMonitor started. */
export function startWorker(): void {
  const data = workerData as MonitorWorkerData
  const post = (message: MonitorMessage) => parentPort?.postMessage(message)
  try {
    watch(data, post)
  } catch (error) {
    const { syscall, errno, attempted, detail } =
      error instanceof SystemError ? error : new SystemError('monitor', 5, 'cannot follow the namespace', String(error))
    post({ type: 'error', syscall, errno, attempted, detail })
  }
}

function watch(data: MonitorWorkerData, post: (message: MonitorMessage) => void): void {
  const fd = openNetlink(NETLINK_ROUTE, data.netns, data.queueBytes)
  try {
    bind(fd, sockaddr(groupsOf(data.kinds)))
    post({ type: 'ready' })
    const buffer = allocate(RECEIVE_BYTES)
    const receive = () => {
      const length = recv(fd, buffer, MSG_DONTWAIT)
      return length < 0 ? undefined : buffer.bytes.subarray(0, length)
    }
    let isOverflow = false
    const poll = new PollSet([
      { fd, events: POLLIN },
      { fd: data.stopFd, events: POLLIN },
    ])
    for (;;) {
      poll.wait(-1)
      if (poll.returned(1) !== 0) return
      if (poll.returned(0) & (POLLIN | POLLERR)) isOverflow = drain(receive, post, isOverflow)
    }
  } finally {
    close(fd)
  }
}

/**
 * Takes what is queued, `receive` returning the next datagram, undefined when there is none, and throwing ENOBUFS once for all that was dropped. An
 * overflow is told when the queue is empty: until then the kernel drops whatever comes, and says nothing of it, so a dump that is made before misses it. Returns
 * whether that is still to be told.
 */
export function drain(
  receive: () => Uint8Array | undefined,
  post: (message: MonitorMessage) => void,
  wasOverflow: boolean,
): boolean {
  const events: RouteEvent[] = []
  let isOverflow = wasOverflow
  let isEmpty = false
  for (let i = 0; i < ROUND && !isEmpty; i++) {
    try {
      const datagram = receive()
      if (datagram === undefined) isEmpty = true
      else
        for (const message of decodeMessages(datagram)) {
          const event = decodeEvent(message)
          if (event) events.push(event)
        }
    } catch (error) {
      if (!isErrno(error, 'ENOBUFS')) throw error
      isOverflow = true
    }
  }
  if (events.length > 0) post({ type: 'events', events })
  if (!isOverflow || !isEmpty) return isOverflow
  post({ type: 'resync' })
  return false
}
