/** Proves: fragments follow their first one or wait for it, and ICMP errors the flow that they are about; nothing else of either passes. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { mapDefinitions } from '../../src/maps/definitions.ts'
import { A, assertFrame, B, C, Fixture, HOST, PEER, REDIRECT, REMOTE, ROUTER_MAC, type Sent } from './fixture.ts'
import {
  eth,
  frame,
  icmp4,
  icmp6,
  ip4,
  ip6,
  join,
  mplsOverUdp,
  PROTO,
  ping,
  TCP_FLAG,
  tcp,
  u16,
  u32,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'

/** An IPv4 packet cut into two fragments at `at` bytes of payload. */
function cut4(src: string, dst: string, proto: number, payload: Buffer, at: number, id = 77): [Buffer, Buffer] {
  return [
    ip4(src, dst, proto, payload.subarray(0, at), { id, more: true }),
    ip4(src, dst, proto, payload.subarray(at), { id, offset: at }),
  ]
}

function cut6(src: string, dst: string, proto: number, payload: Buffer, at: number, id = 77): [Buffer, Buffer] {
  const header = (offset: number, more: number) => join([proto, 0], u16(offset | more), u32(id))
  return [
    ip6(src, dst, PROTO.FRAGMENT, join(header(0, 1), payload.subarray(0, at))),
    ip6(src, dst, PROTO.FRAGMENT, join(header(at, 0), payload.subarray(at))),
  ]
}

const payload4 = (packet: Buffer) => packet.subarray(20)
const payload6 = (packet: Buffer) => packet.subarray(40)

