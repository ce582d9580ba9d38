/** A network that goes while pods are in it serves them to their end, over restarts too; it takes no new ones. */
import assert from 'node:assert/strict'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { assertReach, placeOf, serve } from './reach.ts'

const red = `
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: red, namespace: shop}
spec: {subnets: [{cidr: 10.71.0.0/16}, {cidr: "fd71::/64"}]}
`
const namespace = (name: string, annotation: string) => `
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, annotations: {${annotation}}}
`
const isolated = (value: string) => namespace('dev', `vrouter.dev/isolation: "${value}"`)

describe('a network that goes while pods are in it', function () {
  this.timeout(120_000)
  let lab: Lab
  let near: TestPod
  let far: TestPod

  const says = (pattern: RegExp) =>
    eventually(() => lab.logOf(1).find((line) => pattern.test(JSON.stringify(line))) !== undefined)
  const works = (pods: readonly TestPod[]) => {
    const [first, ...others] = pods.map(placeOf)
    // Nobody remembers whom it spoke to.
    for (const pod of pods) lab.inPod(pod, ['ip', 'neigh', 'flush', 'all'])
    assertReach(lab, first!, others, true)
  }

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.expectDrops('Discards')
    lab.expectLog(/is gone \(deleted, or its namespace is no longer isolated\)/)
    lab.expectLog(/stays there; a pod that starts now would be in/)
    lab.expectLog(/which was deleted/)
    lab.apply([red, namespace('shop', 'vrouter.dev/network: red'), isolated('true')].join('---'))
    near = lab.addPod('near', 1, 'shop')
    far = lab.addPod('far', 2, 'shop')
    await serve(lab, [near, far].map(placeOf))
  })
  after(() => lab?.close())

  it('serves them after it was deleted, its gateway too, and over restarts', async () => {
    lab.run(['delete', '-f', '-'], { input: red })
    await says(/VirtualNetwork shop\/red/)
    works([near, far])
    assert.equal(lab.ping(near, '10.71.0.1').status, 0)
    for (const node of ['1', '2']) lab.run(['daemon', node, 'restart'])
    works([near, far])
    assert.equal(lab.ping(far, 'fd71::1').status, 0)
  })

  it('takes no new pods, and says that it was deleted', () => {
    const outcome = lab.tryRun(['pod', 'add', 'late', '--node', '1', '--namespace', 'shop'])
    assert.notEqual(outcome.status, 0)
    assert.match(outcome.stdout + outcome.stderr, /names default-domain:k8s-shop:red, which was deleted/)
  })

  it('is itself again when it is defined again', async () => {
    lab.apply(red)
    const again = await eventually(() => {
      const outcome = lab.tryRun(['pod', 'add', 'again', '--node', '1', '--namespace', 'shop'])
      return outcome.status === 0 ? outcome : undefined
    })
    const [address] = /10\.71\.\d+\.\d+/.exec(again.stdout)!
    assert.equal(lab.ping(far, address).status, 0)
  })

  it('may be that of a namespace whose isolation ends: its pods stay, new ones are in the default network', async () => {
    const old = lab.addPod('old', 1, 'dev')
    const other = lab.addPod('other', 2, 'dev')
    await serve(lab, [old, other].map(placeOf))
    lab.apply(isolated('false'))
    await says(/Pod dev\/old.*is in network .*dev-pod-network and stays there/)
    works([old, other])
    const plain = lab.addPod('plain', 1, 'dev')
    const standard = lab.addPod('standard', 2, 'default')
    await serve(lab, [plain, standard].map(placeOf))
    assertReach(lab, placeOf(plain), [placeOf(standard)], true)
    assertReach(lab, placeOf(plain), [placeOf(old)], false)
  })
})
