/**
 * Proves who is believed: tunnels come from known nodes, and bring what that node can have; nobody makes a node send a tunnel that it
 * didn't mean to; nobody but a node speaks with its addresses; and a cloud's metadata is the node's. Each attack beside the neighbour
 * who must go on.
 *
 * How a pod's bytes could leave a node with the node's address, in a packet that another node would take for a tunnel:
 *  - by SNAT, whole, in fragments, in a flow that was there before the rule was (an upgrade): refused in snat.h
 *  - by SNAT through the kernel's routing, or by the host's own NAT (a NodePort whose endpoint is a node's tunnel port): refused where
 *    the host forwards (vhost.bpf.c)
 *  - by the answer of a service to a port of SNAT that is a tunnel's: such a range of ports is refused (config/load.test.ts)
 *  - forwarded by a host with the pod's own address, by a second NIC, by a machine outside: the outer source is no node's (tunnel.h)
 *  - to a node's address through the overlay: encapsulated, and what comes out of a tunnel isn't looked at for another one
 */
import { strict as assert } from 'node:assert'
import { ip4Number, ip4Text, ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  OUTSIDE,
  PASSED,
  PEER,
  PEER_2,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  type Sent,
  VRF_LABEL,
  type Workload,
} from './fixture.ts'
import {
  advert,
  arp,
  ETH,
  eth,
  frame,
  ip4,
  ip6,
  join,
  mplsOverUdp,
  PROTO,
  ping,
  solicit,
  TCP_FLAG,
  type TunnelFields,
  tcp,
  u32,
  udp,
} from './frames.ts'
import { cannotRun } from './node.ts'

/** An address of the underlay that no node has. */
const STRANGER = '192.0.2.66'
/** The device number of a NIC that isn't ours: nothing checks what comes by it. */
const SECOND_NIC = 4711

const FAMILIES = [
  {
    family: 'IPv4',
    pod: A.ip4,
    neighbour: B.ip4,
    remote: REMOTE.ip4,
    gateway: GATEWAY.ip4,
    own: HOST.ip4,
    peer: PEER.ip4,
    peer2: PEER_2.ip4,
    outside: OUTSIDE.ip4,
    unused: '10.2.0.99',
    special: ['0.0.0.0', '127.0.0.1', '169.254.7.7', '224.0.0.5', '255.255.255.255'],
  },
  {
    family: 'IPv6',
    pod: A.ip6,
    neighbour: B.ip6,
    remote: REMOTE.ip6,
    gateway: GATEWAY.ip6,
    own: HOST.ip6,
    peer: PEER.ip6,
    peer2: PEER_2.ip6,
    outside: OUTSIDE.ip6,
    unused: '2001:db8:2::99',
    special: ['::', '::1', 'fe80::7', 'ff02::1'],
  },
] as const

