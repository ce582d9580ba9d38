/** The CNI binary where the surroundings are odd: descriptors, environment, folders, a binary that is being replaced. stdout carries one JSON document or nothing. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { binary, clean, type Json, type Node, type Outcome } from './node.ts'
import { withNodes } from './suite.ts'

describe('the CNI binary in odd surroundings', function () {
  this.timeout(60_000)
  let node: Node
  let folder: string
  withNodes((made) => {
    node = made
  })
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'kv-hygiene-'))
  })
  afterEach(async () => {
    rmSync(folder, { recursive: true, force: true })
  })

  function document({ exit, stdout, stderr }: Outcome, isSilent = true): Json {
    assert.deepEqual([exit, isSilent ? stderr : ''], [0, ''], stdout)
    assert.equal(stdout.trimEnd().split('\n').length, 1)
    return JSON.parse(stdout)
  }

  /** Runs ADD, then DEL, as a shell script wants it: "$0" is the binary. */
  function shell(script: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const netns = node.pod()
    const child = spawn('/usr/bin/nsenter', [`--net=${node.netns}`, '--', '/bin/sh', '-c', script, binary], {
      env: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_NETNS: netns, CNI_IFNAME: 'eth0', ...env },
    })
    // Who closes its standard input doesn't read it.
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(node.config()))
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      stderr += chunk
    })
    return new Promise((resolve) =>
      child.on('close', (exit, signal) => resolve({ exit, signal, stdout, stderr, ms: 0 })),
    )
  }

  const scripts: readonly [what: string, script: string, env?: Readonly<Record<string, string>>][] = [
    ['a closed stderr', 'exec "$0" 2>&-'],
    ['a stderr that is full', 'exec "$0" 2>/dev/full'],
    ['no environment but its own', 'exec "$0"'],
    ['a PATH that leads nowhere', 'exec "$0"', { PATH: '/nonexistent' }],
    ['a locale that nobody has', 'exec "$0"', { LANG: 'tr_TR.ISO-8859-9', LC_ALL: 'xx_XX', LANGUAGE: 'xx' }],
    ['a home that is not there', 'exec "$0"', { HOME: '/nonexistent', TMPDIR: '/nonexistent' }],
    ['a folder that was removed', 'd=$(mktemp -d); cd "$d"; rmdir "$d"; exec "$0"', { PATH: '/usr/bin:/bin' }],
    ['few descriptors', 'ulimit -n 40; exec "$0"'],
    ['many inherited descriptors', 'exec 3</dev/null 4</dev/null 5</dev/null 9</dev/null; exec "$0"'],
    [
      'options for Node',
      'exec "$0"',
      { NODE_OPTIONS: '--inspect --trace-warnings', NODE_V8_COVERAGE: '/nonexistent/x', UV_THREADPOOL_SIZE: '1' },
    ],
    ['debugging of Node', 'exec "$0"', { NODE_DEBUG: 'fs,net,module,timers', NODE_DEBUG_NATIVE: 'ALL' }],
    ['OpenSSL and ICU settings', 'exec "$0"', { OPENSSL_CONF: '/nonexistent', NODE_ICU_DATA: '/nonexistent' }],
    [
      'a pipe that is full',
      '(head -c 65536 /dev/zero; exec "$0") | (sleep 0.3; tail -c +65537)',
      { PATH: '/usr/bin:/bin' },
    ],
    [
      'a non-blocking pipe that is full',
      `(head -c 65536 /dev/zero; exec perl -e 'use Fcntl; fcntl(STDOUT, F_SETFL, O_WRONLY|O_NONBLOCK) or die; exec @ARGV' "$0") | (sleep 0.3; tail -c +65537)`,
      { PATH: '/usr/bin:/bin' },
    ],
    ['a umask that lets nobody read', 'umask 777; exec "$0"'],
    ['a low priority and one CPU', 'nice -n 19 taskset -c 0 "$0"', { PATH: '/usr/bin:/bin' }],
  ]
  for (const [what, script, env] of scripts) {
    it(`works with ${what}`, async () => {
      // Node itself writes to stderr what NODE_DEBUG asks for.
      const added = document(await shell(script, env), !env?.['NODE_DEBUG'])
      assert.equal(added.interfaces[1].name, 'eth0')
    })
  }

  it('says what is wrong with exit code 1 when stdin is closed', async () => {
    const { exit, stdout } = await shell('exec "$0" <&-')
    assert.equal(exit, 1)
    assert.equal(JSON.parse(stdout).code, 6)
    assert.deepEqual(node.leftovers(), clean)
  })

  it('ends quietly, and undoes ADD, when nobody reads its result', async () => {
    // The reader of the pipe is gone before the result is written.
    const { exit, stdout } = await shell('("$0"; echo $? >&2) | true', { PATH: '/usr/bin:/bin' })
    assert.deepEqual([exit, stdout], [0, ''])
    assert.deepEqual(node.leftovers(), clean)
  })

  it('tells the daemon what failed in the binary, once', async () => {
    const netns = node.pod()
    const gone = await node.run({ command: 'ADD', netns: '/run/netns/kv-no-such' })
    assert.equal(gone.exit, 1)
    assert.equal((await node.run({ command: 'ADD', netns, pod: ['nowhere', 'x'] })).exit, 1)
    const [first, second, ...more] = node.logged
    assert.equal(first?.message, 'ADD failed: cannot open the network namespace /run/netns/kv-no-such: ENOENT')
    assert.deepEqual([first?.['from'], first?.['code'], first?.['containerId']], ['vrouter-cni', 104, 'c1'])
    assert.match(second!.message, /^allocate failed: /, 'what the daemon refuses it knows')
    assert.deepEqual(more, [])
  })

  it('is replaced during a storm of ADDs, and nobody is hurt', async () => {
    const installed = join(folder, 'vrouter-cni')
    let replaced = 0
    /** As the installer does it: beside, then renamed. */
    const install = (): void => {
      copyFileSync(binary, `${installed}.new`)
      chmodSync(`${installed}.new`, 0o755)
      renameSync(`${installed}.new`, installed)
      replaced++
    }
    install()
    let isOver = false
    const replacing = (async () => {
      while (!isOver) {
        install()
        await sleep(100)
      }
    })()
    const outcomes: Outcome[] = []
    for (let round = 0; round < 3; round++) {
      const calls = Array.from({ length: 10 }, (_, i) =>
        node.run({ command: 'ADD', containerId: `r${round}-${i}`, netns: node.pod(), binary: installed }),
      )
      outcomes.push(...(await Promise.all(calls)))
    }
    isOver = true
    await replacing
    for (const outcome of outcomes) document(outcome)
    assert.ok(replaced > 3, `${replaced} times`)
  })

  it('carries no way to be told to stop: what the tests of crashes need is outside of it', () => {
    assert.doesNotMatch(readFileSync(join(binary, '../vrouter-cni.cjs'), 'utf8'), /KV_|VROUTER_TEST|SIGKILL/)
  })
})
