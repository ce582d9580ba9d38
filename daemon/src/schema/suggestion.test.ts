import assert from 'node:assert/strict'
import fc from 'fast-check'
import { distance, suggestion } from './suggestion.ts'

describe('suggestions for unknown words', () => {
  it('finds slips of the hand, and words that differ in case or separators only', () => {
    const known = ['subnets', 'blockSize4', 'fqName']
    assert.equal(suggestion('subnet', known), 'subnets')
    assert.equal(suggestion('sbunets', known), 'subnets')
    assert.equal(suggestion('block_size4', known), 'blockSize4')
    assert.equal(suggestion('FQNAME', known), 'fqName')
  })

  it('suggests nothing when nothing is near', () => {
    assert.equal(suggestion('gateway', ['subnets', 'fqName']), undefined)
    assert.equal(suggestion('x', []), undefined)
  })

  it('measures a distance: zero only for equal words, symmetric, one per edit', () => {
    const word = fc.string({ maxLength: 8, unit: fc.constantFrom('a', 'b', 'c') })
    fc.assert(
      fc.property(word, word, (a, b) => {
        assert.equal(distance(a, b) === 0, a === b)
        assert.equal(distance(a, b), distance(b, a))
        assert.equal(distance(`${a}z`, a), 1)
        assert.ok(distance(a, b) <= Math.max(a.length, b.length))
      }),
    )
    assert.equal(distance('ab', 'ba'), 1)
  })
})
