import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Delta } from './delta.ts'
import { hashOfBytes, hashOfText } from './table-digest.ts'

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size })

describe('the digest of a table', () => {
  it('is the same of an entry as text and among the bytes of others', () => {
    fc.assert(
      fc.property(
        bytes(4),
        bytes(12),
        bytes(4),
        bytes(12),
        fc.integer({ min: 1, max: 12 }),
        (k1, v1, k2, v2, counted) => {
          const [keys, values] = [Buffer.concat([k1, k2]), Buffer.concat([v1, v2])]
          assert.equal(hashOfBytes(keys, 4, 4, values, 12, counted), hashOfText(text(k2), text(v2), counted))
        },
      ),
    )
  })

  it('sees every byte that counts, and none behind', () => {
    const value = 'abcdefgh'
    const of = (one: string) => hashOfText('key', one, 6)
    for (let at = 0; at < 8; at++) {
      const other = `${value.slice(0, at)}X${value.slice(at + 1)}`
      assert.equal(of(other) === of(value), at >= 6, `byte ${at}`)
    }
  })

  it('follows what is known, however that came about', () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.option(fc.string({ maxLength: 3 })) })
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const delta = new Delta()
        for (const { key, value } of steps) {
          if (value === null) delta.deleteKnown(key)
          else delta.setKnown(key, value)
        }
        const fresh = new Delta()
        fresh.replaceKnown(new Map([...delta.known].reverse()))
        assert.equal(delta.digest, fresh.digest)
      }),
    )
  })
})
