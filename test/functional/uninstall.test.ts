import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { eventually, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

describe('vrouter --uninstall', function () {
  this.timeout(120_000)
  let lab: TestLab
  let here: TestPod
  let there: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(twoTenants)
    here = lab.addPod('red-1', 1, 'red')
    there = lab.addPod('red-2', 2, 'red')
    assert.equal(lab.ping(here, there.ip4).status, 0)
  })

  after(() => lab?.close())

  const conflist = () => join(nodePaths(lab.name, 1).root, 'cni/10-vrouter.conflist')

  it('gives the NIC its addresses back, removes all that is ours, and tells the runtime that no plugin is here', () => {
    assert.ok(existsSync(conflist()), 'the conflist was written when the daemon got ready')
    lab.run(['daemon', '1', 'stop'])
    assert.ok(existsSync(conflist()), 'a stopped daemon leaves the conflist')

    lab.node(1, 'vrouter', '--uninstall')

    assert.match(lab.node(1, 'ip', '-br', 'addr', 'show', 'eth0'), /172\.30\.0\.11\/24/)
    assert.match(lab.node(1, 'ip', 'route', 'show', 'default'), /via 172\.30\.0\.1 dev eth0/)
    assert.doesNotMatch(lab.node(1, 'ip', '-o', 'link'), /vhost0|pkt0/)
    assert.match(lab.node(1, 'ping', '-c', '1', '-W', '10', '172.30.0.12'), /1 received/)
    assert.equal(lab.onNode(1, ['vif', '--list']).status, 1, 'no pinned map is left')
    assert.ok(!existsSync(conflist()), 'the conflist is gone')
    assert.equal(readdirSync(join(nodePaths(lab.name, 1).state, 'ports')).length, 1, 'the record of the pod stays')
  })

  it('finds nothing to do when it is repeated', () => {
    assert.match(lab.node(1, 'vrouter', '--uninstall'), /nothing was installed/)
  })

  it('is undone by the next start: the pods that were there are connected again', async () => {
    lab.run(['daemon', '1', 'start'])
    assert.match(lab.node(1, 'ip', '-br', 'addr', 'show', 'vhost0'), /172\.30\.0\.11\/24/)
    assert.ok(existsSync(conflist()))
    await eventually(() => lab.ping(here, there.ip4).status === 0, 10_000)
    assert.equal(lab.ping(here, there.ip6).status, 0)
  })
})
