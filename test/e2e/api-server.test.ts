/**
 * The API server, whose machine is no node, reaches pods of the default network by the routes that a site gives it (user guide, "The API server"):
 * `kubectl proxy`, webhooks and aggregated APIs need that. It reaches no pod of another network.
 */
import assert from 'node:assert/strict'
import { skipBecause } from '../skip.ts'
import { type Cluster, nodes, type RunningPod } from './cluster.ts'
import { useCluster } from './use-cluster.ts'

const API_SERVER = '10.10.0.1'

describe('an API server that is no node', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  let isolated: string
  let pods: RunningPod[]
  useCluster((made) => {
    here = made
  })
  before(async function () {
    skipBecause(this, 'cni' in here.lab ? undefined : 'the API server of kind runs on a node')
    namespace = await here.namespace('served')
    isolated = await here.namespace('apart', { 'vrouter.dev/isolation': 'true' })
    const labels = { app: 'served' }
    pods = await here.start(...nodes.map((node) => ({ name: `on-${node}`, namespace, node, labels })), {
      ...{ name: 'alone', namespace: isolated, node: 'node1' },
    })
    const ports = [{ port: 80 }]
    await here.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'served', namespace },
      spec: { selector: labels, ports },
    })
  })

  const get = async (path: string) => (await here.lab.tryKubectl(['get', '--raw', path], { timeoutMs: 60_000 })).stdout

  for (const node of nodes)
    it(`reaches a pod on ${node}, which sees the API server's own address`, async () => {
      const path = `/api/v1/namespaces/${namespace}/pods/on-${node}:80/proxy/`
      await here.until(`an answer of on-${node}`, async () => (await get(path)).startsWith(`${API_SERVER} `))
    })

  it('reaches a Service by its pods', async () => {
    const path = `/api/v1/namespaces/${namespace}/services/served:80/proxy/`
    await here.until('an answer of the Service', async () => (await get(path)).startsWith(`${API_SERVER} `))
  })

  it('asks a webhook that is a pod of the network', async () => {
    const { ip4 } = pods[0]!
    const name = `asks-${namespace}`
    // Nobody speaks TLS there, and that is what the API server finds: it got to the pod.
    await here.apply({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingWebhookConfiguration',
      metadata: { name },
      webhooks: [
        {
          name: 'asks.kube-vrouter.test',
          clientConfig: { url: `https://${ip4}:80/` },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
          namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
          failurePolicy: 'Fail',
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          timeoutSeconds: 10,
        },
      ],
    })
    try {
      await here.until('a refusal', async () => {
        const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'asked', namespace } }
        const { status, stderr } = await here.tryApply(map)
        await here.lab.tryKubectl(['delete', 'configmap', '-n', namespace, 'asked'])
        return status !== 0 && /server gave HTTP response to HTTPS client/.test(stderr)
      })
    } finally {
      await here.kubectl('delete', 'validatingwebhookconfiguration', name)
    }
  })

  it('has no route to a pod of an isolated namespace', async () => {
    const path = `/api/v1/namespaces/${isolated}/pods/alone:80/proxy/`
    const { status, stdout } = await here.lab.tryKubectl(['get', '--raw', path], { timeoutMs: 90_000 })
    assert.deepEqual([status === 0, stdout], [false, ''])
  })
})
