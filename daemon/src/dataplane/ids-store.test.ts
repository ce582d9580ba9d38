import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silent } from '../log.ts'
import { IdsStore } from './ids-store.ts'

const options = { limits: { vrf: 100, nexthop: 100, label: 100, vif: 100, bridge: 100 } }

describe('IdsStore', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vrouter-ids-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const open = () => new IdsStore(folder, silent)

  function saved() {
    const store = open()
    const { ids } = store.load(options)
    ids.allocate('vif', 'a', 0)
    ids.allocate('vif', 'b', 0)
    assert.equal(store.save(ids), true)
    store.flush()
    return ids
  }

  it('starts empty', () => {
    const { ids, from, damage } = open().load(options)
    assert.deepEqual([from, damage.length, ids.used('vif').size], ['nothing', 0, 0])
  })

  it('gives the same numbers after a restart', () => {
    saved()
    const { ids, from } = open().load(options)
    assert.equal(from, 'file')
    assert.deepEqual(
      [...ids.used('vif')],
      [
        ['a', 3],
        ['b', 4],
      ],
    )
  })

  it('takes the copy when the file is corrupt, and keeps the corrupt one for people to see', () => {
    saved()
    for (const garbage of ['', '{"version":1', '{"version":7}', '\0\0\0\0']) {
      writeFileSync(join(folder, 'ids.json'), garbage)
      const { ids, from, damage } = open().load(options)
      assert.equal(from, 'copy')
      assert.equal(damage[0]!.code, 'STATE_CORRUPT')
      assert.equal(ids.get('vif', 'b'), 4)
      const aside = readdirSync(folder).find((name) => name.startsWith('ids.json.corrupt-'))!
      assert.equal(readFileSync(join(folder, aside), 'utf8'), garbage)
      rmSync(join(folder, aside))
    }
  })

  it('writes the lost file again although nothing changed', () => {
    saved()
    rmSync(join(folder, 'ids.json'))
    const store = open()
    const { ids, from } = store.load(options)
    assert.equal(from, 'copy')
    store.save(ids)
    assert.equal(open().load(options).from, 'file')
  })

  it('says so when both are corrupt', () => {
    saved()
    writeFileSync(join(folder, 'ids.json'), 'x')
    writeFileSync(join(folder, 'ids.copy.json'), 'x')
    const { from, damage, ids } = open().load(options)
    assert.deepEqual([from, damage.length, ids.used('vif').size], ['nothing', 2, 0])
  })

  it('survives a disk that takes nothing, and saves as soon as it does', () => {
    const store = open()
    const { ids } = store.load(options)
    ids.allocate('vif', 'a', 0)
    mkdirSync(join(folder, 'ids.json.tmp')) // the temporary file can't be made
    assert.equal(store.save(ids), false)
    rmSync(join(folder, 'ids.json.tmp'), { recursive: true, force: true })
    assert.equal(store.save(ids), true)
    assert.equal(open().load(options).ids.get('vif', 'a'), 3)
  })

  it('writes nothing when nothing changed', () => {
    saved()
    const store = open()
    const { ids } = store.load(options)
    writeFileSync(join(folder, 'ids.json'), 'untouched')
    store.save(ids)
    assert.equal(readFileSync(join(folder, 'ids.json'), 'utf8'), 'untouched')
  })
})
