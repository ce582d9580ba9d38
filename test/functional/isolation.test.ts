/** Who reaches whom by pod address: the isolation matrix of the kubernetes reference (2.4), on the same node and across nodes. */
import { type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { assertReach, placeOf, serve } from './reach.ts'

const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: a, annotations: {opencontrail.org/isolation: "true"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: b, labels: {core.juniper.net/isolated-namespace: "true"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: custom, namespace: plain}
spec: {subnets: [{cidr: 10.50.0.0/16}, {cidr: "fd50::/64"}]}
`

describe('isolation', function () {
  this.timeout(120_000)
  let lab: Lab
  /** By name and node: `a1` is the pod of isolated namespace a on node 1. */
  const pods = new Map<string, TestPod>()
  const place = (name: string) => placeOf(pods.get(name)!)

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64', VROUTER_SNAT_ENABLED: 'true' })
    lab.expectDrops('Discards', 'Invalid NH')
    lab.apply(manifest)
    const custom = ['--annotation', 'vrouter.dev/network=plain/custom']
    for (const node of [1, 2]) {
      for (const [name, namespace, ...more] of [
        ['a', 'a'],
        ['twin-a', 'a'],
        ['b', 'b'],
        ['d', 'default'],
        ['p', 'plain'],
        ['c', 'plain', ...custom],
        ['oc', 'other', ...custom],
      ] as const) {
        pods.set(`${name}${node}`, lab.addPod(`${name}${node}`, node, namespace, ...more))
      }
    }
    await serve(lab, [...pods.values()].map(placeOf))
  })
  after(() => lab?.close())

  const cells: readonly (readonly [title: string, from: string, to: string, isWanted: boolean])[] = [
    ['same isolated namespace', 'a', 'twin-a', true],
    ['isolated to default namespace', 'a', 'd', false],
    ['isolated A to isolated B', 'a', 'b', false],
    ['isolated B to isolated A', 'b', 'a', false],
    ['default namespace to isolated', 'd', 'a', false],
    ['namespace that isn’t isolated to isolated', 'p', 'a', false],
    ['default namespace to another that isn’t isolated', 'd', 'p', true],
    ['custom network to other pods of the same namespace', 'c', 'p', false],
    ['other pods of the namespace to custom network', 'p', 'c', false],
    ['custom network to the same one in another namespace', 'c', 'oc', true],
    ['custom network to isolated', 'c', 'a', false],
    ['isolated to custom network', 'a', 'c', false],
  ]
  for (const [title, from, to, isWanted] of cells) {
    for (const [where, [source, target]] of [
      ['on one node', ['1', '1']],
      ['across nodes', ['1', '2']],
      ['across nodes, the other way', ['2', '1']],
    ] as const) {
      it(`${title}: ${isWanted ? 'yes' : 'no'}, ${where}`, () =>
        assertReach(lab, place(`${from}${source}`), [place(`${to}${target}`)], isWanted))
    }
  }
})
