import { strict as assert } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Runs a command of the daemon's program, in which something throws as soon as the handler for that is in place. */
function runFailing(event: 'uncaughtException' | 'unhandledRejection', failure: string) {
  const preload = `
    const on = process.on
    process.on = function (event, ...more) {
      if (event === '${event}') queueMicrotask(() => { ${failure} })
      return on.call(this, event, ...more)
    }`
  return spawnSync(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(preload)}`,
      join(import.meta.dirname, 'main.ts'),
      'preflight',
    ],
    { encoding: 'utf8' },
  )
}

describe('failures that nobody handles', function () {
  this.timeout(20_000)

  it('end the daemon with one JSON line that says where', () => {
    const { stdout, stderr, status } = runFailing('uncaughtException', "throw new TypeError('boom')")
    assert.equal(status, 1)
    const line = JSON.parse(stdout.split('\n')[0]!) as Record<string, unknown>
    assert.equal(line['level'], 'fatal')
    assert.equal(line['component'], 'vrouter')
    const { message, stack } = line['err'] as { message: string; stack: string }
    assert.equal(message, 'boom')
    assert.match(stack, /TypeError: boom\n +at /)
    assert.equal(stderr, '')
  })

  it('of a promise are logged, and the daemon goes on', () => {
    const { stdout, stderr } = runFailing(
      'unhandledRejection',
      "process.emit('unhandledRejection', new TypeError('boom'))",
    )
    const line = JSON.parse(stdout.split('\n').find((text) => text.startsWith('{')) ?? '{}') as Record<string, unknown>
    assert.equal(line['level'], 'error')
    assert.equal(line['component'], 'vrouter')
    assert.match(stdout, /kernel/i, 'preflight answered all the same')
    assert.equal(stderr, '')
  })
})
