/**
 * Proves what "fragmentation needed" about a tunnel packet of ours does: it lowers what fits through the tunnel to that peer, for
 * packets and for the MSS, within bounds and for a time; and that nothing else does so.
 */
import { strict as assert } from 'node:assert'
import { ip4Number } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { A, assertFrame, B, Fixture, HOST, PEER, REDIRECT, REMOTE, ROUTER_MAC, TUNNEL_MTU } from './fixture.ts'
import {
  ETH,
  eth,
  icmp4,
  join,
  mplsOverUdp,
  mss,
  TCP_FLAG,
  type TunnelFields,
  tcp,
  u16,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'

const ROUTER = '192.0.2.254'
const PATH = 1400
const INNER = PATH - 32

const FAMILIES = [
  ['IPv4', 0x0800, A.ip4, REMOTE.ip4, 20],
  ['IPv6', 0x86dd, A.ip6, REMOTE.ip6, 40],
] as const

describe('datapath: path MTU of tunnels', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  interface Said {
    readonly mtu?: number
    readonly type?: number
    readonly code?: number
    readonly quoted?: Partial<TunnelFields>
    readonly bytes?: number
    readonly to?: string
  }
  /** What a router says about a packet of ours to the peer. It is the host's in any case. */
  function say({ mtu = PATH, type = 3, code = 4, quoted = {}, bytes = 28, to = HOST.ip4 }: Said = {}): void {
    const packet = mplsOverUdp(
      { src: HOST.ip4, dst: PEER.ip4, label: REMOTE.label, ip: { df: true }, ...quoted },
      Buffer.alloc(TUNNEL_MTU),
    )
    const frame = eth(
      HOST.mac,
      PEER.mac,
      0x0800,
      icmp4(ROUTER, to, type, code, join([0, 0], u16(mtu), packet.subarray(0, bytes))),
    )
    assertFrame(node.fromFabric(frame), frame)
  }
  const known = () => node.maps.pathMtus.get(ip4Number(PEER.ip4))?.mtu

  for (const [family, type, local, remote, header] of FAMILIES) {
    const ofSize = (size: number) =>
      eth(ROUTER_MAC, A.mac, type, udp(local, remote, 1, 2, Buffer.alloc(size - header - 8)))
    const assertTold = (frame: Buffer, mtu: number, options = {}) => {
      const told = node.fromPod(A, frame, options)
      assert.equal(told.frame.readUInt16BE(ETH + 4), c.AGENT_TRAP_HANDLE_DF)
      assert.equal(told.frame.readUInt32BE(ETH + 6), mtu)
    }
    const assertSent = (frame: Buffer) => {
      const sent = node.fromPod(A, frame)
      assert.equal(sent.verdict, REDIRECT)
      assert.equal(sent.frame.length, frame.length + 32)
    }

    it(`lowers what fits for ${family}, to the byte, for super-packets by their segments`, () => {
      assertSent(ofSize(TUNNEL_MTU))
      say()
      assert.equal(known(), PATH)
      assertSent(ofSize(INNER))
      assertTold(ofSize(INNER + 1), INNER)
      const long = eth(ROUTER_MAC, A.mac, type, tcp(local, remote, 1, 2, TCP_FLAG.ACK, { data: Buffer.alloc(3000) }))
      // Test runs can't encapsulate super-packets: that this one would be tried is what counts.
      node.assertDrop(c.DROP_PUSH, A.vif, () => node.fromPod(A, long, { gsoSize: INNER - header - 20, gsoSegs: 3 }))
      assertTold(long, INNER, { gsoSize: INNER - header - 19, gsoSegs: 3 })
    })

    it(`lowers the MSS of ${family}, both ways`, () => {
      say()
      const syn = (src: string, dst: string, value: number) =>
        tcp(src, dst, 1, 2, TCP_FLAG.SYN, { tcpOptions: mss(value) })
      const fits = INNER - header - 20
      const { frame } = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, syn(local, remote, 1460)))
      assert.deepEqual(frame.subarray(ETH + 32), withTtl(syn(local, remote, fits), 63))
      const fromPeer = mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, syn(remote, local, 1460))
      assertFrame(
        node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, fromPeer)),
        eth(A.mac, ROUTER_MAC, type, syn(remote, local, fits)),
      )
    })

    it(`leaves ${family} between pods of this node alone`, () => {
      say()
      const other = family === 'IPv4' ? B.ip4 : B.ip6
      const packet = udp(local, other, 1, 2, Buffer.alloc(TUNNEL_MTU - header - 8))
      assertFrame(
        node.fromPod(A, eth(ROUTER_MAC, A.mac, type, packet)),
        eth(B.mac, ROUTER_MAC, type, withTtl(packet, 63)),
      )
    })

    it(`never lowers it so far that ${family} of 1280 bytes doesn’t fit`, () => {
      for (const mtu of [0, 68, 576, 1311]) {
        say({ mtu })
        assert.equal(known(), 1312)
      }
      assertSent(ofSize(1280))
      assertTold(ofSize(1281), 1280)
    })

    it(`leaves ${family} the 1280 bytes even where it was learnt with shorter outer headers`, () => {
      say()
      const key = ip4Number(PEER.ip4)
      node.maps.pathMtus.set(key, { ...node.maps.pathMtus.get(key)!, mtu: 1280 + 20 })
      assertSent(ofSize(1280))
      assertTold(ofSize(1281), 1280)
    })
  }

  it('is lowered further, and not raised by what is said later', () => {
    say({ mtu: 1450 })
    say({ mtu: PATH })
    say({ mtu: 1450 })
    assert.equal(known(), PATH)
  })

  it('is forgotten after ten minutes, and begins anew with what is said then', () => {
    const before = process.hrtime.bigint()
    say()
    const key = ip4Number(PEER.ip4)
    const path = node.maps.pathMtus.get(key)!
    const seconds = Number((path.expiresNs - before) / 1_000_000_000n)
    assert.ok(seconds >= 599 && seconds < 660, `${seconds} s`)
    node.maps.pathMtus.set(key, { ...path, expiresNs: process.hrtime.bigint() - 1_000_000_000n })
    const large = eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, REMOTE.ip4, 1, 2, Buffer.alloc(TUNNEL_MTU - 28)))
    assert.equal(node.fromPod(A, large).frame.length, large.length + 32)
    say({ mtu: 1450 })
    assert.equal(known(), 1450)
  })

  it('listens to nothing but what a router may say about a tunnel packet of this node', () => {
    const lies: Said[] = [
      { code: 1 },
      { type: 11, code: 0 },
      { type: 5 },
      { mtu: 1500 }, // the packet would have fitted
      { quoted: { src: '192.0.2.77' } },
      { quoted: { dst: '192.0.2.77' } }, // no node
      { quoted: { dport: 53 } },
      { quoted: { ip: { offset: 8 } } },
      { quoted: { ip: { options: Buffer.of(1, 1, 1, 1) } } },
      { bytes: 20 }, // no ports
      { to: '192.0.2.77' },
    ]
    for (const lie of lies) {
      say(lie)
      assert.equal([...node.maps.pathMtus.entries()].length, 0, JSON.stringify(lie))
    }
  })

  it('tells nobody when a peer’s packets come in pieces, but counts each packet', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2, Buffer.alloc(64))
    const piece = (ip: object) =>
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label, ip }, inner))
    node.assertDrop(c.DROP_FRAGMENTS, 0, () => node.fromFabric(piece({ more: true })))
    // A later piece has no ports: it may be the host's.
    assertFrame(node.fromFabric(piece({ offset: 8 })), piece({ offset: 8 }))
  })
})
