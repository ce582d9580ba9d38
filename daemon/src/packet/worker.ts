/** Entry file of the packet Worker when the code isn't bundled. */
import { startPacketWorker } from './worker-loop.ts'

startPacketWorker()
