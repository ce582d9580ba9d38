import assert from 'node:assert/strict'
import { ipv4ToNumber } from '@kube-vrouter/linux/address'
import fc from 'fast-check'
import {
  bitsOf,
  blockCount,
  canonicalAddress,
  comparePrefixes,
  contains,
  type Family,
  formatAddress,
  formatCidr,
  lastOf,
  longestMatch,
  mustParseCidr,
  networkOf,
  nthAddress,
  nthBlock,
  overlaps,
  type Prefix,
  parseAddress,
  parseCidr,
  parseCidrLoosely,
  sizeOf,
} from './address.ts'

const family = fc.constantFrom<Family>(4, 6)
const address = family.chain((of) =>
  fc.bigInt({ min: 0n, max: (1n << BigInt(bitsOf(of))) - 1n }).map((value) => ({ family: of, value })),
)
/** Prefixes near each other, so that containing and overlapping happen. */
const prefix: fc.Arbitrary<Prefix> = fc
  .record({ family, low: fc.integer({ min: 0, max: 255 }), cut: fc.integer({ min: 0, max: 8 }) })
  .map(({ family: of, low, cut }) => {
    const base = of === 4 ? 0x0a000000n : 0xfd00n << 112n
    return networkOf({ family: of, value: base + BigInt(low), length: bitsOf(of) - cut })
  })

/** The addresses of a small prefix, one by one: the oracle. */
function members({ family: of, value, length }: Prefix): Set<string> {
  const all = new Set<string>()
  for (let i = 0n; i < 1n << BigInt(bitsOf(of) - length); i++) all.add(`${of} ${value + i}`)
  return all
}

describe('addresses', () => {
  it('survive being written and read', () => {
    fc.assert(fc.property(address, (a) => assert.deepEqual(parseAddress(formatAddress(a)), a)))
  })

  it('have one text (RFC 5952)', () => {
    assert.equal(canonicalAddress('FD00:0:0:0:1:0:0:1'), 'fd00::1:0:0:1')
    assert.equal(canonicalAddress('fd00:0:0:1:0:0:0:1'), 'fd00:0:0:1::1')
    assert.equal(canonicalAddress('::'), '::')
    assert.equal(canonicalAddress('2001:db8:0:1:1:1:1:1'), '2001:db8:0:1:1:1:1:1')
    assert.equal(canonicalAddress('::ffff:10.0.0.1'), '::ffff:10.0.0.1')
    fc.assert(fc.property(address, (a) => assert.equal(canonicalAddress(formatAddress(a)), formatAddress(a))))
  })

  it('are refused when they could mean two things, or nothing', () => {
    for (const text of ['10.0.0', '10.0.0.01', '0x0a.0.0.1', '10.0.0.256', '10..0.1', '.1.2.3', '1.2.3.4.', '']) {
      assert.equal(parseAddress(text), undefined, text)
    }
    for (const text of [
      'fe80::1%eth0',
      ':::',
      'fd00::1::2',
      ' fd00::1',
      'fd00::g',
      '1:2:3:4:5:6:7:8:9',
      '::ffff:010.0.0.1',
    ]) {
      assert.equal(parseAddress(text), undefined, text)
    }
    assert.equal(ipv4ToNumber('255.255.255.255'), 0xffffffff)
    assert.equal(ipv4ToNumber('0.0.0.0'), 0)
  })

  it('take prefixes with zero host bits only, unless asked', () => {
    assert.equal(parseCidr('10.1.0.3/16'), undefined)
    assert.equal(formatCidr(networkOf(parseCidrLoosely('10.1.0.3/16')!)), '10.1.0.0/16')
    for (const text of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0', 'fd00::/129', '10.0.0.0/-1']) {
      assert.equal(parseCidrLoosely(text), undefined, text)
    }
  })
})

describe('prefix arithmetic, against counting one by one', () => {
  it('contains and overlaps', () => {
    fc.assert(
      fc.property(prefix, prefix, (a, b) => {
        const [inA, inB] = [members(a), members(b)]
        assert.equal(contains(a, b), inB.isSubsetOf(inA))
        assert.equal(overlaps(a, b), !inA.isDisjointFrom(inB))
        assert.equal(sizeOf(a), BigInt(inA.size))
        assert.ok(inA.has(`${a.family} ${lastOf(a).value}`))
      }),
    )
  })

  it('numbers addresses from the first to the last', () => {
    fc.assert(
      fc.property(prefix, (a) => {
        const listed = Array.from({ length: Number(sizeOf(a)) }, (_, n) => `${a.family} ${nthAddress(a, n).value}`)
        assert.deepEqual(new Set(listed), members(a))
        assert.throws(() => nthAddress(a, sizeOf(a)), RangeError)
        assert.throws(() => nthAddress(a, -1), RangeError)
      }),
    )
  })

  it('splits into blocks that cover the subnet once', () => {
    fc.assert(
      fc.property(prefix, fc.nat(8), (a, more) => {
        const length = Math.min(a.length + more, bitsOf(a.family))
        const blocks = Array.from({ length: Number(blockCount(a, length)) }, (_, n) => nthBlock(a, length, BigInt(n)))
        const all = blocks.flatMap((block) => [...members(block)])
        assert.equal(all.length, members(a).size)
        assert.deepEqual(new Set(all), members(a))
      }),
    )
    assert.throws(() => blockCount(mustParseCidr('10.0.0.0/24'), 16), RangeError)
  })

  it('sorts as a prefix tree is walked: a prefix before all that it holds', () => {
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 12 }), (list) => {
        const sorted = [...list].sort(comparePrefixes)
        for (const [i, outer] of sorted.entries()) {
          for (const earlier of sorted.slice(0, i)) {
            const isStrictlyInside = contains(outer, earlier) && outer.length < earlier.length
            assert.ok(!isStrictlyInside, `${formatCidr(earlier)} before ${formatCidr(outer)}`)
          }
        }
        assert.deepEqual(sorted.map(formatCidr), [...list].reverse().sort(comparePrefixes).map(formatCidr))
      }),
    )
  })

  it('finds the longest match', () => {
    fc.assert(
      fc.property(fc.array(prefix), address, (list, a) => {
        const found = longestMatch(
          list.map((p) => ({ prefix: p })),
          a,
        )
        const lengths = list.filter((p) => contains(p, a)).map((p) => p.length)
        assert.equal(found?.prefix.length, lengths.length === 0 ? undefined : Math.max(...lengths))
      }),
    )
  })
})
