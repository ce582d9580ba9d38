import assert from 'node:assert/strict'
import { isIP, SocketAddress } from 'node:net'
import fc from 'fast-check'
import { addressFamily, formatAddress, formatMac, parseAddress, parseMac } from './address.ts'

describe('addresses', () => {
  it('turns IPv4 text into its four bytes and back', () => {
    assert.deepEqual(parseAddress('10.47.255.252'), Uint8Array.of(10, 47, 255, 252))
    assert.equal(formatAddress(Uint8Array.of(0, 0, 0, 0)), '0.0.0.0')
  })

  it('writes IPv6 as RFC 5952 wants it', () => {
    const cases = [
      ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
      ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
      ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
      ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
      ['::', '::'],
      ['fe80::', 'fe80::'],
      ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ]
    for (const [text, canonical] of cases) assert.equal(formatAddress(parseAddress(text!)), canonical)
  })

  it('reads back every address that it writes, and agrees with Node about IPv6', () => {
    const word = fc.oneof({ arbitrary: fc.constant(0), weight: 2 }, fc.integer({ min: 0, max: 0xffff }))
    fc.assert(
      fc.property(fc.array(word, { minLength: 8, maxLength: 8 }), (words) => {
        const bytes = Uint8Array.from(words.flatMap((value) => [value >> 8, value & 0xff]))
        const text = formatAddress(bytes)
        assert.deepEqual(parseAddress(text), bytes)
        // libuv writes ::a.b.c.d for IPv4-compatible addresses, which RFC 5952 doesn't.
        if (words.slice(0, 6).some((value) => value !== 0)) {
          assert.equal(new SocketAddress({ address: text, family: 'ipv6' }).address, text)
        }
      }),
    )
  })

  it('refuses what is no address', () => {
    const wrong = [
      '',
      '1.2.3',
      '1.2.3.256',
      '01.2.3.4',
      '1.2.3.4.5',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      'g::',
      '::1.2.3',
      '12345::',
      '1.2.3.4::',
      '::ffff:010.2.3.4',
      '::1.2.3.4:5',
      'fe80::1%eth0',
      ' ::1',
    ]
    for (const text of wrong) {
      assert.throws(() => parseAddress(text), TypeError, text)
      assert.equal(addressFamily(text), undefined, text)
    }
  })

  it('takes what Node takes for an address, but for zones', () => {
    const part = fc.constantFrom(
      '0',
      '1',
      'f',
      'FFFF',
      '00',
      '::',
      ':',
      '.',
      '255',
      '256',
      '1.2.3.4',
      '01',
      '12345',
      ' ',
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const text = parts.join('')
        assert.equal(addressFamily(text) ?? 0, isIP(text))
        if (isIP(text) !== 0) parseAddress(text)
        else assert.throws(() => parseAddress(text), TypeError, text)
      }),
      { numRuns: 2000 },
    )
  })

  it('turns MAC text into bytes and back', () => {
    assert.equal(formatMac(parseMac('00:00:5E:00:01:00')), '00:00:5e:00:01:00')
    for (const text of ['', '00:00:5e:00:01', '00-00-5e-00-01-00', '00:00:5e:00:01:0g']) {
      assert.throws(() => parseMac(text), TypeError, text)
    }
  })
})
