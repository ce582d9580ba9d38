/** One daemon for each datapath. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

describe('a second daemon', function () {
  this.timeout(120_000)
  let lab: TestLab
  let red1: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(1, { VROUTER_HEALTH_PORT: '9485' })
    lab.apply(twoTenants)
    red1 = lab.addPod('red-1', 1, 'red')
  })
  after(() => lab?.close())

  const pid = () => (JSON.parse(readFileSync(nodePaths(lab.name, 1).pid, 'utf8')) as { pid: number }).pid
  const tables = () =>
    ['rt --dump 0', 'rt --dump 2', 'rt --dump 2 --family bridge', 'mpls --dump'].map((one) =>
      lab.node(1, ...one.split(' ')),
    )
  const ready = () =>
    lab.node(1, 'curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', 'http://127.0.0.1:9485/readyz')

  /** Its exit status and the last line of its log. */
  function start(env: string, ...before: string[]) {
    const { status, stdout, stderr } = lab.onNode(1, [...before, 'sh', '-c', `${env} exec vrouter run`])
    const line = JSON.parse(stdout.trimEnd().split('\n').at(-1) || '{}') as { msg?: string; err?: { remedy?: string } }
    return { status, text: line.msg ?? stderr, remedy: line.err?.remedy }
  }

  it('with the same datapath ends at once, names the first one, and touches nothing', () => {
    const before = tables()
    // Neither is it the folder of state or the socket that keeps it out: pins alone do.
    const { root, pins } = nodePaths(lab.name, 1)
    const elsewhere = `VROUTER_PATHS_STATE=${join(root, 'other')} VROUTER_PATHS_RUN=${join(root, 'other')}`
    for (const env of ['', elsewhere]) {
      const { status, text, remedy } = start(env)
      assert.equal(status, 1)
      assert.equal(text, `another daemon has the datapath at ${pins}: process ${pid()}`)
      assert.match(remedy ?? '', /Stop the daemon of this node first/)
    }
    assert.deepEqual(tables(), before)
    assert.equal(ready(), '200')
    assert.equal(lab.ping(red1, '10.1.0.1').status, 0)
  })

  it('in another container, where process ids are others, is told so', () => {
    const { status, text } = start('', 'unshare', '--pid', '--fork', '--mount-proc')
    assert.equal(status, 1)
    assert.match(text, new RegExp(`: process ${pid()} of another container \\(host .+, since 20`))
  })

  it('with the same state beside another datapath ends, too: ids have one writer', () => {
    const { pins, state } = nodePaths(lab.name, 1)
    const { status, text } = start(`VROUTER_PATHS_PINS=${pins}-2`)
    assert.equal(status, 1)
    assert.match(text, new RegExp(`another daemon has the state in ${state}: process ${pid()} \\(host `))
  })

  it('starts at once when the first was killed', () => {
    for (let times = 0; times < 3; times++) {
      lab.run(['daemon', '1', 'kill'])
      lab.run(['daemon', '1', 'start'])
      assert.equal(ready(), '200')
    }
    assert.ok(!lab.logOf(1).some(({ msg }) => /another daemon/.test(String(msg))))
  })
})

describe('vrouter without a command', function () {
  this.timeout(30_000)
  let lab: TestLab
  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(1)
  })
  after(() => lab?.close())

  it('explains itself and starts nothing', () => {
    for (const words of [['vrouter'], ['vrouter', '--config', nodePaths(lab.name, 1).config]]) {
      const { status, stdout, stderr } = lab.onNode(1, words)
      assert.deepEqual([status, stdout], [2, ''])
      assert.match(stderr, /the daemon is started by `vrouter run`/)
      assert.match(stderr, /vrouter preflight/)
    }
  })
})
