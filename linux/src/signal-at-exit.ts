/**
 * A process that ends joins its Workers, and one that waits in the kernel would never come: the process would hang for ever, dead to whoever is to
 * start it anew. Workers that wait so also wait for an eventfd, and that is signalled here.
 */
import { eventfdSignal } from './ffi.ts'

const eventfds = new Set<number>()

process.on('exit', () => {
  for (const fd of eventfds) eventfdSignal(fd)
})

/** Signals the eventfd when the process ends, however it does. Dispose before the descriptor is closed. */
export function signalAtExit(fd: number): Disposable {
  eventfds.add(fd)
  return { [Symbol.dispose]: () => void eventfds.delete(fd) }
}
