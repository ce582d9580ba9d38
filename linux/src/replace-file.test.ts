import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { replaceFile, replaceFileDurably } from './replace-file.ts'

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

describe('replaceFileDurably', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-replace-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('makes a file, and replaces it, with the mode that is asked for whatever the umask, leaving nothing beside it', () => {
    const file = join(folder, 'a')
    const before = process.umask(0o077)
    try {
      replaceFileDurably(file, `${file}.tmp`, 'one', 0o755)
      replaceFileDurably(file, `${file}.tmp`, Uint8Array.of(1, 0, 255), 0o755)
    } finally {
      process.umask(before)
    }
    assert.deepEqual([...readFileSync(file)], [1, 0, 255])
    assert.equal(statSync(file).mode & 0o777, 0o755)
    assert.deepEqual(readdirSync(folder), ['a'])
  })

  it('leaves the old file, and nothing else, when the new one can not take its place', () => {
    const file = join(folder, 'a')
    mkdirSync(file)
    assert.throws(() => replaceFileDurably(file, `${file}.tmp`, 'new', 0o600), { code: 'EISDIR' })
    assert.deepEqual(readdirSync(folder), ['a'])
    assert.ok(statSync(file).isDirectory())
    assert.throws(() => replaceFileDurably(file, join(folder, 'no folder', 'tmp'), 'new', 0o600), { code: 'ENOENT' })
  })
})
