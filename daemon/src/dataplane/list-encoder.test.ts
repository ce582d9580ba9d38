import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ListEncoder } from './list-encoder.ts'

interface Item {
  readonly key: string
  readonly value: number
  readonly on: number
}

describe('ListEncoder', () => {
  const made = new Map<string, Item>()
  const item = (key: string, value: number, on: number): Item => {
    const name = `${key} ${value} ${on}`
    if (!made.has(name)) made.set(name, { key, value, on })
    return made.get(name)!
  }
  const items = fc.uniqueArray(
    fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(2), fc.nat(1)).map(([key, value, on]) => item(key, value, on)),
    { maxLength: 6 },
  )
  const pass = fc.record({ list: items, bases: fc.tuple(fc.nat(1), fc.nat(1)) })

  it('ends with what encoding everything gives, and tells every entry that is different, keys of two included', () => {
    fc.assert(
      fc.property(fc.array(pass), (passes) => {
        let bases: readonly number[] = []
        const encode = ({ key, value, on }: Item): [string, string] => [key, `${value} on ${bases[on]}`]
        const encoder = new ListEncoder<Item>({ encode, basisOf: ({ on }) => bases[on] })
        let before = new Map<string, string>()
        for (const { list, bases: now } of passes) {
          bases = now
          const { entries, touched } = encoder.encode(list)
          assert.deepEqual(entries, new Map(list.map(encode)))
          for (const key of new Set([...before.keys(), ...entries.keys()]))
            if (before.get(key) !== entries.get(key)) assert.ok(touched.has(key), key)
          before = new Map(entries)
        }
      }),
    )
  })

  it('encodes an object once, and again when what it is based on is another one', () => {
    let bases: readonly object[] = [{}]
    let calls = 0
    const encoder = new ListEncoder<Item>({
      encode: ({ key }) => {
        calls++
        return [key, 'x']
      },
      basisOf: ({ on }) => bases[on],
    })
    const list = [item('a', 0, 0), item('b', 0, 0)]
    assert.deepEqual([...encoder.encode(list).touched], ['a', 'b'])
    assert.deepEqual([...encoder.encode([...list]).touched], [])
    assert.deepEqual([...encoder.encode([...list, item('c', 0, 0)]).touched], ['c'])
    assert.equal(calls, 3)
    bases = [{}]
    assert.deepEqual([...encoder.encode(list).touched], ['a', 'b', 'c'])
    assert.equal(calls, 5)
  })

  it('goes on with the same list after a call that ended half-way', () => {
    let isBroken = true
    const encoder = new ListEncoder<Item>({
      encode: ({ key }) => {
        if (key === 'b' && isBroken) throw new RangeError('b')
        return [key, 'x']
      },
    })
    const list = [item('a', 0, 0), item('b', 0, 0), item('c', 0, 0)]
    assert.throws(() => encoder.encode(list), RangeError)
    isBroken = false
    assert.deepEqual([...encoder.encode(list).entries.keys()], ['a', 'b', 'c'])
  })
})
