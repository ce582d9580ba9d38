import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Entry, imageArchive, tar } from './archive.ts'

function unpack(archive: Buffer, look: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'archive-'))
  try {
    execFileSync('tar', ['-xp', '-C', folder], { input: archive })
    look(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const entries: Entry[] = [
  { kind: 'folder', path: 'bin', mode: 0o755 },
  { kind: 'file', path: 'bin/tool', mode: 0o755, content: Buffer.from('x'.repeat(513)) },
  { kind: 'file', path: 'empty', mode: 0o600, content: Buffer.alloc(0) },
  { kind: 'link', path: 'bin/alias', target: 'tool' },
]

describe('image archives', () => {
  it('are tar files as tar reads them', () => {
    unpack(tar(entries), (folder) => {
      assert.equal(readFileSync(join(folder, 'bin/tool'), 'utf8').length, 513)
      assert.equal(statSync(join(folder, 'bin/tool')).mode & 0o777, 0o755)
      assert.equal(statSync(join(folder, 'empty')).size, 0)
      assert.equal(readlinkSync(join(folder, 'bin/alias')), 'tool')
    })
  })

  it('refuse a name that would be cut off', () => {
    assert.throws(() => tar([{ kind: 'folder', path: 'x'.repeat(100), mode: 0o755 }]), /longer than/)
  })

  it('hold what the OCI image layout asks for: every blob by its digest', () => {
    const archive = imageArchive('kubelab.test/x:1', 'amd64', { Cmd: ['/bin/tool'] }, entries)
    unpack(archive, (folder) => {
      const blobs = join(folder, 'blobs/sha256')
      const read = (digest: string) => readFileSync(join(blobs, digest.replace('sha256:', '')))
      for (const name of readdirSync(blobs)) assert.equal(createHash('sha256').update(read(name)).digest('hex'), name)
      const json = (bytes: Buffer) => JSON.parse(bytes.toString())
      const { manifests } = json(readFileSync(join(folder, 'index.json')))
      assert.equal(manifests[0].annotations['io.containerd.image.name'], 'kubelab.test/x:1')
      const manifest = json(read(manifests[0].digest))
      const config = json(read(manifest.config.digest))
      assert.deepEqual(config.config, { Cmd: ['/bin/tool'] })
      assert.deepEqual(config.rootfs.diff_ids, [manifest.layers[0].digest])
      assert.equal(read(manifest.layers[0].digest).length, manifest.layers[0].size)
    })
  })

  it('are the same for the same content', () => {
    assert.deepEqual(imageArchive('a', 'amd64', {}, entries), imageArchive('a', 'amd64', {}, entries))
  })
})
