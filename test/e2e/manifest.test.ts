/**
 * `kubectl apply -f manifests/kube-vrouter.yaml` alone, as it is in the repo: a cluster with kube-proxy, whose API server the daemons reach by its ClusterIP
 * first. Runs in a cluster of its own.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Kubelab } from '../kubelab/kubelab.ts'
import { imageArchive, repository } from '../kubelab/layout.ts'
import type { Cluster } from './cluster.ts'
import { useOwnCluster } from './use-cluster.ts'

describe('the one-file manifest', function () {
  this.timeout(5 * 60_000)
  let here: Cluster
  let lab: Kubelab
  useOwnCluster({ nodes: 2, cni: 'none', kubeProxy: true, images: [imageArchive] }, (made, of) => {
    here = made
    lab = of
  })

  it('installs, and can be applied again', async () => {
    const manifest = join(repository, 'manifests/kube-vrouter.yaml')
    // The CRDs are in the same file as nothing that uses them: one apply is enough.
    await here.kubectl('apply', '--server-side', '-f', manifest)
    await Promise.all([lab.untilReady(1, 120_000), lab.untilReady(2, 120_000)])
    const namespace = await here.namespace('plain')
    const [a, far] = await here.start(
      { name: 'a', namespace, node: 'node1' },
      { name: 'far', namespace, node: 'node2' },
    )
    assert.equal(await here.seenBy(a!, far!.ip4), a!.ip4)
    const servers = await here.output('node1', 'cat', '/var/lib/vrouter/api-servers.json')
    assert.match(servers, /10\.10\.0\.1/, 'the own address of the API server is remembered')
    await here.removeNamespaces(namespace)
    await here.kubectl('apply', '--server-side', '-f', manifest)
  })
})
