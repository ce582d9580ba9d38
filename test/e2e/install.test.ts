/** The chart turned a cluster without a network into one. */
import assert from 'node:assert/strict'
import { type Cluster, cluster, nodes } from './cluster.ts'

describe('an installed cluster', () => {
  let it_: Cluster
  before(async function () {
    it_ = await cluster(this)
  })

  it('has Ready nodes whose network is available and which nothing keeps pods from', async () => {
    const { items } = await it_.json<{
      items: {
        metadata: { name: string }
        spec: { taints?: { key: string }[] }
        status: { conditions: { type: string; status: string; reason: string }[] }
      }[]
    }>('get', 'nodes')
    assert.deepEqual(items.map(({ metadata }) => metadata.name).sort(), [...nodes])
    for (const { metadata, spec, status } of items) {
      const conditions = new Map(status.conditions.map((condition) => [condition.type, condition.status]))
      assert.equal(conditions.get('Ready'), 'True', metadata.name)
      assert.equal(conditions.get('NetworkUnavailable'), 'False', metadata.name)
      assert.deepEqual(spec.taints ?? [], [], metadata.name)
    }
  })

  it('shows operators its networks and routers', async () => {
    const networks = await it_.kubectl('get', 'vn', '--all-namespaces')
    assert.match(networks, /NAMESPACE +NAME.*STATE/)
    assert.match(networks, /^default +k8s-default-pod-network .*10\.244\.0\.0\/16.* Success/m)
    const routers = await it_.kubectl('get', 'vr')
    assert.match(routers, /^node1 .*10\.10\.0\.11/m)
    assert.match(routers, /^node2 .*10\.10\.0\.12/m)
    assert.match(await it_.kubectl('explain', 'virtualnetwork.spec.subnets'), /DESCRIPTION/)
  })

  it('moved each node to vhost0, and its tools answer inside of the daemon', async () => {
    for (const node of nodes) {
      assert.match(await it_.output(node, 'ip', '-4', 'address', 'show', 'vhost0'), /inet 10\.10\.0\.1\d\/24/)
      const pod = await it_.kubectl(
        ...['get', 'pods', '-n', 'kube-vrouter', '-l', 'app.kubernetes.io/component=vrouter'],
        ...['--field-selector', `spec.nodeName=${node}`, '-o', 'name'],
      )
      const vifs = await it_.kubectl('exec', '-n', 'kube-vrouter', pod.trim(), '--', 'vif', '--list')
      assert.match(vifs, /^vif0\/1 +(PMD|OS): vhost0/m)
    }
  })

  it('runs its agents with the capabilities that they need and no more', async () => {
    const daemonSet = await it_.json<{
      spec: {
        template: {
          spec: { containers: { securityContext: { privileged?: boolean; capabilities: { drop: string[] } } }[] }
        }
      }
    }>('get', 'daemonset', '-n', 'kube-vrouter', 'vrouter')
    for (const { securityContext } of daemonSet.spec.template.spec.containers) {
      assert.notEqual(securityContext.privileged, true)
      assert.deepEqual(securityContext.capabilities.drop, ['ALL'])
    }
  })
})
