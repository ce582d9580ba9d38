/**
 * A node reaches every pod of its own, in whatever network, and is answered: what kubelet's probes need. It reaches no other node's
 * pods outside the default network, and nobody else gets in that way.
 */
import assert from 'node:assert/strict'
import { nodePaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'
import { assertReach, type Place, placeOf, serve } from './reach.ts'

const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: a, annotations: {vrouter.dev/isolation: "true"}}
---${tenant('red', '10.1.0.0/16', 'fd01::/64')}---${tenant('blue', '10.1.0.0/16', 'fd01::/64')}`

describe('the node and its pods', function () {
  this.timeout(120_000)
  let lab: Lab
  let isolated: TestPod
  let red: TestPod
  let far: TestPod
  const node = (index: number): Place => {
    const { address4, address6 } = nodePaths('x', index)
    return { name: `node ${index}`, where: `node/${index}`, addresses: [address4, address6] }
  }

  before(async function () {
    skipIfMissing(this)
    // With SNAT pods reach other nodes as they reach everything outside: that is another test's matter.
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64', VROUTER_SNAT_ENABLED: 'false' })
    lab.expectDrops('Discards', 'Invalid Source')
    lab.apply(manifest)
    isolated = lab.addPod('isolated', 1, 'a')
    red = lab.addPod('red', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    // As every Kubernetes node is set up.
    for (const index of [1, 2])
      lab.node(index, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    await serve(lab, [...[isolated, red, far].map(placeOf), node(1), node(2)])
  })
  after(() => lab?.close())

  it('reaches pods of isolated and custom networks, by each protocol and family', () => {
    assertReach(lab, node(1), [placeOf(isolated), placeOf(red)], true)
    assertReach(lab, node(2), [placeOf(far)], true)
  })

  it('is reached by them', () => {
    for (const pod of [isolated, red]) assertReach(lab, placeOf(pod), [node(1)], true)
  })

  it('is the only node that does: neither the other one nor its pods get there', () => {
    assertReach(lab, node(2), [placeOf(isolated), placeOf(red)], false)
    assertReach(lab, node(1), [placeOf(far)], false)
    for (const pod of [isolated, red]) assertReach(lab, placeOf(pod), [node(2)], false)
  })

  it('doesn’t forward for others what they send to it: the underlay has no way into a tenant’s network', () => {
    const { address4, address6 } = nodePaths('x', 1)
    for (const pod of [isolated, red]) {
      lab.node(2, 'ip', 'route', 'add', `${pod.ip4}/32`, 'via', address4, 'dev', 'vhost0')
      lab.node(2, 'ip', '-6', 'route', 'add', `${pod.ip6}/128`, 'via', address6, 'dev', 'vhost0')
    }
    assertReach(lab, node(2), [placeOf(isolated), placeOf(red)], false)
    for (const pod of [isolated, red]) {
      lab.node(2, 'ip', 'route', 'del', `${pod.ip4}/32`)
      lab.node(2, 'ip', '-6', 'route', 'del', `${pod.ip6}/128`)
    }
  })

  it('has one host route for each pod that the default network’s doesn’t cover', () => {
    const routes = (family: string) =>
      lab
        .node(1, 'ip', family, 'route', 'show', 'proto', '118')
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0])
        .sort()
    assert.deepEqual(routes('-4'), [red.ip4, '10.200.0.0/16'].sort())
    assert.deepEqual(routes('-6'), [red.ip6, 'fd20::/64'].sort())
  })

  it('reaches the pod that was first of two with one address, says so, and the second one when the first is gone', async () => {
    lab.expectLog(/exec probes/)
    const fixed = ['--annotation', `vrouter.dev/addresses=${red.ip4},${red.ip6}`]
    const blue = lab.addPod('blue', 1, 'blue', ...fixed)
    assert.equal(blue.ip4, red.ip4)
    const seen = () => lab.logOf(1).map((line) => String(line['msg'] ?? line['message'] ?? JSON.stringify(line)))
    await eventually(() =>
      seen().find((line) => /Pod blue\/blue: .*Pod red\/red has it, too.*use exec probes/.test(line)),
    )
    assertReach(lab, node(1), [placeOf(red)], true)
    lab.run(['pod', 'del', 'red'])
    await serve(lab, [placeOf(blue)])
    await eventually(() => {
      assertReach(lab, node(1), [placeOf(blue)], true)
      return true
    })
  })

  it('does so with the daemon dead, and after its restart', () => {
    lab.run(['daemon', '1', 'kill'])
    assertReach(lab, node(1), [placeOf(isolated)], true)
    lab.run(['daemon', '1', 'start'])
    assertReach(lab, node(1), [placeOf(isolated)], true)
    assertReach(lab, placeOf(isolated), [node(1)], true)
  })
})
