/** A VirtualNetworkRouter joins networks, and takes them apart again when it goes. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

function routerManifest(namespace: string, name: string, type: string, labels: object, more: object = {}): object {
  return {
    apiVersion: 'vrouter.dev/v1alpha1',
    kind: 'VirtualNetworkRouter',
    metadata: { name, namespace, labels: { router: name } },
    spec: { type, virtualNetworkSelector: { matchLabels: labels }, ...more },
  }
}

describe('a VirtualNetworkRouter', function () {
  this.timeout(120_000)
  let here: Cluster
  useCluster((made) => {
    here = made
  })

  it('leaks between the networks that it selects, not to others, and no longer when it is gone', async () => {
    const namespace = await here.namespace('mesh')
    await here.apply(
      networkManifest(namespace, 'web', ['172.24.0.0/24'], { group: 'shop' }),
      networkManifest(namespace, 'db', ['172.25.0.0/24'], { group: 'shop' }),
      networkManifest(namespace, 'other', ['172.26.0.0/24']),
    )
    const pods = await here.start(
      ...['web', 'db', 'other'].map((name, i) => ({
        name,
        namespace,
        node: i === 0 ? 'node1' : 'node2',
        annotations: { 'vrouter.dev/network': name },
      })),
      { name: 'near', namespace, node: 'node1', annotations: { 'vrouter.dev/network': 'db' } },
    )
    const [web, db, other, near] = pods as [RunningPod, RunningPod, RunningPod, RunningPod]
    for (const to of [db, other, near]) await here.assertCut(web, to.ip4)
    await here.apply(routerManifest(namespace, 'shop', 'mesh', { group: 'shop' }))
    await here.until('web to reach db', async () => (await here.seenBy(web, db.ip4, 80, 1)) === web.ip4)
    assert.equal(await here.seenBy(web, near.ip4), web.ip4, 'on the same node')
    assert.equal(await here.seenBy(db, web.ip4), db.ip4, 'the other way round')
    await here.assertCut(web, other.ip4)
    assert.match(await here.kubectl('get', 'vnr', '-n', namespace), /shop +mesh/)
    await here.kubectl('delete', 'vnr', '-n', namespace, 'shop')
    await here.until('web to be cut off from db', async () => (await here.seenBy(web, db.ip4, 80, 1)) === undefined)
    await here.assertCut(near, web.ip4)
  })

  it('joins networks of two namespaces when both sides say so: hub and spokes', async () => {
    const services = await here.namespace('services')
    const tenant = await here.namespace('tenant')
    await here.kubectl('label', 'namespace', services, `team=${services}`)
    await here.kubectl('label', 'namespace', tenant, `team=${tenant}`)
    await here.apply(
      networkManifest(services, 'shared', ['172.27.0.0/24'], { role: 'hub' }),
      networkManifest(tenant, 'one', ['172.28.0.0/24'], { role: 'spoke' }),
      networkManifest(tenant, 'two', ['172.29.0.0/24'], { role: 'spoke' }),
    )
    const pods = await here.start(
      { name: 'shared', namespace: services, node: 'node2', annotations: { 'vrouter.dev/network': 'shared' } },
      { name: 'one', namespace: tenant, node: 'node1', annotations: { 'vrouter.dev/network': 'one' } },
      { name: 'two', namespace: tenant, node: 'node1', annotations: { 'vrouter.dev/network': 'two' } },
    )
    const [shared, one, two] = pods as [RunningPod, RunningPod, RunningPod]
    const imports = (router: string, namespace: string) => ({
      import: {
        virtualNetworkRouters: [
          {
            virtualNetworkRouterSelector: { matchLabels: { router } },
            namespaceSelector: { matchLabels: { team: namespace } },
          },
        ],
      },
    })
    await here.apply(routerManifest(tenant, 'spokes', 'spoke', { role: 'spoke' }, imports('hub', services)))
    await here.assertCut(one, shared.ip4)
    await here.apply(routerManifest(services, 'hub', 'hub', { role: 'hub' }, imports('spokes', tenant)))
    await here.until('a spoke to reach the hub', async () => (await here.seenBy(one, shared.ip4, 80, 1)) === one.ip4)
    assert.equal(await here.seenBy(shared, two.ip4), shared.ip4)
    await here.assertCut(one, two.ip4)
  })
})
