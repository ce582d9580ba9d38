/**
 * Proves: what a workload sends to the outside leaves with the node's address and a port of its own, byte by byte, and the answer
 * finds the workload again; nothing else does, and nothing leaves with a workload's address.
 */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { deleteFlow, flowCounters } from '../../src/maps/flows.ts'
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
  type Workload,
} from './fixture.ts'
import {
  ETH,
  eth,
  frame,
  icmp4,
  icmp6,
  ip4,
  ip6,
  join,
  mplsOverUdp,
  mss,
  PROTO,
  ping,
  pong,
  TCP_FLAG,
  tcp,
  tooBig,
  typeOf,
  u16,
  u32,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'

const FIRST = 61000
const { SYN, ACK, FIN, RST } = TCP_FLAG

const toWire = (packet: Uint8Array) => frame(PEER.mac, HOST.mac, packet)

interface Addresses {
  readonly pod: string
  readonly node: string
  readonly outside: string
}
const FAMILIES: readonly [string, Addresses][] = [
  ['IPv4', { pod: A.ip4, node: HOST.ip4, outside: OUTSIDE.ip4 }],
  ['IPv6', { pod: A.ip6, node: HOST.ip6, outside: OUTSIDE.ip6 }],
]

describe('datapath: SNAT', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const from = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
  const fromOutside = (packet: Uint8Array) => node.fromFabric(frame(HOST.mac, PEER.mac, packet))
  /** The port (or id) of the flow that the outgoing packet belongs to. */
  const portOf = (sent: Sent, echo = false) => {
    assert.equal(sent.verdict, REDIRECT)
    const l4 = ETH + (sent.frame.readUInt16BE(12) === 0x0800 ? 20 : 40)
    return sent.frame.readUInt16BE(l4 + (echo ? 4 : 0))
  }
  /** IPv4 goes to the gateway's MAC; IPv6, which the underlay's table doesn't hold, to the kernel: the frame's MACs are then its business. */
  const assertOut = (sent: Sent, packet: Uint8Array) => {
    if (typeOf(packet) === 0x0800) assertFrame(sent, toWire(packet))
    else assertFrame(sent, frame(ROUTER_MAC, A.mac, packet))
  }
  const assertIn = (sent: Sent, packet: Uint8Array, pod: Workload = A) =>
    assertFrame(sent, frame(pod.mac, ROUTER_MAC, packet))
  const assertHost = (packet: Uint8Array) => {
    const whole = frame(HOST.mac, PEER.mac, packet)
    const before = node.vifCounters(c.VIF_ID_VHOST)['txPackets'] ?? 0
    assertFrame(node.fromFabric(whole), whole)
    assert.equal(node.vifCounters(c.VIF_ID_VHOST)['txPackets'], before + 1)
  }
  const forget = () => {
    for (let i = 0; i < 4; i++) node.call('age_now')
  }

  for (const [family, { pod, node: own, outside }] of FAMILIES) {
    describe(family, () => {
      it('translates a TCP connection and back', () => {
        const options = { seq: 7000, tcpOptions: mss(1400), data: Buffer.from('odd') }
        const port = portOf(from(A, tcp(pod, outside, 40000, 443, SYN, options)))
        assert.ok(port >= FIRST && port < FIRST + 4536, `port ${port}`)
        assertOut(
          from(A, tcp(pod, outside, 40000, 443, SYN, options)),
          withTtl(tcp(own, outside, port, 443, SYN, options), 63),
        )
        const answer = { seq: 9000, ack: 7001, tcpOptions: mss(1460) }
        assertIn(
          fromOutside(tcp(outside, own, 443, port, SYN | ACK, answer)),
          withTtl(tcp(outside, pod, 443, 40000, SYN | ACK, answer), 63),
        )
        const [forward, back] = node.flows().sort((a, b) => a.flow.index - b.flow.index)
        assert.deepEqual(
          [forward!.nexthop, forward!.source, forward!.sourcePort, forward!.destination, forward!.destinationPort],
          [A.nh, pod, 40000, outside, 443],
        )
        assert.deepEqual(
          [back!.nexthop, back!.source, back!.sourcePort, back!.destination, back!.destinationPort],
          [NH.RCV, outside, 443, own, port],
        )
        assert.deepEqual(
          [forward!.flow.flags, back!.flow.flags],
          [
            c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID | c.FLOW_SNAT | c.FLOW_SPAT | c.FLOW_VRFT,
            c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID | c.FLOW_DNAT | c.FLOW_DPAT | c.FLOW_VRFT,
          ],
        )
        assert.deepEqual([forward!.flow.action, back!.flow.action], [c.FLOW_ACTION_NAT, c.FLOW_ACTION_NAT])
        assert.deepEqual([forward!.flow.vrf, forward!.flow.dvrf, back!.flow.vrf, back!.flow.dvrf], [2, 0, 0, 2])
        assert.deepEqual([forward!.flow.rindex, back!.flow.rindex], [back!.flow.index, forward!.flow.index])
        assert.deepEqual([forward!.flow.packets, back!.flow.packets], [2n, 1n])
        assert.ok(forward!.flow.tcpFlags & c.TCP_SYN && back!.flow.tcpFlags & c.TCP_SYN)
        assert.equal(node.maps.vifState.get(A.vif)!.flows, 2)
        assert.equal(node.totalDrops(), 0)
      })

      it('translates UDP, and leaves a checksum of 0 alone', () => {
        const port = portOf(from(A, udp(pod, outside, 5353, 53)))
        assertOut(from(A, udp(pod, outside, 5353, 53)), withTtl(udp(own, outside, port, 53), 63))
        assertIn(fromOutside(udp(outside, own, 53, port)), withTtl(udp(outside, pod, 53, 5353), 63))
        const unsummed = (packet: Buffer) => {
          packet.writeUInt16BE(0, (packet[0]! >> 4 === 4 ? 20 : 40) + 6)
          return packet
        }
        assertOut(from(A, unsummed(udp(pod, outside, 5353, 53))), unsummed(withTtl(udp(own, outside, port, 53), 63)))
        assertIn(fromOutside(unsummed(udp(outside, own, 53, port))), unsummed(withTtl(udp(outside, pod, 53, 5353), 63)))
      })

      it('never makes a UDP checksum 0', () => {
        // Some payload makes the translated sum come out as 0, which is sent as 0xffff.
        const port = portOf(from(A, udp(pod, outside, 5353, 53, u16(0))))
        for (let word = 0; word < 0x10000; word++) {
          const expected = udp(own, outside, port, 53, u16(word))
          if (expected.readUInt16BE(expected.length - 4) !== 0xffff) continue
          assertOut(from(A, udp(pod, outside, 5353, 53, u16(word))), withTtl(expected, 63))
          return
        }
        assert.fail('no such payload')
      })

      it('translates an echo by its id', () => {
        const id = portOf(from(A, ping(pod, outside, 17)), true)
        assert.ok(id >= FIRST && id < FIRST + 4536, `id ${id}`)
        assertOut(from(A, ping(pod, outside, 17)), withTtl(ping(own, outside, id), 63))
        assertIn(fromOutside(pong(outside, own, id)), withTtl(pong(outside, pod, 17), 63))
        assert.equal(node.totalDrops(), 0)
      })

      it('brings errors about its packets to the workload, with the packet that it sent', () => {
        const error = (src: string, dst: string, quoted: Buffer) => tooBig(src, dst, 1400, quoted)
        const router = family === 'IPv4' ? '203.0.113.1' : '2001:db8:77::1'
        const udpPort = portOf(from(A, udp(pod, outside, 5353, 53)))
        const tcpPort = portOf(from(A, tcp(pod, outside, 40000, 443, ACK)))
        const id = portOf(from(A, ping(pod, outside, 17)), true)
        const noSum = (packet: Buffer) => {
          packet.writeUInt16BE(0, (family === 'IPv4' ? 20 : 40) + 6)
          return packet
        }
        const head = family === 'IPv4' ? 28 : 48
        for (const [what, sent, quoted] of [
          ['UDP', udp(pod, outside, 5353, 53), udp(own, outside, udpPort, 53)],
          ['UDP without checksum', noSum(udp(pod, outside, 5353, 53)), noSum(udp(own, outside, udpPort, 53))],
          ['TCP', tcp(pod, outside, 40000, 443, ACK), tcp(own, outside, tcpPort, 443, ACK)],
          ['an echo', ping(pod, outside, 17), ping(own, outside, id)],
        ] as const) {
          assertIn(fromOutside(error(router, own, quoted)), withTtl(error(router, pod, sent), 63))
          // RFC 792: the header and 8 bytes; TCP's checksum isn't among them
          const short = (packet: Buffer) => packet.subarray(0, head)
          assertIn(fromOutside(error(router, own, short(quoted))), withTtl(error(router, pod, short(sent)), 63))
          // bytes behind the packet are no part of what it quotes
          const trailer = Buffer.alloc(20, 9)
          assertIn(
            fromOutside(join(error(router, own, short(quoted)), trailer)),
            join(withTtl(error(router, pod, short(sent)), 63), trailer),
          )
          assert.equal(node.totalDrops(), 0, what)
        }
        assertHost(error(router, own, udp(own, outside, udpPort, 54)))
        assertHost(error(router, own, udp(own, outside, 40000, 53)))
      })

      it('sends a workload’s own errors about answers with the node’s address', () => {
        const port = portOf(from(A, udp(pod, outside, 5353, 53)))
        const error = (src: string, quoted: Buffer) =>
          family === 'IPv4'
            ? icmp4(src, outside, 3, 3, join(u32(0), quoted))
            : icmp6(src, outside, 1, 4, join(u32(0), quoted))
        assertOut(
          from(A, error(pod, udp(outside, pod, 53, 5353))),
          withTtl(error(own, udp(outside, own, 53, port)), 63),
        )
        node.assertDrop(c.DROP_ICMP_ERROR, A.vif, () => from(A, error(pod, udp(outside, pod, 54, 5353))))
      })

      it('answers for a packet whose TTL ends here, and for one that is too large, in the workload’s own network', () => {
        const trapped = (packet: Buffer, cmd: number) => {
          const { verdict, frame: out } = from(A, packet)
          assert.equal(verdict, REDIRECT)
          assert.deepEqual(
            [out.readUInt16BE(ETH), out.readUInt16BE(ETH + 2), out.readUInt16BE(ETH + 4)],
            [A.vif, 2, cmd],
          )
          assert.equal(out.subarray(ETH + 30 + ETH).indexOf(packet.subarray(0, 40)), 0, 'as it was sent')
          return out
        }
        trapped(udp(pod, outside, 5353, 53, undefined, { ttl: 1 }), c.AGENT_TRAP_ZERO_TTL)
        const large = trapped(udp(pod, outside, 5353, 53, Buffer.alloc(1500)), c.AGENT_TRAP_HANDLE_DF)
        assert.equal(large.readUInt32BE(ETH + 6), 1500)
        if (family === 'IPv4') {
          // by the nexthop of the gateway, which may know of less than the node
          node.setNexthop(NH.UNDERLAY, {
            type: c.NH_ENCAP,
            to: PEER.mac,
            from: HOST.mac,
            ifindex: node.devices.fabric,
            oifType: c.VIF_PHYSICAL,
            mtu: 1400,
          })
          const larger = trapped(udp(pod, outside, 5353, 53, Buffer.alloc(1450)), c.AGENT_TRAP_HANDLE_DF)
          assert.equal(larger.readUInt32BE(ETH + 6), 1400)
        }
        node.assertDrop(c.DROP_TTL_EXCEEDED, c.VIF_ID_FABRIC, () =>
          fromOutside(
            udp(
              outside,
              own,
              53,
              node.flows().find(({ flow }) => flow.flags & c.FLOW_DNAT)!.destinationPort,
              undefined,
              {
                ttl: 1,
              },
            ),
          ),
        )
      })

      it('lets an answer as large as the NIC takes through to a workload with a smaller MTU', () => {
        node.setNexthop(A.nh, {
          ...node.maps.nexthops.get(A.nh)!,
          to: A.mac,
          mtu: 1468,
          sip: undefined,
          dip: undefined,
        } as never)
        const port = portOf(from(A, udp(pod, outside, 5353, 53)))
        const data = Buffer.alloc(1500 - 48, 1)
        assertIn(fromOutside(udp(outside, own, 53, port, data)), withTtl(udp(outside, pod, 53, 5353, data), 63))
      })

      it('gives two workloads with the same address and port a port each, and answers the right one', () => {
        const packetOf = (pod: Workload) =>
          family === 'IPv4' ? udp(pod.ip4, outside, 9, 53) : udp(pod.ip6, outside, 9, 53)
        const portA = portOf(from(A, packetOf(A)))
        const portC = portOf(from(C, packetOf(C)))
        assert.notEqual(portA, portC)
        assertIn(fromOutside(udp(outside, own, 53, portA)), withTtl(udp(outside, pod, 53, 9), 63), A)
        assertIn(fromOutside(udp(outside, own, 53, portC)), withTtl(udp(outside, pod, 53, 9), 63), C)
      })

      it('keeps networks apart: what the underlay’s table knows as a workload or as the node is not outside', () => {
        const all = family === 'IPv4' ? 32 : 128
        const targets: [string, string][] = [
          ['another network’s pod', family === 'IPv4' ? '10.9.0.1' : '2001:db8:9::1'],
          ['a remote pod', family === 'IPv4' ? '10.9.0.2' : '2001:db8:9::2'],
          ['the node', family === 'IPv4' ? '10.9.0.3' : '2001:db8:9::3'],
          ['nobody, in a subnet of the cluster', family === 'IPv4' ? '10.9.0.4' : '2001:db8:9::4'],
          ['the agent', family === 'IPv4' ? '10.9.0.5' : '2001:db8:9::5'],
        ]
        for (const [i, nh] of [C.nh, NH.TUNNEL, NH.RCV, c.NH_ID_DISCARD, NH.AGENT].entries())
          node.setRoute(0, `${targets[i]![1]}/${all}`, nh)
        targets.push(['a group', family === 'IPv4' ? '224.0.0.9' : 'ff05::9'])
        targets.push(['a loopback', family === 'IPv4' ? '127.0.0.1' : '::1'])
        targets.push(['no address', family === 'IPv4' ? '0.0.0.0' : '::'])
        targets.push(['everybody', family === 'IPv4' ? '255.255.255.255' : 'fe80::1'])
        if (family === 'IPv6') targets.push(['the node’s own', own])
        for (const [what, target] of targets) {
          node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(pod, target, 1, 2)))
          assert.equal(node.flows().length, 0, what)
        }
        assert.equal(node.maps.vifState.get(A.vif)!.flows, 0)
      })

      it('ends a flow whose destination becomes a workload’s, whose network leaves the outside, or whose node another address', () => {
        const packet = udp(pod, outside, 9, 53)
        for (const [what, change, restore] of [
          [
            'a pod there',
            () => node.setRoute(0, family === 'IPv4' ? `${outside}/32` : `${outside}/128`, C.nh),
            () => node.setRoute(0, family === 'IPv4' ? `${outside}/32` : `${outside}/128`, NH.UNDERLAY),
          ],
          [
            'SNAT off',
            () => node.setRoute(2, family === 'IPv4' ? '0.0.0.0/0' : '::/0', c.NH_ID_DISCARD),
            () => node.enableSnat(),
          ],
          ['another range', () => node.setGlobals({ snatPort: 40000, snatPorts: 1000 }), () => node.enableSnat()],
          [
            'another address',
            () => node.setGlobals({ underlayIp: 0xc0000207, underlayIp6: new Uint8Array(16).fill(7) }),
            () => node.setGlobals({ underlayIp: 0xc0000201 }),
          ],
        ] as const) {
          const port = portOf(from(A, packet))
          change()
          node.raiseEpoch()
          assert.equal(from(A, packet).verdict, DROPPED, what)
          assert.equal(node.flows().length, 0, `${what}: ended means removed, both entries`)
          assert.equal(node.maps.vifState.get(A.vif)!.flows, 0, what)
          restore()
          node.enableSnat()
          node.raiseEpoch()
          assertHost(udp(outside, own, 53, port))
          const next = portOf(from(A, packet))
          assert.equal(
            fromOutside(udp(outside, own, 53, next)).verdict,
            REDIRECT,
            `${what}: what comes next is decided anew`,
          )
          deleteFlow(node.maps.flows, node.flows()[0]!.flow.index)
          forget()
        }
        assert.equal(node.maps.vifState.get(A.vif)!.flows, 0)
      })

      it('ends the way back too, when nothing but answers is flowing', () => {
        const port = portOf(from(A, udp(pod, outside, 9, 53)))
        node.setRoute(2, family === 'IPv4' ? '0.0.0.0/0' : '::/0', c.NH_ID_DISCARD)
        assert.equal(fromOutside(udp(outside, own, 53, port)).verdict, REDIRECT, 'not before the epoch says so')
        node.raiseEpoch()
        node.assertDrop(c.DROP_FLOW_EVICT, c.VIF_ID_FABRIC, () => fromOutside(udp(outside, own, 53, port)))
        assert.equal(node.flows().length, 0)
        node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(pod, outside, 9, 53)))
      })

      it('keeps a flow, and its port, through changes that don’t concern it', () => {
        const port = portOf(from(A, udp(pod, outside, 9, 53)))
        for (let i = 0; i < 3; i++) {
          node.raiseEpoch()
          assertIn(fromOutside(udp(outside, own, 53, port)), withTtl(udp(outside, pod, 53, 9), 63))
          assert.equal(portOf(from(A, udp(pod, outside, 9, 53))), port)
        }
        assert.equal(node.flows().length, 2)
        assert.equal(node.totalDrops(), 0)
      })

      it('ends a flow that went elsewhere before its route led outside', () => {
        const bits = family === 'IPv4' ? 32 : 128
        node.setRoute(2, `${outside}/${bits}`, NH.TUNNEL, { label: 100, flags: c.ROUTE_LABEL_VALID })
        assert.equal(from(A, udp(pod, outside, 9, 53)).verdict, REDIRECT)
        node.setRoute(2, `${outside}/${bits}`, NH.SNAT)
        node.raiseEpoch()
        node.assertDrop(c.DROP_FLOW_EVICT, A.vif, () => from(A, udp(pod, outside, 9, 53)))
        const port = portOf(from(A, udp(pod, outside, 9, 53)))
        assertOut(from(A, udp(pod, outside, 9, 53)), withTtl(udp(own, outside, port, 53), 63))
      })
    })
  }

  it('leaves the way out to the kernel where no neighbour’s MAC is known', () => {
    const packet = udp(A.ip4, '192.0.2.77', 9, 53)
    const port = portOf(from(A, packet))
    assertFrame(from(A, packet), frame(ROUTER_MAC, A.mac, withTtl(udp(HOST.ip4, '192.0.2.77', port, 53), 63)))
    node.setRoute(0, '192.0.2.77/32', NH.UNDERLAY)
    node.raiseEpoch()
    assertFrame(from(A, packet), toWire(withTtl(udp(HOST.ip4, '192.0.2.77', port, 53), 63)))
    assert.equal(node.flows().length, 2)
    node.setNexthop(NH.UNDERLAY, { type: c.NH_ENCAP, flags: 0, ifindex: node.devices.fabric, oifType: c.VIF_PHYSICAL })
    node.raiseEpoch()
    assertFrame(from(A, packet), frame(ROUTER_MAC, A.mac, withTtl(udp(HOST.ip4, '192.0.2.77', port, 53), 63)))
  })

  it('carries fragments both ways', () => {
    const data = Buffer.alloc(33, 7) // the last fragment holds one byte
    const cut = (whole: Buffer, id: number) => {
      const [src, dst] = [12, 16].map((at) => whole.subarray(at, at + 4).join('.')) as [string, string]
      const body = whole.subarray(20)
      const { ttl } = { ttl: whole[8]! }
      return [
        ip4(src, dst, PROTO.UDP, body.subarray(0, 40), { id, more: true, ttl }),
        ip4(src, dst, PROTO.UDP, body.subarray(40), { id, offset: 40, ttl }),
      ] as const
    }
    const out = cut(udp(A.ip4, OUTSIDE.ip4, 9, 53, data), 77)
    const port = portOf(from(A, out[0]))
    const expected = cut(withTtl(udp(HOST.ip4, OUTSIDE.ip4, port, 53, data), 63), 77)
    for (const [i, part] of out.entries()) assertFrame(from(A, part), toWire(expected[i]!))
    const answer = cut(udp(OUTSIDE.ip4, HOST.ip4, 53, port, data), 78)
    const restored = cut(withTtl(udp(OUTSIDE.ip4, A.ip4, 53, 9, data), 63), 78)
    for (const [i, part] of answer.entries()) assertIn(fromOutside(part), restored[i]!)
    // the host's own fragments are the host's, and aren't remembered here
    const remembered = () => [...node.raw.get('fragments')!.keys()].length
    const before = remembered()
    for (const part of cut(udp(OUTSIDE.ip4, HOST.ip4, 53, 2049, data), 79)) assertHost(part)
    assert.equal(remembered(), before)
    for (const part of [...cut(udp(OUTSIDE.ip4, HOST.ip4, 53, 61001, data), 80)].reverse()) assertHost(part)
    node.assertHeld(() => from(A, cut(udp(A.ip4, OUTSIDE.ip4, 9, 53, data), 99)[1]))
  })

  it('carries IPv6 fragments both ways', () => {
    const data = Buffer.alloc(33, 7) // the last fragment holds one byte
    const cut = (src: string, dst: string, body: Buffer, hopLimit = 64) =>
      [
        ip6(src, dst, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, 1], u32(5), body.subarray(0, 40)), { hopLimit }),
        ip6(src, dst, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, 40], u32(5), body.subarray(40)), { hopLimit }),
      ] as const
    const out = cut(A.ip6, OUTSIDE.ip6, udp(A.ip6, OUTSIDE.ip6, 9, 53, data).subarray(40))
    assert.equal(from(A, out[0]).verdict, REDIRECT)
    const port = node.flows().find(({ flow }) => flow.flags & c.FLOW_DNAT)!.destinationPort
    const expected = cut(HOST.ip6, OUTSIDE.ip6, udp(HOST.ip6, OUTSIDE.ip6, port, 53, data).subarray(40), 63)
    for (const [i, part] of out.entries()) assertOut(from(A, part), expected[i]!)
    const answer = cut(OUTSIDE.ip6, HOST.ip6, udp(OUTSIDE.ip6, HOST.ip6, 53, port, data).subarray(40))
    const restored = cut(OUTSIDE.ip6, A.ip6, udp(OUTSIDE.ip6, A.ip6, 53, 9, data).subarray(40), 63)
    for (const [i, part] of answer.entries()) assertIn(fromOutside(part), restored[i]!)
  })

  it('leaves everything else to the host', () => {
    from(A, udp(A.ip4, OUTSIDE.ip4, 9, 53))
    for (const packet of [
      udp(OUTSIDE.ip4, HOST.ip4, 53, 40000),
      udp(OUTSIDE.ip4, HOST.ip4, 54, 61000),
      udp('198.51.100.10', HOST.ip4, 53, 61000),
      tcp(OUTSIDE.ip4, HOST.ip4, 53, 61000, SYN),
      tcp(OUTSIDE.ip4, HOST.ip4, 53, 61000, SYN, { options: Buffer.alloc(8, 1) }),
      ping(OUTSIDE.ip4, HOST.ip4, 61000),
      pong(OUTSIDE.ip4, HOST.ip4, 3),
      icmp4(OUTSIDE.ip4, HOST.ip4, 3, 3, Buffer.alloc(4)),
      ip4(OUTSIDE.ip4, HOST.ip4, 47, Buffer.alloc(8)),
      ip4(OUTSIDE.ip4, HOST.ip4, PROTO.UDP, Buffer.alloc(2)),
      udp(OUTSIDE.ip4, '203.0.113.200', 53, 61000),
      udp(OUTSIDE.ip6, HOST.ip6, 53, 61000),
      udp(OUTSIDE.ip6, HOST.ip6, 53, 22),
      ping(OUTSIDE.ip6, HOST.ip6, 61000),
      ip6(OUTSIDE.ip6, HOST.ip6, PROTO.UDP, Buffer.alloc(2)),
      ip6(OUTSIDE.ip6, HOST.ip6, 59, Buffer.alloc(0)),
    ])
      assertHost(packet)
    assert.equal(node.totalDrops(), 0)
    assert.equal(node.flows().length, 2)
  })

  it('takes no other flow to the host for one of its own', () => {
    const packet = udp(REMOTE.ip4, HOST.ip4, 53, 61500)
    const tunnelled = mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: HOST.label }, packet)
    assert.equal(node.fromFabric(frame(HOST.mac, PEER.mac, tunnelled)).verdict, REDIRECT)
    assert.deepEqual(
      node.flows().map(({ nexthop }) => nexthop),
      [NH.RCV, NH.RCV],
    )
    assertHost(packet)
  })

  it('translates what has a port or an id, and nothing else', () => {
    for (const packet of [
      ip4(A.ip4, OUTSIDE.ip4, PROTO.SCTP, Buffer.alloc(12)),
      ip4(A.ip4, OUTSIDE.ip4, 47, Buffer.alloc(8)),
      pong(A.ip4, OUTSIDE.ip4, 3),
      icmp4(A.ip4, OUTSIDE.ip4, 13, 0, Buffer.alloc(16)),
      ip6(A.ip6, OUTSIDE.ip6, 59, Buffer.alloc(0)),
      pong(A.ip6, OUTSIDE.ip6, 3),
    ])
      node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => from(A, packet))
    assert.equal(node.flows().length, 0)
  })

  /** A UDP exchange with the outside that is answered. */
  const exchange = (pod: Workload, sport: number, dport = 53): number => {
    const port = portOf(from(pod, udp(pod.ip4, OUTSIDE.ip4, sport, dport)))
    assert.equal(fromOutside(udp(OUTSIDE.ip4, HOST.ip4, dport, port)).verdict, REDIRECT)
    return port
  }

  it('ends a pod at three of four ports towards one destination, says so, loses none, and gives them back', () => {
    node.enableSnat(16)
    const ports = new Set<number>()
    for (let i = 0; i < 12; i++) ports.add(exchange(A, 100 + i))
    assert.equal(ports.size, 12)
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () => from(A, udp(A.ip4, OUTSIDE.ip4, 200, 53)))
    for (let i = 0; i < 4; i++) ports.add(exchange(i % 2 ? B : C, 100 + i))
    assert.equal(ports.size, 16)
    assert.ok([...ports].every((port) => port >= FIRST && port < FIRST + 16))
    node.assertDrop(c.DROP_FLOW_NO_MEMORY, B.vif, () => from(B, udp(B.ip4, OUTSIDE.ip4, 200, 53)))
    assert.equal(node.maps.vifState.get(A.vif)!.flows, 24)
    exchange(A, 200, 54)
    portOf(from(A, tcp(A.ip4, OUTSIDE.ip4, 200, 53, SYN)))
    const [[key, flow]] = [...node.maps.flows.flow4.entries()].filter(
      ([{ nhId, sport }]) => nhId === A.nh && sport === 105,
    ) as [[never, never]]
    node.maps.flows.flow4.set(key, { ...(flow as object), flags: c.FLOW_EVICT_CANDIDATE } as never)
    forget()
    exchange(B, 200)
    const { created, deleted } = flowCounters(node.maps.flows)
    assert.equal(created - deleted, 36n)
  })

  it('lets a port go that nobody answered at, or whose connection is over, before it refuses one', () => {
    node.enableSnat(32)
    for (const flags of [ACK, SYN])
      for (let i = 0; i < 400; i++) portOf(from(A, tcp(A.ip4, OUTSIDE.ip4, 1000 + i, 443, flags)))
    assert.equal(node.totalDrops(), 0)
    assert.ok(node.flows().length <= 2 * 25, `${node.flows().length} entries`)
    for (let i = 0; i < 5; i++) {
      const port = portOf(from(B, tcp(B.ip4, OUTSIDE.ip4, 1000 + i, 443, SYN, { seq: 7 })))
      assert.equal(fromOutside(tcp(OUTSIDE.ip4, HOST.ip4, 443, port, SYN | ACK, { seq: 9, ack: 8 })).verdict, REDIRECT)
      from(B, tcp(B.ip4, OUTSIDE.ip4, 1000 + i, 443, ACK, { seq: 8, ack: 10 }))
    }
    for (let i = 0; i < 400; i++) from(A, tcp(A.ip4, OUTSIDE.ip4, 3000 + i, 443, ACK))
    const established = (pod: Workload) =>
      node
        .flows()
        .filter(
          ({ nexthop, flow }) =>
            nexthop === pod.nh && flow.tcpFlags & c.TCP_ESTABLISHED && flow.tcpFlags & c.TCP_ESTABLISHED_R,
        ).length
    assert.equal(established(B), 5, 'established ones keep theirs')
    for (let i = 0; i < 300; i++) {
      const port = portOf(from(C, tcp(C.ip4, OUTSIDE.ip4, 1000 + i, 443, SYN, { seq: 7 })))
      fromOutside(tcp(OUTSIDE.ip4, HOST.ip4, 443, port, RST | ACK, { ack: 8 }))
    }
    assert.deepEqual([...node.drops(C.vif)], [])
  })

  it('leaves others their ports when those of connections that were over are used again', () => {
    node.enableSnat(16)
    const open = (pod: Workload, sport: number, seq: number, answer: number, options: { seq?: number }) => {
      const port = portOf(from(pod, tcp(pod.ip4, OUTSIDE.ip4, sport, 443, SYN, { seq })))
      const reply = tcp(OUTSIDE.ip4, HOST.ip4, 443, port, answer, { ...options, ack: seq + 1 })
      assert.equal(fromOutside(reply).verdict, REDIRECT)
      return port
    }
    const establish = (pod: Workload, sport: number) => {
      const port = open(pod, sport, 70, SYN | ACK, { seq: 9 })
      from(pod, tcp(pod.ip4, OUTSIDE.ip4, sport, 443, ACK, { seq: 71, ack: 10 }))
      return port
    }
    const ports = new Set<number>()
    for (let i = 0; i < 16; i++) ports.add(open(A, 100 + i, 7, RST | ACK, {}))
    assert.equal(ports.size, 16)
    for (let i = 0; i < 16; i++) ports.add(establish(A, 100 + i))
    assert.equal(ports.size, 16, 'each goes on at its port')
    for (let i = 0; i < 4; i++) establish(i % 2 ? B : C, 100 + i)
    assert.equal(node.totalDrops(), 0)
  })

  it('leaves nothing of a flow for whose second direction there was no room', () => {
    using small = new Fixture({ sizes: { flow4: 7 } })
    small.setFlowRoom(14, 14)
    small.enableSnat()
    const packet = (port: number) => frame(ROUTER_MAC, A.mac, udp(A.ip4, OUTSIDE.ip4, port, 53))
    for (let port = 1; port <= 2; port++) assert.equal(small.fromPod(A, packet(port)).verdict, REDIRECT)
    for (let port = 1; port <= 2; port++) small.fromHost(frame(HOST.mac, HOST.mac, udp(HOST.ip4, A.ip4, port, 1)))
    const [flows, { next }] = [small.flows().length, flowCounters(small.maps.flows)]
    for (let port = 11; port <= 15; port++) small.fromPod(A, packet(port))
    assert.ok(small.flows().length <= 7)
    assert.equal(small.flows().length, [...small.maps.flows.flow4.entries()].length)
    assert.equal(small.maps.vifState.get(A.vif)!.flows, small.flows().filter(({ flow }) => flow.vif === A.vif).length)
    assert.ok(flows >= 6 && flowCounters(small.maps.flows).next <= next + 2, 'indices are used again')
  })

  it('finds a free port where two of three are taken', () => {
    node.enableSnat(1000)
    let failed = 0
    for (let i = 0; i < 670; i++) if (from(A, udp(A.ip4, OUTSIDE.ip4, 1 + i, 53)).verdict !== REDIRECT) failed++
    assert.equal(failed, 0)
    assert.equal(flowCounters(node.maps.flows).evicted, 0n)
  })

  it('holds a workload to its limits, and counts what is refused', () => {
    const { vif, nh, mac, ip4, ip6 } = A
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6, maxFlows: 2 })
    exchange(A, 1)
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () => from(A, udp(A.ip4, OUTSIDE.ip4, 2, 53)))
    node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () => from(A, udp(B.ip4, OUTSIDE.ip4, 2, 53)))
    assert.equal(node.flows().length, 2)
  })

  it('sends nothing where the node has no address of the family, or SNAT is off', () => {
    node.setGlobals({ underlayIp6: new Uint8Array(16) })
    node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => from(A, udp(A.ip6, OUTSIDE.ip6, 1, 53)))
    node.setGlobals({ snatPorts: 0 })
    node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => from(A, udp(A.ip4, OUTSIDE.ip4, 1, 53)))
  })

  it('serves workloads only: a packet from a tunnel or from the agent doesn’t leave by it', () => {
    const inner = udp(REMOTE.ip4, OUTSIDE.ip4, 1, 53)
    node.assertDrop(c.DROP_DISCARD, c.VIF_ID_FABRIC, () =>
      node.fromFabric(frame(HOST.mac, PEER.mac, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: 32 }, inner))),
    )
    assert.equal(node.flows().length, 0)
  })

  for (const v6 of [false, true])
    it(`lets no tunnel into either direction of its flows, and none change or end them: ${v6 ? 'IPv6' : 'IPv4'}`, () => {
      const of = (who: { readonly ip4: string; readonly ip6: string }) => (v6 ? who.ip6 : who.ip4)
      const data = Buffer.from('data')
      const port = portOf(from(A, udp(of(A), of(PEER), 40000, 443, data)))
      const before = node.flows()
      const tunnelled = (label: number, packet: Buffer) =>
        node.fromFabric(eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label }, packet)))
      // under the host's label an answer, from whom the workload spoke to; under the workload's own its packet once more
      for (const send of [
        () => tunnelled(HOST.label, udp(of(PEER), of(HOST), 443, port, data)),
        () => tunnelled(A.label, udp(of(A), of(PEER), 40000, 443, data)),
      ])
        node.assertDrop(c.DROP_FLOW_ACTION_INVALID, c.VIF_ID_FABRIC, send)
      assert.deepEqual(node.flows(), before)
      assertIn(
        fromOutside(udp(of(PEER), of(HOST), 443, port, data)),
        withTtl(udp(of(PEER), of(A), 443, 40000, data), 63),
      )
    })

  it('doesn’t take the way out for the way back to an unknown sender', () => {
    node.setVrf(2, 2, true)
    const packet = udp('203.0.113.5', A.ip4, 1, 2)
    assert.equal(
      node.fromFabric(frame(HOST.mac, PEER.mac, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, packet)))
        .verdict,
      REDIRECT,
    )
    assert.deepEqual(
      node.flows().map(({ flow }) => flow.nh),
      [A.nh, c.NH_ID_DISCARD],
    )
    node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, udp(A.ip4, '203.0.113.5', 2, 1)))
  })

  /** A connection that both ends have opened: what each sends in it from now on. */
  function connection() {
    const port = portOf(from(A, tcp(A.ip4, OUTSIDE.ip4, 1, 80, SYN, { seq: 100 })))
    const back = (flags: number, seq: number, ack: number) =>
      fromOutside(tcp(OUTSIDE.ip4, HOST.ip4, 80, port, flags, { seq, ack }))
    const forth = (flags: number, seq: number, ack: number) =>
      from(A, tcp(A.ip4, OUTSIDE.ip4, 1, 80, flags, { seq, ack }))
    back(SYN | ACK, 500, 101)
    forth(ACK, 101, 501)
    return { back, forth }
  }

  it('follows the state of a TCP connection, and gives its port back when it is over', () => {
    const { back, forth } = connection()
    const established = c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R
    assert.ok(node.flows().every(({ flow }) => (flow.tcpFlags & established) === established))
    back(RST, 77, 0)
    assert.ok(
      node.flows().every(({ flow }) => !(flow.tcpFlags & c.TCP_DEAD)),
      'a guessed reset',
    )
    forth(FIN | ACK, 101, 501)
    back(FIN | ACK, 501, 102)
    forth(ACK, 102, 502)
    assert.ok(node.flows().every(({ flow }) => flow.tcpFlags & c.TCP_DEAD))
  })

  it('knows by the answers of an established connection which reset of the workload is due', () => {
    const { back, forth } = connection()
    back(ACK, 501, 201)
    const isOver = () => node.flows().map(({ flow }) => (flow.tcpFlags & c.TCP_DEAD) !== 0)
    forth(RST, 101, 0)
    assert.deepEqual(isOver(), [false, false], 'one from before')
    forth(RST, 201, 0)
    assert.deepEqual(isOver(), [true, true])
  })

  it('removes a direction that lost the other', () => {
    from(A, udp(A.ip4, OUTSIDE.ip4, 9, 53))
    const key = [...node.maps.flows.flow4.entries()].find(([{ nhId }]) => nhId === NH.RCV)![0]
    node.maps.flows.flow4.delete(key)
    forget()
    assert.equal(node.flows().length, 0)
    assert.equal(node.maps.vifState.get(A.vif)!.flows, 0)
  })

  it('drops an answer whose workload’s direction is gone', () => {
    const port = portOf(from(A, udp(A.ip4, OUTSIDE.ip4, 9, 53)))
    const key = [...node.maps.flows.flow4.entries()].find(([{ nhId }]) => nhId === A.nh)![0]
    node.maps.flows.flow4.delete(key)
    forget()
    node.assertDrop(c.DROP_FLOW_NAT_NO_RFLOW, c.VIF_ID_FABRIC, () => fromOutside(udp(OUTSIDE.ip4, HOST.ip4, 53, port)))
  })

  it('keeps the gateway and its own network as they are', () => {
    const trapped = from(A, ping(A.ip4, GATEWAY.ip4, 1))
    assert.equal(trapped.frame.readUInt16BE(ETH + 4), c.AGENT_TRAP_NEXTHOP)
    const packet = udp(A.ip4, B.ip4, 1, 2)
    assertFrame(from(A, packet), frame(B.mac, ROUTER_MAC, withTtl(packet, 63)))
  })
})
