import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseCommandLine } from './command-line.ts'
import { newSince } from './leftovers.ts'
import { outcomeOfOpenHandles, outcomeOfReport } from './mocha-outcome.ts'
import { add, fail, pass, skip, summaryLine } from './outcome.ts'
import { runCommand } from './run-command.ts'
import { tableOf } from './table.ts'

describe('test outcomes', () => {
  it('add up to the line that CI reads', () => {
    assert.equal(summaryLine(add([pass(3), pass(), fail('a', 'why')])), '4 passed, 1 failed')
    assert.equal(
      summaryLine(add([pass(2), skip('b', 'needs root'), skip('c', 'needs root')])),
      '2 passed, 0 failed, 2 skipped',
    )
  })

  it('come from a mocha report, with the reasons of skips', () => {
    const report = {
      passes: [{}, {}],
      pending: [{ fullTitle: 'tools on pinned maps (skipped: needs root) dumps' }, { fullTitle: 'plain' }],
      failures: [{ fullTitle: 'x y', err: { message: 'boom', stack: 'Error: boom\n  at here' } }],
    }
    assert.deepEqual(outcomeOfReport(JSON.stringify(report)), {
      passed: 2,
      failures: [{ title: 'x y', message: 'Error: boom\n  at here' }],
      skips: [
        { title: 'tools on pinned maps dumps', reason: 'needs root' },
        { title: 'plain', reason: 'it gives no reason' },
      ],
    })
  })

  it('are shown area by area with their times, and as a total', () => {
    const results = [
      { name: 'unit', outcome: add([pass(992), skip('b', 'needs root')]), seconds: 64.21 },
      { name: 'functional', outcome: add([pass(8), fail('a', 'why')]), seconds: 1200.5 },
    ]
    assert.deepEqual(tableOf(results), [
      'area             passed   failed  skipped  seconds',
      'unit                992        0        1     64.2',
      'functional            8        1        0   1200.5',
      'total              1000        1        1   1264.7',
    ])
  })

  it('count only what is new as left behind', () => {
    const before = new Map([['link', ['lo', 'eth0']]])
    const after = new Map([
      ['link', ['lo', 'eth0', 'veth7']],
      ['pin', ['a']],
    ])
    assert.deepEqual(newSince(before, after), ['link veth7', 'pin a'])
  })
})

describe('tests that leave something open', () => {
  const leaky = `
    import { createServer } from 'node:net'
    import { Worker } from 'node:worker_threads'
    describe('leaky', () => it('passes', (done) => {
      new Worker('require("node:worker_threads").parentPort.on("message", () => 0)', { eval: true, name: 'idle' })
      setInterval(() => 0, 1000)
      createServer().listen(0, '127.0.0.1', done)
    }))`

  it('are a failure that names what it is and whose', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'leaky-'))
    try {
      const file = join(folder, 'leaky.mts')
      writeFileSync(file, leaky)
      const env = { ...process.env, KV_OPEN_HANDLES_GRACE_MS: '0' }
      const ended = await runCommand(['mocha', file], {
        cwd: join(import.meta.dirname, '../..'),
        env,
        limitSeconds: 100,
      })
      assert.match(ended.output, /1 passing/)
      assert.notEqual(ended.problem, '')
      const [failure] = outcomeOfOpenHandles('unit', ended.output).failures
      assert.equal(failure!.title, 'unit closes what it opens')
      const whose = `first seen after ${file}`
      assert.match(failure!.message, new RegExp(`^Server on 127.0.0.1:\\d+, ${whose}$`, 'm'))
      assert.match(failure!.message, new RegExp(`^Worker idle, ${whose}$`, 'm'))
      assert.match(failure!.message, new RegExp(`^1 timers, most of them seen after ${file}$`, 'm'))
      assert.equal(outcomeOfOpenHandles('unit', '1 passing\n').failures.length, 0)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('the command line of hack/test', () => {
  const known = ['unit', 'dataplane', 'cni']
  const parse = (...args: string[]) => parseCommandLine(args, known)

  it('names areas, by a word or by --only; none means all', () => {
    assert.deepEqual(parse(), { verb: 'run', areas: known })
    assert.deepEqual(parse('dataplane'), { verb: 'run', areas: ['dataplane'] })
    assert.deepEqual(parse('--only', 'unit', 'cni'), { verb: 'run', areas: ['unit', 'cni'] })
    assert.deepEqual(parse('--list'), { verb: 'list' })
    assert.deepEqual(parse('--check', 'cni'), { verb: 'check' })
  })

  it('is refused in a word of help when it is wrong', () => {
    assert.throws(
      () => parse('datapalne'),
      /^Error: there is no area datapalne: there are unit, dataplane, cni\nhack\/test --help/,
    )
    assert.throws(() => parse('--only', 'none'), /there is no area none/)
    assert.throws(() => parse('--fast'), /^Error: Unknown option '--fast'\nhack\/test --help/)
    assert.throws(() => parse('--only'), /--only/)
  })
})

describe('commands of a test run', () => {
  const run = (script: string, limitSeconds = 10) => runCommand(['sh', '-c', script], { cwd: '/', limitSeconds })

  it('give their output and how they ended', async () => {
    const { output, problem } = await run('echo out; echo err >&2; exit 3')
    assert.deepEqual([output.includes('out\n') && output.includes('err\n'), problem], [true, 'status 3'])
    assert.equal((await run('true')).problem, '')
    assert.equal((await run('kill -9 $$')).problem, 'signal SIGKILL')
  })

  it('are ended at the limit with all that they started', async () => {
    const { output, problem, seconds } = await run('sleep 30 & echo $!; wait', 3)
    assert.equal(problem, 'the time limit of 3 s')
    assert.ok(seconds < 25)
    // Gone, or a zombie that nobody has collected yet.
    const status = `/proc/${output.trim()}/status`
    const isOver = () => !existsSync(status) || /^State:\s+Z/m.test(readFileSync(status, 'utf8'))
    for (let tries = 0; tries < 1000 && !isOver(); tries++) await new Promise((resolve) => setTimeout(resolve, 20))
    assert.ok(isOver())
  })

  it('do not wait for what a command leaves running', async () => {
    const { output, seconds } = await run('sleep 60 & echo $!')
    process.kill(Number(output), 'SIGKILL')
    assert.ok(seconds < 50)
  })
})