describe('datapath: trust', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat()
    node.setRoute(0, `${HOST.ip6}/128`, NH.RCV)
  })
  afterEach(() => node?.[Symbol.dispose]())

  const fromPod = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
  const tunnelled = (label: number, inner: Uint8Array, fields: Partial<TunnelFields> = {}) =>
    frame(HOST.mac, PEER.mac, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label, ...fields }, inner))
  const fromNode = (label: number, inner: Uint8Array, fields?: Partial<TunnelFields>) =>
    node.fromFabric(tunnelled(label, inner, fields))
  const assertAtPod = (sent: Sent, packet: Uint8Array, pod: Workload = A) =>
    assertFrame(sent, frame(pod.mac, ROUTER_MAC, packet))
  const foreign = () => Number(node.maps.underlayStats.get(0)!.foreignTunnels)
  /** The host gets the frame as it came: it is no tunnel, and nothing is dropped. */
  const assertHosts = (whole: Buffer) => {
    const before = { drops: node.totalDrops(), flows: node.flows().length }
    const received = node.vifCounters(c.VIF_ID_VHOST)['txPackets'] ?? 0
    assertFrame(node.fromFabric(whole), whole)
    assert.equal(node.vifCounters(c.VIF_ID_VHOST)['txPackets'], received + 1)
    assert.deepEqual({ drops: node.totalDrops(), flows: node.flows().length }, before)
  }

  for (const at of FAMILIES) {
    describe(at.family, () => {
      const { pod, neighbour, remote, gateway, own, peer, peer2, outside, unused, special } = at
      const toPod = (source: string, port = 1) => udp(source, pod, port, 2)

      describe('a stranger on the underlay', () => {
        for (const [where, label, target] of [
          ["a pod's label", A.label, pod],
          ["a VRF's label", VRF_LABEL, pod],
          ["the host's label", HOST.label, own],
        ] as const) {
          for (const [what, source] of [
            ['a known remote pod', remote],
            ['a pod of this node', neighbour],
            ['somebody outside', outside],
          ] as const) {
            it(`is no node: ${where}, in the name of ${what}; the node’s own packet goes on`, () => {
              const inner = udp(source, target, 1, 2)
              const neighbourly = udp(remote, target, 7, 2)
              const expected = label === HOST.label ? frame(HOST.mac, PEER.mac, neighbourly) : undefined
              const go = () => {
                const sent = fromNode(label, neighbourly)
                if (expected) assertFrame(sent, expected)
                else assertAtPod(sent, neighbourly)
              }
              if (label === HOST.label && at.family === 'IPv6')
                node.setRoute(0, `${remote}/128`, NH.TUNNEL, { label: 300, flags: c.ROUTE_LABEL_VALID })
              assertHosts(tunnelled(label, inner, { src: STRANGER }))
              assert.equal(foreign(), 1)
              go()
              assertHosts(tunnelled(label, inner, { src: STRANGER }))
              assert.equal(foreign(), 2)
              go()
            })
          }
        }

        it('doesn’t get into a flow that is there, begun by either side', () => {
          assertAtPod(fromNode(A.label, toPod(remote)), toPod(remote))
          assert.equal(fromPod(A, udp(pod, remote, 5, 6)).verdict, REDIRECT)
          for (const inner of [toPod(remote), udp(remote, pod, 6, 5), udp(remote, pod, 2, 1)]) {
            assertHosts(tunnelled(A.label, inner, { src: STRANGER }))
            assertHosts(tunnelled(VRF_LABEL, inner, { src: STRANGER }))
          }
          assertAtPod(fromNode(A.label, udp(remote, pod, 6, 5)), udp(remote, pod, 6, 5))
          assert.ok(node.flows().every(({ flow }) => flow.packets <= 2n))
        })

        it('doesn’t end a connection with a reset', () => {
          const { SYN, ACK, RST } = TCP_FLAG
          assertAtPod(fromNode(A.label, tcp(remote, pod, 1, 80, SYN)), tcp(remote, pod, 1, 80, SYN))
          fromPod(A, tcp(pod, remote, 80, 1, SYN | ACK, { ack: 1001 }))
          const state = () => node.flows().map(({ flow }) => flow.tcpFlags)
          const before = state()
          assertHosts(tunnelled(A.label, tcp(remote, pod, 1, 80, RST, { seq: 1001 }), { src: STRANGER }))
          assert.deepEqual(state(), before)
        })

        it('may be named as a peer, and is one then', () => {
          node.setVrf(2, 2, true)
          node.setPeer(STRANGER)
          assertAtPod(fromNode(A.label, toPod(outside), { src: STRANGER }), toPod(outside))
          assert.equal(foreign(), 0)
        })
      })

      describe('a known node', () => {
        const refused = (label: number, inner: Buffer, fields?: Partial<TunnelFields>) =>
          node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () => fromNode(label, inner, fields))

        for (const [where, label] of [
          ["a pod's label", A.label],
          ["a VRF's label", VRF_LABEL],
        ] as const) {
          it(`sends into a tenant’s network, under ${where}, its own pods’ packets and its own, and no others`, () => {
            for (const source of [neighbour, pod, gateway, own, unused, outside, peer2, ...special])
              refused(label, toPod(source))
            refused(label, toPod(remote), { src: PEER_2.ip4 })
            assert.equal(node.flows().length, 0)
            assertAtPod(fromNode(label, toPod(remote)), toPod(remote))
            assertAtPod(fromNode(label, toPod(peer)), toPod(peer))
          })

          it(`forwards into a network of the underlay, under ${where}, for who is outside, and for nobody else`, () => {
            node.setVrf(2, 2, true)
            for (const source of [neighbour, pod, gateway, own, unused, peer2, ...special])
              refused(label, toPod(source))
            for (const source of [remote, peer, outside]) assertAtPod(fromNode(label, toPod(source)), toPod(source))
          })
        }

        it('speaks to the host under the host’s label, and through it to nobody', () => {
          const bits = at.family === 'IPv4' ? 32 : 128
          node.setRoute(0, `${neighbour}/${bits}`, NH.VRF2)
          node.setRoute(0, `${gateway}/${bits}`, c.NH_ID_DISCARD)
          node.setRoute(0, `${remote}/${bits}`, NH.TUNNEL, { label: 300, flags: c.ROUTE_LABEL_VALID })
          const toHost = (source: string) => udp(source, own, 1, 2)
          for (const source of [own, pod, neighbour, gateway, peer2, ...special]) refused(HOST.label, toHost(source))
          refused(HOST.label, toHost(remote), { src: PEER_2.ip4 })
          for (const target of [pod, outside, neighbour, peer])
            node.assertDrop(c.DROP_DISCARD, c.VIF_ID_FABRIC, () => fromNode(HOST.label, udp(remote, target, 1, 2)))
          for (const source of [remote, peer, outside])
            assertFrame(fromNode(HOST.label, toHost(source)), frame(HOST.mac, PEER.mac, toHost(source)))
        })

        it('doesn’t get another node’s packets believed by way of this one', () => {
          const prefix = at.family === 'IPv4' ? '10.2.2.0/24' : '2001:db8:2:2::/64'
          const third = at.family === 'IPv4' ? '10.2.2.1' : '2001:db8:2:2::1'
          node.setRoute(2, prefix, NH.TUNNEL_2, { label: 55, flags: c.ROUTE_LABEL_VALID })
          for (const source of [neighbour, own, gateway, outside]) refused(VRF_LABEL, udp(source, third, 1, 2))
          assert.equal(fromNode(VRF_LABEL, udp(remote, third, 1, 2)).verdict, REDIRECT)
        })

        it('is looked at again in a flow that is there, when it is another, and when routes changed', () => {
          assertAtPod(fromNode(A.label, toPod(remote)), toPod(remote))
          refused(A.label, toPod(remote), { src: PEER_2.ip4 })
          // the pod has moved: it is followed, and its old node isn't believed any more
          const bits = at.family === 'IPv4' ? 32 : 128
          node.setRoute(2, `${remote}/${bits}`, NH.TUNNEL_2, { label: 400, flags: c.ROUTE_LABEL_VALID })
          node.raiseEpoch()
          for (let i = 0; i < 2; i++) {
            assertAtPod(fromNode(A.label, toPod(remote), { src: PEER_2.ip4 }), toPod(remote))
            refused(A.label, toPod(remote))
          }
          const { frame: answer, verdict } = fromPod(A, udp(pod, remote, 2, 1))
          assert.equal(verdict, REDIRECT)
          assert.equal(answer.readUInt32BE(ETH + 28) >>> 12, 400)
        })

        it('that has left is a stranger, in its flows too', () => {
          assertAtPod(fromNode(A.label, toPod(remote)), toPod(remote))
          fromPod(A, udp(pod, remote, 5, 6))
          node.unsetPeer(PEER.ip4, PEER.ip6)
          node.raiseEpoch()
          assertHosts(tunnelled(A.label, toPod(remote)))
          assertHosts(tunnelled(A.label, udp(remote, pod, 6, 5)))
          assert.equal(foreign(), 2)
          node.setPeer(PEER.ip4, PEER.ip6)
          assertAtPod(fromNode(A.label, toPod(remote)), toPod(remote))
        })
      })

      describe('a pod', () => {
        for (const [what, port, options] of [
          ['MPLS', 6635, 0],
          ['VXLAN', 4789, 0],
          ['the old MPLS', 51234, c.OPTION_MPLS_PORT_OLD],
        ] as const) {
          it(`sends nothing to ${what} with the node’s address, its other packets go`, () => {
            node.setGlobals({ options })
            const label = join(u32(A.label * 4096 + 0x140), udp(REMOTE.ip4, A.ip4, 1, 2))
            for (const target of [outside, peer])
              node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => fromPod(A, udp(pod, target, 9, port, label)))
            assert.equal(node.flows().length, 0)
            assert.equal(fromPod(A, udp(pod, peer, 9, 53, label)).verdict, REDIRECT)
            assert.equal(fromPod(A, tcp(pod, peer, 9, port, TCP_FLAG.SYN)).verdict, REDIRECT)
            assert.equal(fromPod(A, udp(pod, remote, 9, port)).verdict, REDIRECT, 'inside its own network')
          })
        }

        it('sends to 51234 like to any port, as long as it is no tunnel’s', () => {
          assert.equal(fromPod(A, udp(pod, outside, 9, 51234)).verdict, REDIRECT)
        })

        it('sends no tunnel in fragments', () => {
          const body = udp(pod, peer, 9, 6635, Buffer.alloc(64, 1)).subarray(at.family === 'IPv4' ? 20 : 40)
          const [first, last] =
            at.family === 'IPv4'
              ? [
                  ip4(pod, peer, PROTO.UDP, body.subarray(0, 40), { id: 7, more: true }),
                  ip4(pod, peer, PROTO.UDP, body.subarray(40), { id: 7, offset: 40 }),
                ]
              : [
                  ip6(pod, peer, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, 1], u32(7), body.subarray(0, 40))),
                  ip6(pod, peer, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, 40], u32(7), body.subarray(40))),
                ]
          node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => fromPod(A, first))
          node.assertDrop(c.DROP_FLOW_UNUSABLE, A.vif, () => fromPod(A, last))
        })

        it('loses a flow to a tunnel’s port that it had before that was one, and gets no new one', () => {
          const packet = udp(pod, outside, 9, 51234)
          assert.equal(fromPod(A, packet).verdict, REDIRECT)
          node.setGlobals({ options: c.OPTION_MPLS_PORT_OLD })
          node.raiseEpoch()
          node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => fromPod(A, packet))
          assert.equal(node.flows().length, 0)
          node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => fromPod(A, packet))
        })
      })

      describe('the node’s own address', () => {
        it('doesn’t come by the wire, to the host, a pod of it, or an answer of SNAT', () => {
          const forth = fromPod(A, udp(pod, outside, 1, 53))
          assert.equal(forth.verdict, REDIRECT)
          for (const packet of [
            udp(own, pod, 1, 2),
            udp(own, own, 1, 2),
            tcp(own, outside, 1, 61000, TCP_FLAG.SYN),
            ping(own, pod, 1),
          ])
            node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () =>
              node.fromFabric(frame(HOST.mac, PEER.mac, packet)),
            )
          assertHosts(frame(HOST.mac, PEER.mac, udp(peer, own, 1, 2)))
          assertHosts(frame(HOST.mac, PEER.mac, udp(outside, own, 1, 2)))
        })

        it('is what the host speaks to pods with, and other nodes’ tunnels', () => {
          const toWorkload = udp(own, pod, 40000, 80)
          assert.equal(node.fromHost(frame(HOST.mac, HOST.mac, toWorkload)).verdict, REDIRECT)
          const toPeer = frame(PEER.mac, HOST.mac, udp(own, peer, 1, 6635))
          assertFrame(node.fromHost(toPeer), toPeer)
        })

        it('isn’t one to make the host speak to other nodes’ tunnels with, by its NAT', () => {
          for (const ingressIfindex of [SECOND_NIC, node.devices[A.vif]!, node.devices.vhost])
            for (const port of [6635, 4789])
              node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, c.VIF_ID_VHOST, () =>
                node.fromHost(frame(PEER.mac, HOST.mac, udp(own, peer, 1, port)), { ingressIfindex }),
              )
          for (const packet of [udp(own, peer, 1, 53), udp(outside, peer, 1, 6635)]) {
            const whole = frame(PEER.mac, HOST.mac, packet)
            assertFrame(node.fromHost(whole, { ingressIfindex: SECOND_NIC }), whole)
          }
        })
      })

      it('a cloud’s metadata isn’t for pods unless it is configured', () => {
        const targets =
          at.family === 'IPv4'
            ? ['169.254.169.254', '169.254.0.1', '169.254.255.255']
            : ['fd00:ec2::254', 'fd20:ce::254']
        const packets = targets.flatMap((target) => [tcp(pod, target, 1, 80, TCP_FLAG.SYN), ping(pod, target, 1)])
        for (const packet of packets) node.assertDrop(c.DROP_DISCARD, A.vif, () => fromPod(A, packet))
        const near = at.family === 'IPv4' ? ['169.253.255.255', '169.255.0.0'] : ['fd00:ec2::253', 'fd00:ec2:0:1::254']
        for (const target of near) assert.equal(fromPod(A, ping(pod, target, 1)).verdict, REDIRECT, target)
        node.setGlobals({ options: c.OPTION_SNAT_LINK_LOCAL })
        for (const packet of packets) assert.equal(fromPod(A, packet).verdict, REDIRECT)
        // switched off again: what runs ends
        node.setGlobals({ options: 0 })
        node.raiseEpoch()
        for (const packet of packets) node.assertDrop(c.DROP_DISCARD, A.vif, () => fromPod(A, packet))
        assert.equal(fromPod(A, ping(pod, near[0]!, 1)).verdict, REDIRECT)
      })
    })
  }

  it('a stolen IPv6 address doesn’t get in by another NIC: not to pods, not into tunnels, not into a flow that is there', () => {
    node.setRoute(0, `${REMOTE.ip6}/128`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
    node.setRoute(0, `${B.ip6}/128`, NH.VRF2)
    const send = (packet: Buffer, ingressIfindex = 0) =>
      node.fromHost(frame(HOST.mac, HOST.mac, packet), { ingressIfindex })
    for (const target of [A.ip6, B.ip6, REMOTE.ip6]) {
      const packet = udp(HOST.ip6, target, 1, 2)
      const steal = () => node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_VHOST, () => send(packet, SECOND_NIC))
      const counted = () => node.flows().reduce((sum, { flow }) => sum + flow.packets, 0n)
      const before = counted()
      steal()
      assert.equal(send(packet).verdict, REDIRECT, 'the host itself')
      steal()
      assert.equal(counted(), before + 1n)
      // what the host's NAT made of a packet that came by our NIC, where it was looked at
      assert.equal(send(packet, node.devices.vhost).verdict, REDIRECT)
    }
    const out = frame(PEER.mac, HOST.mac, udp(HOST.ip6, OUTSIDE.ip6, 1, 2))
    assertFrame(node.fromHost(out, { ingressIfindex: SECOND_NIC }), out)
    // IPv4 of that kind doesn't get through the kernel: with the node's address it is the host's NAT
    assert.equal(send(udp(HOST.ip4, A.ip4, 1, 2), SECOND_NIC).verdict, REDIRECT)
  })

  it('a stolen IPv6 address doesn’t get in by the flow of an answer that no route stands behind', () => {
    node.setRoute(2, `${HOST.ip6}/128`, NH.RCV)
    assert.equal(fromPod(B, udp(B.ip6, HOST.ip6, 5000, 53)).verdict, REDIRECT)
    const answer = frame(HOST.mac, HOST.mac, udp(HOST.ip6, B.ip6, 53, 5000))
    node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_VHOST, () => node.fromHost(answer, { ingressIfindex: SECOND_NIC }))
    assert.equal(node.fromHost(answer).verdict, REDIRECT)
  })

  it('a host that claims one of the node’s addresses is heard', () => {
    const other = '0e:00:00:00:00:66'
    for (const packet of [
      advert(HOST.ip6, 'ff02::1', 0x20, HOST.ip6, other),
      solicit(HOST.ip6, 'ff02::1:ff00:2', '2001:db8:ff::2', other),
      solicit('::', 'ff02::1:ff00:1', HOST.ip6),
    ])
      assertHosts(frame('33:33:00:00:00:01', other, packet))
    const conflict = { op: 1, sha: other, spa: HOST.ip4, tha: '00:00:00:00:00:00', tpa: HOST.ip4 }
    assertHosts(eth('ff:ff:ff:ff:ff:ff', other, 0x0806, arp(conflict)))
    // other messages are none of those
    node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () =>
      node.fromFabric(frame(HOST.mac, other, ping(HOST.ip6, 'ff02::1', 1))),
    )
    // a node without an IPv6 address has none to be stolen
    node.setGlobals({ underlayIp6: ip6Bytes('::') })
    assertHosts(frame('33:33:00:00:00:01', other, solicit('::', 'ff02::1:ff00:1', HOST.ip6)))
    assertHosts(frame('33:33:00:00:00:01', other, udp('::', 'ff02::1', 1, 2)))
  })

  it('an address is a node’s of its own right, wherever it is remembered', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2)
    // the same slot of peer_cache: see tunnel_has_peer
    const alike = ip4Text((ip4Number(PEER.ip4) ^ 0x401) >>> 0)
    const slot = (address: string) => {
      const number = ip4Number(address)
      return (number ^ (number >>> 10) ^ (number >>> 20)) % c.PEER_CACHE_SIZE
    }
    assert.equal(slot(alike), slot(PEER.ip4))
    for (let i = 0; i < 2; i++) {
      assertAtPod(fromNode(A.label, inner), inner)
      assertHosts(tunnelled(A.label, inner, { src: alike }))
    }
    assert.equal(foreign(), 2)
    node.setPeer(alike)
    node.raiseEpoch()
    for (let i = 0; i < 2; i++) {
      assertAtPod(fromNode(A.label, inner), inner)
      node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () => fromNode(A.label, inner, { src: alike }))
    }
    assert.equal(foreign(), 2)
  })

  it('no address is no node’s, before routes have ever changed too', () => {
    node.setGlobals({ epoch: 0 })
    assertHosts(tunnelled(A.label, udp(REMOTE.ip4, A.ip4, 1, 2), { src: '0.0.0.0' }))
    assert.equal(foreign(), 1)
  })

  it('UDP port 51234 is the host’s, unless it is configured', () => {
    const inner = udp(REMOTE.ip4, A.ip4, 1, 2)
    assertHosts(tunnelled(A.label, inner, { dport: 51234 }))
    assert.equal(foreign(), 0)
    node.setGlobals({ options: c.OPTION_MPLS_PORT_OLD })
    assertAtPod(fromNode(A.label, inner, { dport: 51234 }), inner)
    assertHosts(tunnelled(A.label, inner, { dport: 51234, src: STRANGER }))
    assert.equal(foreign(), 1)
  })

  it('without vhost0 the NIC is the host’s, strangers’ tunnels too', () => {
    node.setGlobals({ vhostIfindex: 0 })
    assert.equal(fromNode(A.label, udp(REMOTE.ip4, A.ip4, 1, 2), { src: STRANGER }).verdict, PASSED)
  })
})
