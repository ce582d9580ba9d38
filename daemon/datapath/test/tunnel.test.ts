/** Proves, byte for byte: MPLS over UDP out of and into the node, what is checked on the way in, and where loops end. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  PASSED,
  PEER,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  VRF_LABEL,
} from './fixture.ts'
import {
  agentFrame,
  checksum,
  ETH,
  eth,
  mplsOverUdp,
  TCP_FLAG,
  type TunnelFields,
  tcp,
  udp,
  withTtl,
} from './frames.ts'
import { AGENT_MAC, cannotRun } from './node.ts'

const FAMILIES = [
  ['IPv4', 0x0800, A.ip4, REMOTE.ip4, '10.2.1.77'],
  ['IPv6', 0x86dd, A.ip6, REMOTE.ip6, '2001:db8:2:1::77'],
] as const

function fromPeer(label: number, inner: Uint8Array, options: Partial<TunnelFields> = {}): Buffer {
  return eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label, ...options }, inner))
}

describe('datapath: tunnels', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  for (const [family, type, local, remote, elsewhere] of FAMILIES) {
    it(`sends ${family} to a remote pod under its label, entropy in the source port, outer DF set`, () => {
      const packet = udp(local, remote, 1000, 2000, undefined, { id: 0x4321 })
      for (let i = 0; i < 2; i++) {
        const { frame, verdict } = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, packet))
        const sport = frame.readUInt16BE(ETH + 20)
        assert.ok(sport >= 49152 && sport < 65535, `source port ${sport}`)
        assert.equal(sport, node.flows()[0]!.flow.udpSrcPort)
        assert.equal(checksum(frame.subarray(ETH, ETH + 20)), 0, 'outer IP checksum')
        const id = frame.readUInt16BE(ETH + 4)
        if (family === 'IPv4') assert.equal(id, 0x4321)
        const outer = { src: HOST.ip4, dst: PEER.ip4, label: REMOTE.label, sport, id, mplsTtl: 63, ip: { df: true } }
        assertFrame(
          { frame, verdict } as never,
          eth(PEER.mac, HOST.mac, 0x0800, mplsOverUdp(outer, withTtl(packet, 63))),
        )
      }
      assert.deepEqual(node.vrfCounters(2), { l2Receives: 2, udpMplsTunnels: 2 })
      assert.deepEqual(node.vifCounters(0), { txPackets: 2, txBytes: 2 * (ETH + 32 + packet.length) })
    })

    it(`sends ${family} to a remote block under the label of its VRF`, () => {
      const { frame } = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, udp(local, elsewhere, 1, 2)))
      assert.equal(frame.readUInt32BE(ETH + 28) >>> 12, REMOTE.vrfLabel)
    })

    for (const [what, label] of [
      ["a pod's label", A.label],
      ["a VRF's label", VRF_LABEL],
    ] as const) {
      for (const dport of [6635, 51234]) {
        it(`delivers ${family} that comes under ${what} to port ${dport}, TTL untouched`, () => {
          if (dport === 51234) node.setGlobals({ options: c.OPTION_MPLS_PORT_OLD })
          const packet = udp(remote, local, 2000, 1000, undefined, { ttl: 1 })
          for (let i = 0; i < 2; i++)
            assertFrame(node.fromFabric(fromPeer(label, packet, { dport })), eth(A.mac, ROUTER_MAC, type, packet))
          assert.deepEqual(node.vrfCounters(2), label === VRF_LABEL ? { encaps: 2, vrfTranslates: 2 } : { encaps: 2 })
          assert.deepEqual(node.vifCounters(A.vif), { txPackets: 2, txBytes: 2 * (ETH + packet.length) })
          assert.equal(node.totalDrops(), 0)
          const [forward, back] = node.flows()
          assert.equal(forward!.nexthop, A.nh, "keyed with the destination's nexthop")
          assert.equal(back!.nexthop, A.nh)
          assert.equal(forward!.flow.packets, 2n)
          assert.equal(forward!.flow.bytes, 2n * BigInt(ETH + packet.length))
        })
      }
    }

    it(`answers ${family} from a pod through the tunnel that the route says, not the one it came by`, () => {
      node.fromFabric(fromPeer(A.label, udp(remote, local, 2000, 1000)))
      const reply = udp(local, remote, 1000, 2000)
      const { frame } = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, reply))
      assert.equal(frame.readUInt32BE(ETH + 28) >>> 12, REMOTE.label)
      assert.deepEqual(frame.subarray(ETH + 32), withTtl(reply, 63))
      assert.equal(node.flows().length, 2)
    })
  }

  it('hands packets under the label of the host to vhost0', () => {
    const packet = tcp('10.2.1.13', HOST.ip4, 2000, 22, TCP_FLAG.SYN)
    assertFrame(node.fromFabric(fromPeer(HOST.label, packet)), eth(HOST.mac, PEER.mac, 0x0800, packet))
    assert.deepEqual(node.vrfCounters(0), { receives: 1 })
    assert.equal(node.flows()[0]!.nexthop, NH.RCV)
  })

  it('shows packets for the agent with their tunnel headers', () => {
    const frame = fromPeer(VRF_LABEL, udp(REMOTE.ip4, GATEWAY.ip4, 1, 2))
    assertFrame(
      node.fromFabric(frame),
      agentFrame(AGENT_MAC, ROUTER_MAC, { vif: 0, vrf: 2, cmd: c.AGENT_TRAP_NEXTHOP }, frame),
    )
  })

  it('leaves to the host everything that is no tunnel of ours', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2)
    const frames = [
      eth(HOST.mac, PEER.mac, 0x0800, udp(PEER.ip4, HOST.ip4, 5000, 53)),
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: '192.0.2.9', label: A.label }, inner)),
      eth(
        HOST.mac,
        PEER.mac,
        0x0800,
        mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label, ip: { offset: 8 } }, inner),
      ),
      eth(
        HOST.mac,
        PEER.mac,
        0x0800,
        mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label, ip: { options: Buffer.of(1, 1, 1, 1) } }, inner),
      ),
      eth(HOST.mac, PEER.mac, 0x0806, Buffer.alloc(28)),
      eth('ff:ff:ff:ff:ff:ff', PEER.mac, 0x88cc, Buffer.alloc(46)),
      eth(HOST.mac, PEER.mac, 0x86dd, udp('2001:db8:ff::2', '2001:db8:ff::1', 1, 6635)),
    ]
    for (const frame of frames) assertFrame(node.fromFabric(frame), frame)
    assert.deepEqual(node.vifCounters(1), {
      txPackets: frames.length,
      txBytes: frames.reduce((sum, f) => sum + f.length, 0),
    })
    assert.equal(node.totalDrops(), 0)
    node.maps.vifs.delete(node.devices.fabric)
    assert.equal(node.fromFabric(frames[0]!).verdict, PASSED, 'a NIC that is not programmed is the kernel’s')
  })

  it('drops frames for other hosts', () => {
    const frame = eth('0e:00:00:00:00:99', PEER.mac, 0x0800, udp(PEER.ip4, HOST.ip4, 1, 2))
    node.assertDrop(c.DROP_INTERFACE_DROP, 0, () => node.fromFabric(frame))
  })

  for (const [local, remote] of [
    [A.ip4, REMOTE.ip4],
    [A.ip6, REMOTE.ip6],
  ] as const)
    it(`counts the hop between nodes once: a TTL of 2 from ${local} reaches the pod with 1, a TTL of 1 is answered here`, () => {
      const frame = (ttl: number) =>
        eth(ROUTER_MAC, A.mac, local === A.ip4 ? 0x0800 : 0x86dd, udp(local, remote, 1, 2, undefined, { ttl }))
      const out = node.fromPod(A, frame(2))
      assert.equal(out.frame[ETH + 28 + 3], 1, 'TTL of the label')
      assert.deepEqual(out.frame.subarray(ETH + 32), withTtl(udp(local, remote, 1, 2), 1))
      // The other node's side: the same headers, the other way round.
      const packet = udp(remote, local, 2, 1, undefined, { ttl: 1 })
      assertFrame(
        node.fromFabric(fromPeer(A.label, packet, { mplsTtl: 1 })),
        eth(A.mac, ROUTER_MAC, local === A.ip4 ? 0x0800 : 0x86dd, packet),
      )
      assertFrame(
        node.fromPod(A, frame(1)),
        agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_ZERO_TTL }, frame(1)),
      )
      assert.equal(node.totalDrops(), 0)
    })

  it('drops what is wrong with the label', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2)
    node.assertDrop(c.DROP_INVALID_LABEL, 0, () => node.fromFabric(fromPeer(99, inner)))
    node.assertDrop(c.DROP_INVALID_LABEL, 0, () => node.fromFabric(fromPeer(0xfffff, inner)))
    node.assertDrop(c.DROP_INVALID_LABEL, 0, () => node.fromFabric(fromPeer(0, inner)))
    node.assertDrop(c.DROP_INVALID_LABEL, 0, () => node.fromFabric(fromPeer(A.label, inner, { bottom: false })))
    node.assertDrop(c.DROP_TTL_EXCEEDED, 0, () => node.fromFabric(fromPeer(A.label, inner, { mplsTtl: 0 })))
    node.setLabel(40, NH.INVALID)
    node.assertDrop(c.DROP_INVALID_NH, 0, () => node.fromFabric(fromPeer(40, inner)))
    node.setLabel(41, NH.TUNNEL)
    node.assertDrop(c.DROP_INVALID_NH, 0, () => node.fromFabric(fromPeer(41, inner)))
    node.setLabel(42, B.nh + 1)
    node.assertDrop(c.DROP_INVALID_NH, 0, () => node.fromFabric(fromPeer(42, inner)))
    node.setLabel(43, c.NH_ID_DISCARD)
    node.assertDrop(c.DROP_DISCARD, 0, () => node.fromFabric(fromPeer(43, inner)))
  })

  it('drops what is wrong with lengths and versions', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2)
    node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(fromPeer(A.label, inner, { udpLength: 11 })))
    node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(fromPeer(A.label, inner, { udpLength: 9999 })))
    node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(fromPeer(A.label, inner, { ip: { length: 9999 } })))
    node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(fromPeer(A.label, inner, { ip: { length: 31 } })))
    node.assertDrop(c.DROP_INVALID_PROTOCOL, 0, () => node.fromFabric(fromPeer(A.label, Buffer.alloc(40, 0x50))))
    node.assertDrop(c.DROP_INVALID_PROTOCOL, 0, () => node.fromFabric(fromPeer(A.label, Buffer.alloc(40, 0x42))))
    node.assertDrop(c.DROP_PULL, 0, () => node.fromFabric(fromPeer(A.label, new Uint8Array(0))))
    node.assertDrop(c.DROP_PULL, 0, () => node.fromFabric(fromPeer(A.label, inner.subarray(0, 19))))
    node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(fromPeer(A.label, inner.subarray(0, 22))))
  })

  it('takes a tunnel inside a tunnel for an ordinary packet', () => {
    const nested = mplsOverUdp({ src: REMOTE.ip4, dst: A.ip4, label: B.label }, udp(REMOTE.ip4, B.ip4, 1, 2))
    assertFrame(node.fromFabric(fromPeer(A.label, nested)), eth(A.mac, ROUTER_MAC, 0x0800, nested))
    const forHost = mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, udp(REMOTE.ip4, A.ip4, 1, 2))
    assertFrame(node.fromFabric(fromPeer(HOST.label, forHost)), eth(HOST.mac, PEER.mac, 0x0800, forHost))
  })

  it('passes on what belongs to a third node, and never back to where it came from', () => {
    node.setRoute(2, '10.2.2.0/24', NH.TUNNEL_2, { label: 55, flags: c.ROUTE_LABEL_VALID })
    const packet = udp(REMOTE.ip4, '10.2.2.1', 1, 2)
    const { frame, verdict } = node.fromFabric(fromPeer(VRF_LABEL, packet))
    assert.equal(verdict, REDIRECT)
    assert.equal(frame.readUInt32BE(ETH + 28) >>> 12, 55)
    assert.deepEqual(frame.subarray(ETH + 32), withTtl(packet, 63))
    assert.equal(node.flows().length, 0)
    node.assertDrop(c.DROP_PKT_LOOP, 0, () => node.fromFabric(fromPeer(VRF_LABEL, udp('10.2.2.1', REMOTE.ip4, 1, 2))))
  })

  it('drops a packet whose source lives behind another node, or here', () => {
    node.assertDrop(c.DROP_INVALID_SOURCE, 0, () =>
      node.fromFabric(fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 1, 2), { src: '192.0.2.3' })),
    )
    node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => node.fromFabric(fromPeer(A.label, udp(B.ip4, A.ip4, 1, 2))))
    assert.equal(node.flows().length, 0)
  })

  it('drops packets for a tunnel that can’t take them', () => {
    const packet = eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, '10.2.3.1', 1, 2))
    node.setRoute(2, '10.2.3.0/24', NH.TUNNEL)
    node.assertDrop(c.DROP_INVALID_LABEL, A.vif, () => node.fromPod(A, packet))
    node.setRoute(2, '10.2.3.0/24', NH.TUNNEL, { label: 7 })
    node.raiseEpoch()
    node.assertDrop(c.DROP_INVALID_LABEL, A.vif, () => node.fromPod(A, packet))
    node.setNexthop(60, { type: c.NH_TUNNEL, flags: c.NH_FLAG_VALID | c.NH_FLAG_TUNNEL_VXLAN, dip: PEER.ip4 })
    node.setRoute(2, '10.2.3.0/24', 60, { label: 7, flags: c.ROUTE_LABEL_VALID })
    node.raiseEpoch()
    node.assertDrop(c.DROP_INVALID_NH, A.vif, () => node.fromPod(A, packet))
    node.setNexthop(60, { type: c.NH_TUNNEL, flags: c.NH_FLAG_VALID | c.NH_FLAG_TUNNEL_UDP_MPLS, dip: PEER.ip4 })
    node.assertDrop(c.DROP_INVALID_IF, A.vif, () => node.fromPod(A, packet))
  })
})
