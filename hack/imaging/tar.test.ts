import { strict as assert } from 'node:assert'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TarEntry, tar, withFolders } from './tar.ts'

const file = (path: string, text: string, mode = 0o644): TarEntry => ({
  path,
  mode,
  mtime: 1_700_000_000,
  content: { type: 'file', from: { bytes: Buffer.from(text) } },
})

describe('a tar archive', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-tar-'))
  })

  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** Lines of `tar --list --verbose`. */
  async function listed(entries: readonly TarEntry[]): Promise<string[]> {
    const archive = join(folder, 'a.tar')
    writeFileSync(archive, Buffer.concat(await Array.fromAsync(tar(entries))))
    const text = execFileSync('tar', ['--list', '--verbose', '--numeric-owner', '--utc', '--file', archive], {
      encoding: 'utf8',
    })
    return text.trimEnd().split('\n')
  }

  it('is what GNU tar reads: modes, owner, times, links', async () => {
    const lines = await listed([
      { path: 'usr', mode: 0o755, mtime: 0, content: { type: 'directory' } },
      file('usr/program', 'hello', 0o755),
      { path: 'bin', mode: 0o777, mtime: 0, content: { type: 'symlink', target: 'usr/bin' } },
    ])
    assert.deepEqual(lines, [
      'drwxr-xr-x 0/0               0 1970-01-01 00:00 usr/',
      '-rwxr-xr-x 0/0               5 2023-11-14 22:13 usr/program',
      'lrwxrwxrwx 0/0               0 1970-01-01 00:00 bin -> usr/bin',
    ])
  })

  it('holds files of any length, from memory and from disk', async () => {
    const onDisk = join(folder, 'on-disk')
    for (const length of [0, 1, 511, 512, 513, 3_000_000]) {
      const bytes = Buffer.alloc(length, 'x')
      writeFileSync(onDisk, bytes)
      await listed([
        { ...file('memory', ''), content: { type: 'file', from: { bytes } } },
        { ...file('disk', ''), content: { type: 'file', from: { file: onDisk } } },
        file('last', 'after it'),
      ])
      execFileSync('tar', ['--extract', '--file', 'a.tar', '--no-same-owner'], { cwd: folder })
      assert.deepEqual(readFileSync(join(folder, 'memory')), bytes, `${length}`)
      assert.deepEqual(readFileSync(join(folder, 'disk')), bytes, `${length}`)
      assert.equal(readFileSync(join(folder, 'last'), 'utf8'), 'after it')
    }
  })

  it('holds paths and targets of any length', async () => {
    const long = Array.from({ length: 40 }, (_, index) => `folder-ü-${index}`).join('/')
    const lines = await listed([
      file(`${long}/file`, 'text'),
      { path: 'link', mode: 0o777, mtime: 0, content: { type: 'symlink', target: long } },
      file('short', 'text'),
    ])
    assert.equal(lines.length, 3)
    execFileSync('tar', ['--extract', '--file', 'a.tar', '--no-same-owner'], { cwd: folder })
    assert.equal(readFileSync(join(folder, long, 'file'), 'utf8'), 'text')
  })

  it('is the same bytes for the same entries', async () => {
    const entries = () => withFolders([file('b/c', '1'), file('a', '2')], 5)
    const once = Buffer.concat(await Array.fromAsync(tar(entries())))
    assert.deepEqual(Buffer.concat(await Array.fromAsync(tar(entries()))), once)
  })

  it('has each folder once, before what lies in it', () => {
    const paths = withFolders(
      [file('b/c/d', '1'), { path: 'b', mode: 0o700, mtime: 9, content: { type: 'directory' } }, file('b/e', '2')],
      5,
    ).map(({ path, mode, mtime }) => `${path} ${mode.toString(8)} ${mtime}`)
    assert.deepEqual(paths, ['b 700 9', 'b/c 755 5', 'b/c/d 644 1700000000', 'b/e 644 1700000000'])
  })
})
