import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  type Attribute,
  bytes,
  decodeAttributes,
  decodeMessages,
  encodeAttributes,
  encodeMessage,
  listAttributes,
  MalformedMessage,
  nested,
  present,
  readText,
  text,
  u8,
  u16,
  u32,
} from './codec.ts'

const hex = (data: Uint8Array) => Buffer.from(data).toString('hex')

describe('netlink codec', () => {
  it('pads attributes to four bytes without counting the padding', () => {
    assert.equal(hex(encodeAttributes([u8(1, 0xab)])), '05000100ab000000')
    assert.equal(hex(encodeAttributes([u16(2, 0x1234), u32(3, 1)])), '06000200341200000800030001000000')
    assert.equal(hex(encodeAttributes([text(3, 'eth0')])), '090003006574683000000000')
  })

  it('marks nested attributes and counts their padding', () => {
    assert.equal(hex(encodeAttributes([nested(18, [text(1, 'veth')])])), '10001280090001007665746800000000')
  })

  it('puts the fixed structure between header and attributes', () => {
    const message = encodeMessage({ type: 16, flags: 5, sequence: 7 }, Uint8Array.of(1, 2, 3, 4), [u8(1, 2)])
    assert.equal(hex(message), '1c000000' + '1000' + '0500' + '07000000' + '00000000' + '01020304' + '0500010002000000')
  })

  it('reads what it writes', () => {
    const leaf = fc.record({ type: fc.integer({ min: 1, max: 0x3fff }), value: fc.uint8Array({ maxLength: 40 }) })
    fc.assert(
      fc.property(fc.array(leaf, { maxLength: 8 }), fc.array(leaf, { maxLength: 4 }), (flat, inner) => {
        const attributes: Attribute[] = [...flat.map(({ type, value }) => bytes(type, value)), nested(9, inner)]
        const decoded = Array.from(listAttributes(encodeAttributes(attributes)))
        assert.deepEqual(
          decoded.slice(0, -1).map(({ type, value }) => [type, hex(value)]),
          flat.map(({ type, value }) => [type, hex(value)]),
        )
        assert.deepEqual(
          Array.from(listAttributes(decoded.at(-1)!.value), ({ type, value }) => [type, hex(value)]),
          inner.map(({ type, value }) => [type, hex(value)]),
        )
      }),
    )
  })

  it('lets the last of repeated attributes count', () => {
    assert.deepEqual(decodeAttributes(encodeAttributes([u8(1, 1), u8(1, 2)])).get(1), Uint8Array.of(2))
  })

  it('separates the messages of a datagram', () => {
    const one = encodeMessage({ type: 16, flags: 0, sequence: 1 }, new Uint8Array(1))
    const two = encodeMessage({ type: 20, flags: 2, sequence: 2 }, new Uint8Array(8))
    const messages = Array.from(decodeMessages(Buffer.concat([one, two])))
    assert.deepEqual(
      messages.map(({ type, flags, sequence, payload }) => [type, flags, sequence, payload.length]),
      [
        [16, 0, 1, 4],
        [20, 2, 2, 8],
      ],
    )
  })

  it('never reads beyond a truncated datagram', () => {
    const whole = encodeMessage({ type: 16, flags: 0, sequence: 1 }, new Uint8Array(16), [
      text(3, 'eth0'),
      u32(4, 1500),
    ])
    for (let length = 1; length < whole.length; length++) {
      const cut = whole.subarray(0, length)
      if (length < 16) assert.equal(Array.from(decodeMessages(cut)).length, 0)
      else assert.throws(() => Array.from(decodeMessages(cut)), MalformedMessage)
    }
    assert.throws(() => decodeAttributes(Uint8Array.of(8, 0, 1, 0, 0)), MalformedMessage)
    assert.throws(() => decodeAttributes(Uint8Array.of(3, 0, 1, 0)), MalformedMessage)
  })

  it('refuses an attribute that its length field cannot hold', () => {
    assert.throws(() => encodeAttributes([bytes(1, new Uint8Array(0x10000))]), RangeError)
  })

  it('ends text at the first NUL, or at the end', () => {
    assert.equal(readText(Buffer.from('eth0\0x')), 'eth0')
    assert.equal(readText(Buffer.from('eth0')), 'eth0')
  })

  it('leaves out optional attributes that are not there', () => {
    assert.deepEqual(present(undefined, false, u8(1, 1)), [u8(1, 1)])
  })
})
