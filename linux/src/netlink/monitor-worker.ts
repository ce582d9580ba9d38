/** Entry file of the monitor's Worker when the code isn't bundled. */

import { startWorker } from './monitor-loop.ts'

startWorker()
