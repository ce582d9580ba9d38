/** After `helm uninstall` a node is as it was. Runs in a cluster of its own: nothing can be tested after it. */
import assert from 'node:assert/strict'
import { uninstallChart } from '../kubelab/chart.ts'
import type { Kubelab } from '../kubelab/kubelab.ts'
import type { Cluster } from './cluster.ts'
import { useOwnCluster } from './use-cluster.ts'

describe('uninstall', function () {
  this.timeout(5 * 60_000)
  let here: Cluster
  let lab: Kubelab
  // The other containerd: Debian's, which speaks CNI up to 1.0.
  useOwnCluster({ nodes: 1, containerd: 1 }, (made, of) => {
    here = made
    lab = of
  })

  it('leaves the NIC with its address, and no program, map, device, file or taint; the CRDs stay', async () => {
    const namespace = await here.namespace('plain')
    await here.start({ name: 'pod', namespace })
    await here.removeNamespaces(namespace)
    await uninstallChart(lab)
    assert.match(await here.output('node1', 'ip', '-4', 'address', 'show', 'eth0'), /inet 10\.10\.0\.11\/24/)
    assert.doesNotMatch(await here.output('node1', 'ip', 'link'), /vhost0|pkt0|tap[0-9a-f]{12}/)
    assert.match(await here.output('node1', 'ip', 'route'), /default via 10\.10\.0\.1 dev eth0/)
    // The programs are held by their pins alone.
    const left = await here.output(
      'node1',
      'sh',
      '-c',
      'for folder in /sys/fs/bpf /etc/cni/net.d /opt/cni/bin /var/lib /run; do ls -A $folder; done',
    )
    assert.doesNotMatch(left, /^\.?vrouter|conflist/m)
    const { spec } = await here.json<{ spec: { taints?: { key: string }[] } }>('get', 'node', 'node1')
    assert.deepEqual(
      (spec.taints ?? []).filter(({ key }) => key.startsWith('node.vrouter.dev/')),
      [],
    )
    for (const kinds of ['vr,ib', 'vmi --all-namespaces'])
      assert.equal(await here.kubectl('get', ...kinds.split(' '), '-o', 'name'), '', kinds)
    assert.match(await here.kubectl('get', 'crd', '-o', 'name'), /virtualnetworks\.vrouter\.dev/)
    assert.equal(
      await here.kubectl('get', 'clusterrole', '-o', 'name', '-l', 'app.kubernetes.io/name=kube-vrouter'),
      '',
    )
  })
})
