/** What a daemon costs with many pods of its own: memory, and CPU while nothing happens. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import type { Api } from './api.ts'
import { DaemonProcess } from './daemon-process.ts'

const AT_ONCE = 20
const SETTLE_MS = 10_000

export interface LocalPods {
  readonly residentMb: number
  readonly peakMb: number
  readonly idlePercent: number
  readonly startMs: readonly number[]
}

export async function localPods(lab: Kubelab, api: Api, count: number, idleSeconds: number): Promise<LocalPods> {
  const namespace = `many-${randomBytes(3).toString('hex')}`
  await api.namespace(namespace)
  const startMs: number[] = []
  for (let first = 0; first < count; first += AT_ONCE) {
    const names = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, index) => `pod-${first + index}`)
    startMs.push(...(await Promise.all(names.map((name) => api.startPod(namespace, name, 'node1', ['sleep', '1d'])))))
  }
  await sleep(SETTLE_MS)
  const daemon = await DaemonProcess.of(lab, 1)
  const residentMb = await daemon.residentMb()
  const idlePercent = await daemon.cpuPercent(idleSeconds)
  const peakMb = await daemon.peakMb()
  await lab.kubectl(['delete', 'namespace', '--wait=true', namespace], { timeoutMs: 600_000 })
  return { residentMb, peakMb, idlePercent, startMs }
}
