import assert from 'node:assert/strict'
import fc from 'fast-check'
import { DROP_REASON, LABEL_NONE, NH_TUNNEL, VIF_NO_SPOOF_CHECK } from './constants.ts'
import { mapDefinitions } from './definitions.ts'
import {
  agentHdrCodec,
  bridgeKeyCodec,
  type Codec,
  compositeCodec,
  dropStatsCodec,
  flow4KeyCodec,
  flowCodec,
  flowSlotCodec,
  globalsCodec,
  nexthopCodec,
  route4KeyCodec,
  route4LpmKeyCodec,
  routeCodec,
  vifCodec,
} from './structs.ts'

function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(codec.size).fill(0xaa)
  codec.encode(value, new DataView(bytes.buffer))
  return bytes
}

describe('codecs of the datapath structs', () => {
  it('write addresses and ports in network order, the rest in host order', () => {
    assert.deepEqual(encode(route4KeyCodec, { vrf: 2, ip: 0x0a000001 }), Uint8Array.of(2, 0, 0, 0, 10, 0, 0, 1))
    assert.deepEqual(
      encode(route4LpmKeyCodec, { prefixlen: 56, vrf: 2, ip: 0x0a000100 }),
      Uint8Array.of(56, 0, 0, 0, 0, 0, 0, 2, 10, 0, 1, 0),
    )
    const key = {
      nhId: 7,
      sip: 0xc0a80001,
      dip: 0x7f000001,
      sport: 80,
      dport: 443,
      proto: 6,
      context: Uint8Array.of(1, 2, 3),
    }
    const bytes = encode(flow4KeyCodec, key)
    assert.deepEqual(bytes, Uint8Array.of(7, 0, 0, 0, 192, 168, 0, 1, 127, 0, 0, 1, 0, 80, 1, 187, 6, 1, 2, 3))
    assert.deepEqual(flow4KeyCodec.decode(new DataView(bytes.buffer)), key)
  })

  it('write padding as zeroes: keys are compared as bytes', () => {
    const padded = encode(vifCodec, { ...vifCodec.decode(new DataView(new ArrayBuffer(vifCodec.size))), type: 3 })
    assert.deepEqual(padded.subarray(32, 36), Uint8Array.of(3, 0, 0, 0))
    assert.equal(
      encode(globalsCodec, globalsCodec.decode(new DataView(new ArrayBuffer(globalsCodec.size)))).some(Boolean),
      false,
    )
  })

  it('cut texts and zero what a shorter one leaves', () => {
    const empty = vifCodec.decode(new DataView(new ArrayBuffer(vifCodec.size)))
    const name = (text: string) =>
      vifCodec.decode(new DataView(encode(vifCodec, { ...empty, name: text }).buffer as ArrayBuffer)).name
    assert.equal(name('tap0123456789ab'), 'tap0123456789ab')
    assert.equal(name('sixteen-letters!'), 'sixteen-letters')
    assert.equal(name('x'), 'x')
  })

  it('return what was written, whatever it was, at any offset', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff })
    const u8 = fc.integer({ min: 0, max: 255 })
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
    const route = fc.record({ nh: u32, label: u32, macIndex: u32, mac: bytes(6), flags: u8, plen: u8 })
    const bridge = fc.record({ mac: bytes(6), vrf: fc.integer({ min: 0, max: 65535 }) })
    const nexthop = fc.record({
      ...{ type: u8, family: u8, rewriteLen: u8, flags: u32, vrf: u32, oif: u32, ifindex: u32, keyNh: u32 },
      ...{ mtu: u32, sip: u32, dip: u32, rewrite: bytes(14), oifType: u8 },
    })
    const check = <T>(codec: Codec<T>, arbitrary: fc.Arbitrary<T>) =>
      fc.assert(
        fc.property(arbitrary, fc.nat(40), (given, offset) => {
          const value = { ...given }
          const view = new DataView(new ArrayBuffer(offset + codec.size + 3))
          codec.encode(value, view, offset)
          assert.deepEqual(codec.decode(view, offset), value)
          assert.equal(new Uint8Array(view.buffer, offset + codec.size).some(Boolean), false)
        }),
      )
    check(routeCodec, route)
    check(bridgeKeyCodec, bridge)
    check(nexthopCodec, nexthop)
  })

  it('hold arrays of structs and numbers', () => {
    const members = [
      { nh: 1, label: LABEL_NONE },
      { nh: 2, label: 17 },
    ]
    const decoded = compositeCodec.decode(
      new DataView(encode(compositeCodec, { count: 2, hashFields: 0, members }).buffer as ArrayBuffer),
    )
    assert.deepEqual(decoded.members.slice(0, 3), [...members, { nh: 0, label: 0 }])
    const reasons = Array.from({ length: 64 }, (_, i) => BigInt(i) << 40n)
    const drops = encode(dropStatsCodec, { reasons })
    assert.deepEqual(dropStatsCodec.decode(new DataView(drops.buffer as ArrayBuffer)).reasons, reasons)
  })

  it('read the key of a flow slot as either family', () => {
    const bytes = new Uint8Array(flowSlotCodec.size)
    const view = new DataView(bytes.buffer)
    view.setUint8(0, 2)
    const key = { nhId: 9, sip: 1, dip: 2, sport: 3, dport: 4, proto: 17, context: new Uint8Array(3) }
    flow4KeyCodec.encode(key, view, 4)
    assert.deepEqual(flowSlotCodec.decode(view).k4, key)
    assert.equal(flowSlotCodec.decode(view).k6.nhId, 9)
  })

  it('have the sizes of the map values', () => {
    assert.equal(vifCodec.size, mapDefinitions.vifs.valueSize)
    assert.equal(nexthopCodec.size, mapDefinitions.nexthops.valueSize)
    assert.equal(flowCodec.size, mapDefinitions.flow4.valueSize)
    assert.equal(agentHdrCodec.size, 30)
  })

  it('come with unsigned constants', () => {
    assert.equal(VIF_NO_SPOOF_CHECK, 0x80000000)
    assert.equal(LABEL_NONE, 0xffffffff)
    assert.equal(NH_TUNNEL, 3)
    assert.equal(DROP_REASON.DROP_TRAP_LIMIT, 56)
  })
})
