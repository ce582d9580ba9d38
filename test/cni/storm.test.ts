/** A node that was just booted: 110 pods at once, and all of them gone at once, again and again, with a daemon that is killed meanwhile. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { skipBecause } from '../skip.ts'
import { DaemonProcess } from './daemon-child.ts'
import { clean, type Json, Node, type Outcome, obstacle } from './node.ts'

/** kubelet's limit of pods on a node. */
const PODS = 110

/** How often a runtime that is told "try again later" does so here. */
const ATTEMPTS = 20

describe('110 pods at once', function () {
  this.timeout(300_000)
  let node: Node
  let daemon: DaemonProcess
  before(function () {
    skipBecause(this, obstacle())
  })
  beforeEach(async () => {
    node = new Node()
    daemon = await DaemonProcess.start(node)
  })
  afterEach(async () => {
    daemon.kill()
    await daemon.ended
    await node[Symbol.asyncDispose]()
  })

  const call = (command: string, i: number, netns: string): Promise<Outcome> =>
    node.run({ command, containerId: `s${i}`, netns, pod: ['default', `pod-${i}`] })

  /** As a runtime does it: an ADD that failed is followed by DEL, and tried again. */
  async function addUntilDone(i: number, netns: string): Promise<Json> {
    for (let attempt = 1; ; attempt++) {
      const { exit, stdout, stderr } = await call('ADD', i, netns)
      if (exit === 0) return JSON.parse(stdout)
      assert.ok(attempt < ATTEMPTS && JSON.parse(stdout).code === 11, stdout + stderr)
      assert.equal((await call('DEL', i, netns)).exit, 0)
      // As kubelet, only quicker: a daemon that starts needs the processor, too.
      await sleep(500 + 1000 * attempt * Math.random())
    }
  }

  /** What the daemon's event loop was held up by since the last time. */
  async function turns(): Promise<{ stalls: number; longestUs: number }> {
    const before = readFileSync(daemon.log, 'utf8').length
    daemon.kill('SIGUSR2')
    for (;;) {
      const found = /^turns (.*)$/m.exec(readFileSync(daemon.log, 'utf8').slice(before))
      if (found) return JSON.parse(found[1]!)
      await sleep(10)
    }
  }

  function assertDistinct(added: readonly Json[]): void {
    const addresses = added.flatMap(({ ips }) => ips.map(({ address }: Json) => address))
    assert.equal(new Set(addresses).size, 2 * PODS)
    const { taps, records, deletes } = node.leftovers()
    assert.deepEqual([new Set(taps).size, records.length, deletes.length], [PODS, PODS, 0])
    const macs = added.map(({ interfaces }) => interfaces[1].mac)
    assert.equal(new Set(macs).size, PODS)
  }

  it('twice: all ADDs succeed at the first attempt, all DELs too, nothing is left, and the daemon never stalls', async () => {
    const pods = Array.from({ length: PODS }, () => node.pod())
    for (let round = 0; round < 2; round++) {
      const outcomes = await Promise.all(pods.map((netns, i) => call('ADD', i, netns)))
      for (const { exit, stdout } of outcomes) assert.equal(exit, 0, stdout)
      assertDistinct(outcomes.map(({ stdout }) => JSON.parse(stdout)))
      for (const outcome of await Promise.all(pods.map((netns, i) => call('DEL', i, netns))))
        assert.deepEqual([outcome.exit, outcome.stdout], [0, ''])
      assert.deepEqual(node.leftovers(), clean)
    }
    const { stalls, longestUs } = await turns()
    console.log(`      longest turn of the daemon ${Math.round(longestUs / 1000)} ms`)
    assert.equal(stalls, 0, `the longest turn took ${longestUs} us`)
  })

  it('with a daemon that is killed and started again: all succeed in the end, none twice, and no DEL fails', async () => {
    const pods = Array.from({ length: PODS }, () => node.pod())
    let isOver = false
    let kills = 0
    const killing = (async () => {
      while (!isOver && kills < 4) {
        await sleep(700)
        if (isOver) return
        daemon.kill()
        await daemon.ended
        daemon = await DaemonProcess.start(node)
        kills++
      }
    })()
    const added = await Promise.all(pods.map((netns, i) => addUntilDone(i, netns)))
    const deleted = await Promise.all(pods.map(async (netns, i) => (i % 2 ? call('DEL', i, netns) : undefined)))
    for (const outcome of deleted) if (outcome) assert.equal(outcome.exit, 0, outcome.stdout)
    const again = await Promise.all(pods.map((netns, i) => (i % 2 ? addUntilDone(i, netns) : added[i])))
    isOver = true
    await killing
    assert.ok(kills > 2, `${kills} kills`)
    console.log(`      ${kills} kills`)
    assertDistinct(again)
    for (const outcome of await Promise.all(pods.map((netns, i) => call('DEL', i, netns))))
      assert.equal(outcome.exit, 0, outcome.stdout)
    assert.deepEqual(node.leftovers(), clean)
  })
})