describe('datapath: fragments and ICMP errors', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const fromA = (packet: Uint8Array): Sent => node.fromPod(A, frame(ROUTER_MAC, A.mac, packet))
  const fromB = (packet: Uint8Array): Sent => node.fromPod(B, frame(ROUTER_MAC, B.mac, packet))
  const fromPeer = (label: number, inner: Uint8Array) =>
    node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label }, inner)))
  const routed = (packet: Buffer) => frame(B.mac, ROUTER_MAC, withTtl(packet, 63))

  const data = Buffer.alloc(64, 0x5a)
  for (const [what, first, later] of [
    ['UDP', ...cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16)],
    ['TCP', ...cut4(A.ip4, B.ip4, PROTO.TCP, payload4(tcp(A.ip4, B.ip4, 1000, 2000, TCP_FLAG.ACK, { data })), 24)],
    ['ICMP', ...cut4(A.ip4, B.ip4, PROTO.ICMP, payload4(ping(A.ip4, B.ip4, 9)), 8)],
    ['UDP over IPv6', ...cut6(A.ip6, B.ip6, PROTO.UDP, payload6(udp(A.ip6, B.ip6, 1000, 2000, data)), 16)],
    ['ICMPv6', ...cut6(A.ip6, B.ip6, PROTO.ICMP6, payload6(ping(A.ip6, B.ip6, 9)), 8)],
  ] as const) {
    it(`forwards later fragments of ${what} in the flow of the first, and none before it`, () => {
      const orphan = Buffer.from(later)
      if (orphan[0]! >> 4 === 4) orphan.writeUInt16BE(99, 4)
      else orphan.writeUInt32BE(99, 40 + 4)
      node.assertHeld(() => fromA(orphan))
      assertFrame(fromA(first), routed(first))
      assertFrame(fromA(later), routed(later))
      assert.equal(node.flows().length, 2)
      assert.equal(node.flows()[0]!.flow.packets, 2n)
    })
  }

  it('keeps fragments with one id in two networks apart', () => {
    const [first] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16)
    const [, later] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16, 78)
    fromA(first)
    node.assertHeld(() => fromA(later))
    const [, sameId] = cut4(C.ip4, B.ip4, PROTO.UDP, payload4(udp(C.ip4, B.ip4, 1000, 2000, data)), 16)
    node.assertHeld(() => node.fromPod(C, frame(ROUTER_MAC, C.mac, sameId)))
  })

  it('lets a fragment follow one of the same sender only', () => {
    const [first, later] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16)
    node.assertDrop(c.DROP_INVALID_SOURCE, B.vif, () => fromB(first))
    node.assertHeld(() => fromA(later))
  })

  it('doesn’t keep a frame that is larger than a slot', () => {
    const [, later] = cut4(A.ip4, B.ip4, PROTO.UDP, Buffer.alloc(c.HELD_FRAME + 16), 16)
    node.assertDrop(c.DROP_FRAGMENTS, A.vif, () => fromA(later))
    assert.equal(node.waiting(), 0)
  })

  it('remembers of each sender’s first fragments a bounded number, and takes their places from nobody else', () => {
    using large = new Fixture({ sizes: { fragments: mapDefinitions.fragments.maxEntries } })
    large.enableSnat()
    const SENDS = 1500
    const PLACES = 512 // FRAGMENT_PLACES
    const firstOf = (src: string, dst: string, id: number) =>
      cut4(src, dst, PROTO.UDP, payload4(udp(src, dst, 53, 61000, data)), 16, id)[0]
    const inner = firstOf(REMOTE.ip4, A.ip4, 1)
    large.fromPod(A, frame(ROUTER_MAC, A.mac, firstOf(A.ip4, B.ip4, 1)))
    large.fromFabric(
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, inner)),
    )
    for (let id = 0; id < SENDS; id++) {
      large.fromPod(B, frame(ROUTER_MAC, B.mac, firstOf(B.ip4, REMOTE.ip4, id)))
      large.fromFabric(frame(HOST.mac, PEER.mac, firstOf('198.51.100.7', HOST.ip4, id)))
    }
    const senders = [...large.raw.get('fragments')!.entries()].map(({ key }) => Buffer.from(key).readUInt32LE())
    const held = new Map<number, number>()
    for (const sender of senders) held.set(sender, (held.get(sender) ?? 0) + 1)
    assert.equal(held.get(A.vif), 1)
    assert.ok(held.get(B.vif)! > PLACES / 2 && held.get(B.vif)! <= PLACES, `${held.get(B.vif)} of one pod`)
    const [tunnel, outside] = [...held]
      .flatMap(([vif, count]) => (vif === A.vif || vif === B.vif ? [] : [count]))
      .sort((x, y) => x - y)
    assert.equal(tunnel, 1)
    assert.ok(outside! > PLACES / 2 && outside! <= PLACES, `${outside} of one source`)
    assert.equal(held.size, 4)
  })

  it('holds for one sender as many as its share, and for another one as many', () => {
    const orphan = (src: string, id: number) => cut4(src, REMOTE.ip4, PROTO.UDP, Buffer.alloc(40), 16, id)[1]
    for (let id = 0; id < c.FRAGMENT_SHARE; id++) node.assertHeld(() => fromA(orphan(A.ip4, id)))
    node.assertDrop(c.DROP_FRAGMENTS, A.vif, () => fromA(orphan(A.ip4, 99)))
    for (let id = 0; id < c.FRAGMENT_SHARE; id++) node.assertHeld(() => fromB(orphan(B.ip4, id)))
  })

  it('counts a first fragment that can’t come in again, for its device is down', () => {
    const [first, later] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16)
    node.assertHeld(() => fromA(later)) // devices of test runs are down
    node.assertDrop(c.DROP_CLONE_FAIL, A.vif, () => fromA(first))
  })

  it('does not let a later fragment make a flow', () => {
    const [first, later] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1000, 2000, data)), 16)
    fromA(first)
    for (const [key] of [...node.maps.flows.flow4.entries()]) node.maps.flows.flow4.delete(key)
    node.assertDrop(c.DROP_FLOW_UNUSABLE, A.vif, () => fromA(later))
  })

  it('forwards fragments through the tunnel, in and out', () => {
    for (const [remote, local] of [
      [REMOTE.ip4, A.ip4],
      [REMOTE.ip6, A.ip6],
    ] as const) {
      const cut = remote.includes(':') ? cut6 : cut4
      const payload = (remote.includes(':') ? payload6 : payload4)(udp(remote, local, 1000, 2000, data))
      const [first, later] = cut(remote, local, PROTO.UDP, payload, 16)
      const orphan = cut(remote, local, PROTO.UDP, payload, 16, 99)[1]
      node.assertHeld(() => fromPeer(A.label, orphan))
      assertFrame(fromPeer(A.label, first), frame(A.mac, ROUTER_MAC, first))
      assertFrame(fromPeer(A.label, later), frame(A.mac, ROUTER_MAC, later))
      const [out, outLater] = cut(local, remote, PROTO.UDP, payload, 16)
      const port = (sent: Sent) => sent.frame.readUInt16BE(14 + 20)
      assert.equal(port(fromA(out)), port(fromA(outLater)), 'one path through the underlay')
    }
  })

  it('judges fragments of the host only where they would be ours', () => {
    const payload = payload4(udp(HOST.ip4, A.ip4, 1000, 2000, data))
    const [first, later] = cut4(HOST.ip4, A.ip4, PROTO.UDP, payload, 16)
    node.assertDrop(c.DROP_FRAGMENTS, 1, () => node.fromHost(frame(HOST.mac, HOST.mac, later)))
    assert.equal(
      node
        .fromHost(frame(HOST.mac, HOST.mac, first))
        .frame.subarray(0, 6)
        .toString('hex'),
      A.mac.replaceAll(':', ''),
    )
    assert.equal(
      node
        .fromHost(frame(HOST.mac, HOST.mac, later))
        .frame.subarray(0, 6)
        .toString('hex'),
      A.mac.replaceAll(':', ''),
    )
    const [, foreign] = cut4(HOST.ip4, PEER.ip4, PROTO.UDP, payload, 16)
    assertFrame(node.fromHost(frame(PEER.mac, HOST.mac, foreign)), frame(PEER.mac, HOST.mac, foreign))
  })

  const quote4 = (packet: Buffer) => join([0, 0, 0, 0], packet.subarray(0, 28))
  const quote6 = (packet: Buffer) => join([0, 0, 0, 0], packet)

  for (const [what, packet] of [
    ['UDP', udp(A.ip4, B.ip4, 1000, 2000)],
    ['TCP', tcp(A.ip4, B.ip4, 1000, 2000, TCP_FLAG.SYN)],
    ['an echo request', ping(A.ip4, B.ip4, 5)],
    ['a protocol without ports', ip4(A.ip4, B.ip4, 47, Buffer.alloc(20))],
    ['UDP over IPv6', udp(A.ip6, B.ip6, 1000, 2000)],
    ['an ICMPv6 echo request', ping(A.ip6, B.ip6, 5)],
  ] as const) {
    it(`passes an ICMP error about ${what} with its flow, and none without`, () => {
      const error =
        packet[0]! >> 4 === 4 ? icmp4(B.ip4, A.ip4, 3, 3, quote4(packet)) : icmp6(B.ip6, A.ip6, 1, 4, quote6(packet))
      node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(error))
      assert.equal(fromA(packet).verdict, REDIRECT)
      assertFrame(fromB(error), frame(A.mac, ROUTER_MAC, withTtl(error, 63)))
      assert.equal(node.flows().length, 2)
      assert.equal(node.flows()[1]!.flow.packets, 1n)
    })
  }

  it('passes an error that a router between the nodes or the remote end sent', () => {
    const packet = udp(A.ip4, REMOTE.ip4, 1000, 2000)
    fromA(packet)
    for (const from of [REMOTE.ip4, '198.51.100.7']) {
      const error = icmp4(from, A.ip4, 11, 0, quote4(packet))
      assertFrame(fromPeer(A.label, error), frame(A.mac, ROUTER_MAC, error))
    }
  })

  it('does not let a pod send errors in the name of others, or to others', () => {
    const packet = udp(A.ip4, B.ip4, 1000, 2000)
    fromA(packet)
    node.assertDrop(c.DROP_INVALID_SOURCE, B.vif, () => fromB(icmp4('10.2.0.77', A.ip4, 3, 3, quote4(packet))))
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp4(B.ip4, REMOTE.ip4, 3, 3, quote4(packet))))
    const packet6 = udp(A.ip6, B.ip6, 1000, 2000)
    fromA(packet6)
    node.assertDrop(c.DROP_INVALID_SOURCE, B.vif, () => fromB(icmp6('2001:db8:2::77', A.ip6, 1, 4, quote6(packet6))))
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp6(B.ip6, REMOTE.ip6, 1, 4, quote6(packet6))))
  })

  it('drops errors about errors, about later fragments, and those that quote too little', () => {
    const inner = icmp4(A.ip4, B.ip4, 3, 3, Buffer.alloc(32))
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp4(B.ip4, A.ip4, 3, 3, quote4(inner))))
    const inner6 = icmp6(A.ip6, B.ip6, 1, 3, Buffer.alloc(32))
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp6(B.ip6, A.ip6, 1, 4, quote6(inner6))))
    const [, later] = cut4(A.ip4, B.ip4, PROTO.UDP, payload4(udp(A.ip4, B.ip4, 1, 2, data)), 16)
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp4(B.ip4, A.ip4, 3, 3, quote4(later))))
    node.assertDrop(c.DROP_PULL, B.vif, () => fromB(icmp4(B.ip4, A.ip4, 3, 3, Buffer.alloc(10))))
    node.assertDrop(c.DROP_PULL, B.vif, () =>
      fromB(icmp4(B.ip4, A.ip4, 3, 3, quote4(udp(A.ip4, B.ip4, 1, 2)).subarray(0, 26))),
    )
    node.assertDrop(c.DROP_ICMP_ERROR, B.vif, () => fromB(icmp4(B.ip4, A.ip4, 3, 3, Buffer.alloc(32))))
  })

  it('leaves errors of the host to the wire unless a flow of ours has them', () => {
    const foreign = eth(
      PEER.mac,
      HOST.mac,
      0x0800,
      icmp4(HOST.ip4, PEER.ip4, 3, 3, quote4(udp(PEER.ip4, HOST.ip4, 1, 2))),
    )
    assertFrame(node.fromHost(foreign), foreign)
    const packet = udp(A.ip4, HOST.ip4, 1, 2)
    fromA(packet)
    const error = icmp4(HOST.ip4, A.ip4, 3, 3, quote4(packet))
    assertFrame(node.fromHost(frame(HOST.mac, HOST.mac, error)), frame(A.mac, ROUTER_MAC, withTtl(error, 63)))
    assert.equal(node.totalDrops(), 0)
  })

  it('reads through IPv6 extension headers, and gives up on endless ones', () => {
    const inner = payload6(udp(A.ip6, B.ip6, 1000, 2000))
    const hop = (next: number, length = 0) => join([next, length], Buffer.alloc(6 + length * 8, 1))
    const chain = ip6(A.ip6, B.ip6, 0, join(hop(60), hop(43, 1), hop(17), inner))
    assertFrame(fromA(chain), routed(chain))
    assert.deepEqual([node.flows()[0]!.sourcePort, node.flows()[0]!.destinationPort], [1000, 2000])
    const endless = ip6(A.ip6, B.ip6, 60, Buffer.concat(Array.from({ length: 9 }, () => hop(60))))
    node.assertDrop(c.DROP_INVALID_PACKET, A.vif, () => fromA(endless))
    node.assertDrop(c.DROP_PULL, A.vif, () => fromA(ip6(A.ip6, B.ip6, 60, Buffer.of(17, 0, 0, 0))))
    node.assertDrop(c.DROP_INVALID_PACKET, A.vif, () => fromA(ip6(A.ip6, B.ip6, 60, hop(17, 255).subarray(0, 8))))
  })
})
