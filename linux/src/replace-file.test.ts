import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { replaceFile } from './replace-file.ts'

describe('replaceFile', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-replace-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('makes a file, and replaces it, leaving nothing beside it', () => {
    const file = join(folder, 'a')
    for (const text of ['one', 'another, längerer']) {
      replaceFile(file, `${file}.tmp`, text, 0o600)
      assert.equal(readFileSync(file, 'utf8'), text)
      assert.equal(statSync(file).mode & 0o777, 0o600)
    }
    assert.deepEqual(readdirSync(folder), ['a'])
  })

  it('puts aside what a killed process left', () => {
    const file = join(folder, 'a')
    writeFileSync(`${file}.tmp`, 'half of it')
    replaceFile(file, `${file}.tmp`, 'whole', 0o600)
    assert.equal(readFileSync(file, 'utf8'), 'whole')
  })

  it('leaves the old file when the new one can not be written, or not take its place', () => {
    const file = join(folder, 'a')
    writeFileSync(file, 'old')
    assert.throws(() => replaceFile(file, join(folder, 'no folder', 'tmp'), 'new', 0o600))
    assert.equal(readFileSync(file, 'utf8'), 'old')
    mkdirSync(join(folder, 'directory.tmp'))
    assert.throws(() => replaceFile(file, join(folder, 'directory.tmp'), 'new', 0o600))
    assert.equal(readFileSync(file, 'utf8'), 'old')
  })
})
