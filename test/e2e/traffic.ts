/** Flows that run while something else happens, and what they lost. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'

/** What `nettool flow` prints when it ends. */
export interface FlowReport {
  readonly sent: number
  readonly received: number
  readonly lost: number
  readonly longestMs: number
  readonly seen: string
  readonly error?: string
}

export interface Flow {
  readonly name: string
  /** Ends the flow. */
  end(): Promise<FlowReport>
}

/** An echo every 10 ms over one TCP connection, or by UDP, from a pod to an address until `end`. */
export async function startFlow(
  cluster: Cluster,
  from: RunningPod,
  address: string,
  protocol: 'tcp' | 'udp',
): Promise<Flow> {
  // The stream of an exec breaks with its kubelet: the flow runs by itself, and its report stays in a file.
  const file = `/tmp/flow-${protocol}-${address.replaceAll(/[^0-9a-f]/g, '-')}-${Date.now()}`
  const words = ['nettool', 'flow', ...(protocol === 'udp' ? ['-udp'] : []), address, '7']
  const script = `${words.join(' ')} > ${file} 2>&1 & echo $! > ${file}.pid`
  const start = await cluster.run(from, 'sh', '-c', script)
  assert.equal(start.status, 0, start.stderr)
  return {
    name: `${protocol} ${from.name} -> ${address}`,
    end: async () => {
      const stop = `kill -INT $(cat ${file}.pid); i=0; while [ ! -s ${file} ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; cat ${file}`
      return JSON.parse(await cluster.output(from, 'sh', '-c', stop)) as FlowReport
    },
  }
}

/** Ends the flows: none of them may have lost a packet or its connection. */
export async function assertUnharmed(flows: readonly Flow[]): Promise<void> {
  for (const flow of flows) {
    const report = await flow.end()
    assert.equal(report.error, undefined, `${flow.name}: ${report.error}`)
    assert.ok(report.received > 50, `${flow.name}: only ${report.received} answers`)
    assert.equal(report.lost, 0, `${flow.name}: ${JSON.stringify(report)}`)
  }
}
