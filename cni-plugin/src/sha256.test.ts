import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { sha256Hex } from './sha256.ts'

describe('SHA-256', () => {
  it('is that of FIPS 180-4', () => {
    assert.equal(sha256Hex('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
    assert.equal(sha256Hex(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  })

  it('is that of node:crypto, for every length around the blocks and for any text', () => {
    for (let length = 0; length < 200; length++) {
      const text = 'x'.repeat(length)
      assert.equal(sha256Hex(text), hash('sha256', text, 'hex'), `${length} bytes`)
    }
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        (text) => sha256Hex(text) === hash('sha256', text, 'hex'),
      ),
    )
  })
})
