/** Loaded into a daemon before all else (NODE_OPTIONS=--import=…): ends it, as kill -9 does, when the step KUBE_VROUTER_KILL_AT of an upgrade begins. */
import { subscribe } from 'node:diagnostics_channel'

subscribe('kube-vrouter:upgrade', (step) => {
  if (step === process.env['KUBE_VROUTER_KILL_AT']) process.kill(process.pid, 'SIGKILL')
})
