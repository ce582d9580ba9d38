/**
 * Proves: nobody takes the flow table from others. Shares per family, vif, network, fabric and source; the host's reserve; what is over
 * or was never answered gives way; and after any sequence the counts are those of the table's content.
 */
import { strict as assert } from 'node:assert'
import { ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { flowCounters } from '../../src/maps/flows.ts'
import { encode, u32Codec } from '../../src/maps/table.ts'
import { A, B, C, Fixture, HOST, NH, PEER, REDIRECT, REMOTE, ROUTER_MAC, type Workload } from './fixture.ts'
import { eth, frame, mplsOverUdp, TCP_FLAG, tcp, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const { SYN, ACK, RST, FIN } = TCP_FLAG

describe('datapath: shares of the flow table', function () {
  this.timeout(120000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const from = (pod: Workload, packet: Uint8Array) =>
    node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet)).verdict === REDIRECT
  const fromHost = (packet: Uint8Array) => node.fromHost(frame(HOST.mac, HOST.mac, packet)).verdict === REDIRECT
  const fromPeer = (label: number, inner: Uint8Array) =>
    node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label }, inner)))
      .verdict === REDIRECT
  const state = (vif: number) => node.maps.vifState.get(vif)!
  const held = (vif: number) => state(vif).flows
  const pairs = () => node.flows().length / 2

  /** A connection that both sides have spoken in. */
  const talk = (pod: Workload, to: Workload, port: number, six = false): boolean => {
    const [a, b] = six ? [pod.ip6, to.ip6] : [pod.ip4, to.ip4]
    return from(pod, udp(a, b, port, 53)) && from(to, udp(b, a, 53, port))
  }
  const count = (make: (i: number) => boolean, most = 500): number => {
    let made = 0
    while (made < most && make(made + 1)) made++
    return made
  }
  /** `tries` attempts; how many were let through. */
  const flood = (tries: number, send: (i: number) => boolean): number => {
    let through = 0
    for (let i = 1; i <= tries; i++) if (send(i)) through++
    return through
  }

  it('end one pod alone at a third of its family, and leave the others and the host their room', () => {
    node.setFlowRoom(60)
    assert.equal(
      count((i) => talk(A, B, i)),
      10,
    )
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, B.ip4, 1, 9))),
    )
    assert.ok(from(B, udp(B.ip4, REMOTE.ip4, 1, 1)))
    assert.ok(fromHost(udp(HOST.ip4, A.ip4, 1, 1)))
  })

  it('are counted for each family: one that is full leaves the other as it is', () => {
    node.setFlowRoom(120, 60, 60)
    assert.equal(
      count((i) => talk(A, B, i, true)),
      10,
    )
    assert.equal(state(A.vif).flows6, 20)
    assert.equal(
      count((i) => talk(A, B, i)),
      10,
    )
    assert.equal(state(A.vif).flows, 40)
  })

  it('end a network at a half, however many pods it has', () => {
    node.setFlowRoom(128)
    let made = 0
    for (let round = 1; round <= 100; round++) {
      if (talk(A, B, round)) made++
      if (talk(B, A, 1000 + round)) made++
    }
    assert.ok(made * 2 <= 66, `${made} pairs`)
    node.setRoute(3, '10.2.0.99/32', C.nh)
    assert.equal(
      flood(8, (i) => from(C, udp(C.ip4, '10.2.0.99', i, 1))),
      8,
      'another network has its part',
    )
  })

  it('keep the end of the table for the host, whose probes go through when nobody else’s do', () => {
    node.setFlowRoom(64)
    node.setGlobals({ ageOtherS: 0 })
    const answered = (i: number) => fromHost(udp(HOST.ip4, A.ip4, i, 1)) && from(A, udp(A.ip4, HOST.ip4, 1, i))
    assert.ok(talk(A, B, 1001))
    assert.ok(talk(A, B, 1002))
    assert.equal(count(answered, 27), 27)
    assert.ok(talk(B, A, 1))
    assert.ok(!talk(B, A, 2), 'what is left is the host’s')
    assert.ok(answered(30))
    assert.ok(answered(31))
    node.assertDrop(c.DROP_FLOW_TABLE_FULL, c.VIF_ID_VHOST, () =>
      node.fromHost(eth(HOST.mac, HOST.mac, 0x0800, udp(HOST.ip4, A.ip4, 32, 1))),
    )
  })

  it('give a pod that has hardly any flows room where others are refused, however many connections of the host’s are answered', () => {
    using large = new Fixture({ sizes: { flow4: 8192, flow_slots: 16384, flow_free: 16384, flow_closed: 8192 } })
    const send = (pod: Workload, packet: Uint8Array) =>
      large.fromPod(pod, eth(ROUTER_MAC, pod.mac, 0x0800, packet)).verdict === REDIRECT
    const answered = (port: number) =>
      large.fromHost(eth(HOST.mac, HOST.mac, 0x0800, udp(HOST.ip4, A.ip4, port, 1))).verdict === REDIRECT &&
      send(A, udp(A.ip4, HOST.ip4, 1, port))
    large.setFlowRoom(4096, 4096, 4096)
    assert.equal(count(answered, 3000), (4096 - 256) / 2)
    assert.ok(send(B, udp(B.ip4, A.ip4, 1, 1)), 'the first ones')
    send(A, udp(A.ip4, B.ip4, 1, 1))
    assert.ok(send(B, udp(B.ip4, A.ip4, 2, 1)))
    send(A, udp(A.ip4, B.ip4, 1, 2))
    assert.ok(!send(B, udp(B.ip4, A.ip4, 3, 1)))
  })

  it('hold each vif to its configured limit; what was never answered gives way to its own', () => {
    const { vif, nh, mac, ip4, ip6 } = A
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6, maxFlows: 4 })
    assert.ok(talk(A, B, 1))
    assert.ok(fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 1, 1)))
    assert.ok(from(A, udp(A.ip4, REMOTE.ip4, 1, 1)))
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, B.ip4, 2, 1))),
    )
    assert.ok(!fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 1, 2)))
    assert.ok(talk(A, B, 1), 'established flows go on')
    assert.ok(from(B, udp(B.ip4, REMOTE.ip4, 1, 9)), 'another vif has its own limit')
    assert.equal(held(A.vif), 4)
  })

  for (const [what, packet] of [
    ['UDP', (i: number) => udp(A.ip4, B.ip4, i, 7)],
    ['a SYN', (i: number) => tcp(A.ip4, B.ip4, i, 7, SYN)],
    ['an ACK', (i: number) => tcp(A.ip4, B.ip4, i, 7, ACK)],
    ['IPv6', (i: number) => udp(A.ip6, B.ip6, i, 7)],
  ] as const)
    it(`let what nobody answers give way: a flood of ${what} neither refuses nor costs others anything`, () => {
      node.setFlowRoom(240, 240, 240)
      assert.ok(talk(A, B, 60000))
      assert.ok(flood(1000, (i) => from(A, packet(i))) >= 990, 'nearly always one of its own is found')
      assert.ok(held(A.vif) <= 82)
      assert.ok(talk(A, B, 60000), 'its own established flows stay')
      assert.equal(node.flows().find((flow) => flow.sourcePort === 60000)?.flow.packets, 2n)
      assert.equal(
        flood(10, (i) => talk(B, A, 50000 + i)),
        10,
      )
      assert.equal(
        flood(10, (i) => fromHost(udp(HOST.ip4, A.ip4, i, 1))),
        10,
      )
    })

  for (const [what, packet] of [
    ['a pod, IPv4', (i: number) => tcp(HOST.ip4, A.ip4, i, 7, SYN)],
    ['a pod, IPv6', (i: number) => tcp(HOST.ip6, A.ip6, i, 7, SYN)],
    ['a pod of another node, IPv4', (i: number) => udp(HOST.ip4, REMOTE.ip4, i, 7)],
    ['a pod of another node, IPv6', (i: number) => udp(HOST.ip6, REMOTE.ip6, i, 7)],
  ] as const)
    it(`let what nobody answers the host give way: its flood towards ${what} costs neither pods nor its probes anything`, () => {
      node.setFlowRoom(480, 240, 240)
      node.setGlobals({ underlayIp6: ip6Bytes(HOST.ip6) })
      node.setRoute(0, '2001:db8:2:1::/64', NH.TUNNEL, { label: REMOTE.vrfLabel, flags: c.ROUTE_LABEL_VALID })
      const six = what.endsWith('IPv6')
      const [host, a, b] = six ? [HOST.ip6, A.ip6, B.ip6] : [HOST.ip4, A.ip4, B.ip4]
      const probe = (port: number) => fromHost(udp(host, a, port, 1)) && from(A, udp(a, host, 1, port))
      assert.ok(probe(60000))
      let [connections, probes] = [0, 0]
      for (let i = 1; i <= 2000; i++) {
        assert.ok(fromHost(packet(i)), `new flow ${i} of the host`)
        if (i % 100) continue
        if (from(B, udp(b, a, i, 53)) && from(A, udp(a, b, 53, i))) connections++
        if (probe(50000 + i)) probes++
      }
      assert.deepEqual([connections, probes], [20, 20])
      assert.ok(probe(60000), 'what was answered stays')
      assert.equal(node.flows().find((flow) => flow.sourcePort === 60000)?.flow.packets, 2n)
      assert.equal(node.totalDrops(), 0)
      assert.ok(held(c.VIF_ID_VHOST) < 240 / 2, `the host holds ${held(c.VIF_ID_VHOST)} of 240`)
    })

  it('find what gives way in a family, though the table is full of the other one', () => {
    node.setFlowRoom(1024, 824, 200)
    node.setGlobals({ ageOtherS: 0 })
    count((i) => fromHost(udp(HOST.ip4, A.ip4, i, 1)) && from(A, udp(A.ip4, HOST.ip4, 1, i)), 400)
    assert.ok(flood(1000, (i) => from(A, udp(A.ip6, B.ip6, i, 7))) >= 980)
    assert.ok(state(A.vif).flows6 <= 68)
  })

  it('take no room for packets that are refused, whatever refuses them', () => {
    node.setFlowRoom(60)
    node.setRoute(2, '198.51.100.0/24', NH.INVALID)
    const used = () => [node.flows().length, flowCounters(node.maps.flows).ip4, held(A.vif), held(B.vif)]
    assert.ok(talk(A, B, 1))
    const before = used()
    const refused: readonly (readonly [number, number, (i: number) => Buffer])[] = [
      [c.DROP_DISCARD, A.vif, (i) => udp(A.ip4, '203.0.113.9', i, 7)],
      [c.DROP_INVALID_NH, A.vif, (i) => udp(A.ip4, '198.51.100.9', i, 7)],
      [c.DROP_INVALID_SOURCE, A.vif, (i) => udp('10.2.9.9', B.ip4, i, 7)],
    ]
    for (const [reason, vif, packet] of refused)
      for (let i = 1; i <= 200; i++)
        node.assertDrop(reason, vif, () => node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, packet(i))))
    for (let i = 1; i <= 200; i++) assert.ok(!fromPeer(A.label, udp('10.2.9.9', A.ip4, i, 7)))
    assert.deepEqual(used(), before)
    assert.equal(
      flood(9, (i) => talk(A, B, 100 + i)),
      9,
      'as many as without the flood',
    )
  })

  it('let connections give way whose way is withdrawn, however many packets still come', () => {
    node.setFlowRoom(60)
    const remote = (port: number) =>
      from(A, udp(A.ip4, REMOTE.ip4, port, 53)) && fromPeer(A.label, udp(REMOTE.ip4, A.ip4, 53, port))
    assert.equal(count(remote), 10)
    assert.ok(!talk(A, B, 1), 'they have what A may have, and stand')
    node.setRoute(2, `${REMOTE.ip4}/32`, c.NH_ID_DISCARD)
    node.raiseEpoch()
    for (let round = 0; round < 20; round++)
      for (let port = 1; port <= 10; port++) assert.ok(!from(A, udp(A.ip4, REMOTE.ip4, port, 53)))
    assert.equal(
      flood(10, (i) => talk(A, B, 100 + i)),
      10,
    )
    assert.ok(held(A.vif) <= 20)
  })

  it('count a connection that is over against nobody, and let it go when room is needed', () => {
    node.setFlowRoom(64)
    const seq = { seq: 100 }
    for (let i = 1; i <= 1000; i++) {
      assert.ok(from(A, tcp(A.ip4, B.ip4, i, 80, SYN, seq)), `connection ${i}`)
      assert.ok(from(B, tcp(B.ip4, A.ip4, 80, i, SYN | ACK, { seq: 500, ack: 101 })))
      assert.ok(from(A, tcp(A.ip4, B.ip4, i, 80, ACK, { seq: 101, ack: 501 })))
      if (i % 2) {
        assert.ok(from(A, tcp(A.ip4, B.ip4, i, 80, FIN | ACK, { seq: 101, ack: 501 })))
        assert.ok(from(B, tcp(B.ip4, A.ip4, 80, i, FIN | ACK, { seq: 501, ack: 102 })))
        assert.ok(from(A, tcp(A.ip4, B.ip4, i, 80, ACK, { seq: 102, ack: 502 })))
      } else {
        assert.ok(from(B, tcp(B.ip4, A.ip4, 80, i, RST, { seq: 501 })))
      }
      assert.equal(held(A.vif), 0)
    }
    assert.ok(pairs() > 1, 'they stay for late retransmissions')
    assert.equal(node.totalDrops(), 0)
    const { ip4, evicted } = flowCounters(node.maps.flows)
    assert.equal(ip4.live, 0)
    assert.ok(ip4.entries <= 64 / 8 + 4, `${ip4.entries} closed entries`)
    assert.ok(evicted > 900n)
  })

  it('count a connection again whose ports are used again', () => {
    from(A, tcp(A.ip4, B.ip4, 1, 80, SYN, { seq: 1 }))
    from(B, tcp(B.ip4, A.ip4, 80, 1, RST | ACK, { ack: 2 }))
    assert.deepEqual([held(A.vif), pairs()], [0, 1])
    from(A, tcp(A.ip4, B.ip4, 1, 80, SYN, { seq: 9 }))
    assert.deepEqual([held(A.vif), pairs(), flowCounters(node.maps.flows).ip4.live], [2, 1, 2])
    from(B, tcp(B.ip4, A.ip4, 80, 1, RST | ACK, { ack: 10 }))
    assert.equal(held(A.vif), 0)
  })

  /** A TCP connection that its server has refused; and the same ports used again, answered this time. */
  const refused = (pod: Workload, to: Workload, port: number) =>
    from(pod, tcp(pod.ip4, to.ip4, port, 80, SYN, { seq: 1 })) &&
    from(to, tcp(to.ip4, pod.ip4, 80, port, RST | ACK, { ack: 2 }))
  const again = (pod: Workload, to: Workload, port: number) =>
    from(pod, tcp(pod.ip4, to.ip4, port, 80, SYN, { seq: 100 })) &&
    from(to, tcp(to.ip4, pod.ip4, 80, port, SYN | ACK, { seq: 500, ack: 101 })) &&
    from(pod, tcp(pod.ip4, to.ip4, port, 80, ACK, { seq: 101, ack: 501 }))

  it('hold for ports that are used again, too: what is beyond them goes on, and goes first', () => {
    const { vif, nh, mac, ip4, ip6 } = A
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6, maxFlows: 4 })
    node.setFlowRoom(128)
    for (let port = 1; port <= 6; port++) assert.ok(refused(A, B, port))
    for (let port = 1; port <= 6; port++) assert.ok(again(A, B, port), `port ${port}`)
    assert.ok(held(A.vif) <= 4, `${held(A.vif)} of 4 entries`)
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6 })
    for (let wave = 0; wave < 30; wave++) {
      const ports = [...Array(7).keys()].map((i) => 1000 + wave * 10 + i)
      for (const [pod, to] of [
        [A, B],
        [B, A],
      ] as const) {
        for (const port of ports) refused(pod, to, port)
        for (const port of ports) again(pod, to, port)
      }
    }
    assert.ok(held(A.vif) + held(B.vif) <= 66, `one network holds ${held(A.vif) + held(B.vif)} of 128 entries`)
    assert.ok(fromHost(udp(HOST.ip4, A.ip4, 1, 1)))
  })

  it('charge what others send through the host to the fabric and to its source, not to the host', () => {
    node.setFlowRoom(240)
    const through = (source: string, port: number) => fromHost(udp(source, A.ip4, port, 1))
    node.setVif({
      id: A.vif,
      ifindex: node.devices[A.vif]!,
      vrf: 0,
      nhId: A.nh,
      peerMac: A.mac,
      ip4: A.ip4,
      ip6: A.ip6,
    })
    node.setNexthop(A.nh, {
      ...node.maps.nexthops.get(A.nh)!,
      vrf: 0,
      to: A.mac,
      sip: undefined,
      dip: undefined,
    } as never)
    assert.ok(flood(1000, (i) => through('203.0.113.5', i)) > 900)
    assert.equal(held(c.VIF_ID_VHOST), 0)
    assert.ok(held(c.VIF_ID_FABRIC) <= 50, `one source holds ${held(c.VIF_ID_FABRIC)} of 240`)
    assert.ok(through('203.0.113.6', 1), 'another source has a share of its own')
    assert.equal(
      flood(20, (i) => fromHost(udp(HOST.ip4, A.ip4, i, 1))),
      20,
      'and the host its own',
    )
    for (let source = 1; source < 250; source++) for (let i = 0; i < 8; i++) through(`198.51.100.${source}`, i + 1)
    assert.ok(held(c.VIF_ID_FABRIC) <= 120, `all sources hold ${held(c.VIF_ID_FABRIC)} of 240`)
    assert.equal(
      flood(20, (i) => fromHost(udp(HOST.ip4, A.ip4, 100 + i, 1))),
      20,
    )
    assert.equal(
      flood(10, (i) => talk(B, A, i)),
      10,
    )
  })

  it('come to what is in the table after any sequence of lives and ends, and to nothing at last', () => {
    node.setFlowRoom(200, 120, 120)
    let seed = 42
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return Math.floor((seed / 0x1_0000_0000) * below)
    }
    const pods = [A, B] as const
    for (let step = 0; step < 4000; step++) {
      const pod = pods[random(2)]!
      const to = pod === A ? B : A
      const six = random(3) === 0
      const [a, b] = six ? [pod.ip6, to.ip6] : [pod.ip4, to.ip4]
      const port = 1 + random(150)
      const options = { seq: random(4) * 100, ack: random(4) * 100 + random(2) }
      const flags = [SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK][random(6)]!
      const kind = random(10)
      if (kind < 6) from(pod, tcp(a, b, random(2) ? port : 80, random(2) ? 80 : port, flags, options))
      else if (kind < 8) from(pod, udp(a, b, port, 53))
      else if (kind < 9) fromHost(udp(HOST.ip4, A.ip4, port, 1))
      else fromPeer(A.label, udp(REMOTE.ip4, A.ip4, port, 2))
      if (step % 500 === 499) {
        node.call('age_now')
        assertCounts(`step ${step}`)
      }
    }
    for (const table of [node.maps.flows.flow4, node.maps.flows.flow6])
      for (const [key, flow] of [...(table.entries() as Iterable<readonly [never, { flags: number }]>)])
        (table as unknown as { set(k: never, v: object): void }).set(key, {
          ...flow,
          flags: flow.flags | c.FLOW_EVICT_CANDIDATE,
        })
    for (let i = 0; i < 4; i++) node.call('age_now')
    assertCounts('the end')
    assert.equal(flowCounters(node.maps.flows).inUse, 0n)
    assert.equal(held(A.vif) + held(B.vif) + held(c.VIF_ID_VHOST) + held(c.VIF_ID_FABRIC), 0)
  })

  /** Each count against what the table holds. */
  function assertCounts(when: string): void {
    const flows = node.flows()
    const isClosed = (index: number) => node.maps.flows.slots.lookup(encode(u32Codec, index))![0]! & c.FLOW_SLOT_CLOSED
    const live = flows.filter(({ flow }) => !isClosed(flow.index))
    assert.ok(
      live.every(({ flow }) => !(flow.tcpFlags & c.TCP_DEAD)),
      `what is over counts against nobody, ${when}`,
    )
    const { ip4, ip6, inUse, next } = flowCounters(node.maps.flows)
    const of = (family: 4 | 6, list = flows) => list.filter((flow) => flow.family === family).length
    assert.deepEqual([ip4.entries, ip6.entries], [of(4), of(6)], `entries, ${when}`)
    assert.deepEqual([ip4.live, ip6.live], [of(4, live), of(6, live)], `not over, ${when}`)
    assert.equal(Number(inUse), flows.length, `in use, ${when}`)
    assert.ok(flows.length <= next)
    assert.equal(new Set(flows.map(({ flow }) => flow.index)).size, flows.length, `handles, ${when}`)
    for (const vif of [c.VIF_ID_FABRIC, c.VIF_ID_VHOST, A.vif, B.vif]) {
      const mine = live.filter(({ flow }) => flow.vif === vif)
      assert.deepEqual([held(vif), state(vif).flows6], [mine.length, of(6, mine)], `vif ${vif}, ${when}`)
    }
  }
})
