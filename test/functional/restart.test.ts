import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { repository } from '../lab/layout.ts'
import { eventually, nodeProgram, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

describe('the network outlives its daemon', function () {
  this.timeout(120_000)
  let lab: TestLab
  let red1: TestPod
  let red2: TestPod
  let red3: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(twoTenants)
    red1 = lab.addPod('red-1', 1, 'red')
    red2 = lab.addPod('red-2', 1, 'red')
    red3 = lab.addPod('red-3', 2, 'red')
    assert.equal(lab.ping(red1, red3.ip4).status, 0)
  })

  after(() => lab?.close())

  /** Everything with a number: what a restart must not change. Counters and reference counts are left out. */
  function numbers(node: number): unknown {
    const json = (command: string): unknown => JSON.parse(lab.node(node, ...command.split(' '), '--json'))
    const strip = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(strip)
      if (typeof value !== 'object' || value === null) return value
      const kept = Object.entries(value).filter(([key]) => !/packets|bytes|errors|drops|ref|stats/i.test(key))
      return Object.fromEntries(kept.map(([key, inner]) => [key, strip(inner)]))
    }
    return [
      'vif --list',
      'rt --dump 0',
      'rt --dump 2',
      'rt --dump 2 --family inet6',
      'rt --dump 2 --family bridge',
      'mpls --dump',
      'nh --list',
    ].map((command) => strip(json(command)))
  }

  it('kill -9 and start again: nothing is renumbered, and no packet of a running ping is lost', async () => {
    const before = [numbers(1), numbers(2)]
    const pings = lab.pingWithoutLoss(red1, red3.ip4, 500, 0.01)
    await sleep(700)
    for (const node of ['1', '2']) lab.run(['daemon', node, 'kill'])

    assert.equal(lab.ping(red2, red3.ip4).status, 0, 'a new flow across nodes while the daemons are dead')
    assert.equal(lab.ping(red3, red1.ip6).status, 0, 'a new IPv6 flow across nodes while the daemons are dead')
    assert.equal(lab.ping(red2, red1.ip4).status, 0, 'a new flow on the same node while the daemons are dead')
    assert.match(lab.node(1, 'vif', '--list'), /tap/, 'the tools work with the daemon dead')

    for (const node of ['1', '2']) lab.run(['daemon', node, 'start'])
    await pings
    assert.deepEqual([numbers(1), numbers(2)], before)
  })

  it('an orderly stop keeps the network too; a pod added and one removed while nobody watches are caught up with', async () => {
    lab.run(['daemon', '1', 'stop'])
    assert.equal(lab.ping(red1, red3.ip4).status, 0)
    const failed = lab.tryRun(['pod', 'add', 'red-9', '--node', '1', '--namespace', 'red'])
    assert.equal(failed.status, 1)
    assert.match(failed.stderr, /daemon/, 'ADD without a daemon says so')
    lab.run(['pod', 'del', 'red-2'])
    lab.run(['daemon', '1', 'start'])
    await eventually(() => !lab.node(1, 'rt', '--dump', '2').includes(`${red2.ip4}/32`))
    const again = lab.addPod('red-2', 1, 'red')
    assert.equal(lab.ping(again, red3.ip4).status, 0)
    red2 = again
  })

  const links = [nodeProgram, '--no-warnings', join(repository, 'test/functional/links.ts')]

  function tapLink(): string {
    const name = /^(tap-\d+) [1-9]/m.exec(lab.node(1, ...links, 'list'))?.[1]
    assert.ok(name !== undefined, 'no link on a tap')
    return name
  }

  const damages: [what: string, damage: () => void, harmed: () => boolean][] = [
    [
      'a kernel route on vhost0 is deleted',
      () => lab.node(1, 'ip', 'route', 'del', 'default'),
      () => !lab.node(1, 'ip', 'route').includes('default via 172.30.0.1'),
    ],
    [
      'the neighbour of the other node is deleted',
      () => lab.node(1, 'ip', 'neigh', 'del', '172.30.0.12', 'dev', 'vhost0'),
      () => !/172\.30\.0\.12 .*lladdr/.test(lab.node(1, 'ip', 'neigh')),
    ],
    [
      "the program of a pod's tap is detached",
      () => assert.match(lab.node(1, ...links, 'detach', tapLink()), / 0$/m, 'the damage did nothing'),
      () => / 0$/m.test(lab.node(1, ...links, 'list')),
    ],
  ]
  for (const [what, damage, harmed] of damages) {
    it(`foreign damage is repaired: ${what}`, async () => {
      lab.expectLog(/repair|deleted|detach|vanish|lost|foreign|was dead/i)
      damage()
      await eventually(() => !harmed(), 90_000)
      await eventually(() => lab.ping(red1, red3.ip4).status === 0, 10_000)
      assert.equal(lab.ping(red1, red2.ip4).status, 0)
    })
  }

  it('pods that go leave nothing: no tap, no route, no flow, no record', async () => {
    for (const pod of ['red-1', 'red-2', 'red-3']) lab.run(['pod', 'del', pod])
    for (const node of [1, 2]) {
      assert.doesNotMatch(lab.node(node, 'ip', '-o', 'link'), /tap[0-9a-f]{12}/)
      await eventually(() => !lab.node(node, 'vif', '--list').includes('tap'))
      assert.equal(
        lab.node(node, 'sh', '-c', `ls ${`/run/kube-vrouter-lab/${lab.name}/node${node}/state`}/ports`).trim(),
        '',
      )
    }
  })
})
