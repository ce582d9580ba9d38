/**
 * Proves: a route leaked from one network into another carries traffic both ways, on this node and between nodes; one that is withdrawn
 * carries none in either direction; and the host reaches workloads of any network, and gets their answers.
 */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { A, assertFrame, C, Fixture, HOST, NH, PEER, REDIRECT, REMOTE, ROUTER_MAC, type Workload } from './fixture.ts'
import { ETH, eth, icmp4, join, mplsOverUdp, ping, pong, TCP_FLAG, tcp, u32, udp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'

/** In VRF 3, at an address that VRF 2 doesn't use itself. */
const D = { ...C, ip4: '10.3.0.21', ip6: '2001:db8:3::21' }
const { SYN, ACK } = TCP_FLAG

describe('datapath: leaked routes and the host', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    const { vif, nh, label, mac, ip4, ip6 } = D
    node.setVif({
      id: vif,
      ifindex: node.devices[vif]!,
      vrf: 3,
      nhId: nh,
      label,
      peerMac: mac,
      ip4,
      ip6,
      name: `tap${vif}`,
    })
    node.setRoute(3, `${D.ip4}/32`, D.nh)
    node.setRoute(3, `${D.ip6}/128`, D.nh)
  })
  afterEach(() => node?.[Symbol.dispose]())

  const type = (packet: Uint8Array) => (packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd)
  const from = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, eth(ROUTER_MAC, pod.mac, type(packet), packet))
  const fromHost = (packet: Uint8Array) => node.fromHost(eth(HOST.mac, HOST.mac, type(packet), packet))
  const fromPeer = (label: number, inner: Uint8Array, src: string = PEER.ip4) =>
    node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src, dst: HOST.ip4, label }, inner)))
  const assertAt = (pod: Workload, sent: ReturnType<typeof from>, packet: Uint8Array) =>
    assertFrame(
      sent,
      eth(pod.mac, ROUTER_MAC, type(packet), withTtl(packet, packet[0]! >> 4 === 4 ? packet[8]! - 1 : packet[7]! - 1)),
    )

  const leak = () => {
    node.setRoute(2, `${D.ip4}/32`, D.nh)
    node.setRoute(2, `${D.ip6}/128`, D.nh)
    node.setRoute(3, `${A.ip4}/32`, A.nh)
    node.setRoute(3, `${A.ip6}/128`, A.nh)
    node.raiseEpoch()
  }
  const withdraw = () => {
    node.maps.routes.host4.delete({ vrf: 2, ip: 0x0a030015 })
    node.maps.routes.host4.delete({ vrf: 3, ip: 0x0a02000b })
    node.raiseEpoch()
  }

  it('carries traffic between two networks of this node, whoever begins', () => {
    node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(A.ip4, D.ip4, 1, 2)))
    leak()
    assertAt(D, from(A, udp(A.ip4, D.ip4, 1, 2)), udp(A.ip4, D.ip4, 1, 2))
    assertAt(A, from(D, udp(D.ip4, A.ip4, 2, 1)), udp(D.ip4, A.ip4, 2, 1))
    assertAt(A, from(D, ping(D.ip6, A.ip6, 5)), ping(D.ip6, A.ip6, 5))
    assertAt(D, from(A, pong(A.ip6, D.ip6, 5)), pong(A.ip6, D.ip6, 5))
    assert.equal(node.flows().length, 4)
    const back = node.flows().find(({ source, protocol }) => source === D.ip4 && protocol === 17)!
    assert.deepEqual([back.flow.vrf, back.flow.dvrf, back.flow.flags & c.FLOW_VRFT], [3, 2, c.FLOW_VRFT])
    const error = icmp4(A.ip4, D.ip4, 3, 3, join(u32(0), udp(D.ip4, A.ip4, 2, 1)))
    assertAt(D, from(A, error), error)
  })

  it('carries nothing any more in either direction once the leak is withdrawn', () => {
    leak()
    from(A, udp(A.ip4, D.ip4, 1, 2))
    from(D, udp(D.ip4, A.ip4, 2, 1))
    from(D, udp(D.ip4, A.ip4, 7, 8))
    from(A, udp(A.ip4, D.ip4, 8, 7))
    withdraw()
    node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(A.ip4, D.ip4, 1, 2)))
    node.assertDrop(c.DROP_DISCARD, D.vif, () => from(D, udp(D.ip4, A.ip4, 2, 1)))
    node.assertDrop(c.DROP_DISCARD, D.vif, () => from(D, udp(D.ip4, A.ip4, 7, 8)))
    node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(A.ip4, D.ip4, 8, 7)))
    const why = (nexthop: number, sourcePort: number) =>
      node.flows().find((one) => one.nexthop === nexthop && one.sourcePort === sourcePort)?.flow.dropReason
    assert.deepEqual(
      [why(A.nh, 1), why(D.nh, 2)],
      [c.FLOW_DROP_NO_DESTINATION_ROUTE, c.FLOW_DROP_NO_SOURCE_ROUTE],
      'whoever answers has no way that leads to him',
    )
    leak()
    assertAt(A, from(D, udp(D.ip4, A.ip4, 2, 1)), udp(D.ip4, A.ip4, 2, 1))
    assertAt(D, from(A, udp(A.ip4, D.ip4, 8, 7)), udp(A.ip4, D.ip4, 8, 7))
  })

  it('lets nobody use another’s address over a leak', () => {
    leak()
    node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () => from(A, udp(D.ip4, D.ip4, 1, 2)))
    node.assertDrop(c.DROP_INVALID_SOURCE, D.vif, () => from(D, udp(A.ip4, A.ip4, 1, 2)))
  })

  it('reaches a workload of another network on another node under its label, and is answered', () => {
    const remote = { ip4: '10.3.1.7', label: 107 }
    node.setRoute(2, `${remote.ip4}/32`, NH.TUNNEL, { label: remote.label, flags: c.ROUTE_LABEL_VALID })
    const packet = udp(A.ip4, remote.ip4, 1, 2)
    const { frame, verdict } = from(A, packet)
    assert.equal(verdict, REDIRECT)
    assert.equal(frame.readUInt32BE(ETH + 28) >>> 12, remote.label)
    assert.deepEqual(frame.subarray(ETH + 32), withTtl(packet, 63))
    const answer = udp(remote.ip4, A.ip4, 2, 1)
    assertFrame(fromPeer(A.label, answer), eth(A.mac, ROUTER_MAC, 0x0800, answer))
    assert.equal(node.flows().length, 2)
  })

  it('takes what comes from a leaked network by the right node only', () => {
    node.setRoute(3, `${REMOTE.ip4}/32`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
    const packet = (port: number) => udp(REMOTE.ip4, D.ip4, port, 2)
    assertFrame(fromPeer(D.label, packet(1)), eth(D.mac, ROUTER_MAC, 0x0800, packet(1)))
    node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => fromPeer(D.label, packet(2), '192.0.2.3'))
    // a leaked source that lives here doesn't come by a tunnel
    node.setRoute(3, `${A.ip4}/32`, A.nh)
    node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => fromPeer(D.label, udp(A.ip4, D.ip4, 3, 2)))
    const answer = udp(D.ip4, REMOTE.ip4, 2, 1)
    const { frame } = from(D, answer)
    assert.equal(frame.readUInt32BE(ETH + 28) >>> 12, REMOTE.label)
    node.maps.routes.host4.delete({ vrf: 3, ip: 0x0a02010d })
    node.raiseEpoch()
    node.assertDrop(c.DROP_DISCARD, D.vif, () => from(D, answer))
  })

  for (const [family, pod, host] of [
    ['IPv4', D.ip4, HOST.ip4],
    ['IPv6', D.ip6, HOST.ip6],
  ] as const) {
    it(`${family}: the host’s probe reaches a workload of any network, and the answer the host`, () => {
      const bits = family === 'IPv4' ? 32 : 128
      node.setRoute(0, `${pod}/${bits}`, D.nh)
      node.setRoute(0, `${host}/${bits}`, NH.RCV)
      const request = tcp(host, pod, 40000, 8080, SYN)
      assertAt(D, fromHost(request), request)
      const reply = tcp(pod, host, 8080, 40000, SYN | ACK)
      assertFrame(from(D, reply), eth(HOST.mac, D.mac, type(reply), withTtl(reply, 63)))
      const [forward, back] = node.flows()
      assert.deepEqual([forward!.flow.vrf, back!.flow.vrf, back!.flow.dvrf], [0, 3, 0])
      node.raiseEpoch()
      assertFrame(from(D, reply), eth(HOST.mac, D.mac, type(reply), withTtl(reply, 63)))
      assertAt(D, fromHost(tcp(host, pod, 40000, 8080, ACK)), tcp(host, pod, 40000, 8080, ACK))
      assert.equal(node.totalDrops(), 0)
    })
  }

  it('ends what a workload answers to the host, when the host can’t reach it any more', () => {
    node.setRoute(0, `${D.ip4}/32`, D.nh)
    fromHost(tcp(HOST.ip4, D.ip4, 40000, 8080, SYN))
    const reply = tcp(D.ip4, HOST.ip4, 8080, 40000, SYN | ACK)
    assert.equal(from(D, reply).verdict, REDIRECT)
    node.maps.routes.host4.delete({ vrf: 0, ip: 0x0a030015 })
    node.raiseEpoch()
    node.assertDrop(c.DROP_DISCARD, D.vif, () => from(D, reply))
  })
})
