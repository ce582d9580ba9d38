import assert from 'node:assert/strict'
import { parsePortRange } from './port-range.ts'

describe('parsePortRange', () => {
  it('takes two ports, the smaller one first', () => {
    assert.deepEqual(parsePortRange('61000-65535'), { first: 61000, last: 65535 })
    assert.deepEqual(parsePortRange('7-7'), { first: 7, last: 7 })
    for (const text of ['', '7', '0-7', '8-7', '1-65536', '1-', '-7', '1-2-3', 'a-b', ' 1-2'])
      assert.equal(parsePortRange(text), undefined, text)
  })
})
