/** Objects that are wrong are refused or set aside with words that help, and harm nobody. */
import assert from 'node:assert/strict'
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { assertUnharmed, startFlow } from './traffic.ts'
import { useCluster } from './use-cluster.ts'

describe('bad input', function () {
  this.timeout(120_000)
  let here: Cluster
  let namespace: string
  let a: RunningPod
  let b: RunningPod
  useCluster(async (made) => {
    here = made
    namespace = await here.namespace('bad')
    await here.apply(networkManifest(namespace, 'net', ['172.30.0.0/24']))
    const on = { namespace, annotations: { 'vrouter.dev/network': 'net' } }
    const pods = await here.start({ name: 'a', node: 'node1', ...on }, { name: 'b', node: 'node2', ...on })
    ;[a, b] = pods as [RunningPod, RunningPod]
  })

  it('subnets that overlap are refused, with the field and the remedy', async () => {
    const { status, stderr } = await here.tryApply(
      networkManifest(namespace, 'overlap', ['10.7.0.0/16', '10.7.1.0/24']),
    )
    assert.equal(status, 1)
    assert.match(stderr, /spec\.subnets/)
    assert.match(stderr, /overlap/)
  })

  it('a subnet that changes under pods is refused, and the pods stay connected', async () => {
    const flow = await startFlow(here, a, b.ip4, 'tcp')
    const { status, stderr } = await here.tryApply(networkManifest(namespace, 'net', ['172.31.0.0/24']))
    assert.equal(status, 1)
    assert.match(stderr, /spec\.subnets/)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await assertUnharmed([flow])
  })

  it('a network that is deleted with pods in it stays until they are gone, and says whom it waits for', async () => {
    const flow = await startFlow(here, a, b.ip4, 'udp')
    await here.kubectl('delete', 'vn', '-n', namespace, 'net', '--wait=false')
    await here.until('a status that says why', async () => {
      const status = await here.kubectl('get', 'vn', '-n', namespace, 'net', '-o', 'jsonpath={.status.observation}')
      return status.includes(`${namespace}/a`) && status.includes(`${namespace}/b`)
    })
    assert.equal(await here.seenBy(b, a.ip4), b.ip4)
    await new Promise((resolve) => setTimeout(resolve, 700))
    await assertUnharmed([flow])
  })

  it('a namespace whose isolation is neither on nor off starts no pod, says why, and starts it once it is mended', async () => {
    const unclear = await here.namespace('unclear', { 'vrouter.dev/isolation': 'yes' })
    try {
      const starting = here.start({ name: 'late', namespace: unclear, node: 'node1' })
      await here.until('words about the pod', async () =>
        (await here.events(unclear, 'Pod', 'late')).some((text) =>
          /^AnnotationUnclear: .*neither true nor false/.test(text),
        ),
      )
      await here.until('words about the namespace', async () =>
        (await here.events(unclear, 'Namespace', unclear)).some((text) => text.startsWith('AnnotationUnclear: ')),
      )
      await here.kubectl('annotate', '--overwrite', 'namespace', unclear, 'vrouter.dev/isolation=true')
      const [late] = await starting
      assert.match(late!.ip4, /^\d/)
    } finally {
      await here.removeNamespaces(unclear)
    }
  })

  it('an interface object that somebody edits or removes is put right', async () => {
    const { items } = await here.json<{ items: { metadata: { name: string }; spec: { pod: { name: string } } }[] }>(
      'get',
      'vmi',
      '-n',
      namespace,
    )
    const mine = items.find(({ spec }) => spec.pod.name === 'a')!.metadata.name
    await here.kubectl('patch', 'vmi', '-n', namespace, mine, '--type=merge', '-p', '{"spec":{"label":99999}}')
    await here.until('the label of before', async () => {
      const label = await here.kubectl('get', 'vmi', '-n', namespace, mine, '-o', 'jsonpath={.spec.label}')
      return label !== '' && label !== '99999'
    })
    await here.kubectl('delete', 'vmi', '-n', namespace, mine)
    await here.until('the object again', async () =>
      (await here.kubectl('get', 'vmi', '-n', namespace, '-o', 'name')).includes(mine),
    )
    assert.equal(await here.seenBy(b, a.ip4), b.ip4)
  })

  it('blocks and routers that another cluster left are told of and used by nobody', async () => {
    const stale = `zz-stale-${namespace}`
    const { items } = await here.json<{ items: { spec: { network: string; cidr: string; node: string } }[] }>(
      'get',
      'ib',
    )
    // The very block that a pod of ours has its address from.
    const { network, cidr } = items.find(({ spec }) => spec.network.includes(namespace) && spec.node === a.node)!.spec
    await here.apply(
      {
        apiVersion: 'vrouter.dev/v1alpha1',
        kind: 'VirtualRouter',
        metadata: { name: stale },
        spec: { address: '10.10.0.11', encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 },
      },
      {
        apiVersion: 'vrouter.dev/v1alpha1',
        kind: 'IPAMBlock',
        metadata: { name: stale },
        spec: { network, cidr, node: stale },
      },
    )
    assert.equal(await here.seenBy(b, a.ip4), b.ip4, 'while they are there')
    await here.until(
      'what has no node to be removed',
      async () => !(await here.kubectl('get', 'vr,ib', '-o', 'name')).includes(stale),
      120,
    )
    assert.equal(await here.seenBy(b, a.ip4), b.ip4)
  })
})
