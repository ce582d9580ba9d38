import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { parseCommandLine } from './command-line.ts'
import { newSince } from './leftovers.ts'
import { outcomeOfReport } from './mocha-outcome.ts'
import { add, fail, pass, skip, summaryLine } from './outcome.ts'
import { runCommand } from './run-command.ts'

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

  it('count only what is new as left behind', () => {
    const before = new Map([['link', ['lo', 'eth0']]])
    const after = new Map([
      ['link', ['lo', 'eth0', 'veth7']],
      ['pin', ['a']],
    ])
    assert.deepEqual(newSince(before, after), ['link veth7', 'pin a'])
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
