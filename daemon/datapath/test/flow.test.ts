/** Proves: which flows packets make, how they are keyed and linked, what limits them, and that they follow the routes. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import type { FlowRecord } from '../../src/maps/flows.ts'
import { deleteFlow, flowCounters, reverseOf } from '../../src/maps/flows.ts'
import { A, assertFrame, B, C, Fixture, HOST, NH, PEER, REDIRECT, REMOTE, ROUTER_MAC } from './fixture.ts'
import { ETH, eth, ip4, ip6, join, mplsOverUdp, PROTO, ping, pong, TCP_FLAG, tcp, u16, udp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'

function key({ nexthop, source, destination, sourcePort, destinationPort, protocol }: FlowRecord): unknown[] {
  return [nexthop, source, sourcePort, destination, destinationPort, protocol]
}

describe('datapath: flows', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const fromA = (packet: Uint8Array) =>
    node.fromPod(A, eth(ROUTER_MAC, A.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const fromB = (packet: Uint8Array) =>
    node.fromPod(B, eth(ROUTER_MAC, B.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const fromPeer = (label: number, inner: Uint8Array, src: string = PEER.ip4) =>
    node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src, dst: HOST.ip4, label }, inner)))
  const vifState = (vif: number) => node.maps.vifState.get(vif)!

  it('makes a pair for two pods of the node, each side keyed with the nexthop of who sends', () => {
    fromA(udp(A.ip4, B.ip4, 1000, 2000))
    const [forward, back] = node.flows()
    assert.deepEqual(key(forward!), [A.nh, A.ip4, 1000, B.ip4, 2000, PROTO.UDP])
    assert.deepEqual(key(back!), [B.nh, B.ip4, 2000, A.ip4, 1000, PROTO.UDP])
    assert.equal(forward!.flow.rindex, back!.flow.index)
    assert.deepEqual(reverseOf(node.maps.flows, back!), forward)
    assert.equal(forward!.flow.action, c.FLOW_ACTION_FORWARD)
    assert.equal(forward!.flow.flags, c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID)
    assert.deepEqual(
      [forward!.flow.nh, forward!.flow.vrf, forward!.flow.dvrf, forward!.flow.srcNh, forward!.flow.srcInfo],
      [B.nh, 2, 2, A.nh, A.vif],
    )
    assert.deepEqual([forward!.flow.packets, back!.flow.packets], [1n, 0n])

    fromB(udp(B.ip4, A.ip4, 2000, 1000))
    assert.equal(node.flows().length, 2, 'the reply belongs to the pair')
    assert.deepEqual(
      node.flows().map(({ flow }) => flow.packets),
      [1n, 1n],
    )
    assert.equal(flowCounters(node.maps.flows).created, 2n)
    assert.equal(vifState(A.vif).flows, 2)
    assert.equal(vifState(B.vif).flows, 0)
  })

  it('keys both directions with the local pod when the other end is remote', () => {
    fromA(udp(A.ip6, REMOTE.ip6, 1, 2))
    assert.deepEqual(node.flows().map(key), [
      [A.nh, A.ip6, 1, REMOTE.ip6, 2, PROTO.UDP],
      [A.nh, REMOTE.ip6, 2, A.ip6, 1, PROTO.UDP],
    ])
    fromPeer(A.label, udp(REMOTE.ip6, A.ip6, 2, 1))
    assert.deepEqual(
      node.flows().map(({ flow }) => flow.packets),
      [1n, 1n],
    )
  })

  it('charges what comes in from the fabric to the pod that gets it', () => {
    fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 1, 2))
    const [forward, back] = node.flows()
    assert.deepEqual([forward!.flow.srcNh, back!.flow.nh, back!.flow.label], [NH.TUNNEL, NH.TUNNEL, REMOTE.label])
    assert.equal(Buffer.from(Uint32Array.of(forward!.flow.srcInfo).buffer).join('.'), PEER.ip4)
    assert.equal(vifState(A.vif).flows, 2)
  })

  for (const [what, packet, expected] of [
    ['TCP', tcp(A.ip4, B.ip4, 1000, 80, TCP_FLAG.SYN), [1000, 80, PROTO.TCP]],
    ['an echo request: its id, 0', ping(A.ip4, B.ip4, 0x1234), [0x1234, 0, PROTO.ICMP]],
    ['an echo reply the same', pong(A.ip4, B.ip4, 0x1234), [0x1234, 0, PROTO.ICMP]],
    ['an ICMPv6 echo: its id, 129', ping(A.ip6, B.ip6, 0x1234), [0x1234, 129, PROTO.ICMP6]],
    [
      'another ICMP type: unswapped, as the vRouter stores it',
      ip4(A.ip4, B.ip4, PROTO.ICMP, Buffer.of(13, 0, 0, 0, 0, 1, 0, 1)),
      [0, 13 << 8, PROTO.ICMP],
    ],
    ['SCTP', ip4(A.ip4, B.ip4, PROTO.SCTP, Buffer.of(0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0)), [7, 9, PROTO.SCTP]],
    ['a protocol without ports', ip4(A.ip4, B.ip4, 47, Buffer.alloc(8, 1)), [0, 0, 47]],
    ['IPv6 without an upper layer', ip6(A.ip6, B.ip6, 59, Buffer.alloc(0)), [0, 0, 59]],
  ] as const) {
    it(`keys ${what}`, () => {
      assert.equal(fromA(packet).verdict, REDIRECT)
      const [forward, back] = node.flows()
      assert.deepEqual([forward!.sourcePort, forward!.destinationPort, forward!.protocol], expected)
      const isIcmp = expected[2] === PROTO.ICMP || expected[2] === PROTO.ICMP6
      assert.deepEqual(
        [back!.sourcePort, back!.destinationPort],
        isIcmp ? expected.slice(0, 2) : [expected[1], expected[0]],
      )
    })
  }

  it('lets a ping and its answer share one pair', () => {
    fromA(ping(A.ip4, B.ip4, 77))
    fromB(pong(B.ip4, A.ip4, 77))
    fromA(ping(A.ip6, B.ip6, 77))
    fromB(pong(B.ip6, A.ip6, 77))
    assert.deepEqual(
      node.flows().map(({ flow }) => flow.packets),
      [1n, 1n, 1n, 1n],
    )
  })

  it('looks a route up again after it changed, and drops nothing meanwhile', () => {
    const packet = udp(A.ip4, REMOTE.ip4, 1, 2)
    const label = () => fromA(packet).frame.readUInt32BE(14 + 28) >>> 12
    assert.equal(label(), REMOTE.label)
    node.setRoute(2, `${REMOTE.ip4}/32`, NH.TUNNEL, { label: 101, flags: c.ROUTE_LABEL_VALID })
    assert.equal(label(), REMOTE.label, 'not before the epoch says so')
    node.raiseEpoch()
    assert.equal(label(), 101)
    node.maps.routes.host4.delete({ vrf: 2, ip: 0x0a02010d })
    node.raiseEpoch()
    assert.equal(label(), REMOTE.vrfLabel)
    node.setRoute(2, `${REMOTE.ip4}/32`, B.nh)
    node.raiseEpoch()
    assertFrame(fromA(packet), eth(B.mac, ROUTER_MAC, 0x0800, withTtl(packet, 63)))
    node.setRoute(2, `${REMOTE.ip4}/32`, c.NH_ID_DISCARD)
    node.raiseEpoch()
    node.assertDrop(c.DROP_DISCARD, A.vif, () => fromA(packet))
    node.assertDrop(c.DROP_DISCARD, A.vif, () => fromA(packet))
    assert.equal(node.flows().length, 2)
    assert.equal(node.flows()[0]!.flow.packets, 7n)
  })

  it('follows a nexthop that is changed in place at once', () => {
    const packet = udp(A.ip4, B.ip4, 1, 2)
    fromA(packet)
    node.setNexthop(B.nh, {
      ...node.maps.nexthops.get(B.nh)!,
      to: '02:00:00:00:00:99',
      sip: undefined,
      dip: undefined,
    } as never)
    assert.equal(fromA(packet).frame.subarray(0, 6).toString('hex'), '020000000099')
    node.setNexthop(B.nh, { type: c.NH_ENCAP, flags: 0 })
    node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(packet))
  })

  it('makes no flow for what is dropped for want of a route', () => {
    node.assertDrop(c.DROP_DISCARD, A.vif, () => fromA(udp(A.ip4, '198.51.100.1', 1, 2)))
    node.setRoute(2, '198.51.100.0/24', NH.INVALID)
    node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(udp(A.ip4, '198.51.100.1', 1, 2)))
    node.setRoute(2, '198.51.100.0/24', 500)
    node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(udp(A.ip4, '198.51.100.1', 1, 2)))
    assert.equal(node.flows().length, 0)
    assert.equal(vifState(A.vif).flows, 0)
  })

  it('refuses new flows from and to a vif that drops them', () => {
    const { vif, nh, mac, ip4, ip6 } = A
    fromA(udp(A.ip4, B.ip4, 1, 1))
    node.setVif({
      id: vif,
      ifindex: node.devices[vif]!,
      vrf: 2,
      nhId: nh,
      peerMac: mac,
      ip4,
      ip6,
      flags: c.VIF_DROP_NEW_FLOWS,
    })
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () => fromA(udp(A.ip4, B.ip4, 1, 2)))
    node.assertDrop(c.DROP_NEW_FLOWS, 0, () => fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 1, 2)))
    assert.equal(fromA(udp(A.ip4, B.ip4, 1, 1)).verdict, REDIRECT)
  })

  it('drops packets of a flow that says so', () => {
    const packet = udp(A.ip4, B.ip4, 1, 2)
    fromA(packet)
    const flows = [...node.maps.flows.flow4.entries()]
    const [flowKey, flow] = flows.find(([{ nhId }]) => nhId === A.nh)!
    node.maps.flows.flow4.set(flowKey, { ...flow, action: c.FLOW_ACTION_DROP })
    node.assertDrop(c.DROP_FLOW_ACTION_DROP, A.vif, () => fromA(packet))
    node.maps.flows.flow4.set(flowKey, { ...flow, action: c.FLOW_ACTION_HOLD })
    node.assertDrop(c.DROP_FLOW_ACTION_INVALID, A.vif, () => fromA(packet))
    node.maps.flows.flow4.set(flowKey, flow)
    assert.equal(fromA(packet).verdict, REDIRECT)
  })

  /** As the tools end a flow: one entry says so, or both do. */
  const mark = (nexthops: readonly number[]) => {
    for (const [flowKey, flow] of [...node.maps.flows.flow4.entries()])
      if (nexthops.includes(flowKey.nhId))
        node.maps.flows.flow4.set(flowKey, { ...flow, flags: flow.flags | c.FLOW_EVICT_CANDIDATE })
  }

  for (const [which, marked] of [
    ['its own direction', [A.nh]],
    ['both directions', [A.nh, B.nh]],
  ] as const)
    it(`begins a flow anew with its next packet when user space wants it gone: ${which}`, () => {
      const packet = udp(A.ip4, B.ip4, 1, 2)
      fromA(packet)
      fromB(udp(B.ip4, A.ip4, 2, 1))
      mark(marked)
      assert.equal(fromA(packet).verdict, REDIRECT)
      assert.equal(fromB(udp(B.ip4, A.ip4, 2, 1)).verdict, REDIRECT)
      const alive = node.flows()
      assert.deepEqual(
        alive.map(({ flow }) => [flow.packets, flow.flags & c.FLOW_EVICT_CANDIDATE]),
        [
          [1n, 0],
          [1n, 0],
        ],
      )
      assert.equal(reverseOf(node.maps.flows, alive[0]!)!.flow.index, alive[1]!.flow.index)
      assert.equal(vifState(A.vif).flows, 2)
      assert.equal(node.totalDrops(), 0)
    })

  it('makes a new flow where the way back of an ended one is still there', () => {
    const toHost = (pod: typeof A) =>
      node.fromPod(pod, eth(ROUTER_MAC, pod.mac, 0x0800, udp(pod.ip4, HOST.ip4, 5000, 53)))
    assert.equal(toHost(A).verdict, REDIRECT)
    mark([A.nh, NH.RCV])
    assert.equal(toHost(C).verdict, REDIRECT)
    assert.deepEqual([vifState(A.vif).flows, vifState(C.vif).flows, node.flows().length], [0, 2, 2])
    assert.equal(node.totalDrops(), 0)
  })

  it('joins a reverse entry that outlived its pair', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    const [[flowKey]] = [...node.maps.flows.flow4.entries()].filter(([{ nhId }]) => nhId === A.nh) as [[never, never]]
    node.maps.flows.flow4.delete(flowKey)
    fromA(udp(A.ip4, B.ip4, 1, 2))
    const alive = node.flows()
    assert.equal(alive.length, 2)
    assert.deepEqual(reverseOf(node.maps.flows, alive[0]!)!.flow.index, alive[1]!.flow.index)
    assert.deepEqual(reverseOf(node.maps.flows, alive[1]!)!.flow.index, alive[0]!.flow.index)
  })

  it('begins anew once user space has deleted it, and loses no handle', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    assert.equal(deleteFlow(node.maps.flows, 1)?.flow.rindex, 0)
    assert.equal(deleteFlow(node.maps.flows, 1), undefined)
    assert.deepEqual([...node.maps.flows.flow4.entries()], [])
    node.call('age_now')
    assert.equal(vifState(A.vif).flows, 0)
    fromA(udp(A.ip4, B.ip4, 1, 2))
    assert.deepEqual(
      node.flows().map(({ flow }) => [flow.packets, flow.gen]),
      [
        [1n, 2],
        [0n, 2],
      ],
    )
    assert.equal(flowCounters(node.maps.flows).next, 2)
  })

  it('never joins the way back of another flow that lives: the second one gets another port', () => {
    const from = (pod: typeof A, packet: Uint8Array) => node.fromPod(pod, eth(ROUTER_MAC, pod.mac, 0x0800, packet))
    assert.equal(from(A, udp(A.ip4, HOST.ip4, 5000, 53)).verdict, REDIRECT)
    const sent = from(C, udp(C.ip4, HOST.ip4, 5000, 53))
    const port = sent.frame.readUInt16BE(ETH + 20)
    assert.ok(port >= 1024 && port !== 5000, `port ${port}`)
    assertFrame(sent, eth(HOST.mac, C.mac, 0x0800, withTtl(udp(C.ip4, HOST.ip4, port, 53), 63)))
    for (const [pod, own] of [
      [A, 5000],
      [C, port],
    ] as const)
      assertFrame(
        node.fromHost(eth(HOST.mac, HOST.mac, 0x0800, udp(HOST.ip4, pod.ip4, 53, own))),
        eth(pod.mac, ROUTER_MAC, 0x0800, withTtl(udp(HOST.ip4, pod.ip4, 53, 5000), 63)),
      )
    assert.deepEqual([vifState(A.vif).flows, vifState(C.vif).flows, node.totalDrops()], [2, 2, 0])
  })

  it('refuses the second one of those whose checksum can’t follow another port', () => {
    const sctp = (src: string) => ip4(src, HOST.ip4, PROTO.SCTP, join(u16(5000), u16(53), Buffer.alloc(8)))
    const from = (pod: typeof A) => node.fromPod(pod, eth(ROUTER_MAC, pod.mac, 0x0800, sctp(pod.ip4)))
    assert.equal(from(A).verdict, REDIRECT)
    const before = node.flows().map(({ flow }) => [flow.index, flow.rindex])
    node.assertDrop(c.DROP_FLOW_UNUSABLE, C.vif, () => from(C))
    assert.deepEqual(
      node.flows().map(({ flow }) => [flow.index, flow.rindex]),
      before,
    )
    assert.equal(vifState(C.vif).flows, 0)
  })

  it('answers the host in the VRF that the host asked from, whatever the pod’s own network says', () => {
    const request = tcp(HOST.ip4, A.ip4, 1000, 80, TCP_FLAG.SYN)
    assertFrame(
      node.fromHost(eth(HOST.mac, HOST.mac, 0x0800, request)),
      eth(A.mac, ROUTER_MAC, 0x0800, withTtl(request, 63)),
    )
    node.maps.routes.host4.delete({ vrf: 2, ip: 0xc0000201 })
    node.raiseEpoch()
    const reply = tcp(A.ip4, HOST.ip4, 80, 1000, TCP_FLAG.SYN | TCP_FLAG.ACK)
    assertFrame(fromA(reply), eth(HOST.mac, A.mac, 0x0800, withTtl(reply, 63)))
    const [forward, back] = node.flows()
    assert.deepEqual(key(forward!), [NH.RCV, HOST.ip4, 1000, A.ip4, 80, PROTO.TCP])
    assert.deepEqual(key(back!), [A.nh, A.ip4, 80, HOST.ip4, 1000, PROTO.TCP])
    assert.deepEqual([back!.flow.flags & c.FLOW_VRFT, back!.flow.vrf, back!.flow.dvrf], [c.FLOW_VRFT, 2, 0])
  })

  it('lets the host answer a pod by the pod’s flow, although VRF 0 has no route to it', () => {
    fromB(udp(B.ip4, HOST.ip4, 5000, 53))
    const reply = udp(HOST.ip4, B.ip4, 53, 5000)
    assertFrame(
      node.fromHost(eth(HOST.mac, HOST.mac, 0x0800, reply)),
      eth(B.mac, ROUTER_MAC, 0x0800, withTtl(reply, 63)),
    )
    const other = eth(PEER.mac, HOST.mac, 0x0800, udp(HOST.ip4, B.ip4, 53, 5001))
    assertFrame(node.fromHost(other), other)
  })
})
