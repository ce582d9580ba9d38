import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../../../test/patience.ts'
import { type Change, isManifestName, list, stampOf, Watches } from './folder.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'vrouter-folder-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

describe('a folder of manifests', () => {
  it('is listed with its folders, without hidden and other files', async () => {
    mkdirSync(join(root, 'b'))
    mkdirSync(join(root, '.git'))
    for (const name of ['z.yaml', 'a.yml', 'b/c.json', '.git/d.yaml', '.e.yaml', 'f.txt'])
      writeFileSync(join(root, name), '')
    const { files, folders, unreadable } = await list(root)
    assert.deepEqual([files, folders, unreadable], [['a.yml', 'z.yaml', 'b/c.json'], ['', 'b'], []])
    await assert.rejects(list(join(root, 'none')), { code: 'ENOENT' })
    assert.ok(!isManifestName('.0123456789abcdef.tmp'))
  })

  it('shows by its stamps what was written or replaced', () => {
    const file = join(root, 'a.yaml')
    writeFileSync(file, '1')
    const before = stampOf(file)
    assert.deepEqual(stampOf(file), before)
    writeFileSync(join(root, 'b.yaml'), '2')
    renameSync(join(root, 'b.yaml'), file)
    assert.notDeepEqual(stampOf(file), before)
  })

  it('is watched, and watched anew when it was replaced', async () => {
    const folder = join(root, 'watched')
    mkdirSync(folder)
    const changes: Change[] = []
    using watches = new Watches(folder, (change) => changes.push(change))
    const hear = async (name: string) => {
      changes.length = 0
      writeFileSync(join(folder, name), 'x')
      return until(`word of ${name}`, () => changes[0])
    }
    watches.set([''])
    assert.ok(watches.isComplete)
    assert.deepEqual(await hear('a.yaml'), { file: 'a.yaml' })
    assert.equal(await hear('folder-or-so'), 'unknown')

    renameSync(folder, join(root, 'moved'))
    mkdirSync(folder)
    watches.set([''])
    await sleep(20)
    assert.deepEqual(await hear('b.yaml'), { file: 'b.yaml' })
  })

  it('says when it can’t be watched', () => {
    using watches = new Watches(join(root, 'none'), () => {})
    watches.set([''])
    assert.ok(!watches.isComplete)
  })
})
