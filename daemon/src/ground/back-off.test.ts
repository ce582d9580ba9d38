import assert from 'node:assert/strict'
import { BackOff } from './back-off.ts'

describe('BackOff', () => {
  it('doubles up to the maximum, waits between half and all of it, and starts over', () => {
    const longest = new BackOff({ firstMs: 100, maxMs: 1000, random: () => 1 })
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6].map(() => longest.next()),
      [100, 200, 400, 800, 1000, 1000],
    )
    longest.reset()
    assert.equal(longest.next(), 100)
    const shortest = new BackOff({ firstMs: 100, maxMs: 1000, random: () => 0 })
    assert.deepEqual(
      [1, 2].map(() => shortest.next()),
      [50, 100],
    )
  })

  it('spreads over all of the time where there is a least wait', () => {
    const longest = new BackOff({ firstMs: 400, leastMs: 200, maxMs: 30_000, random: () => 1 })
    assert.deepEqual(
      Array.from({ length: 9 }, () => longest.next()),
      [400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000],
    )
    assert.equal(longest.failures, 9)
    const shortest = new BackOff({ firstMs: 400, leastMs: 200, maxMs: 30_000, random: () => 0 })
    assert.deepEqual([shortest.next(), shortest.next()], [200, 200])
  })
})
