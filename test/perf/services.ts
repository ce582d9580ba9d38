/** What a Service costs: connect-request-close through a cluster IP, with its endpoint on the client's node or on another, against the same two pods without it. */
import { until } from '../patience.ts'
import { spreadOf, type Verdict } from './figures.ts'
import type { Plan } from './plan.ts'
import { Lab, productTopology } from './product.ts'
import { untilQuiet } from './quiet.ts'
import type { Pair } from './topology.ts'
import { checkReachable, measure, PINNINGS, prepareClient, type Tools, UNITS } from './traffic.ts'

const NAMES = { sameNode: 'same node', crossNode: 'cross node' } as const
const RANGE = '10.96.0.0/16'
/** Each run has a port of its own (traffic.ts); a slice holds a hundred. */
const PORTS = 100

/** A Service of as many ports, each with the same number at its endpoint. */
function manifest(name: string, clusterIp: string, pod: string, node: string, address: string, first: number): string {
  const numbers = Array.from({ length: PORTS }, (_, at) => first + at)
  const ports = numbers.map((port) => ({ name: `p${port}`, protocol: 'TCP', port }))
  const metadata = { name, namespace: 'perf' }
  const objects = [
    {
      ...{ apiVersion: 'v1', kind: 'Service', metadata },
      spec: { clusterIPs: [clusterIp], ports: ports.map((one) => ({ ...one, targetPort: one.port })) },
    },
    {
      ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports },
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
      endpoints: [{ addresses: [address], nodeName: node, targetRef: { kind: 'Pod', name: pod, namespace: 'perf' } }],
    },
  ]
  return objects.map((object) => JSON.stringify(object)).join('\n---\n')
}

export async function measureServices(plan: Plan, tools: Tools): Promise<Verdict[]> {
  await using lab = Lab.up(2)
  const [apiVersion, kind] = ['networking.k8s.io/v1', 'ServiceCIDR']
  const range = { apiVersion, kind, metadata: { name: 'kubernetes' }, spec: { cidrs: [RANGE] } }
  lab.run(['apply', '-f', '-'], JSON.stringify(range))
  using topology = await productTopology(lab)
  const places = (['sameNode', 'crossNode'] as const).map((place, at) => {
    const direct = topology[place]!
    checkReachable(direct)
    prepareClient(direct.client)
    return { place, direct, address: `10.96.0.${10 + at}`, pod: `p${at + 1}`, node: `node${at + 1}` }
  })
  let next = 6000
  const verdicts: Verdict[] = []
  for (const { place, direct, address, pod, node } of places) {
    const first = next
    lab.run(['apply', '-f', '-'], manifest(pod, address, pod, node, direct.server.address, first))
    next += PORTS
    const last = `${address}:${next - 1} `
    await until(`node 1 serves ${last}`, () => lab.run(['exec', 'node/1', '--', 'service', '--dump']).includes(last))
    for (const pinning of PINNINGS) {
      const runs: Record<'by' | 'direct', number[]> = { by: [], direct: [] }
      for (let round = 0; round < plan.runs; round++)
        for (const way of ['by', 'direct'] as const) {
          await untilQuiet(plan.patience)
          const pair: Pair = way === 'by' ? { ...direct, server: { ...direct.server, address } } : direct
          const port = first + ((PINNINGS.indexOf(pinning) * plan.runs + round) % PORTS)
          runs[way].push(await measure(tools, pair, 'crr', pinning, plan.seconds, port))
        }
      const [ours, theirs] = [spreadOf(runs.by), spreadOf(runs.direct)]
      verdicts.push({
        ...{ figure: `${NAMES[place]} connect-request-close by a cluster IP`, against: 'pod to pod' },
        ...{ variant: pinning.name, ours, theirs, unit: UNITS.crr, value: ours.median / theirs.median },
        ...{ target: '', isReached: true },
      })
    }
  }
  return verdicts
}
