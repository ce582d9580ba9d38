/** The chart turned a cluster without a network into one. */
import assert from 'node:assert/strict'
import { type Cluster, nodes } from './cluster.ts'
import { useCluster } from './use-cluster.ts'

describe('an installed cluster', function () {
  this.timeout(120_000)
  let here: Cluster
  useCluster((made) => {
    here = made
  })

  it('has Ready nodes whose network is available and which nothing keeps pods from', async () => {
    // The node lifecycle controller takes its own taint off some time after a node is Ready.
    await here.until(
      'nodes without taints',
      async () => !(await here.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].spec.taints}')).includes('key'),
    )
    // So does the controller, which comes up with the nodes, with its first word of them.
    await here.until('word of the network of both nodes', async () => {
      const types = await here.kubectl('get', 'nodes', '-o', 'jsonpath={.items[*].status.conditions[*].type}')
      return types.split(' ').filter((type) => type === 'NetworkUnavailable').length === nodes.length
    })
    const { items } = await here.json<{
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
    const networks = await here.kubectl('get', 'vn', '--all-namespaces')
    assert.match(networks, /NAMESPACE +NAME.*STATE/)
    assert.match(networks, /^default +k8s-default-pod-network .*10\.244\.0\.0\/16.* Success/m)
    const routers = await here.kubectl('get', 'vr')
    assert.match(routers, /^node1 .*10\.10\.0\.11/m)
    assert.match(routers, /^node2 .*10\.10\.0\.12/m)
    assert.match(await here.kubectl('explain', 'virtualnetwork.spec.subnets'), /DESCRIPTION/)
  })

  it('moved each node to vhost0, and its tools answer inside of the daemon', async () => {
    for (const node of nodes) {
      assert.match(await here.output(node, 'ip', '-4', 'address', 'show', 'vhost0'), /inet 10\.10\.0\.1\d\/24/)
      const pod = await here.kubectl(
        ...['get', 'pods', '-n', 'kube-vrouter', '-l', 'app.kubernetes.io/component=vrouter'],
        ...['--field-selector', `spec.nodeName=${node}`, '-o', 'name'],
      )
      const vifs = await here.kubectl('exec', '-n', 'kube-vrouter', pod.trim(), '--', 'vif', '--list')
      assert.match(vifs, /^vif0\/1 +(PMD|OS): vhost0/m)
    }
  })

  it('runs its agents with the capabilities that they need and no more', async () => {
    const daemonSet = await here.json<{
      spec: {
        template: {
          spec: {
            containers: { securityContext: { privileged?: boolean; capabilities: { add: string[]; drop: string[] } } }[]
          }
        }
      }
    }>('get', 'daemonset', '-n', 'kube-vrouter', 'vrouter')
    for (const { securityContext } of daemonSet.spec.template.spec.containers) {
      assert.notEqual(securityContext.privileged, true)
      assert.deepEqual(securityContext.capabilities.drop, ['ALL'])
      assert.deepEqual(securityContext.capabilities.add.toSorted(), ['BPF', 'NET_ADMIN', 'PERFMON', 'SYS_ADMIN'])
    }
  })
})
