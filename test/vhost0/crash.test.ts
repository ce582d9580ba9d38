import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipBecause } from '../skip.ts'
import { NIC, TestNode, VHOST, whyNot } from './fixture.ts'

describe('a vhost0 migration that is killed', function () {
  this.timeout(120_000)

  before(function () {
    skipBecause(this, whyNot())
  })

  async function aNode(): Promise<TestNode> {
    const node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip(`addr add 10.77.0.12/24 dev ${NIC}`)
    node.ip(`addr add fd77::11/64 dev ${NIC} nodad`)
    node.ip('route add default via 10.77.0.1 metric 100')
    node.ip(`route add 172.20.0.0/16 via 10.77.0.1 dev ${NIC}`)
    node.ip(`-6 route add default via fd77::1 dev ${NIC}`)
    await node.settled()
    return node
  }

  /** Runs the migration or the way back in a process that dies at step `n`. Returns whether it died. */
  function killAt(node: TestNode, what: 'migrate' | 'uninstall', n: number): boolean {
    const script = join(import.meta.dirname, 'killed.ts')
    const result = spawnSync(process.execPath, [script, what, String(n), node.name, node.stateDir], {
      encoding: 'utf8',
    })
    if (result.signal === 'SIGKILL') return true
    assert.equal(result.status, 0, result.stderr)
    return false
  }

  /** The node's own addresses and routes, whichever device they are on, and that they are on one only. */
  function assertOnNode(node: TestNode, device: string, other: string): void {
    const addresses = node.ip(`addr show dev ${device}`)
    for (const address of ['10.77.0.11/24', '10.77.0.12/24', 'fd77::11/64'])
      assert.ok(addresses.includes(address), `${address} on ${device}`)
    const routes = node.ip(`route show dev ${device}`) + node.ip(`-6 route show dev ${device}`)
    for (const route of [
      'default via 10.77.0.1 ',
      '172.20.0.0/16',
      'default via fd77::1',
      'fd77::/64',
      '10.77.0.0/24',
    ]) {
      assert.ok(routes.includes(route), `${route} on ${device}`)
    }
    if (node.describe(other) !== 'no device') assert.equal(node.ip(`route show dev ${other}`), '')
  }

  it('is finished by the next start, wherever it was killed', async () => {
    let steps = 0
    for (let died = true; died; steps++) {
      using node = await aNode()
      died = killAt(node, 'migrate', steps)
      const state = await node.migrate()
      assertOnNode(node, VHOST, NIC)
      assert.ok(node.canPing('203.0.113.1'), `IPv4 after a death at step ${steps}`)
      assert.ok(node.canPing('fd77::1'), `IPv6 after a death at step ${steps}`)
      if (!died) assert.equal(state.changes, 0)
    }
    assert.ok(steps >= 8, `${steps} steps`)
  })

  it('can be taken back, wherever it was killed', async () => {
    for (let step = 0, died = true; died; step++) {
      using node = await aNode()
      const before = node.describe()
      died = killAt(node, 'migrate', step)
      if (!died) break
      await node.uninstall()
      await node.settled()
      assert.equal(node.describe(), before, `after a death at step ${step}`)
      assert.equal(node.describe(VHOST), 'no device')
    }
  })

  it('goes all the way back, wherever the way back was killed', async () => {
    let steps = 0
    for (let died = true; died; steps++) {
      using node = await aNode()
      const before = node.describe()
      await node.migrate()
      died = killAt(node, 'uninstall', steps)
      await node.uninstall()
      await node.settled()
      assert.equal(node.describe(), before, `after a death at step ${steps}`)
      assert.equal(node.describe(VHOST), 'no device')
    }
    assert.ok(steps >= 2)
  })

  it('starts anew after a way back that was killed', async () => {
    using node = await aNode()
    await node.migrate()
    assert.ok(killAt(node, 'uninstall', 1))
    assert.match(readFileSync(join(node.stateDir, 'vhost0-snapshot.json'), 'utf8'), /"phase": "restoring"/)
    await node.migrate()
    assertOnNode(node, VHOST, NIC)
    assert.ok(node.canPing('203.0.113.1'))
  })

  it('rolls back at the next start when the gateway is lost', async () => {
    using node = await aNode()
    const before = node.describe()
    assert.ok(killAt(node, 'migrate', 5))
    node.world('link set gw down')
    await assert.rejects(node.migrate({ watchSeconds: 2 }), { code: 'VHOST_GATEWAY_LOST' })
    node.world('link set gw up')
    await node.settled()
    assert.equal(node.describe(), before)
  })
})
