import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Delta } from './delta.ts'

/** Does all the pending work, as a kernel that refuses nothing would. */
function settle(delta: Delta): { writes: number; deletions: number } {
  let writes = 0
  let deletions = 0
  for (const [key, value] of delta.writes()) {
    delta.setKnown(key, value)
    writes++
  }
  for (const key of delta.deletions()) {
    delta.deleteKnown(key)
    deletions++
  }
  return { writes, deletions }
}

describe('Delta', () => {
  it('adopts what matches, writes what is missing or different, deletes the rest', () => {
    const delta = new Delta()
    delta.replaceKnown(new Map(Object.entries({ same: '1', other: '2', stale: '3' })))
    delta.setDesired(new Map(Object.entries({ same: '1', other: '9', fresh: '4' })))
    assert.deepEqual(
      [...delta.writes()],
      [
        ['other', '9'],
        ['fresh', '4'],
      ],
    )
    assert.deepEqual([...delta.deletions()], ['stale'])
  })

  it('keeps a failed operation pending', () => {
    const delta = new Delta()
    delta.setDesired(new Map([['a', '1']]))
    assert.equal([...delta.writes()].length, 1)
    assert.equal([...delta.writes()].length, 1)
    assert.equal(delta.isSettled, false)
    delta.setKnown('a', '1')
    assert.equal(delta.isSettled, true)
  })

  it('counts what others changed', () => {
    const delta = new Delta()
    delta.setDesired(new Map(Object.entries({ a: '1', b: '2', c: '3' })))
    settle(delta)
    assert.equal(delta.replaceKnown(new Map(Object.entries({ a: '1', b: '2', c: '3' }))), 0)
    assert.equal(delta.replaceKnown(new Map(Object.entries({ a: 'x', c: '3', d: '4' }))), 3)
    assert.deepEqual(settle(delta), { writes: 2, deletions: 1 })
  })

  it('overlooks what isSame overlooks', () => {
    const delta = new Delta((a, b) => a[0] === b[0])
    delta.setDesired(new Map([['a', '1-']]))
    delta.replaceKnown(new Map([['a', '1+']]))
    assert.equal(delta.isSettled, true)
  })

  it('ends at the desired state from any state', () => {
    const table = fc
      .dictionary(fc.constantFrom(...'abcdefgh'), fc.constantFrom('1', '2', '3'))
      .map((o) => new Map(Object.entries(o)))
    fc.assert(
      fc.property(table, table, (found, desired) => {
        const delta = new Delta()
        delta.replaceKnown(found)
        delta.setDesired(desired)
        settle(delta)
        assert.deepEqual(new Map([...delta.known].sort()), new Map([...desired].sort()))
        assert.equal(delta.isSettled, true)
        assert.deepEqual(settle(delta), { writes: 0, deletions: 0 })
      }),
    )
  })
})
