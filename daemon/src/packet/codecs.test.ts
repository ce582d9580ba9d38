import assert from 'node:assert/strict'
import { parseAddress } from '@kube-vrouter/linux/address'
import fc from 'fast-check'
import { isInside } from './address.ts'
import { AGENT_HEADER_LENGTH, decodeTrap, encodePacket } from './agent-header.ts'
import { checksum, pseudoHeaderSum } from './checksum.ts'
import { decodeEthernet, encodeEthernet } from './ethernet.ts'
import { decodeIcmp, encodeIcmp } from './icmp.ts'
import { decodeIcmp6, encodeIcmp6 } from './icmp6.ts'
import { decodeIpv4, encodeIpv4 } from './ipv4.ts'
import { decodeIpv6, encodeIpv6 } from './ipv6.ts'
import { decodeTcp, encodeTcp, resetFor, TcpFlag } from './tcp.ts'

const bytes = (maxLength: number) => fc.uint8Array({ maxLength })
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const u16 = fc.integer({ min: 0, max: 0xffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u8 = fc.integer({ min: 0, max: 0xff })
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))

/** RFC 1071 by the book, on one big number. */
function oracle(data: Uint8Array): number {
  let total = 0n
  for (let i = 0; i < data.length; i += 2) total += BigInt(data[i]! * 256 + (data[i + 1] ?? 0))
  while (total >> 16n) total = (total & 0xffffn) + (total >> 16n)
  return Number(total ^ 0xffffn)
}

