import assert from 'node:assert/strict'
import type { Field } from '@kube-vrouter/linux/bpf/layout'
import { carrier } from './carry.ts'

function fields(...list: readonly (readonly [name: string, offset: number, size: number])[]): Field[] {
  return list.map(([name, offset, size]) => ({ name, offset, size }))
}

function carried(
  from: Field[],
  to: Field[],
  bytes: number[],
  size: number,
  renamed?: Record<string, string>,
): number[] {
  const into = new Uint8Array(size)
  carrier(from, to, renamed).copy(Uint8Array.from(bytes), into)
  return [...into]
}

describe('carrying an entry over', () => {
  const old = fields(['a', 0, 2], ['b', 2, 1], ['c', 3, 1])

  it('finds each field where it is now, and begins new ones as 0', () => {
    const now = fields(['new', 0, 2], ['c', 2, 1], ['a', 3, 2], ['b', 5, 1])
    assert.deepEqual(carried(old, now, [1, 2, 3, 4], 6), [0, 0, 4, 1, 2, 3])
    assert.deepEqual(carrier(old, now).added, ['new'])
  })

  it('names what is not known any more', () => {
    assert.deepEqual(carrier(old, fields(['b', 0, 1])).dropped, ['a', 'c'])
    assert.deepEqual(carried(old, fields(['b', 0, 1]), [1, 2, 3, 4], 1), [3])
  })

  it('follows a name that has changed', () => {
    const now = fields(['z', 0, 1], ['a', 1, 2])
    assert.deepEqual(carried(old, now, [1, 2, 3, 4], 3, { z: 'b' }), [3, 1, 2])
    assert.deepEqual(carrier(old, now, { z: 'b' }).added, [])
  })

  it('fills up a number that grew, and cuts an array that shrank', () => {
    assert.deepEqual(carried(old, fields(['b', 0, 4]), [1, 2, 3, 4], 4), [3, 0, 0, 0])
    assert.deepEqual(carried(fields(['list', 0, 4]), fields(['list', 0, 2]), [1, 2, 3, 4], 2), [1, 2])
  })
})
