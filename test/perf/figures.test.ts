import assert from 'node:assert/strict'
import { compare, formatTable, limit, OURS, type Series, spreadOf } from './figures.ts'

describe('figures', () => {
  const series = (topology: string, pinning: string, ...runs: number[]): Series => ({
    topology,
    place: 'crossNode',
    measure: 'stream',
    pinning,
    runs,
  })

  it('take the median, of an even number of runs too', () => {
    assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, least: 1, most: 3 })
    assert.equal(spreadOf([4, 1, 2, 3]).median, 2.5)
  })

  it('compare only what both sides were measured in', () => {
    const verdicts = compare(
      [series(OURS, 'one CPU', 11.6), series(OURS, 'two CPUs', 9), series('kernel VXLAN + bridge', 'one CPU', 10)],
      () => 'Gb/s',
    )
    assert.deepEqual(
      verdicts.map(({ against, variant, value, isReached }) => ({ against, variant, value, isReached })),
      [{ against: 'kernel VXLAN + bridge', variant: 'one CPU', value: 1.16, isReached: true }],
    )
  })

  it('fail below the target and above a limit', () => {
    const runs = [series(OURS, 'one CPU', 11.4), series('kernel VXLAN + bridge', 'one CPU', 10)]
    assert.equal(compare(runs, () => 'Gb/s')[0]!.isReached, false)
    assert.equal(limit('RSS', 'idle', [129, 131, 132], 'MB', 130).isReached, false)
    assert.equal(limit('RSS', 'idle', [130], 'MB', 130).isReached, true)
  })

  it('mark what is reached in the table', () => {
    const lines = formatTable([
      limit('daemon RSS', 'idle', [120], 'MB', 130),
      limit('daemon RSS', 'full', [300], 'MB', 220),
    ]).split('\n')
    assert.match(lines[1]!, /^ok {2}daemon RSS {2}idle .*120 MB \(120-120\).*<= 130$/)
    assert.match(lines[2]!, /^-- .*<= 220$/)
  })
})
