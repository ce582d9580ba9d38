/**
 * A machine comes back with another address, or under another name, and objects that no daemon of today would write. In a cluster of its own: its
 * second node isn't what it was afterwards.
 */
import assert from 'node:assert/strict'
import type { Kubelab } from '../kubelab/kubelab.ts'
import { otherName } from '../kubelab/layout.ts'
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { useOwnCluster } from './use-cluster.ts'

describe('the life of a node', function () {
  this.timeout(300_000)
  let lab: Kubelab
  let here: Cluster
  let namespace: string
  let a: RunningPod
  const renamed = otherName('node2')

  useOwnCluster({ nodes: 2 }, async (made, of) => {
    here = made
    lab = of
    namespace = await here.namespace('life')
    ;[a] = (await here.start({ name: 'a', namespace, node: 'node1' }, { name: 'b', namespace, node: 'node2' })) as [
      RunningPod,
      RunningPod,
    ]
  })

  const addressOf = (router: string) => here.kubectl('get', 'vr', router, '-o', 'jsonpath={.spec.address}')
  const readyOf = (router: string) =>
    here.kubectl('get', 'vr', router, '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')

  /** Both directions, whatever address the pod has by now. */
  async function untilJoined(pod: string, seconds: number): Promise<void> {
    await here.until(
      `a and ${pod} to reach each other`,
      async () => {
        const other = await here.ready(namespace, pod, 5)
        return (
          (await here.seenBy(a, other.ip4, 80, 1)) === a.ip4 && (await here.seenBy(other, a.ip4, 80, 1)) === other.ip4
        )
      },
      seconds,
    )
  }

  it('networks that overlap or contradict each other in a VirtualNetworkRouter: its status says so, and pods keep what works', async () => {
    const routers = await here.namespace('routers')
    const router = (name: string, type: string, labels: object, more: object = {}) => ({
      apiVersion: 'vrouter.dev/v1alpha1',
      kind: 'VirtualNetworkRouter',
      metadata: { name, namespace: routers, labels: { router: name } },
      spec: { type, virtualNetworkSelector: { matchLabels: labels }, ...more },
    })
    const imports = (name: string) => ({
      import: { virtualNetworkRouters: [{ virtualNetworkRouterSelector: { matchLabels: { router: name } } }] },
    })
    await here.apply(
      networkManifest(routers, 'one', ['172.24.0.0/24'], { group: 'mesh', role: 'both' }),
      networkManifest(routers, 'two', ['172.24.0.0/16'], { group: 'mesh' }),
      networkManifest(routers, 'three', ['172.25.0.0/24'], { group: 'mesh', role: 'both' }),
      router('mesh', 'mesh', { group: 'mesh' }),
      router('hub', 'hub', { role: 'both' }, imports('spoke')),
      router('spoke', 'spoke', { role: 'both' }, imports('hub')),
    )
    const status = (name: string) => here.kubectl('get', 'vnr', '-n', routers, name, '-o', 'jsonpath={.status}')
    for (const [name, words] of [
      ['mesh', /overlaps/],
      ['hub', /a network is either hub or spoke/],
      ['spoke', /a network is either hub or spoke/],
    ] as const) {
      await here.until(`the status of ${name}`, async () => {
        const text = await status(name)
        return /"state":"Failure"/.test(text) && words.test(text)
      })
    }
    const on = (network: string) => ({ namespace: routers, annotations: { 'vrouter.dev/network': network } })
    const pods = await here.start(
      { name: 'one', node: 'node1', ...on('one') },
      { name: 'three', node: 'node2', ...on('three') },
      { name: 'two', node: 'node2', ...on('two') },
    )
    const [one, three, two] = pods as [RunningPod, RunningPod, RunningPod]
    await here.until('what does not overlap to be joined', async () => (await here.seenBy(one, three.ip4)) === one.ip4)
    await here.assertCut(one, two.ip4)
  })

  it('objects of a newer version: what this one knows of them counts', async () => {
    const crd = 'virtualnetworks.vrouter.dev'
    const path = '/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/shade'
    await here.kubectl(
      'patch',
      'crd',
      crd,
      '--type=json',
      '-p',
      JSON.stringify([{ op: 'add', path, value: { type: 'string' } }]),
    )
    const networks = await here.namespace('newer')
    await here.until('the field to be kept', async () => {
      await here.apply(networkManifest(networks, 'net', ['172.26.0.0/24'], {}, { shade: 'dark' }))
      return (await here.kubectl('get', 'vn', '-n', networks, 'net', '-o', 'jsonpath={.spec.shade}')) === 'dark'
    })
    const on = { namespace: networks, annotations: { 'vrouter.dev/network': 'net' } }
    const pods = await here.start({ name: 'near', node: 'node1', ...on }, { name: 'far', node: 'node2', ...on })
    const [near, far] = pods as [RunningPod, RunningPod]
    assert.equal(await here.seenBy(near, far.ip4), near.ip4)
    assert.match(await here.kubectl('get', 'vn', '-n', networks, 'net', '-o', 'jsonpath={.status.state}'), /Success/)
  })

  it('with another address: the others go there, and its pods are reached again', async () => {
    await lab.nodeDown(2)
    await lab.nodeUp(2, undefined, { address4: '10.10.0.22' })
    await here.until('the router to tell the new address', async () => (await addressOf('node2')) === '10.10.0.22', 120)
    await untilJoined('b', 120)
    assert.equal(await readyOf('node2'), 'True')
    assert.equal(await addressOf('node2'), '10.10.0.22')
    assert.doesNotMatch(await here.output('node2', 'ip', '-4', 'address'), /10\.10\.0\.12/)
  })

  it('under another name: its pods are reached although the old node is still there, which leaves nothing when it goes', async () => {
    await lab.nodeDown(2)
    await lab.nodeUp(2, undefined, { name: renamed, address4: '10.10.0.22' })
    await here.until('the node', async () =>
      (await here.kubectl('get', 'nodes', '-o', 'name')).includes(`node/${renamed}`),
    )
    await here.until(
      'it to be Ready',
      async () => (await lab.readiness()).get(renamed)?.isReady === true && (await addressOf(renamed)) === '10.10.0.22',
      90,
    )
    await here.start({ name: 'c', namespace, node: renamed })
    await untilJoined('c', 90)
    assert.equal(await readyOf('node2'), 'False')
    assert.equal(await readyOf(renamed), 'True')

    await here.kubectl('delete', 'node', 'node2')
    await here.until(
      'nothing of the old node',
      async () => {
        const names = '{range .items[*]}{.spec.node} {.metadata.name} {end}'
        const left = await here.kubectl('get', 'vr,ib', '-o', `jsonpath=${names}`)
        const interfaces = await here.kubectl('get', 'vmi', '-A', '-o', 'jsonpath={.items[*].spec.node}')
        return !`${left} ${interfaces}`.split(/\s+/).includes('node2')
      },
      150,
    )
    await untilJoined('c', 10)
  })
})
