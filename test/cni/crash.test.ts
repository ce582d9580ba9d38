/**
 * Crash safety: the binary and the daemon are ended by SIGKILL right before each system call that changes something, and what follows (DEL, GC, a new start of the
 * daemon) must leave nothing of the pod and touch no other one. The steps come from strace, so none can be forgotten.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { deleteNamed } from '@kube-vrouter/linux/namespace'
import { DaemonProcess } from './daemon-child.ts'
import { inPod, type Json, type Node, type Outcome, result } from './node.ts'
import { withNodes } from './suite.ts'
import {
  attach,
  attachKilling,
  attachTracing,
  killingBefore,
  type Step,
  stepsOf,
  stepsOfThread,
  straceObstacle,
  tracing,
} from './system-calls.ts'

const nameOf = ({ call, number, text }: Step): string => `${call} #${number} (${text.slice(0, 90)})`

describe('a crash at any step', function () {
  this.timeout(300_000)
  let node: Node
  let folder: string
  let bystander: string
  let standing: Json

  withNodes(
    (made) => {
      node = made
    },
    { daemon: false, needs: straceObstacle },
  )
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-crash-'))
  })
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true })
  })

  const add = (containerId: string, netns: string, more = {}) =>
    node.run({ command: 'ADD', containerId, netns, ...more })
  const del = (containerId: string, netns = '', more = {}) => node.run({ command: 'DEL', containerId, netns, ...more })
  const gc = () => {
    const valid = [{ containerID: 'by', ifname: 'eth0' }]
    return node.run({ command: 'GC', config: node.config('1.1.0', { 'cni.dev/valid-attachments': valid }) })
  }

  /** A pod that lives through all of it. */
  async function addBystander(): Promise<void> {
    bystander = node.pod()
    standing = result(await add('by', bystander))
  }

  function assertClean(when: string, netns?: string): void {
    const { taps, records, deletes } = node.leftovers()
    const tap = standing.interfaces[0].name
    assert.deepEqual({ taps, records, deletes }, { taps: [tap], records: ['by-eth0.json'], deletes: [] }, when)
    if (node.ports)
      assert.deepEqual(
        node.ports.all().map(({ containerId }) => containerId),
        ['by'],
        when,
      )
    inPod(bystander, (pod) => {
      const link = pod.link('eth0')!
      assert.ok(link.up && link.mac === standing.interfaces[1].mac, when)
      const addresses = pod.addresses({ index: link.index, family: 4 }).map(({ address }) => `${address}/16`)
      assert.deepEqual(addresses, [standing.ips[0].address], when)
    })
    if (netns)
      assert.deepEqual(
        inPod(netns, (pod) => pod.links().map(({ name }) => name)),
        ['lo'],
        when,
      )
  }

  /** What may come after a crash. */
  const endings: Readonly<Record<string, (netns: string, name: string) => Promise<void>>> = {
    DEL: async (netns) => void result(await del('c1', netns)),
    GC: async () => void result(await gc()),
    'the end of the pod and a start of the daemon': async (_, name) => {
      deleteNamed(name)
      await node.stopDaemon()
      while (node.leftovers().taps.length > 1) await sleep(5)
      await node.startDaemon({ garbageMs: 0 })
      await node.ports!.maintain()
    },
  }

  async function stepsOfCall(run: (under: readonly string[]) => Promise<Outcome>): Promise<Step[]> {
    const file = join(folder, 'trace')
    result(await run(tracing(file)))
    return stepsOf(file)
  }

  it('of ADD: afterwards DEL, GC, or a start of the daemon leaves nothing', async () => {
    await node.startDaemon()
    await addBystander()
    const probe = node.pod()
    const steps = await stepsOfCall((under) => add('c1', probe, { under }))
    result(await del('c1', probe))
    // Steps have the numbers of one run: another one may make a call less, and then has ended before it was killed.
    const isKilledBefore = async (step: Step, netns: string): Promise<boolean> => {
      for (let left = 5; ; left--) {
        const outcome = await add('c1', netns, { under: killingBefore(step) })
        if (outcome.signal !== null) return true
        result(outcome)
        if (left === 1) return false
        result(await del('c1', netns))
      }
    }
    const passedBy = new Set<string>()
    // connecting, two requests, three or more netlink messages, the result
    assert.ok(steps.length > 10, steps.map(nameOf).join('\n'))
    assert.ok(steps.some(({ text }) => text.includes('RTM_NEWLINK')) && steps.some(({ call }) => call === 'connect'))
    let killed = 0
    for (const [i, step] of steps.entries()) {
      for (const [ending, end] of Object.entries(endings)) {
        const name = `${node.name}-k${i}${ending.slice(0, 1).toLowerCase()}`
        const netns = node.pod(name)
        if (await isKilledBefore(step, netns)) killed++
        else passedBy.add(nameOf(step))
        await end(netns, name)
        assertClean(
          `killed before ${nameOf(step)}, then ${ending}`,
          ending === 'DEL' || ending === 'GC' ? netns : undefined,
        )
        if (ending === 'DEL' || ending === 'GC') deleteNamed(name)
      }
    }
    console.log(`      ${steps.length} steps, killed ${killed} times`)
    for (const step of passedBy) console.log(`      passed by: ${step}`)
    assert.ok(killed > steps.length * 2, `${killed} of ${steps.length * 3} were killed`)
  })

  for (const [daemon, isUp] of [
    ['', true],
    [' without a daemon', false],
  ] as const) {
    it(`of DEL${daemon}: afterwards DEL leaves nothing`, async () => {
      await node.startDaemon()
      await addBystander()
      const netns = node.pod()
      const restart = async (): Promise<void> => {
        if (!node.ports) await node.startDaemon()
      }
      const attachOnce = async (): Promise<void> => {
        await restart()
        result(await add('c1', netns))
        if (!isUp) await node.stopDaemon()
      }
      await attachOnce()
      const steps = await stepsOfCall((under) => del('c1', netns, { under }))
      assert.ok(steps.length >= 3, steps.map(nameOf).join('\n'))
      // Steps have the numbers of one run: where another one made a call less before, it wasn't killed.
      const delKilledBefore = async (step: Step): Promise<void> => {
        for (let left = 5; left > 0; left--) {
          await attachOnce()
          if ((await del('c1', netns, { under: killingBefore(step) })).signal !== null) return
          await restart()
        }
        assert.fail(`never killed before ${nameOf(step)}`)
      }
      for (const step of steps) {
        await delKilledBefore(step)
        result(await del('c1', netns))
        await restart()
        assertClean(`killed before ${nameOf(step)}`, netns)
        // The runtime may also never come back: what was queued or left is found by GC.
        await attachOnce()
        await del('c1', netns, { under: killingBefore(step) })
        await restart()
        result(await gc())
        assertClean(`killed before ${nameOf(step)}, then GC`, netns)
      }
      console.log(`      ${steps.length} steps`)
    })
  }

  /** Threads of the daemon that work: its own, and the one of libuv's pool that waits for the disk. */
  const threads = ['main', 'pool'] as const

  for (const command of ['ADD', 'DEL'] as const) {
    it(`of the daemon during ${command}: after a new start DEL leaves nothing, and a loss of power neither`, async () => {
      let daemon = await DaemonProcess.start(node)
      try {
        await addBystander()
        const netns = node.pod()
        const perform = () => (command === 'ADD' ? add('c1', netns) : del('c1', netns))
        const prepare = async (): Promise<void> => {
          if (command === 'DEL') result(await add('c1', netns))
        }
        let count = 0
        for (const thread of threads) {
          const file = join(folder, `trace-${thread}`)
          await prepare()
          const trace = await attach(daemon.thread(thread), attachTracing(file))
          result(await perform())
          trace.stop()
          await trace.ended
          result(await del('c1', netns))
          const steps = stepsOfThread(file)
          // The pool only syncs, which no DEL needs.
          assert.ok(steps.length > 0 || (command === 'DEL' && thread === 'pool'), `${thread}: nothing seen`)
          for (const step of steps) {
            const when = `daemon killed before ${nameOf(step)} of ${thread}`
            await prepare()
            const killer = await attach(daemon.thread(thread), attachKilling(step))
            const outcome = await perform()
            const isDead = await Promise.race([daemon.ended, sleep(300, false)])
            if (!isDead) killer.stop()
            await killer.ended
            if (outcome.exit !== 0) assert.equal(JSON.parse(outcome.stdout).code, 11, `${when}: ${outcome.stdout}`)
            else if (isDead) count++
            if (isDead) count++
            daemon.kill()
            await daemon.ended
            daemon = await DaemonProcess.start(node)
            result(await del('c1', netns))
            assertClean(when, netns)
          }
        }
        console.log(`      ${count} deaths`)
        assert.ok(count > 4)
      } finally {
        daemon.kill()
        await daemon.ended
      }
    })
  }

  it('that is a loss of power: files that were not synced are empty, pods are gone, and the addresses are free', async () => {
    let daemon = await DaemonProcess.start(node)
    try {
      const name = `${node.name}-power`
      const file = join(folder, 'trace')
      const lose = async (step: Step | undefined): Promise<void> => {
        const netns = node.pod(name)
        const file = join(folder, 'trace')
        const synced = await attach(daemon.thread('pool'), step ? attachKilling(step) : attachTracing(file))
        await add('c1', netns)
        if (!(await Promise.race([daemon.ended, sleep(200, false)]))) synced.stop()
        await synced.ended
        daemon.kill()
        await daemon.ended
        deleteNamed(name)
        while (node.leftovers().taps.length > 0) await sleep(5)
      }
      await lose(undefined)
      const steps = stepsOfThread(file)
      assert.ok(
        steps.some(({ call }) => call === 'fsync' || call === 'fdatasync'),
        steps.map(nameOf).join('\n'),
      )
      for (const step of [undefined, ...steps]) {
        // Data of a file that nobody synced since it was written may be lost, though its name is there: the worst case.
        daemon = await DaemonProcess.start(node)
        await lose(step)
        const records = join(node.state, 'ports')
        for (const entry of readdirSync(records)) if (/\.json|\.tmp/.test(entry)) truncateSync(join(records, entry), 0)
        daemon = await DaemonProcess.start(node)
        const left = readdirSync(records).filter((entry) => entry !== 'corrupt')
        assert.deepEqual(left, [], step ? nameOf(step) : 'after all steps')
        const added = result(await add('c2', node.pod(name)))
        assert.ok(added.ips[0].address)
        result(await del('c2'))
        deleteNamed(name)
        daemon.kill()
        await daemon.ended
      }
      assert.match(readFileSync(daemon.log, 'utf8'), /corrupt/)
    } finally {
      daemon.kill()
      await daemon.ended
    }
  })
})
