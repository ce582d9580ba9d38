/** Who reaches whom: the isolation matrix of the original, cell by cell, on one node and across nodes. */
import type { Cluster, RunningPod } from './cluster.ts'
import { networkManifest } from './pods.ts'
import { useCluster } from './use-cluster.ts'

type Name = 'plain' | 'plain2' | 'redA' | 'redB' | 'blue' | 'custom' | 'customFar' | 'customElsewhere'

/** `yes`: everybody it reaches. Everything else is cut. */
const reaches: Readonly<Record<Name, readonly Name[]>> = {
  plain: ['plain2'],
  plain2: ['plain'],
  redA: ['redB'],
  redB: ['redA'],
  blue: [],
  custom: ['customFar', 'customElsewhere'],
  customFar: ['custom', 'customElsewhere'],
  customElsewhere: ['custom', 'customFar'],
}

describe('isolation', function () {
  this.timeout(120_000)
  let here: Cluster
  const pods = new Map<Name, RunningPod>()
  useCluster(async (made) => {
    here = made
    const plain = await here.namespace('plain')
    const red = await here.namespace('red', { 'opencontrail.org/isolation': 'true' })
    const blue = await here.namespace('blue', {}, { 'core.juniper.net/isolated-namespace': 'true' })
    await here.apply(networkManifest(plain, 'tenant', ['172.20.0.0/16', 'fd20::/64']))
    const network = { 'vrouter.dev/network': `${plain}/tenant` }
    const old = {
      'opencontrail.org/network': JSON.stringify({ domain: 'default-domain', project: `k8s-${plain}`, name: 'tenant' }),
    }
    const wanted = [
      { name: 'plain', namespace: plain, node: 'node1' },
      { name: 'plain2', namespace: plain, node: 'node2' },
      { name: 'redA', namespace: red, node: 'node1' },
      { name: 'redB', namespace: red, node: 'node2' },
      { name: 'blue', namespace: blue, node: 'node1' },
      { name: 'custom', namespace: plain, node: 'node1', annotations: network },
      { name: 'customFar', namespace: plain, node: 'node2', annotations: old },
      {
        name: 'customElsewhere',
        namespace: red,
        node: 'node1',
        annotations: { 'net.juniper.contrail.podnetwork': `${plain}/tenant` },
      },
    ].map((pod) => ({ ...pod, name: pod.name.toLowerCase(), key: pod.name as Name }))
    const running = await here.start(...wanted)
    for (const [i, pod] of running.entries()) pods.set(wanted[i]!.key, pod)
  })

  const names = Object.keys(reaches) as Name[]
  for (const from of names) {
    const yes = reaches[from]
    it(`${from} reaches ${yes.join(', ') || 'nobody'} and nobody else`, async () => {
      const cells = names
        .filter((to) => to !== from)
        .flatMap((to) => (['ip4', 'ip6'] as const).map((family) => ({ to, address: pods.get(to)![family] })))
      await Promise.all(
        cells.map(({ to, address }) =>
          yes.includes(to) ? here.assertReaches(pods.get(from)!, address) : here.assertCut(pods.get(from)!, address),
        ),
      )
    })
  }

  it('lets no other node into an isolated pod, and its own node always', async () => {
    const red = pods.get('redA')!
    await here.assertReaches('node1', red.ip4)
    await here.assertReaches('node1', red.ip6)
    await here.assertCut('node2', red.ip4)
  })
})
