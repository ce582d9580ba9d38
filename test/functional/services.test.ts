/** Services of a folder of manifests, in the default network: chosen, translated, refused, on one node and across. */
import assert from 'node:assert/strict'
import { nodePaths, underlay } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import { answersOf, ask, type Kind, serviceManifest, serviceRanges, startServer } from './service-lab.ts'

const WEB = ['10.96.0.7', 'fd96::7']
const SELF = ['10.96.0.8', 'fd96::8']
const EMPTY = ['10.96.0.9', 'fd96::9']
const API = '10.96.0.1'
const STICKY = ['10.96.0.11', 'fd96::b']

describe('Services', function () {
  this.timeout(180_000)
  let lab: Lab
  let near: TestPod
  let far: TestPod
  let a: TestPod
  let b: TestPod
  const kinds: readonly Kind[] = ['tcp', 'udp']
  const cases = (addresses: readonly string[]) =>
    kinds.flatMap((kind) => addresses.map((address) => ({ kind, address, family: address.includes(':') ? 6 : 4 })))
  const own = (pod: TestPod, family: number) => (family === 4 ? pod.ip4 : pod.ip6)

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    near = lab.addPod('near', 1, 'default')
    far = lab.addPod('far', 2, 'default')
    a = lab.addPod('a', 1, 'default')
    b = lab.addPod('b', 2, 'default')
    for (const pod of [a, b]) await startServer(lab, `pod/${pod.name}`, pod.name)
    lab.apply(tenant('shop', '10.77.0.0/16', 'fd77::/64'))
    for (const node of [1, 2]) lab.addPod(`tenant${node}`, node, 'shop')
    const backA = { pod: a, node: 1 }
    const backB = { pod: b, node: 2 }
    lab.apply(serviceManifest({ name: 'web', clusterIps: WEB, backs: [backA, backB] }))
    lab.apply(serviceManifest({ name: 'self', clusterIps: SELF, backs: [backA] }))
    lab.apply(serviceManifest({ name: 'empty', clusterIps: EMPTY, backs: [] }))
    await startServer(lab, 'fabric', 'host')
    lab.apply(serviceManifest({ name: 'api', clusterIps: [API], backs: [{ addresses: [underlay.gateway4], node: 9 }] }))
    const spec = { sessionAffinity: 'ClientIP' }
    lab.apply(serviceManifest({ name: 'sticky', clusterIps: STICKY, backs: [backA, backB], spec }))
    await eventually(() => ask(lab, 'pod/near', { kind: 'tcp', address: STICKY[1]!, timeoutS: 1 })[0]!.length > 7)
    await eventually(() => ask(lab, 'pod/far', { kind: 'tcp', address: STICKY[1]!, timeoutS: 1 })[0]!.length > 7)
  })
  after(() => lab?.close())

  it('are reached from pods of both nodes, each back is chosen, and sees the client’s own address', () => {
    for (const client of [near, far])
      for (const { kind, address, family } of cases(WEB)) {
        const seen = own(client, family)
        const answers = answersOf(lab, `pod/${client.name}`, { kind, address, count: 40 })
        assert.deepEqual(answers, [`a ${seen}`, `b ${seen}`], `${client.name} ${kind} ${address}`)
      }
  })

  it('are reached from nodes, which are seen with their own address', () => {
    for (const node of [1, 2])
      for (const { kind, address, family } of cases(WEB)) {
        const { address4, address6 } = nodePaths('x', node)
        const seen = family === 4 ? address4 : address6
        const answers = answersOf(lab, `node/${node}`, { kind, address, count: 40 })
        assert.deepEqual(answers, [`a ${seen}`, `b ${seen}`], `node ${node} ${kind} ${address}`)
      }
  })

  it('with a host of the underlay as back are reached from pods of every network, with their node’s address', () => {
    for (const kind of kinds)
      for (const node of [1, 2]) {
        const seen = nodePaths('x', node).address4
        for (const name of [node === 1 ? 'near' : 'far', `tenant${node}`]) {
          const answers = answersOf(lab, `pod/${name}`, { kind, address: API, count: 5 })
          assert.deepEqual(answers, [`host ${seen}`], `${name} ${kind}`)
        }
      }
  })

  it('of the default network are reached from a tenant’s network, where the back is on the node', () => {
    for (const { kind, address } of cases(SELF))
      for (const answer of ask(lab, 'pod/tenant1', { kind, address, count: 5 }))
        assert.match(answer, /^a /, `${kind} ${address}`)
  })

  it('are reached by a pod that is its own back', () => {
    for (const { kind, address } of cases(SELF))
      assert.deepEqual(answersOf(lab, 'pod/a', { kind, address, count: 5 }), [`a ${address}`], `${kind} ${address}`)
  })

  it('without backs refuse at once, and so do ports that they don’t have', () => {
    for (const client of [near, far])
      for (const { kind, address } of [...cases(EMPTY), ...cases(WEB).map((one) => ({ ...one, port: 81 }))])
        assert.deepEqual(
          answersOf(lab, `pod/${client.name}`, { kind, address, ...(WEB.includes(address) && { port: 81 }) }),
          ['refused'],
          `${client.name} ${kind} ${address}`,
        )
  })

  it('with affinity lead a client to one back', () => {
    for (const client of [near, far])
      for (const address of STICKY) {
        const answers = answersOf(lab, `pod/${client.name}`, { kind: 'tcp', address, count: 20 })
        assert.equal(answers.length, 1, `${client.name} ${address}: ${answers}`)
      }
  })

  it('follow their endpoints', async () => {
    lab.apply(serviceManifest({ name: 'empty', clusterIps: EMPTY, backs: [{ pod: b, node: 2 }] }))
    const [address] = EMPTY
    await eventually(() => ask(lab, 'pod/near', { kind: 'tcp', address: address!, timeoutS: 1 })[0] === `b ${near.ip4}`)
    lab.apply(serviceManifest({ name: 'empty', clusterIps: EMPTY, backs: [{ pod: a, node: 1 }] }))
    await eventually(() => ask(lab, 'pod/near', { kind: 'tcp', address: address!, timeoutS: 1 })[0] === `a ${near.ip4}`)
  })
  it('stay while daemons are killed: new connections, and refusals', async () => {
    for (const node of [1, 2]) lab.run(['daemon', String(node), 'kill'])
    for (const { kind, address } of cases(WEB)) {
      assert.equal(answersOf(lab, 'pod/near', { kind, address, count: 40 }).length, 2, `${kind} ${address}`)
      assert.deepEqual(answersOf(lab, 'pod/far', { kind, address, port: 81 }), ['refused'], `${kind} ${address}`)
    }
    for (const node of [1, 2]) lab.run(['daemon', String(node), 'start'])
    for (const { kind, address } of cases(WEB))
      assert.equal(answersOf(lab, 'pod/near', { kind, address, count: 40 }).length, 2, `${kind} ${address}`)
  })
})