describe('packet codecs', () => {
  it('computes the checksum of the RFC 1071 example', () => {
    assert.equal(checksum(hex('0001 f203 f4f5 f6f7')), 0x220d)
  })

  it('agrees with a checksum done the slow way', () => {
    fc.assert(
      fc.property(bytes(70_000), (data) => assert.equal(checksum(data), oracle(data))),
      { numRuns: 50 },
    )
    for (let n = 1; n <= 64; n++) {
      const large = Uint8Array.from({ length: 65_536 - n }, (_, i) => (i * (2 * n + 1) + n) & 0xff)
      assert.equal(checksum(large), oracle(large), `a large packet, number ${n}`)
    }
  })

  it('sums a pseudo header as if it stood in front of the data', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.tuple(exactly(4), exactly(4)), fc.tuple(exactly(16), exactly(16))),
        bytes(3000),
        ([s, d], data) => {
          const header = Uint8Array.of(...s, ...d, 0, 0, data.length >> 8, data.length & 255, 0, 0, 0, 58)
          assert.equal(
            checksum(data, pseudoHeaderSum(s, d, 58, data.length)),
            oracle(Uint8Array.of(...header, ...data)),
          )
        },
      ),
      { numRuns: 50 },
    )
  })

  it('lays the agent header out as vRouter does', () => {
    const packet = encodePacket(
      {
        vif: 3,
        vrf: 2,
        command: 11,
        param: 0x01020304,
        param1: 5,
        param2: 6,
        param3: 7,
        param4: 0xfffffffe,
        param5: 9,
      },
      hex('aabb'),
    )
    assert.deepEqual(
      packet,
      hex('000000000002 000000000001 0800 0003 0002 000b 01020304 00000005 00000006 00000007 fffffffe 09 000000 aabb'),
    )
    assert.equal(AGENT_HEADER_LENGTH, 44)
  })

  it('reads back what it wrote: agent header', () => {
    const header = fc.record({
      vif: u16,
      vrf: u16,
      command: u16,
      param: u32,
      param1: u32,
      param2: u32,
      param3: u32,
      param4: u32,
      param5: u8,
    })
    fc.assert(
      fc.property(header, bytes(100), (h, frame) =>
        assert.deepEqual(decodeTrap(encodePacket(h, frame, 'datapath')), { ...h, frame }),
      ),
    )
  })

  it('takes nothing for a trap that is too short or of another ethertype', () => {
    const whole = encodePacket({ vif: 1, vrf: 1, command: 4 }, new Uint8Array(0))
    assert.notEqual(decodeTrap(whole), undefined)
    assert.equal(decodeTrap(whole.subarray(0, 43)), undefined)
    whole[12] = 0x86
    assert.equal(decodeTrap(whole), undefined)
  })

  it('reads back what it wrote: Ethernet', () => {
    fc.assert(
      fc.property(exactly(6), exactly(6), u16, bytes(60), (destination, source, type, payload) => {
        const frame = { destination, source, type, payload }
        assert.deepEqual(decodeEthernet(encodeEthernet(frame)), frame)
      }),
    )
  })

  it('reads back what it wrote: IPv4, with padding behind it', () => {
    const header = fc.record({
      tos: u8,
      id: u16,
      dontFragment: fc.boolean(),
      moreFragments: fc.boolean(),
      fragmentOffset: fc.integer({ min: 0, max: 0x1fff }).map((n) => n * 8),
      ttl: u8,
      protocol: u8,
      source: exactly(4),
      destination: exactly(4),
      options: fc.integer({ min: 0, max: 10 }).chain((n) => exactly(n * 4)),
    })
    fc.assert(
      fc.property(header, bytes(200), bytes(46), (h, payload, padding) => {
        const packet = encodeIpv4(h, payload)
        const decoded = decodeIpv4(Uint8Array.of(...packet, ...padding))
        assert.deepEqual(decoded, { ...h, payload, bytes: packet, isTruncated: false, hasValidChecksum: true })
      }),
    )
  })

  it('notices a truncated IPv4 packet and a wrong header checksum', () => {
    const packet = encodeIpv4(
      {
        tos: 0,
        id: 0,
        dontFragment: false,
        moreFragments: false,
        fragmentOffset: 0,
        ttl: 1,
        protocol: 17,
        source: hex('0a000001'),
        destination: hex('0a000002'),
        options: hex(''),
      },
      new Uint8Array(100),
    )
    assert.equal(decodeIpv4(packet.subarray(0, 119))?.isTruncated, true)
    assert.equal(decodeIpv4(packet.subarray(0, 19)), undefined)
    packet[8] = 2
    assert.equal(decodeIpv4(packet)?.hasValidChecksum, false)
  })

  it('reads back what it wrote: IPv6', () => {
    const header = fc.record({
      trafficClass: u8,
      flowLabel: fc.integer({ min: 0, max: 0xfffff }),
      nextHeader: fc.constantFrom(6, 17, 58, 59, 132),
      hopLimit: u8,
      source: exactly(16),
      destination: exactly(16),
    })
    fc.assert(
      fc.property(header, bytes(200), (h, payload) => {
        const packet = encodeIpv6(h, payload)
        assert.deepEqual(decodeIpv6(packet), { ...h, payload, nextHeaderOffset: 6, bytes: packet, isTruncated: false })
      }),
    )
  })

  it('walks IPv6 extension headers to the upper layer', () => {
    const addresses = 'fd000000000000000000000000000001 fd000000000000000000000000000002'
    const packet = hex(
      `60000000 0020 00 40 ${addresses} 3c 00 000000000000 2c 00 000000000000 11 00 0001 00000007 1234 0035 0008 0000`,
    )
    const decoded = decodeIpv6(packet)
    assert.equal(decoded?.nextHeader, 17)
    assert.equal(decoded?.nextHeaderOffset, 56)
    assert.deepEqual(decoded?.fragment, { offset: 0, moreFragments: true, id: 7 })
    assert.deepEqual(decoded?.payload, hex('1234003500080000'))
  })

  it('gives up on an endless chain of IPv6 extension headers', () => {
    const chain = new Uint8Array(40 + 9 * 8)
    chain.set(hex('60000000 0048 3c 40'))
    for (let i = 0; i < 9; i++) chain[40 + i * 8] = i < 8 ? 60 : 59
    assert.equal(decodeIpv6(chain), undefined)
    chain.set(hex('60000000 0040'))
    chain[40 + 7 * 8] = 59
    assert.equal(decodeIpv6(chain)?.nextHeader, 59)
  })

  it('takes nothing for a header in the middle of a fragmented packet', () => {
    const addresses = 'fd000000000000000000000000000001 fd000000000000000000000000000002'
    const later = decodeIpv6(hex(`60000000 0010 2c 40 ${addresses} 3c 00 0008 00000007 ffffffffffffffff`))
    assert.deepEqual(later?.fragment, { offset: 8, moreFragments: false, id: 7 })
    assert.equal(later?.nextHeader, 60)
    assert.deepEqual(later?.payload, hex('ffffffffffffffff'))
  })

  it('reads back what it wrote: ICMP and ICMPv6, and refuses a flipped bit', () => {
    const message = fc.record({ type: u8, code: u8, rest: u32, payload: bytes(100) })
    fc.assert(
      fc.property(message, exactly(16), exactly(16), fc.nat(), (m, source, destination, where) => {
        const v4 = encodeIcmp(m)
        assert.deepEqual(decodeIcmp(v4), { ...m })
        const v6 = encodeIcmp6(m, source, destination)
        assert.deepEqual(decodeIcmp6(v6, source, destination), { ...m })
        v4[where % v4.length]! ^= 0x10
        v6[where % v6.length]! ^= 0x10
        assert.equal(decodeIcmp(v4), undefined)
        assert.equal(decodeIcmp6(v6, source, destination), undefined)
      }),
    )
  })

  it('resets by the rules of RFC 9293', () => {
    const segment = {
      sourcePort: 40000,
      destinationPort: 80,
      sequence: 0xffffffff,
      acknowledgement: 7,
      payloadLength: 0,
    }
    assert.deepEqual(resetFor({ ...segment, flags: TcpFlag.SYN }), {
      sourcePort: 80,
      destinationPort: 40000,
      sequence: 0,
      acknowledgement: 0,
      flags: TcpFlag.RST | TcpFlag.ACK,
    })
    assert.deepEqual(resetFor({ ...segment, flags: TcpFlag.ACK, payloadLength: 10 }), {
      sourcePort: 80,
      destinationPort: 40000,
      sequence: 7,
      acknowledgement: 0,
      flags: TcpFlag.RST,
    })
    assert.equal(resetFor({ ...segment, flags: TcpFlag.RST }), undefined)
    assert.equal(resetFor({ ...segment, flags: TcpFlag.FIN, payloadLength: 10 })?.acknowledgement, 10)
  })

  it('writes TCP with a right checksum', () => {
    fc.assert(
      fc.property(
        exactly(16),
        exactly(16),
        u16,
        u16,
        u32,
        u32,
        (source, destination, sourcePort, destinationPort, sequence, acknowledgement) => {
          const segment = { sourcePort, destinationPort, sequence, acknowledgement, flags: 0x14 }
          const encoded = encodeTcp(segment, source, destination)
          assert.deepEqual(decodeTcp(encoded), { ...segment, payloadLength: 0 })
          assert.equal(checksum(encoded, pseudoHeaderSum(source, destination, 6, encoded.length)), 0)
        },
      ),
    )
  })

  it('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(bytes(200), (data) => {
        decodeTrap(data)
        decodeEthernet(data)
        decodeIpv4(data)
        decodeIpv6(data)
        decodeIcmp(data)
        decodeIcmp6(data, data, data)
        decodeTcp(data)
      }),
      { numRuns: 2000 },
    )
  })

  it('knows what a prefix holds', () => {
    const inside = (a: string, n: string, l: number) => isInside(parseAddress(a), parseAddress(n), l)
    assert.ok(inside('10.0.0.63', '10.0.0.0', 26))
    assert.ok(!inside('10.0.0.64', '10.0.0.0', 26))
    assert.ok(inside('10.9.9.9', '0.0.0.0', 0))
    assert.ok(!inside('fd00::1', '0.0.0.0', 0))
    assert.ok(inside('fd00:0:0:1::1', 'fd00:0:0:1::', 64))
    assert.ok(!inside('fd00:0:0:2::1', 'fd00:0:0:1::', 64))
  })
})
