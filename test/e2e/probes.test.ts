/** kubelet's probes work into every pod, isolated and custom ones included: http, tcp, exec, grpc. */
import type { Cluster } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

const probes = {
  http: { httpGet: { path: '/', port: 80 } },
  tcp: { tcpSocket: { port: 80 } },
  exec: { exec: { command: ['true'] } },
  grpc: { grpc: { port: 50051 } },
} as const

describe('probes', function () {
  this.timeout(120_000)
  let here: Cluster
  useCluster((made) => {
    here = made
  })

  const kinds = {
    'the default network': async () => ({ namespace: await here.namespace('default'), annotations: {} }),
    'an isolated namespace': async () => ({
      namespace: await here.namespace('isolated', { 'opencontrail.org/isolation': 'true' }),
      annotations: {},
    }),
    'a custom network': async () => {
      const namespace = await here.namespace('custom')
      await here.apply(networkManifest(namespace, 'net', ['172.21.0.0/24', 'fd21::/64']))
      return { namespace, annotations: { 'vrouter.dev/network': 'net' } }
    },
  }
  for (const [kind, make] of Object.entries(kinds)) {
    it(`work into pods of ${kind}`, async () => {
      const { namespace, annotations } = await make()
      await here.start(
        ...Object.entries(probes).map(([probe, how]) => ({
          name: probe,
          namespace,
          node: 'node1',
          annotations,
          command: probe === 'grpc' ? ['nettool', 'health'] : undefined,
          container: { readinessProbe: { ...how, periodSeconds: 1 }, livenessProbe: { ...how, periodSeconds: 1 } },
        })),
      )
    })
  }
})
