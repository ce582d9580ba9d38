import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Block, Blocks, sizeClass } from './blocks.ts'

describe('blocks of an array', () => {
  it('have sizes of which at most a fifth is unused', () => {
    for (let count = 1; count < 5000; count++) {
      const size = sizeClass(count)
      assert.ok(size >= count && size - count <= size / 5, `${count} in ${size}`)
    }
  })

  it('never overlap, and all room comes back, whatever is taken and given back in which order', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 40 })), { maxLength: 60 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), steps, (capacity, list) => {
        const blocks = new Blocks(capacity)
        const taken: Block[] = []
        for (const [isTaking, n] of list) {
          if (isTaking) {
            const largest = blocks.largest
            const block = blocks.allocate(n)
            assert.equal(block !== undefined, n <= largest)
            if (block) taken.push(block)
          } else if (taken.length > 0) blocks.release(taken.splice(n % taken.length, 1)[0]!)
          const owners = new Uint8Array(capacity)
          for (const { first, size } of taken) for (let at = first; at < first + size; at++) owners[at]!++
          assert.ok(owners.every((count) => count <= 1))
          assert.equal(blocks.free, owners.filter((count) => count === 0).length)
        }
        for (const block of taken) blocks.release(block)
        assert.deepEqual([blocks.free, blocks.largest], [capacity, capacity])
      }),
    )
  })

  it('are taken where somebody has one already, and there alone', () => {
    const blocks = new Blocks(10)
    assert.ok(blocks.reserve({ first: 2, size: 3 }))
    assert.ok(!blocks.reserve({ first: 4, size: 2 }))
    assert.deepEqual(blocks.allocate(2), { first: 0, size: 2 })
    assert.deepEqual(blocks.allocate(5), { first: 5, size: 5 })
    assert.equal(blocks.allocate(1), undefined)
    blocks.release({ first: 2, size: 3 })
    assert.deepEqual([blocks.free, blocks.largest], [3, 3])
  })
})
