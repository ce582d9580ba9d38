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
    const delta = new Delta(1)
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

  it('finds the same when it is told what may differ, whatever failed or was done by others meanwhile', () => {
    const key = fc.constantFrom<string[]>('a', 'b', 'c', 'd', 'e')
    const value = fc.constantFrom('1', '2')
    const change = fc.record({
      desired: fc.array(fc.tuple(key, fc.option(value, { nil: undefined }))),
      refused: fc.uniqueArray(key),
      found: fc.option(fc.dictionary(key, value), { nil: undefined, freq: 5 }),
      isPiecemeal: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const desired = new Map<string, string>()
        const delta = new Delta()
        delta.setDesired(desired)
        for (const { desired: sets, refused, found, isPiecemeal } of changes) {
          if (found !== undefined && isPiecemeal) {
            for (const [at, is] of Object.entries(found)) {
              const isNew = delta.known.get(at) !== is
              assert.equal(delta.see(at, is), isNew)
            }
          } else if (found !== undefined) delta.replaceKnown(new Map(Object.entries(found)))
          for (const [at, to] of sets) {
            if (to === undefined) desired.delete(at)
            else desired.set(at, to)
          }
          delta.setDesired(desired, new Set(sets.map(([at]) => at)))
          for (const [at, to] of delta.writes()) if (!refused.includes(at)) delta.setKnown(at, to)
          for (const at of delta.deletions()) if (!refused.includes(at)) delta.deleteKnown(at)
          const whole = new Delta()
          whole.replaceKnown(delta.known)
          whole.setDesired(desired)
          assert.deepEqual(new Map(delta.writes()), new Map(whole.writes()))
          assert.deepEqual(new Set(delta.deletions()), new Set(whole.deletions()))
          assert.ok([...whole.writes()].every(([at]) => refused.includes(at)))
          assert.ok([...whole.deletions()].every((at) => refused.includes(at)))
        }
      }),
    )
  })
})
