/** Namespaces and bursts: everything that a pod had is gone when it is gone. */
import assert from 'node:assert/strict'
import type { Cluster } from './cluster.ts'
import { podManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

describe('namespaces and bursts', function () {
  this.timeout(120_000)
  let here: Cluster
  useCluster((made) => {
    here = made
  })

  it('a namespace that is deleted with pods in it leaves nothing: no interface object, no tap, no record', async () => {
    const namespace = await here.namespace('doomed', { 'opencontrail.org/isolation': 'true' })
    await here.start(...[1, 2, 3, 4].map((i) => ({ name: `p${i}`, namespace, node: i % 2 === 0 ? 'node1' : 'node2' })))
    assert.equal((await here.json<{ items: object[] }>('get', 'vmi', '-n', namespace)).items.length, 4)
    assert.match(await here.kubectl('get', 'vn', '-n', namespace), new RegExp(`k8s-${namespace}-pod-network`))
    await here.removeNamespaces(namespace)
    for (const node of ['node1', 'node2'] as const) {
      await here.until(`nothing of ${namespace} on ${node}`, async () => {
        const records = await here.output(node, 'sh', '-c', 'cat /var/lib/vrouter/ports/*.json 2>/dev/null || true')
        const links = await here.output(node, 'ip', '-d', 'link')
        return !records.includes(namespace) && !links.includes(`${namespace}/`)
      })
    }
    const { items } = await here.json<{ items: { metadata: { namespace: string } }[] }>('get', 'vmi', '-A')
    assert.deepEqual(
      items.filter(({ metadata }) => metadata.namespace === namespace),
      [],
    )
  })

  it('60 pods at once all start, each with an address of its own, and go again', async function () {
    this.timeout(240_000)
    const namespace = await here.namespace('burst')
    const names = Array.from({ length: 60 }, (_, i) => `p${i}`)
    const begun = performance.now()
    await here.apply(...names.map((name) => podManifest({ name, namespace, container: { readinessProbe: undefined } })))
    await here.kubectl('wait', '-n', namespace, 'pod', '--all', '--for=condition=Ready', '--timeout=110s')
    console.log(`      60 pods Ready after ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    const { items } = await here.json<{ items: { status: { podIP: string } }[] }>('get', 'pods', '-n', namespace)
    assert.equal(new Set(items.map(({ status }) => status.podIP)).size, 60)
    const sandboxes = (await here.kubectl('get', 'events', '-n', namespace)).match(/FailedCreatePodSandBox.*/g) ?? []
    assert.deepEqual(sandboxes, [])
    await here.removeNamespaces(namespace)
  })
})
