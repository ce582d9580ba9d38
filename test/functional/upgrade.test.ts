/**
 * Proves: an upgrade to a build whose flows have another layout loses nothing. Flows and SNAT ports go on, packet by packet; and so they do when the daemon
 * is killed at any step of it.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repository } from '../lab/layout.ts'
import { skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'
import { OUTSIDE, SteadyTraffic } from './steady-traffic.ts'

/** The datapath as another build might have it: a field of flows is somewhere else, another isn't known here. */
function buildOther(folder: string): string {
  cpSync(join(repository, 'daemon/datapath'), folder, {
    recursive: true,
    filter: (source) => !/datapath\/(build|test)$/.test(source),
  })
  const header = join(folder, 'lib/types.h')
  const types = readFileSync(header, 'utf8')
  const index = /^\t__u32 index;.*\n/m
  const other = types.replace(/(?<=^struct flow \{\n)/m, `\t__u64 of_another_build;\n${index.exec(types)![0]}`)
  const at = other.lastIndexOf(index.exec(types)![0])
  writeFileSync(header, other.slice(0, at) + other.slice(at).replace(index, ''))
  execFileSync('make', ['-s', '-C', folder])
  return join(folder, 'build')
}

describe('an upgrade', function () {
  this.timeout(300_000)
  let lab: TestLab
  let folder: string
  const pods: TestPod[] = []
  const own = { VROUTER_PATHS_OBJECTS: join(repository, 'daemon/datapath/build') }

  before(async function () {
    skipIfMissing(this)
    folder = mkdtempSync(join(tmpdir(), 'vrouter-upgrade-'))
    lab = TestLab.up(2, { VROUTER_PATHS_OBJECTS: buildOther(join(folder, 'datapath')) })
    lab.apply(twoTenants)
    for (const node of [1, 2]) pods.push(lab.addPod(`red-${node}`, node, 'red'))
    await SteadyTraffic.serveOutside(lab)
  })
  after(() => {
    lab?.close()
    if (folder) rmSync(folder, { recursive: true, force: true })
  })

  const carried = (node: number) => lab.logOf(node).filter(({ msg }) => /^flows of the former table/.test(String(msg)))

  /**
   * They have counted what went before the upgrade, when `before` pings were answered: none was made anew. What is counted between the copy of a flow and
   * the changeover is lost, so half of it will do.
   */
  function assertSameFlows(node: number, from: TestPod, traffic: SteadyTraffic, before: number): void {
    const pongs = traffic.pongs()
    assert.equal(pongs.size, 2)
    const { flows } = JSON.parse(lab.node(node, 'flow', '-l', '--json')) as {
      flows: { source: string; destination: string; protocol: number; packets: number }[]
    }
    for (const [address, count] of pongs) {
      const counts = flows
        .filter(({ source, destination, protocol }) => source === from.ip4 && destination === address && protocol === 1)
        .map(({ packets }) => packets)
      assert.ok(Math.max(...counts) >= count - before / 2, `${address}: ${count} pongs, but flows of ${counts} packets`)
    }
  }

  it('to other maps loses no packet, and no connection to pods or to the outside', async () => {
    const traffic = await SteadyTraffic.start(lab, pods[0]!, pods[1]!)
    const before = await traffic.afterPongs(300)
    lab.run(['daemon', '1', 'kill'])
    lab.run(['daemon', '1', 'start'], { env: own })
    await traffic.assertWhole()
    const [said, ...more] = carried(1)
    assert.deepEqual(more, [])
    assert.deepEqual([said?.['dropped'], said?.['refused']], [['of_another_build'], 0])
    assert.ok(Number(said?.['carried']) >= 4, JSON.stringify(said))
    assertSameFlows(1, pods[0]!, traffic, before)
    assert.equal(lab.ping(pods[0]!, OUTSIDE).status, 0, 'a new flow to the outside')
    assert.equal(
      lab.node(1, 'sh', '-c', 'ls -d "$VROUTER_PINS"/maps-*').trim().split('\n').length,
      1,
      'nothing is left',
    )
  })

  it('that is killed at each of its steps, and begun again, loses nothing either', async () => {
    const traffic = await SteadyTraffic.start(lab, pods[1]!, pods[0]!)
    const before = await traffic.afterPongs(300)
    lab.run(['daemon', '2', 'kill'])
    for (const step of ['carry', 'swap', 'pods', 'rest', 'nics', 'age', 'commit']) {
      const killed = lab.tryRun(['daemon', '2', 'start'], {
        env: {
          ...own,
          NODE_OPTIONS: `--import=${join(repository, 'test/functional/kill-at.ts')}`,
          KUBE_VROUTER_KILL_AT: step,
        },
      })
      assert.match(killed.stderr, /daemon of node2 has ended/, `at step ${step}`)
      await traffic.goesOn()
      assert.equal(lab.ping(pods[0]!, pods[1]!.ip6).status, 0, `a new flow, with the daemon killed at step ${step}`)
    }
    lab.run(['daemon', '2', 'start'], { env: own })
    await traffic.assertWhole()
    assertSameFlows(2, pods[1]!, traffic, before)
    const resumed = lab.logOf(2).filter(({ msg }) => /^an upgrade was interrupted/.test(String(msg)))
    assert.equal(resumed.length, 4, 'from the first program in service on, each daemon goes on where the last one was')
    assert.equal(lab.ping(pods[1]!, OUTSIDE).status, 0, 'a new flow to the outside')
    assert.equal(
      lab.node(2, 'sh', '-c', 'ls -d "$VROUTER_PINS"/maps-*').trim().split('\n').length,
      1,
      'nothing is left',
    )
  })
})
