/** Proves: path MTU, MSS clamping, ECMP, the agent's budget and its two commands, and what the host sends. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  DROPPED,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  PEER,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  TUNNEL_MTU,
} from './fixture.ts'
import {
  agentFrame,
  arp,
  ETH,
  eth,
  frame,
  ip4,
  join,
  mplsOverUdp,
  mss,
  ping,
  TCP_FLAG,
  tcp,
  udp,
  withTtl,
} from './frames.ts'
import { AGENT_MAC, cannotRun } from './node.ts'

const { SYN, ACK } = TCP_FLAG

describe('datapath: paths, the agent, the host', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const fromA = (packet: Uint8Array, context = {}) => node.fromPod(A, frame(ROUTER_MAC, A.mac, packet), context)
  const fromPeer = (label: number, inner: Uint8Array) =>
    node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label }, inner)))

  describe('MTU', () => {
    for (const [family, local, remote, header] of [
      ['IPv4', A.ip4, REMOTE.ip4, 20],
      ['IPv6', A.ip6, REMOTE.ip6, 40],
    ] as const) {
      it(`lets ${family} through up to the byte, and shows the agent what is larger, cut to its headers`, () => {
        const fits = udp(local, remote, 1, 2, Buffer.alloc(TUNNEL_MTU - header - 8))
        assert.equal(fits.length, TUNNEL_MTU)
        assert.equal(fromA(fits).frame.length, ETH + 1500)
        const large = frame(ROUTER_MAC, A.mac, udp(local, remote, 1, 2, Buffer.alloc(TUNNEL_MTU - header - 7)))
        const flow = node.flows()[0]!.flow.index
        const trap = { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_HANDLE_DF, param: TUNNEL_MTU, param1: flow }
        assertFrame(node.fromPod(A, large), agentFrame(AGENT_MAC, ROUTER_MAC, trap, large.subarray(0, 190)))
      })
    }

    it('judges a super-packet by its segments', () => {
      const { nh, vif, mac } = B
      node.setNexthop(nh, {
        type: c.NH_ENCAP,
        vrf: 2,
        oif: vif,
        ifindex: node.devices[vif]!,
        keyNh: nh,
        to: mac,
        oifType: c.VIF_VIRTUAL,
        mtu: 1400,
      })
      const packet = tcp(A.ip4, B.ip4, 1, 2, ACK, { data: Buffer.alloc(3000) })
      assertFrame(fromA(packet, { gsoSize: 1360, gsoSegs: 3 }), frame(B.mac, ROUTER_MAC, withTtl(packet, 63)))
      const trapped = fromA(packet, { gsoSize: 1361, gsoSegs: 3 })
      assert.equal(trapped.verdict, REDIRECT)
      assert.equal(trapped.frame.length, 44 + 190)
      assert.equal(trapped.frame.readUInt16BE(18), c.AGENT_TRAP_HANDLE_DF)
      assert.equal(trapped.frame.readUInt32BE(20), 1400)
      const datagrams = udp(A.ip4, B.ip4, 1, 2, Buffer.alloc(3000))
      assert.equal(fromA(datagrams, { gsoSize: 1372, gsoSegs: 3 }).frame.length, ETH + datagrams.length)
      assert.equal(fromA(datagrams, { gsoSize: 1373, gsoSegs: 3 }).frame.length, 44 + 190)
    })
  })

  describe('MSS', () => {
    const syn = (src: string, dst: string, options: Uint8Array, flags: number = SYN) =>
      tcp(src, dst, 1, 2, flags, { tcpOptions: options })
    for (const [what, before, after] of [
      ['alone', mss(1460), mss(1428)],
      ['behind no-ops, at an odd offset', join([1], mss(1460), [0, 0, 0]), join([1], mss(1428), [0, 0, 0])],
      [
        'behind other options',
        join([4, 2, 8, 10], Buffer.alloc(8, 7), mss(9000)),
        join([4, 2, 8, 10], Buffer.alloc(8, 7), mss(1428)),
      ],
      ['as it is, when small enough', mss(1428), mss(1428)],
      ['not behind the end of options', join([0, 0, 0, 0], mss(1460)), join([0, 0, 0, 0], mss(1460))],
      ['not in a malformed list', join([8, 0, 0, 0], mss(1460)), join([8, 0, 0, 0], mss(1460))],
      ['not with another length', join([2, 3, 0xff, 1]), join([2, 3, 0xff, 1])],
    ] as const) {
      it(`is lowered ${what}`, () => {
        for (const flags of [SYN, SYN | ACK]) {
          const sent = fromA(syn(A.ip4, REMOTE.ip4, before, flags))
          assert.equal(
            sent.frame.subarray(ETH + 32).toString('hex'),
            withTtl(syn(A.ip4, REMOTE.ip4, after, flags), 63).toString('hex'),
          )
        }
      })
    }

    it('is lowered for IPv6, and on the way in', () => {
      const out = fromA(syn(A.ip6, REMOTE.ip6, mss(1440)))
      assert.equal(
        out.frame.subarray(ETH + 32).toString('hex'),
        withTtl(syn(A.ip6, REMOTE.ip6, mss(1408)), 63).toString('hex'),
      )
      assertFrame(
        fromPeer(A.label, syn(REMOTE.ip6, A.ip6, mss(1440), SYN | ACK)),
        frame(A.mac, ROUTER_MAC, syn(REMOTE.ip6, A.ip6, mss(1408), SYN | ACK)),
      )
      assertFrame(
        fromPeer(A.label, syn(REMOTE.ip4, A.ip4, mss(1460))),
        frame(A.mac, ROUTER_MAC, syn(REMOTE.ip4, A.ip4, mss(1428))),
      )
    })

    it('stays between pods of one node', () => {
      const packet = syn(A.ip4, B.ip4, mss(1460))
      assertFrame(fromA(packet), frame(B.mac, ROUTER_MAC, withTtl(packet, 63)))
    })
  })

  describe('ECMP', () => {
    const TUNNELS = 4
    function setMembers(members: readonly { nh: number; label: number }[], hashFields = 0): void {
      const full = Array.from({ length: c.COMPOSITE_MAX }, (_, i) => members[i] ?? { nh: 0, label: 0 })
      node.maps.composites.set(NH.ECMP, { count: members.length, hashFields, members: full })
      node.setNexthop(NH.ECMP, { type: c.NH_COMPOSITE, flags: c.NH_FLAG_VALID | c.NH_FLAG_COMPOSITE_ECMP })
      node.setRoute(2, '10.9.0.1/32', NH.ECMP)
    }
    const tunnels = () => Array.from({ length: TUNNELS }, (_, i) => ({ nh: NH.TUNNEL, label: 300 + i }))
    const labelOf = (port: number, src = A.ip4) =>
      fromA(udp(src, '10.9.0.1', port, 80)).frame.readUInt32BE(ETH + 28) >>> 12

    it('spreads flows evenly, and keeps each on its member', () => {
      setMembers(tunnels())
      const counts = new Map<number, number>()
      const chosen = new Map<number, number>()
      for (let port = 1; port <= 600; port++) {
        const label = labelOf(port)
        chosen.set(port, label)
        counts.set(label, (counts.get(label) ?? 0) + 1)
      }
      assert.deepEqual([...counts.keys()].sort(), [300, 301, 302, 303])
      for (const count of counts.values()) assert.ok(count > 100 && count < 200, `${[...counts.values()]}`)
      node.raiseEpoch()
      for (const [port, label] of chosen) assert.equal(labelOf(port), label)
      assert.equal(node.vrfCounters(2)['ecmpComposites'], 1200)
      assert.equal(node.flows().filter(({ flow }) => flow.ecmp < TUNNELS).length, 600)
    })

    it('moves only the flows of a member that goes', () => {
      setMembers(tunnels())
      const chosen = new Map(Array.from({ length: 100 }, (_, i) => [i + 1, labelOf(i + 1)] as const))
      setMembers(tunnels().map((member) => (member.label === 301 ? { nh: 0, label: 0 } : member)))
      node.raiseEpoch()
      for (const [port, label] of chosen) {
        if (label === 301) assert.notEqual(labelOf(port), 301)
        else assert.equal(labelOf(port), label)
      }
    })

    it('hashes the fields that the composite names only', () => {
      setMembers(tunnels(), 0x02)
      assert.equal(new Set(Array.from({ length: 50 }, (_, i) => labelOf(i + 1))).size, 1)
    })

    it('chooses a local member for what comes in under a label', () => {
      node.maps.composites.set(NH.LOCAL_ECMP, {
        count: 2,
        hashFields: 0,
        members: Array.from({ length: c.COMPOSITE_MAX }, (_, i) => ({ nh: [A.nh, B.nh][i] ?? 0, label: c.LABEL_NONE })),
      })
      node.setNexthop(NH.LOCAL_ECMP, {
        type: c.NH_COMPOSITE,
        vrf: 2,
        flags: c.NH_FLAG_VALID | c.NH_FLAG_COMPOSITE_ECMP,
      })
      node.setLabel(50, NH.LOCAL_ECMP)
      const macOf = (port: number) =>
        fromPeer(50, udp(REMOTE.ip4, '10.9.0.2', port, 80))
          .frame.subarray(0, 6)
          .toString('hex')
      const macs = Array.from({ length: 40 }, (_, i) => macOf(i + 1))
      assert.deepEqual(
        [...new Set(macs)].sort(),
        [A.mac, B.mac].map((mac) => mac.replaceAll(':', '')),
      )
      assert.deepEqual(
        Array.from({ length: 40 }, (_, i) => macOf(i + 1)),
        macs,
      )
      assert.equal(node.vrfCounters(2)['ecmpComposites'], 80)
      assert.equal(node.flows()[0]!.nexthop, NH.LOCAL_ECMP)
    })

    it('accepts answers from any member, and from nobody else', () => {
      setMembers([
        { nh: NH.TUNNEL, label: 300 },
        { nh: NH.TUNNEL_2, label: 301 },
      ])
      node.setRoute(2, '10.9.0.1/32', NH.ECMP)
      const from = (src: string) =>
        node.fromFabric(
          eth(
            HOST.mac,
            PEER.mac,
            0x0800,
            mplsOverUdp({ src, dst: HOST.ip4, label: A.label }, udp('10.9.0.1', A.ip4, Number(src.split('.')[3]), 2)),
          ),
        )
      assert.equal(from(PEER.ip4).verdict, REDIRECT)
      assert.equal(from('192.0.2.3').verdict, REDIRECT)
      node.setPeer('192.0.2.4')
      node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => from('192.0.2.4'))
    })

    it('says why it has no member', () => {
      setMembers([])
      node.assertDrop(c.DROP_DISCARD, A.vif, () => fromA(udp(A.ip4, '10.9.0.1', 1, 2)))
      setMembers([
        { nh: 0, label: 0 },
        { nh: NH.INVALID, label: 0 },
      ])
      node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(udp(A.ip4, '10.9.0.1', 1, 2)))
      node.maps.composites.delete(NH.ECMP)
      node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(udp(A.ip4, '10.9.0.1', 1, 2)))
      node.setNexthop(NH.ECMP, { type: c.NH_COMPOSITE, flags: c.NH_FLAG_VALID | c.NH_FLAG_MCAST })
      node.assertDrop(c.DROP_INVALID_NH, A.vif, () => fromA(udp(A.ip4, '10.9.0.1', 1, 2)))
    })
  })

  describe('the agent', () => {
    it('gets no more than its budget from one vif, and the others keep theirs', () => {
      node.setGlobals({ trapRate: 1, trapBurst: 3 })
      const trapped = frame(ROUTER_MAC, A.mac, ping(A.ip4, GATEWAY.ip4, 1))
      for (let i = 0; i < 3; i++) assert.equal(node.fromPod(A, trapped).verdict, REDIRECT)
      for (let i = 0; i < 5; i++) node.assertDrop(c.DROP_TRAP_LIMIT, A.vif, () => node.fromPod(A, trapped))
      assert.equal(node.fromPod(B, frame(ROUTER_MAC, B.mac, ping(B.ip4, GATEWAY.ip4, 1))).verdict, REDIRECT)
      const state = node.maps.vifState.get(A.vif)!
      node.maps.vifState.set(A.vif, { ...state, trapTimeNs: state.trapTimeNs - 2_000_000_000n })
      assert.equal(node.fromPod(A, trapped).verdict, REDIRECT, 'the bucket fills with time')
      assert.equal(node.fromPod(A, trapped).verdict, REDIRECT)
      node.assertDrop(c.DROP_TRAP_LIMIT, A.vif, () => node.fromPod(A, trapped))
      node.setGlobals({ trapRate: 0 })
      assert.equal(node.fromPod(A, trapped).verdict, REDIRECT, '0 = no limit')
    })

    it('gets nothing when there is no pkt0', () => {
      node.setGlobals({ agentIfindex: 0 })
      node.assertDrop(c.DROP_TRAP_NO_IF, A.vif, () => fromA(ping(A.ip4, GATEWAY.ip4, 1)))
    })

    it('sends a whole frame out of a vif', () => {
      const reply = eth(
        A.mac,
        ROUTER_MAC,
        0x0806,
        arp({ op: 2, sha: ROUTER_MAC, spa: GATEWAY.ip4, tha: A.mac, tpa: A.ip4 }),
      )
      for (const inner of [
        reply,
        frame(A.mac, ROUTER_MAC, udp(GATEWAY.ip4, A.ip4, 53, 5000)),
        frame(A.mac, ROUTER_MAC, ping(GATEWAY.ip6, A.ip6, 1)),
      ])
        assertFrame(
          node.fromAgent(agentFrame(ROUTER_MAC, AGENT_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_SWITCH }, inner)),
          inner,
        )
      assert.equal(node.vifCounters(A.vif)['txPackets'], 3)
      assert.equal(node.vifCounters(2)['rxPackets'], 3)
      assert.equal(node.flows().length, 0)
    })

    it('routes a packet in a VRF: to a pod, into a tunnel, to the host', () => {
      const send = (packet: Uint8Array, vrf = 2) =>
        node.fromAgent(
          agentFrame(ROUTER_MAC, AGENT_MAC, { vif: B.vif, vrf, cmd: c.AGENT_ROUTE }, frame(ROUTER_MAC, B.mac, packet)),
        )
      for (const packet of [udp(GATEWAY.ip4, A.ip4, 53, 5000), udp(GATEWAY.ip6, A.ip6, 53, 5000)])
        assertFrame(send(packet), frame(A.mac, ROUTER_MAC, withTtl(packet, 63)))
      const tunnelled = send(udp(GATEWAY.ip4, REMOTE.ip4, 53, 5000))
      assert.equal(tunnelled.frame.readUInt32BE(ETH + 28) >>> 12, REMOTE.label)
      assert.ok(tunnelled.frame.readUInt16BE(ETH + 20) >= 49152)
      const toHost = udp(GATEWAY.ip4, HOST.ip4, 53, 5000)
      assertFrame(send(toHost, 0), eth(HOST.mac, B.mac, 0x0800, withTtl(toHost, 63)))
      node.assertDrop(c.DROP_DISCARD, B.vif, () => send(udp(GATEWAY.ip4, '198.51.100.9', 53, 5000)))
      assert.equal(node.flows().length, 0)
    })

    it('is told what is wrong by counters', () => {
      const inner = frame(A.mac, ROUTER_MAC, udp(GATEWAY.ip4, A.ip4, 53, 5000))
      const fields = { vif: A.vif, vrf: 2, cmd: c.AGENT_SWITCH }
      node.assertDrop(c.DROP_INVALID_IF, 2, () =>
        node.fromAgent(agentFrame(ROUTER_MAC, AGENT_MAC, { ...fields, vif: 60 }, inner)),
      )
      node.assertDrop(c.DROP_INVALID_IF, 2, () =>
        node.fromAgent(agentFrame(ROUTER_MAC, AGENT_MAC, { ...fields, vif: 60000 }, inner)),
      )
      node.assertDrop(c.DROP_INVALID_PACKET, 2, () =>
        node.fromAgent(agentFrame(ROUTER_MAC, AGENT_MAC, { ...fields, cmd: 5 }, inner)),
      )
      node.assertDrop(c.DROP_PULL, 2, () =>
        node.fromAgent(agentFrame(ROUTER_MAC, AGENT_MAC, fields, inner.subarray(0, 13))),
      )
      assert.equal(node.vifCounters(2)['rxErrors'], 3)
    })
  })

  describe('the host', () => {
    it('gets the answers to what it brought of others, as a NodePort does, wherever their route leads', () => {
      for (const source of ['198.51.100.9', PEER.ip4, REMOTE.ip4]) {
        const brought = udp(source, A.ip4, 1, 2)
        assertFrame(node.fromHost(frame(HOST.mac, HOST.mac, brought)), frame(A.mac, ROUTER_MAC, withTtl(brought, 63)))
        const answer = udp(A.ip4, source, 2, 1)
        for (const epoch of [7, 8]) {
          assertFrame(fromA(answer), eth(HOST.mac, A.mac, 0x0800, withTtl(answer, 63)))
          node.setGlobals({ epoch })
        }
      }
      assert.equal(node.totalDrops(), 0)
    })

    it('reaches pods of this node and of others, and its own traffic is left alone', () => {
      for (const packet of [udp(HOST.ip4, A.ip4, 1, 2), udp('2001:db8:ff::1', A.ip6, 1, 2)])
        assertFrame(node.fromHost(frame(HOST.mac, HOST.mac, packet)), frame(A.mac, ROUTER_MAC, withTtl(packet, 63)))
      const remote = udp(HOST.ip4, REMOTE.ip4, 1, 2)
      const tunnelled = node.fromHost(frame(PEER.mac, HOST.mac, remote))
      assert.deepEqual(tunnelled.frame.subarray(ETH + 32), withTtl(remote, 63))
      assert.equal(node.flows().length, 6)

      const own = [
        udp(HOST.ip4, PEER.ip4, 1, 2),
        udp(HOST.ip4, '8.8.8.8', 1, 2, undefined, { ttl: 1 }),
        udp(HOST.ip4, '192.0.2.250', 1, 2),
        ip4(HOST.ip4, '224.0.0.1', 2, Buffer.alloc(8)),
        udp('2001:db8:ff::1', '2001:db8:ff::2', 1, 2),
      ]
      for (const packet of own)
        assertFrame(node.fromHost(frame(PEER.mac, HOST.mac, packet)), frame(PEER.mac, HOST.mac, packet))
      const odd = [
        eth(PEER.mac, HOST.mac, 0x88cc, Buffer.alloc(46)),
        eth(PEER.mac, HOST.mac, 0x0800, Buffer.alloc(46, 0xff)),
        eth('01:00:5e:00:00:01', HOST.mac, 0x0800, udp(HOST.ip4, '224.0.0.1', 1, 2)),
      ]
      for (const each of odd) assertFrame(node.fromHost(each), each)
      assert.equal(node.flows().length, 6, 'no flow for the host’s own traffic')
      assert.equal(node.totalDrops(), 0)
    })

    it('keeps its wire when vhost0 is not programmed', () => {
      node.maps.vifs.delete(node.devices.vhost)
      const own = frame(PEER.mac, HOST.mac, udp(HOST.ip4, A.ip4, 1, 2))
      assertFrame(node.fromHost(own), own)
      node.setGlobals({ fabricIfindex: 0 })
      assert.equal(node.fromHost(own).verdict, DROPPED)
      assert.deepEqual([...node.drops()], [[c.DROP_INTERFACE_TX_DISCARD, 1]])
    })
  })
})
