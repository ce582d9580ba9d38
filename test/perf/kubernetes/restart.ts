/** A rolling restart of all daemons while flows run and pods start: packets lost, pods that failed to start. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { release } from '../../kubelab/chart.ts'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import type { Api } from './api.ts'

export interface Restart {
  readonly sent: number
  readonly lost: number
  /** Longest silence of any flow. */
  readonly longestMs: number
  readonly flows: readonly object[]
  readonly startedPods: number
  readonly failedStarts: number
  readonly reasons: readonly string[]
  readonly seconds: number
}

interface FlowReport {
  readonly sent: number
  readonly lost: number
  readonly longestMs: number
}

export async function rollingRestart(lab: Kubelab, api: Api): Promise<Restart> {
  const namespace = `restart-${randomBytes(3).toString('hex')}`
  await api.namespace(namespace)
  const places = { a: 'node1', b: 'node1', far: 'node2' } as const
  for (const [name, node] of Object.entries(places)) await api.startPod(namespace, name, node)
  await sleep(1000)
  const address = (name: keyof typeof places) => api.pod(namespace, name)!.status!.podIP!
  const outside = '192.0.2.10'
  const flows = [
    { from: 'a', to: address('b'), udp: false },
    { from: 'a', to: address('b'), udp: true },
    { from: 'a', to: address('far'), udp: false },
    { from: 'far', to: address('a'), udp: true },
    { from: 'b', to: outside, udp: false },
    { from: 'far', to: outside, udp: true },
  ].map((flow, index) => ({ ...flow, file: `/tmp/flow-${index}` }))
  // The stream of an exec breaks with what it runs through: a flow runs by itself.
  for (const { from, to, udp, file } of flows) {
    const words = `nettool flow -interval 5ms ${udp ? '-udp ' : ''}${to} 7 >${file} 2>&1 & echo $! >${file}.pid`
    await lab.execPod(namespace, from, ['sh', '-c', words])
  }
  await sleep(1000)

  const begun = performance.now()
  const daemons = ['-n', release.namespace, 'daemonset/vrouter']
  await lab.kubectl(['rollout', 'restart', ...daemons])
  let isDone = false
  const rollout = lab
    .kubectl(['rollout', 'status', ...daemons, '--timeout=180s'], { timeoutMs: 200_000 })
    .finally(() => {
      isDone = true
    })
  const starting: Promise<boolean>[] = []
  for (let index = 0; !isDone; index++) {
    const started = api.startPod(namespace, `during-${index}`, `node${1 + (index % 2)}`)
    starting.push(
      started.then(
        () => true,
        () => false,
      ),
    )
    await sleep(500)
  }
  await rollout
  const seconds = (performance.now() - begun) / 1000
  const outcomes = await Promise.all(starting)

  const reports: FlowReport[] = []
  for (const { from, file } of flows) {
    const stop = `kill -INT $(cat ${file}.pid); i=0; while [ ! -s ${file} ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; cat ${file}`
    const { stdout } = await lab.execPod(namespace, from, ['sh', '-c', stop])
    reports.push(JSON.parse(stdout) as FlowReport)
  }
  const { items } = await lab.json<{ items: { reason: string; message: string }[] }>(['get', 'events', '-n', namespace])
  const failures = items.filter(({ reason }) => reason === 'FailedCreatePodSandBox')
  await lab.kubectl(['delete', 'namespace', '--wait=true', namespace], { timeoutMs: 180_000 })
  const sum = (key: 'sent' | 'lost') => reports.reduce((total, report) => total + report[key], 0)
  return {
    sent: sum('sent'),
    lost: sum('lost'),
    longestMs: Math.max(...reports.map(({ longestMs }) => longestMs)),
    flows: reports,
    startedPods: outcomes.length,
    failedStarts: outcomes.filter((isStarted) => !isStarted).length + failures.length,
    reasons: failures.map(({ message }) => message),
    seconds,
  }
}
