/** What a daemon kept on disk is lost, or what nodes told each other: the running network shows what is right, and no packet pays for it. */
import assert from 'node:assert/strict'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodePaths } from '../lab/layout.ts'
import { skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

describe('a restart after a loss', function () {
  this.timeout(180_000)
  let lab: TestLab
  let a: TestPod
  let b: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.expectLog(/are lost|is lost|removed|were taken/)
    lab.apply(twoTenants)
    // Numbers that aren't those of a fresh start: what was first is gone.
    const gone = lab.addPod('gone', 1, 'red')
    a = lab.addPod('a-1', 1, 'red')
    b = lab.addPod('b-2', 2, 'red')
    lab.addPod('c-1', 1, 'blue')
    lab.run(['pod', 'del', gone.name])
    assert.equal(lab.ping(a, b.ip4).status, 0)
  })
  after(() => lab?.close())

  const removeIds = (node: number) => {
    const { state } = nodePaths(lab.name, node)
    for (const name of readdirSync(state)) if (name.startsWith('ids')) rmSync(join(state, name))
  }
  const removeState = (node: number) => {
    const { state } = nodePaths(lab.name, node)
    for (const name of readdirSync(state)) rmSync(join(state, name), { recursive: true })
  }

  const losses: readonly [what: string, nodes: readonly number[], lose: () => void][] = [
    ['the numbers of one node', [1], () => removeIds(1)],
    ['the numbers of both nodes, of which one is restarted', [1], () => [1, 2].map(removeIds)],
    ['the numbers of both nodes', [1, 2], () => [1, 2].map(removeIds)],
    ['the state folder of one node', [1], () => removeState(1)],
    ['the state folders of both nodes, of which one is restarted', [1], () => [1, 2].map(removeState)],
    ['the state folders of both nodes', [1, 2], () => [1, 2].map(removeState)],
  ]
  for (const [what, nodes, lose] of losses) {
    it(`of ${what} loses no packet`, async () => {
      const pings = Promise.all([lab.pingWithoutLoss(a, b.ip4, 700, 0.01), lab.pingWithoutLoss(b, a.ip6, 700, 0.01)])
      await sleep(700)
      for (const node of nodes) lab.run(['daemon', String(node), 'kill'])
      lose()
      for (const node of nodes) lab.run(['daemon', String(node), 'start'])
      await pings
    })
  }
})
