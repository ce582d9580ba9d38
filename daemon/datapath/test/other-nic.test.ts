/**
 * Proves that what leaves with the node's address goes where the kernel's routes lead: by the underlay, by another NIC that is an exit,
 * with the node's address there; or it is refused and counted. Never out of the wrong wire. Answers by an exit find the workload, and
 * nothing else that comes there is touched.
 */
import { strict as assert } from 'node:assert'
import { ip4Number, ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { A, assertFrame, Fixture, HOST, OUTSIDE, PASSED, REDIRECT, ROUTER_MAC, type Sent } from './fixture.ts'
import { ETH, eth, ip4, ip6, join, PROTO, ping, pong, TCP_FLAG, tcp, tooBig, u32, udp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'

const EXIT = { ip4: '10.77.0.1', ip6: '2001:db8:77::1', mtu: 1400 }
const MAC = '0e:00:00:00:00:77'
const { SYN, ACK } = TCP_FLAG

const FAMILIES = [
  {
    family: 'IPv4',
    type: 0x0800,
    pod: A.ip4,
    own: HOST.ip4,
    outside: OUTSIDE.ip4,
    exit: EXIT.ip4,
    behind: '10.77.0.9',
    flag: '',
  },
  {
    family: 'IPv6',
    type: 0x86dd,
    pod: A.ip6,
    own: HOST.ip6,
    outside: OUTSIDE.ip6,
    exit: EXIT.ip6,
    behind: '2001:db8:77::9',
    flag: '-6 ',
  },
] as const

describe('datapath: SNAT and the node’s other NICs', function () {
  this.timeout(60000)
  let node: Fixture
  let nic2: number

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat()
    for (const device of ['vhost', 'vhost-x', 'agent']) node.ip(`link set ${device} up`)
    node.ip(`addr add ${HOST.ip4}/24 dev vhost`)
    node.ip(`addr add ${HOST.ip6}/64 dev vhost nodad`)
    node.ip('route add default via 192.0.2.2 dev vhost')
    node.ip('-6 route add default via 2001:db8:ff::2 dev vhost')
    nic2 = node.device('nic2')
    node.ip(`link set nic2 address ${MAC}`)
    for (const device of ['nic2', 'nic2-x']) node.ip(`link set ${device} up`)
    node.ip(`addr add ${EXIT.ip4}/24 dev nic2`)
    node.ip(`addr add ${EXIT.ip6}/64 dev nic2 nodad`)
    node.run('sysctl', '-qw', 'net.ipv4.conf.agent.forwarding=1', 'net.ipv6.conf.agent.forwarding=1')
  })
  afterEach(() => node?.[Symbol.dispose]())

  const openExit = ({ ip4: address4 = EXIT.ip4, ip6: address6 = EXIT.ip6 } = {}) =>
    node.maps.exits.set(nic2, { ip: ip4Number(address4), mtu: EXIT.mtu, ip6: ip6Bytes(address6) })
  const fromPod = (packet: Uint8Array) =>
    node.fromPod(A, eth(ROUTER_MAC, A.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const atExit = (packet: Uint8Array) =>
    node.fromExit(nic2, eth(MAC, '0e:00:00:00:00:99', packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const l4Of = (sent: Sent) => ETH + (sent.frame.readUInt16BE(12) === 0x0800 ? 20 : 40)
  const portOf = (sent: Sent) => {
    assert.equal(sent.verdict, REDIRECT)
    return sent.frame.readUInt16BE(l4Of(sent))
  }
  const assertIn = (sent: Sent, packet: Uint8Array) =>
    assertFrame(sent, eth(A.mac, ROUTER_MAC, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const assertUntouched = (packet: Uint8Array) => {
    const sent = atExit(packet)
    assertFrame(sent, eth(MAC, '0e:00:00:00:00:99', packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet), PASSED)
  }

  let port = 1
  for (const { family, pod, own, outside, exit, behind, flag } of FAMILIES) {
    const is4 = family === 'IPv4'
    const send = (to: string, from = port++) => fromPod(udp(pod, to, from, 53))

    describe(`${family}, the NIC is no exit`, () => {
      it('by the underlay’s default route goes out', () => {
        assert.equal(send(outside).verdict, REDIRECT)
      })

      it('to what is behind it is refused, with a reason, and makes no flow', () => {
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(behind))
        node.ip(`${flag}route add ${outside} dev nic2`)
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(outside))
        openExit(is4 ? { ip4: '0.0.0.0' } : { ip6: '::' })
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(outside))
        assert.equal(node.flows().length, 0)
      })

      it('that the kernel has no way for, or is itself, is refused, with a reason', () => {
        node.ip(`${flag}route add unreachable ${outside}`)
        node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside))
        node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(exit))
      })

      it('a flow ends when the kernel’s route moves there', () => {
        assert.equal(send(outside, 999).verdict, REDIRECT)
        node.ip(`${flag}route add ${outside} dev nic2`)
        assert.equal(send(outside, 999).verdict, REDIRECT, 'until somebody says that routes have changed')
        node.raiseEpoch()
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(outside, 999))
      })
    })

    it(`a flow of ${family} outlives a moment without a route, and leaves by the same port`, () => {
      const first = portOf(send(outside, 998))
      const way = is4 ? '192.0.2.2' : '2001:db8:ff::2'
      node.ip(`${flag}route del default`)
      node.raiseEpoch()
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.ip(`${flag}route add default via ${way} dev vhost`)
      assert.equal(portOf(send(outside, 998)), first, 'as soon as there is one')
      assert.equal(node.flows().length, 2)
    })

    describe(`${family} by an exit`, () => {
      beforeEach(() => openExit())

      it('leaves with the node’s address there, and the answer finds the workload', () => {
        const first = port++
        const snat = portOf(fromPod(tcp(pod, behind, first, 443, SYN)))
        assertFrame(
          fromPod(tcp(pod, behind, first, 443, SYN)),
          eth(ROUTER_MAC, A.mac, is4 ? 0x0800 : 0x86dd, withTtl(tcp(exit, behind, snat, 443, SYN), 63)),
        )
        assertIn(atExit(tcp(behind, exit, 443, snat, SYN | ACK)), withTtl(tcp(behind, pod, 443, first, SYN | ACK), 63))
        assert.equal(node.flows().length, 2)
        assert.equal(node.totalDrops(), 0)
      })

      it('carries datagrams and echoes', () => {
        const first = port++
        const snat = portOf(fromPod(udp(pod, behind, first, 53)))
        assertIn(atExit(udp(behind, exit, 53, snat)), withTtl(udp(behind, pod, 53, first), 63))
        const sent = fromPod(ping(pod, behind, 7))
        assert.equal(sent.verdict, REDIRECT)
        const id = sent.frame.readUInt16BE(l4Of(sent) + 4)
        assertIn(atExit(pong(behind, exit, id)), withTtl(pong(behind, pod, 7), 63))
      })

      it('carries fragments, those too that come before their first one', () => {
        const first = port++
        const data = Buffer.alloc(33, 7)
        const cut = (src: string, dst: string, body: Buffer, id: number, ttl = 64) =>
          [0, 40].map((offset) => {
            const part = body.subarray(offset, offset === 0 ? 40 : undefined)
            return is4
              ? ip4(src, dst, PROTO.UDP, part, { id, offset, more: offset === 0, ttl })
              : ip6(src, dst, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, offset + (offset === 0 ? 1 : 0)], u32(id), part), {
                  hopLimit: ttl,
                })
          })
        const bodyOf = (packet: Buffer) => packet.subarray(is4 ? 20 : 40)
        const parts = cut(pod, behind, bodyOf(udp(pod, behind, first, 53, data)), 5)
        for (const part of parts) assert.equal(fromPod(part).verdict, REDIRECT)
        const snat = node.flows().find(({ flow }) => flow.flags & c.FLOW_DNAT)!.destinationPort
        const answer = (id: number) => cut(behind, exit, bodyOf(udp(behind, exit, 53, snat, data)), id)
        const restored = cut(behind, pod, bodyOf(udp(behind, pod, 53, first, data)), 6, 63)
        for (const [i, part] of answer(6).entries()) assertIn(atExit(part), restored[i]!)
        assertUntouched(answer(7)[1]!) // the host gets it, and it waits
        assert.equal(node.waiting(), 1)
      })

      it('is told of errors', () => {
        const first = port++
        const sent = fromPod(udp(pod, behind, first, 53))
        const snat = portOf(sent)
        const router = is4 ? '203.0.113.7' : '2001:db8:113::7'
        const quoted = (from: string, from4: number) => withTtl(udp(from, behind, from4, 53), 60)
        const error = (to: string, inner: Uint8Array) => tooBig(router, to, 1300, inner)
        assertIn(atExit(error(exit, quoted(exit, snat))), withTtl(error(pod, quoted(pod, first)), 63))
      })

      it('of the other NIC’s own: everything else passes untouched', () => {
        const snat = portOf(fromPod(udp(pod, behind, port++, 53)))
        assertUntouched(udp(behind, exit, 53, snat + 1)) // no flow has that port
        assertUntouched(udp(behind, exit, 53, 22)) // the host's
        assertUntouched(ping(behind, exit, snat))
        assertUntouched(udp(behind, is4 ? '10.77.0.2' : '2001:db8:77::2', 53, snat)) // forwarded
        const other = portOf(send(outside))
        assertUntouched(udp(outside, own, 53, other)) // an answer to what left by the underlay doesn't come here
        assert.equal(node.totalDrops(), 0)
      })

      it('takes nothing once the device is no exit any more, and its flows end', () => {
        const first = port++
        const snat = portOf(send(behind, first))
        node.maps.exits.delete(nic2)
        assertUntouched(udp(behind, exit, 53, snat))
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(behind, first))
        node.raiseEpoch()
        node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(behind, first))
      })

      it('goes out of the NIC whatever neighbour of the underlay its table names, and back when the route does', () => {
        node.ip(`${flag}route add ${outside} dev nic2`)
        const snat = portOf(send(outside, 999))
        assertIn(atExit(udp(outside, exit, 53, snat)), withTtl(udp(outside, pod, 53, 999), 63))
        node.ip(`${flag}route del ${outside} dev nic2`)
        node.raiseEpoch()
        node.assertDrop(c.DROP_FLOW_EVICT, A.vif, () => send(outside, 999))
      })

      it('ends a flow when the address there changes, and a new one has the new address', () => {
        send(behind, 999)
        const changed = is4 ? '10.77.0.5' : '2001:db8:77::5'
        openExit(is4 ? { ip4: changed } : { ip6: changed })
        node.raiseEpoch()
        node.assertDrop(c.DROP_FLOW_EVICT, A.vif, () => send(behind, 999))
        for (let i = 0; i < 4; i++) node.call('age_now')
        const snat = portOf(send(behind, 999))
        assertUntouched(udp(behind, exit, 53, snat))
        assertIn(atExit(udp(behind, changed, 53, snat)), withTtl(udp(behind, pod, 53, 999), 63))
      })

      it('leaves packets larger than the device takes to the agent', () => {
        const large = fromPod(udp(pod, behind, port++, 53, Buffer.alloc(1380)))
        assert.deepEqual(
          [large.verdict, large.frame.readUInt16BE(ETH + 4), large.frame.readUInt32BE(ETH + 6)],
          [REDIRECT, c.AGENT_TRAP_HANDLE_DF, EXIT.mtu],
        )
      })

      it('without an address of that family in the underlay leaves nevertheless', () => {
        node.setGlobals(is4 ? { underlayIp: 0 } : { underlayIp6: new Uint8Array(16) })
        assert.equal(send(behind).verdict, REDIRECT)
        node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside))
      })
    })

    it(`a flow of ${family} outlives a moment without a route, and leaves by the same port`, () => {
      const portOf = ({ verdict, frame }: Sent) => {
        assert.equal(verdict, REDIRECT)
        return frame.readUInt16BE(family === 'IPv4' ? 34 : 54)
      }
      const port = portOf(send(outside, 998))
      const way = family === 'IPv4' ? '192.0.2.2' : '2001:db8:ff::2'
      node.ip(`${flag}route del default`)
      node.raiseEpoch()
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.ip(`${flag}route add default via ${way} dev vhost`)
      assert.equal(portOf(send(outside, 998)), port, 'as soon as there is one')
      assert.equal(node.flows().length, 2)
    })
  }
})
