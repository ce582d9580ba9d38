import assert from 'node:assert/strict'
import fc from 'fast-check'
import { dump, inOrder, smallest, sortableAddress } from './dumps.ts'
import { flowKeyText, parseFlowKey } from './pages/flow.ts'
import { listResponse } from './paging.ts'
import { field, struct } from './wire.ts'

const response = listResponse('NumberResp', 'number_list', struct('Number', [field(1, 'value', 'i32')]))
const ofRows = (rows: readonly number[]) => response(rows.map((value) => ({ value })))

async function sizes(count: number, options = {}): Promise<number[]> {
  const numbers = Array.from({ length: count }, (_, index) => index)
  const messages = await Array.fromAsync(dump(numbers, ofRows, options))
  return messages.map(({ value }) => (value['number_list'] as unknown[]).length)
}

async function* slices<T>(rows: readonly T[], size: number): AsyncGenerator<readonly T[]> {
  for (let first = 0; first < rows.length; first += size) yield rows.slice(first, first + size)
}

const keyOf = (number: number) => String(number).padStart(6, '0')

describe('dumps of kernel tables', () => {
  it('sends a short dump as one message', async () => {
    assert.deepEqual(await sizes(0), [0])
    assert.deepEqual(await sizes(100), [100])
    assert.deepEqual(await sizes(101), [100, 1])
  })
  it('sends at least two where clients expect a list', async () => {
    assert.deepEqual(await sizes(0, { isWrapped: true }), [0, 0])
    assert.deepEqual(await sizes(3, { isWrapped: true }), [3, 0])
    assert.deepEqual(await sizes(101, { isWrapped: true }), [100, 1])
  })
  it('merges slices into the order of their keys', () =>
    fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(9999)), fc.integer({ min: 1, max: 9 }), async (rows, size) => {
        const merged = await Array.fromAsync(inOrder(slices(rows, size), keyOf))
        assert.deepEqual(
          merged,
          [...rows].sort((a, b) => a - b),
        )
      }),
    ))
  it('pages through a table by key, each row once', () =>
    fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(9999)), fc.integer({ min: 1, max: 9 }), async (rows, count) => {
        const seen: number[] = []
        for (let after = ''; seen.length <= rows.length; ) {
          const next = await smallest(slices(rows, 4), keyOf, { after, count })
          seen.push(...next)
          if (next.length === 0) break
          after = keyOf(next.at(-1)!)
        }
        assert.deepEqual(
          seen,
          [...rows].sort((a, b) => a - b),
        )
      }),
    ))
  it('sorts addresses as numbers', () => {
    const sorted = ['10.0.0.2', '10.0.0.10', '9.255.0.1', '100.0.0.1'].toSorted((a, b) =>
      sortableAddress(a) < sortableAddress(b) ? -1 : 1,
    )
    assert.deepEqual(sorted, ['9.255.0.1', '10.0.0.2', '10.0.0.10', '100.0.0.1'])
    assert.equal(sortableAddress('fd00:47::a'), 'fd00:0047:0000:0000:0000:0000:0000:000a')
    assert.equal(sortableAddress('::'), '0000:0000:0000:0000:0000:0000:0000:0000')
    assert.equal(sortableAddress('1:2:3:4:5:6:7:8'), '0001:0002:0003:0004:0005:0006:0007:0008')
  })
  it('names flows by keys that it reads back', () => {
    const key = {
      nexthop: 28,
      sourcePort: 41002,
      destinationPort: 80,
      protocol: 6,
      source: '10.47.255.10',
      destination: 'fd00:47::a',
    }
    assert.equal(flowKeyText(key), '0-28-41002-80-6-10.47.255.10-fd00:47::a')
    assert.deepEqual(parseFlowKey(flowKeyText(key)), key)
    assert.equal(parseFlowKey('0-28-x'), undefined)
  })
})
