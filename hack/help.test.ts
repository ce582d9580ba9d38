/** Proves: who asks a program of this folder for help gets it, and nothing is installed or built for it, not even Node. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PROGRAMS = ['kubelab', 'lab', 'test', 'bench', 'image', 'kind', 'setup', 'kubernetes/build']

describe('--help', () => {
  let fresh: string
  before(() => {
    fresh = mkdtempSync(join(tmpdir(), 'kv-help-'))
    for (const file of [...PROGRAMS, 'help', 'kubernetes/versions'])
      cpSync(join(import.meta.dirname, file), join(fresh, 'hack', file))
  })
  after(() => rmSync(fresh, { recursive: true }))

  for (const program of PROGRAMS)
    it(`of hack/${program} installs and builds nothing`, () => {
      const home = join(fresh, 'home')
      const before = readdirSync(fresh, { recursive: true })
      const { status, stdout, stderr } = spawnSync(join(fresh, 'hack', program), ['--help'], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], HOME: home },
      })
      assert.deepEqual([status, stderr], [0, ''])
      assert.ok(stdout.split('\n').length > 2, stdout)
      assert.deepEqual(readdirSync(fresh, { recursive: true }), before)
    })
})
