import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processesOfLab } from '../lab/holder.ts'
import { labPaths, labsDirectory, repository } from '../lab/layout.ts'
import { isRunning, type ProcessId, readProcess } from '../lab/process.ts'
import { attempt } from '../lab/shell.ts'
import { eventually, nodeProgram, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

const main = join(repository, 'test/lab/main.ts')

function start(...words: string[]): ChildProcess {
  return spawn(nodeProgram, [main, ...words], { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
}

async function textOf(child: ChildProcess): Promise<{ text: string; code: number | NodeJS.Signals | null }> {
  let text = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
  }
  const { promise, resolve } = Promise.withResolvers<{ text: string; code: number | NodeJS.Signals | null }>()
  child.on('close', (code, signal) => resolve({ text, code: code ?? signal }))
  return await promise
}

/** Processes anywhere that name this lab on their command line or live in it. */
function processesNaming(lab: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((command) => command.includes(lab))
}

describe('hack/lab exec is the command itself', function () {
  this.timeout(60_000)
  let lab: TestLab
  let pod: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(1)
    lab.apply(twoTenants)
    pod = lab.addPod('red-1', 1, 'red')
  })

  after(() => lab?.close())

  it('passes the exit code, output and standard input', () => {
    assert.equal(lab.inPod(pod, ['sh', '-c', 'exit 7']).status, 7)
    assert.equal(lab.onNode(1, ['sh', '-c', 'exit 8']).status, 8)
    assert.deepEqual(lab.inPod(pod, ['sh', '-c', 'cat; echo seen >&2'], { input: 'hello' }), {
      status: 0,
      stdout: 'hello',
      stderr: 'seen\n',
    })
    const unknown = lab.inPod(pod, ['no-such-command'])
    assert.equal(unknown.status, 127)
    assert.match(unknown.stderr, /no-such-command/)
  })

  it('runs in the namespace that was named, in the folder of the caller', () => {
    assert.match(lab.inPod(pod, ['ip', '-br', 'addr', 'show', 'eth0']).stdout, new RegExp(`\\b${pod.ip4}/`))
    assert.match(lab.node(1, 'ip', '-br', 'addr', 'show', 'vhost0'), /172\.30\.0\.11\//)
    assert.equal(lab.node(1, 'pwd').trim(), process.cwd())
  })

  it('passes signals on', async () => {
    const child = lab.startInPod(pod, [
      'sh',
      '-c',
      'trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done',
    ])
    const ended = textOf(child)
    await new Promise<void>((ready) => child.stdout!.once('data', () => ready()))
    child.kill('SIGTERM')
    assert.deepEqual(await ended, { text: 'ready\ngot it\n', code: 3 })
  })

  it('ends quietly when nobody reads its output any more', () => {
    const words = `${nodeProgram} ${main} exec --name ${lab.name} pod/red-1 -- yes | head -n 1`
    assert.deepEqual(attempt(['sh', '-c', words]), { status: 0, stdout: 'y\n', stderr: '' })
  })

  it('leaves the terminal to the command', () => {
    const words = `${nodeProgram} ${main} exec --name ${lab.name} pod/red-1 -- sh -c 'tty; test -t 0 && echo terminal'`
    const { stdout } = attempt(['script', '-qec', words, '/dev/null'])
    assert.match(stdout, /\/dev\/pts\/\d+\s+terminal/)
  })
})

describe('a lab that was not built to the end', function () {
  this.timeout(60_000)
  let name: string

  beforeEach(function () {
    skipIfMissing(this)
    name = `t${randomBytes(4).toString('hex')}`
  })

  afterEach(() => {
    if (existsSync(join(labsDirectory, name))) attempt([nodeProgram, main, 'down', '--name', name])
  })

  /** Waits until `file` of the lab is there; returns its holder. */
  async function built(file: string): Promise<ProcessId> {
    const { root } = labPaths(name)
    await eventually(() => existsSync(join(root, file)))
    return readProcess(join(root, 'holder.pid'))!
  }

  function assertNothingIsLeft(holder: ProcessId): void {
    assert.equal(isRunning(holder), false)
    assert.equal(existsSync(join(labsDirectory, name)), false)
    assert.deepEqual(processesNaming(name), [])
  }

  for (const [moment, reached] of [
    ['the mount namespace is made', 'holder.pid'],
    ['the nodes are made', 'node2/config.yaml'],
    ['the daemons start', 'node2/daemon.pid'],
  ] as const) {
    it(`is taken down by Ctrl-C while ${moment}`, async () => {
      const child = start('up', '--name', name)
      const ended = textOf(child)
      const holder = await built(reached)
      // The terminal sends it to the whole foreground group.
      process.kill(-child.pid!, 'SIGINT')
      const { text, code } = await ended
      assert.equal(code, 130, text)
      assert.match(text, new RegExp(`interrupted; taking lab ${name} down again`))
      assertNothingIsLeft(holder)
    })
  }

  it('is taken down when only the command itself is told to end', async () => {
    const child = start('demo', '--name', name)
    const ended = textOf(child)
    const holder = await built('node1/daemon.pid')
    child.kill('SIGTERM')
    assert.equal((await ended).code, 143)
    assertNothingIsLeft(holder)
  })

  it('is cleared by down after everything that built it was killed', async () => {
    const child = start('up', '--name', name)
    const ended = textOf(child)
    const holder = await built('node2/daemon.pid')
    process.kill(-child.pid!, 'SIGKILL')
    await ended
    process.kill(holder.pid, 'SIGKILL')
    assert.notDeepEqual(processesOfLab(name), [], 'daemons outlive the holder')
    const status = attempt([nodeProgram, main, 'status', '--name', name])
    assert.match(status.stderr, new RegExp(`ended badly: hack/lab down --name ${name}`))
    assert.match(attempt([nodeProgram, main, 'up', '--name', name]).stderr, /ended badly: hack\/lab down/)
    assert.deepEqual(attempt([nodeProgram, main, 'down', '--name', name]), { status: 0, stdout: '', stderr: '' })
    assertNothingIsLeft(holder)
  })
})

describe('two labs side by side', function () {
  this.timeout(60_000)
  const labs: TestLab[] = []

  before(function () {
    skipIfMissing(this)
    labs.push(TestLab.up(2), TestLab.up(2))
  })

  after(() => {
    for (const lab of labs) lab.close()
  })

  it('have the same names and addresses, and know nothing of each other', () => {
    const pods = labs.map((lab) => {
      lab.apply(twoTenants)
      return [lab.addPod('red-1', 1, 'red'), lab.addPod('red-2', 2, 'red')] as const
    })
    assert.deepEqual(pods[0], pods[1])
    for (const [index, lab] of labs.entries())
      assert.equal(lab.ping(pods[index]![0], pods[index]![1].ip4).status, 0, lab.name)
    labs[1]!.run(['pod', 'del', 'red-2'])
    assert.equal(labs[0]!.ping(pods[0]![0], pods[0]![1].ip4).status, 0)
    labs[1]!.expectDrops('Discards')
    assert.notEqual(labs[1]!.ping(pods[1]![0], pods[1]![1].ip4).status, 0)
    assert.match(labs[0]!.tryRun(['up']).stderr, /is up already/)
  })
})
