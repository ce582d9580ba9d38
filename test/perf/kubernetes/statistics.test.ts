import assert from 'node:assert/strict'
import { figure, formatFigures, quantile, ratio, single } from './statistics.ts'

describe('figures of a cluster', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)

  it('takes quantiles by rank: of 100 samples p99 is the second largest', () => {
    assert.equal(quantile(hundred, 0.5), 50)
    assert.equal(quantile(hundred, 0.99), 99)
    assert.equal(quantile(hundred, 0), 1)
    assert.equal(quantile(hundred, 1), 100)
    assert.equal(quantile([7], 0.99), 7)
    assert.throws(() => quantile([], 0.5), RangeError)
  })

  it('judges by the value that is asked for', () => {
    assert.equal(figure('x', hundred, 'ms', { by: 'p50', atMost: 50 }).isReached, true)
    assert.equal(figure('x', hundred, 'ms', { by: 'p99', atMost: 98 }).isReached, false)
    assert.equal(figure('x', hundred, 'ms').isReached, undefined)
    assert.equal(single('x', 0, 'packets', 0).isReached, true)
    const compared = ratio('x', [2, 3, 4], [2, 2, 2], 1.4)
    assert.equal(compared.value, 1.5)
    assert.equal(compared.isReached, false)
  })

  it('shows what was missed', () => {
    const text = formatFigures([single('reached', 1, 'ms', 2), single('missed', 3, 'ms', 2), single('told', 4, 'ms')])
    assert.match(text, /^ok +reached +1\.00 ms +<= 2$/m)
    assert.match(text, /^-- +missed/m)
    assert.match(text, /^ +told +4\.00 ms$/m)
  })
})
