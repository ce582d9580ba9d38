import assert from 'node:assert/strict'
import { MapView } from './map-view.ts'

describe('views of a map that changes in place', () => {
  const map = new Map([['a', 1]])
  const first = MapView.of(map)

  it('show the present, and tell what changed since any of the last ones', () => {
    map.set('b', 2)
    const second = first.next(new Set(['b']))
    map.set('a', 3)
    map.delete('b')
    const third = second.next(new Set(['a', 'b']))
    assert.deepEqual([...third], [['a', 3]])
    assert.deepEqual([...third.changedSince(second)!], ['a', 'b'])
    assert.deepEqual([...third.changedSince(first)!].sort(), ['a', 'b'])
    assert.deepEqual([...third.changedSince(third)!], [])
  })

  it('put last what changed last', () => {
    const start = MapView.of(map)
    const end = start.next(new Set(['x', 'y'])).next(new Set(['x']))
    assert.deepEqual([...end.changedSince(start)!], ['y', 'x'])
  })

  it('keep no keys of a whole list, and tell what changed after it', () => {
    const start = MapView.of(map)
    const listed = start.next(new Set(Array.from({ length: 5000 }, (_, at) => `${at}`)))
    assert.equal(listed.changedSince(start), undefined)
    const last = listed.next(new Set(['x']))
    assert.equal(last.changedSince(start), undefined)
    assert.deepEqual([...last.changedSince(listed)!], ['x'])
  })

  it('don’t know what changed since views of other maps, or since long ago', () => {
    assert.equal(first.changedSince(undefined), undefined)
    assert.equal(first.changedSince(MapView.of(new Map())), undefined)
    const start = MapView.of(map)
    let last = start
    for (let i = 0; i < 64; i++) last = last.next(new Set([`${i}`]))
    assert.equal([...last.changedSince(start)!].length, 64)
    last = last.next(new Set(['one more']))
    assert.equal(last.changedSince(start), undefined)
  })
})
