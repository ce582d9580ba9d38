/** Proves, byte for byte: how packets between pods, to the host and to the underlay leave the tap program. IPv4 and IPv6. */
import { strict as assert } from 'node:assert'
import { macBytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  C,
  DROPPED,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  OUTSIDE,
  PEER,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  type Sent,
} from './fixture.ts'
import { agentFrame, eth, ping, TCP_FLAG, tcp, udp, withTtl } from './frames.ts'
import { AGENT_MAC, cannotRun } from './node.ts'

describe('datapath: forwarding of what pods send', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  for (const [family, type, from, to] of [
    ['IPv4', 0x0800, A.ip4, B.ip4],
    ['IPv6', 0x86dd, A.ip6, B.ip6],
  ] as const) {
    it(`routes ${family} between pods of a node: new MACs, one less TTL`, () => {
      const packet = udp(from, to, 1000, 2000)
      for (let i = 0; i < 2; i++) {
        const sent = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, packet))
        assertFrame(sent, eth(B.mac, ROUTER_MAC, type, withTtl(packet, 63)))
      }
      assert.deepEqual(node.vrfCounters(2), { l2Receives: 2, encaps: 2 })
      assert.deepEqual(node.vifCounters(A.vif), { rxPackets: 2, rxBytes: 2 * (14 + packet.length) })
      assert.deepEqual(node.vifCounters(B.vif), { txPackets: 2, txBytes: 2 * (14 + packet.length) })
      assert.equal(node.totalDrops(), 0)
    })

    it(`bridges ${family} to the real MAC of a pod: the frame is not touched`, () => {
      const frame = eth(B.mac, A.mac, type, udp(from, to, 1000, 2000, undefined, { ttl: 1 }))
      for (let i = 0; i < 2; i++) assertFrame(node.fromPod(A, frame), frame)
      assert.deepEqual(node.vrfCounters(2), { l2Encaps: 2 })
    })

    it(`routes ${family} for the MAC of a pod that is gone to who has the address now`, () => {
      const gone = '02:99:00:00:00:01'
      const remote = family === 'IPv4' ? REMOTE.ip4 : REMOTE.ip6
      const packet = udp(from, to, 1000, 2000)
      for (let i = 0; i < 2; i++)
        assertFrame(node.fromPod(A, eth(gone, A.mac, type, packet)), eth(B.mac, ROUTER_MAC, type, withTtl(packet, 63)))
      // As soon as its neighbour knows better, the flow is bridged again.
      assertFrame(node.fromPod(A, eth(B.mac, A.mac, type, packet)), eth(B.mac, A.mac, type, packet))
      const far = udp(from, remote, 1000, 2000)
      assert.deepEqual(node.fromPod(A, eth(gone, A.mac, type, far)).frame.subarray(14 + 32), withTtl(far, 63))
      const last = eth(gone, A.mac, type, udp(from, to, 1001, 2000, undefined, { ttl: 1 }))
      assertFrame(
        node.fromPod(A, last),
        agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_ZERO_TTL }, last),
      )
      assert.equal(node.totalDrops(), 0)
    })

    it(`sends ${family} for the MAC of a pod on another node through the tunnel to it, whoever has the address`, () => {
      const [far, label] = ['02:99:00:00:00:02', 777] as const
      node.setBridge(2, far, NH.TUNNEL, label)
      for (const address of [to, family === 'IPv4' ? REMOTE.ip4 : REMOTE.ip6]) {
        const packet = udp(from, address, 1000, 2000)
        for (const _ of [1, 2]) {
          // Bridged: nothing of the packet changes, its TTL neither.
          for (const sent of [packet, withTtl(packet, 1)]) {
            const { frame } = node.fromPod(A, eth(far, A.mac, type, sent))
            assert.deepEqual(frame.subarray(0, 14), eth(PEER.mac, HOST.mac, 0x0800, Buffer.alloc(0)))
            assert.equal(frame.readUInt32BE(14 + 28), ((label << 12) | 0x100 | 64) >>> 0)
            assert.deepEqual(frame.subarray(14 + 32), sent)
          }
          // What is routed goes where the address is, also within one flow.
          const routed = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, packet))
          if (address === to) assertFrame(routed, eth(B.mac, ROUTER_MAC, type, withTtl(packet, 63)))
          else assert.equal(routed.frame.readUInt32BE(14 + 28) >>> 12, REMOTE.label)
        }
      }
      assert.equal(node.maps.bridge.get({ vrf: 2, mac: macBytes(far) })!.packets, 4n)
      assert.equal(node.totalDrops(), 0)
      // Its header isn't carried, so what only has one can't get there.
      node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, eth(far, A.mac, 0x88b5, Buffer.alloc(46))))
    })

    it(`routes ${family} for other unknown MACs to nobody, and for a pod’s neither out of the network nor to the router`, () => {
      node.enableSnat()
      const [gateway, outside] = family === 'IPv4' ? [GATEWAY.ip4, OUTSIDE.ip4] : [GATEWAY.ip6, OUTSIDE.ip6]
      const drops = (mac: string, address: string) =>
        node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () =>
          node.fromPod(A, eth(mac, A.mac, type, udp(from, address, 1000, 2000))),
        )
      for (const mac of ['0e:99:00:00:00:01', '00:99:00:00:00:01', '06:99:00:00:00:01']) drops(mac, to)
      for (const address of [gateway, outside]) drops('02:99:00:00:00:01', address)
      node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () =>
        node.fromPod(A, eth('02:99:00:00:00:01', A.mac, type, udp(to, to, 1000, 2000))),
      )
    })

    it(`decides for each ${family} frame whether it is bridged or routed, also within one flow`, () => {
      const packet = udp(from, to, 1000, 2000)
      const bridged = eth(B.mac, A.mac, type, packet)
      const routed = eth(ROUTER_MAC, A.mac, type, packet)
      for (let i = 0; i < 2; i++) {
        assertFrame(node.fromPod(A, bridged), bridged)
        assertFrame(node.fromPod(A, routed), eth(B.mac, ROUTER_MAC, type, withTtl(packet, 63)))
      }
      assert.equal(node.flows().length, 2)
    })

    it(`shows ${family} packets whose TTL ends to the agent, whole and unchanged`, () => {
      const frame = eth(ROUTER_MAC, A.mac, type, udp(from, to, 1000, 2000, undefined, { ttl: 1 }))
      const expected = agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_ZERO_TTL }, frame)
      for (let i = 0; i < 2; i++) assertFrame(node.fromPod(A, frame), expected)
      node.assertDrop(c.DROP_TTL_EXCEEDED, A.vif, () =>
        node.fromPod(A, eth(ROUTER_MAC, A.mac, type, udp(from, to, 1000, 2000, undefined, { ttl: 0 }))),
      )
    })
  }

  it('keeps the IPv4 checksum right for every TTL and checksum that carries', () => {
    for (let id = 0; id < 0x10000; id += 251) {
      const packet = udp(A.ip4, B.ip4, 1000, 2000, undefined, { id, ttl: 2 + (id % 254) })
      assertFrame(
        node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, packet)),
        eth(B.mac, ROUTER_MAC, 0x0800, withTtl(packet, 1 + (id % 254))),
      )
    }
  })

  it('forwards packets with IPv4 options', () => {
    const packet = udp(A.ip4, B.ip4, 1000, 2000, undefined, { options: Buffer.of(7, 7, 4, 0, 0, 0, 0, 0) })
    assertFrame(
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, packet)),
      eth(B.mac, ROUTER_MAC, 0x0800, withTtl(packet, 63)),
    )
    assert.equal(node.flows()[0]!.sourcePort, 1000)
  })

  it('delivers to the host: the MAC is that of vhost0', () => {
    const packet = tcp(A.ip4, HOST.ip4, 1000, 22, TCP_FLAG.SYN)
    const sent = node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, packet))
    assertFrame(sent, eth(HOST.mac, A.mac, 0x0800, withTtl(packet, 63)))
    assert.deepEqual(node.vrfCounters(2), { l2Receives: 1, receives: 1 })
    assert.deepEqual(node.vifCounters(1), { txPackets: 1, txBytes: 14 + packet.length })
  })

  it('keeps networks with the same addresses apart', () => {
    const packet = udp(C.ip4, B.ip4, 1000, 2000)
    node.assertDrop(c.DROP_DISCARD, C.vif, () => node.fromPod(C, eth(ROUTER_MAC, C.mac, 0x0800, packet)))
    assert.deepEqual(node.vrfCounters(3), { l2Receives: 1, discards: 1 })
    node.assertDrop(c.DROP_L2_NO_ROUTE, C.vif, () => node.fromPod(C, eth(B.mac, C.mac, 0x0800, packet)))
  })

  it('shows packets for the gateway to the agent, TTL untouched, without making a flow', () => {
    for (const [type, packet] of [
      [0x0800, ping(A.ip4, GATEWAY.ip4, 7, { ttl: 1 })],
      [0x86dd, ping(A.ip6, GATEWAY.ip6, 7)],
    ] as const) {
      const frame = eth(ROUTER_MAC, A.mac, type, packet)
      assertFrame(
        node.fromPod(A, frame),
        agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_NEXTHOP }, frame),
      )
    }
    assert.equal(node.flows().length, 0)
    assert.equal(node.vifCounters(2)['txPackets'], 2)
  })

  it('routes a pod of the fabric VRF in VRF 0: to a neighbour, or to the agent that finds it', () => {
    node.setVif({ id: C.vif, ifindex: node.devices[C.vif]!, vrf: 1, nhId: C.nh, peerMac: C.mac, ip4: '192.0.2.77' })
    const packet = udp('192.0.2.77', PEER.ip4, 1, 2)
    assertFrame(
      node.fromPod(C, eth(ROUTER_MAC, C.mac, 0x0800, packet)),
      eth(PEER.mac, HOST.mac, 0x0800, withTtl(packet, 63)),
    )
    node.setBridge(1, ROUTER_MAC, NH.L2_RCV)
    const unknown = eth(ROUTER_MAC, C.mac, 0x0800, udp('192.0.2.77', '192.0.2.99', 1, 2))
    assertFrame(
      node.fromPod(C, unknown),
      agentFrame(AGENT_MAC, ROUTER_MAC, { vif: C.vif, vrf: 0, cmd: c.AGENT_TRAP_RESOLVE }, unknown),
    )
    assert.equal(node.vrfCounters(0)['resolves'], 1)
  })

  it('follows a route into another VRF, and gives up after four', () => {
    node.setRoute(3, '10.2.0.0/24', NH.VRF2)
    const packet = udp(C.ip4, B.ip4, 5, 6)
    const frame = eth(ROUTER_MAC, C.mac, 0x0800, packet)
    for (let i = 0; i < 2; i++) assertFrame(node.fromPod(C, frame), eth(B.mac, ROUTER_MAC, 0x0800, withTtl(packet, 63)))
    assert.deepEqual(node.vrfCounters(2), { vrfTranslates: 2, encaps: 2 })
    assert.equal(node.flows()[0]!.flow.dvrf, 2)

    node.setNexthop(40, { type: c.NH_VRF_TRANSLATE, vrf: 3 })
    node.setRoute(3, '10.2.0.99/32', 40)
    node.assertDrop(c.DROP_PKT_LOOP, C.vif, () =>
      node.fromPod(C, eth(ROUTER_MAC, C.mac, 0x0800, udp(C.ip4, '10.2.0.99', 5, 6))),
    )
  })

  it('bridges frames that are not IP, and drops tagged ones', () => {
    const other = eth(B.mac, A.mac, 0x88b5, Buffer.alloc(50, 1))
    assertFrame(node.fromPod(A, other), other)
    node.assertDrop(c.DROP_INVALID_PROTOCOL, A.vif, () =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x88b5, Buffer.alloc(50))),
    )
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () =>
      node.fromPod(A, eth('02:99:00:00:00:01', A.mac, 0x88b5, Buffer.alloc(50))),
    )
    const tagged = Buffer.concat([Buffer.of(0, 5, 8, 0), udp(A.ip4, B.ip4, 1, 2)])
    node.assertDrop(c.DROP_INVALID_PROTOCOL, A.vif, () => node.fromPod(A, eth(B.mac, A.mac, 0x8100, tagged)))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, eth('ff:ff:ff:ff:ff:ff', A.mac, 0x8100, tagged)))
  })

  it('lets a pod use no MAC and no address but its own', () => {
    const cases: [string, () => Sent][] = [
      ['MAC', () => node.fromPod(A, eth(ROUTER_MAC, B.mac, 0x0800, udp(A.ip4, B.ip4, 1, 2)))],
      ['IPv4', () => node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp('10.2.0.99', B.ip4, 1, 2)))],
      ['IPv6', () => node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x86dd, udp('2001:db8:2::99', B.ip6, 1, 2)))],
      ['zero', () => node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp('0.0.0.0', B.ip4, 1, 2)))],
      ['bridged', () => node.fromPod(A, eth(B.mac, A.mac, 0x0800, udp('10.2.0.99', B.ip4, 1, 2)))],
    ]
    for (const [, send] of cases) node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, send)
    assert.equal(node.flows().length, 0)
    node.setVif({
      id: A.vif,
      ifindex: node.devices[A.vif]!,
      vrf: 2,
      nhId: A.nh,
      peerMac: A.mac,
      ip4: A.ip4,
      flags: c.VIF_NO_SPOOF_CHECK,
    })
    for (const [name, send] of cases) assert.equal(send().verdict, REDIRECT, name)
  })

  it('lets a pod without an IPv4 address send none', () => {
    node.setVif({ id: A.vif, ifindex: node.devices[A.vif]!, vrf: 2, nhId: A.nh, peerMac: A.mac, ip6: A.ip6 })
    node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp('0.0.0.0', B.ip4, 1, 2))),
    )
  })

  it('sends nothing for a tap that is not programmed', () => {
    node.maps.vifs.delete(node.devices[A.vif]!)
    const sent = node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, B.ip4, 1, 2)))
    assert.equal(sent.verdict, DROPPED)
    assert.deepEqual([...node.drops()], [[c.DROP_INVALID_IF, 1]])
  })

  it('counts broadcasts that have nowhere to go', () => {
    const frame = eth('ff:ff:ff:ff:ff:ff', A.mac, 0x0800, udp(A.ip4, '10.2.0.255', 1, 2))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, frame))
    node.assertDrop(c.DROP_INVALID_ARP, A.vif, () =>
      node.fromPod(A, eth('ff:ff:ff:ff:ff:ff', A.mac, 0x0806, Buffer.alloc(28))),
    )
  })
})
