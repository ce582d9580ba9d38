import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silent } from '../log.ts'
import { IdsStore } from './ids-store.ts'

const options = { limits: { vrf: 100, nexthop: 100, label: 100, vif: 100, bridge: 100, service: 100 } }

describe('IdsStore', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vrouter-ids-'))
  })
  afterEach(() => {
    // One that is left alone writes its files a second later.
    for (const store of opened.splice(0)) store[Symbol.dispose]()
    rmSync(folder, { recursive: true })
  })

  const opened: IdsStore[] = []
  const open = () => {
    const store = new IdsStore(folder, silent)
    opened.push(store)
    return store
  }

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

  const names = () => readdirSync(folder).sort()
  const journal = () => join(folder, names().find((name) => name.startsWith('ids.journal-'))!)

  it('writes no file for a change, and forgets none of them when it is killed', () => {
    saved()
    const store = open()
    const { ids } = store.load(options)
    const [before, inode] = [names(), statSync(join(folder, 'ids.json')).ino]
    ids.allocate('label', 'c', 0)
    ids.release('vif', 'a', 5)
    assert.equal(store.save(ids), true)
    assert.deepEqual(names(), before)
    assert.equal(statSync(join(folder, 'ids.json')).ino, inode)
    const after = open().load(options)
    assert.deepEqual([after.from, after.damage.length], ['file', 0])
    assert.deepEqual(after.ids.toJSON(), ids.toJSON())
    // Of the copy, too.
    writeFileSync(join(folder, 'ids.json'), 'x')
    const copied = open().load(options)
    assert.equal(copied.from, 'copy')
    assert.deepEqual(copied.ids.toJSON(), ids.toJSON())
  })

  it('goes on with the journal of a daemon that was killed', () => {
    saved()
    for (const key of ['c', 'd', 'e']) {
      const store = open()
      const { ids } = store.load(options)
      ids.allocate('vif', key, 0)
      store.save(ids)
    }
    assert.deepEqual([...open().load(options).ids.used('vif').keys()], ['a', 'b', 'c', 'd', 'e'])
    assert.equal(names().length, 3)
  })

  it('leaves two files and one journal, however long it runs', () => {
    const ids = saved()
    const store = open()
    store.load(options)
    for (let at = 0; at < 30; at++) {
      ids.allocate('vif', `x${at}`, 0)
      store.save(ids)
      if (at % 7 === 0) store.flush()
    }
    store[Symbol.dispose]()
    assert.match(names().join(' '), /^ids.copy.json ids.journal-[0-9a-f]{16} ids.json$/)
    assert.equal(readFileSync(journal(), 'utf8'), '')
  })

  it('doesn’t need the line that a killed daemon had half written, and writes none behind it', () => {
    saved()
    const store = open()
    const { ids } = store.load(options)
    ids.allocate('vif', 'c', 0)
    store.save(ids)
    ids.allocate('vif', 'd', 0)
    store.save(ids)
    const text = readFileSync(journal(), 'utf8')
    writeFileSync(journal(), text.slice(0, -5))
    const next = open()
    const loaded = next.load(options)
    assert.deepEqual([loaded.damage.length, ...loaded.ids.used('vif').keys()], [0, 'a', 'b', 'c'])
    loaded.ids.allocate('vif', 'e', 0)
    next.save(loaded.ids)
    assert.deepEqual([...open().load(options).ids.used('vif').keys()], ['a', 'b', 'c', 'e'])
  })

  it('moves a journal aside that makes no sense, and keeps what it says before that', () => {
    saved()
    const store = open()
    const { ids } = store.load(options)
    ids.allocate('vif', 'c', 0)
    store.save(ids)
    appendFileSync(journal(), '{"kind":"vif","key":"b","id":3}\n')
    const next = open()
    const { damage, ids: read } = next.load(options)
    assert.deepEqual([damage[0]!.code, ...read.used('vif').keys()], ['STATE_CORRUPT', 'a', 'b', 'c'])
    read.allocate('vif', 'd', 0)
    assert.equal(next.save(read), true)
    assert.deepEqual([...open().load(options).ids.used('vif').keys()], ['a', 'b', 'c', 'd'])
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
