/**
 * Proves: who is outside reaches endpoints on this node by a port of the node and by addresses of services alone, with the own address, and gets
 * answers from where it asked; everything else at the node is the host's, untouched, and nothing at an address of services is routed on.
 */
import { strict as assert } from 'node:assert'
import { ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  C,
  DROPPED,
  Fixture,
  HOST,
  NH,
  OUTSIDE,
  PEER,
  PEER_2,
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
  join,
  mplsOverUdp,
  PROTO,
  ping,
  TCP_FLAG,
  tcp,
  u32,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'
import { type FrontOptions, Services } from './services.ts'

const { SYN, ACK, RST } = TCP_FLAG
const NODE_PORT = 30080
const PUBLIC = { ip4: '203.0.113.7', ip6: '2001:db8:f00::7' }

for (const family of ['ip4', 'ip6'] as const)
  describe(`datapath: services from outside, ${family}`, function () {
    this.timeout(60000)
    let node: Fixture
    let services: Services
    const own = HOST[family]
    const client = OUTSIDE[family]
    const vip = PUBLIC[family]
    const bits = family === 'ip4' ? 32 : 128

    before(function () {
      if (cannotRun()) this.skip()
    })
    beforeEach(() => {
      node = new Fixture()
      services = new Services(node)
      node.setGlobals({ hostNh: NH.RCV, underlayIp6: ip6Bytes(HOST.ip6) })
      for (const vrf of [0, 2, 3]) node.setRoute(vrf, `${own}/${bits}`, NH.RCV)
    })
    afterEach(() => node?.[Symbol.dispose]())

    const inA = { ip: A[family], port: 8080, vrf: 2, nh: A.nh }
    const inC = { ip: C[family], port: 8080, vrf: 3, nh: C.nh }
    const serve = (options: Partial<FrontOptions>) => {
      const { vip: address = own, port = NODE_PORT } = options
      const outside = options.outside ?? [inA]
      services.set({ vip: address, port, proto: PROTO.TCP, backs: [], vrf: 0, ...options, outside })
      if (address === own) services.listen(port)
    }
    const fromOutside = (packet: Uint8Array) => node.fromFabric(frame(HOST.mac, PEER.mac, packet))
    const byTunnel = (src: string, packet: Buffer) =>
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src, dst: HOST.ip4, label: HOST.label }, packet))
    const from = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
    const assertTo = (pod: Workload, sent: Sent, packet: Uint8Array) =>
      assertFrame(sent, frame(pod.mac, ROUTER_MAC, withTtl(packet, 63)))
    /** Out of the NIC: IPv4 by the gateway's MAC, IPv6 as the kernel finds it. */
    const assertOut = (pod: Workload, sent: Sent, packet: Uint8Array) =>
      assertFrame(
        sent,
        family === 'ip4'
          ? frame(PEER.mac, HOST.mac, withTtl(packet, 63))
          : frame(ROUTER_MAC, pod.mac, withTtl(packet, 63)),
      )
    const assertHost = (packet: Uint8Array) => {
      const whole = frame(HOST.mac, PEER.mac, packet)
      assertFrame(node.fromFabric(whole), whole)
    }
    const portOf = ({ frame: bytes }: Sent) => bytes.readUInt16BE(ETH + (family === 'ip4' ? 20 : 40))
    const twice = (check: () => void) => {
      check()
      node.raiseEpoch()
      check()
    }
    const error = (src: string, dst: string, body: Buffer) =>
      family === 'ip4' ? icmp4(src, dst, 3, 1, body) : icmp6(src, dst, 1, 3, body)

    for (const [at, address, port] of [
      ['a port of the node', own, NODE_PORT],
      ['an address of a load balancer', vip, 443],
    ] as const)
      for (const [network, pod, back] of [
        ['the default network', A, inA],
        ['a tenant’s', C, inC],
      ] as const)
        it(`${at} leads to a pod of ${network}, and its answers leave from there`, () => {
          serve({ vip: address, port, outside: [back] })
          services.set({ vip: address, port, proto: PROTO.UDP, backs: [], outside: [back], vrf: 0 })
          const to = pod[family]
          twice(() => {
            assertTo(pod, fromOutside(tcp(client, address, 4000, port, SYN)), tcp(client, to, 4000, 8080, SYN))
            assertOut(
              pod,
              from(pod, tcp(to, client, 8080, 4000, SYN | ACK)),
              tcp(address, client, port, 4000, SYN | ACK),
            )
            assertTo(pod, fromOutside(udp(client, address, 4000, port)), udp(client, to, 4000, 8080))
            assertOut(pod, from(pod, udp(to, client, 8080, 4000)), udp(address, client, port, 4000))
          })
          assert.deepEqual([...node.drops()], [])
          assert.equal(services.stats().connections, 2)
        })

    it('leaves what is at no port of a service to the host', () => {
      serve({})
      assertHost(tcp(client, own, 4000, 22, SYN))
      assertHost(udp(client, own, 4000, NODE_PORT))
      assertHost(ping(client, own, 7))
      assert.equal(node.flows().length, 0)
    })

    it('refuses what nobody takes, on the wire that it came by', () => {
      serve({ outside: [] })
      const expected = tcp(own, client, NODE_PORT, 4000, RST | ACK, { seq: 0, ack: 8, df: true, id: 0 })
      expected.writeUInt16BE(0, (family === 'ip4' ? 20 : 40) + 14)
      assertFrame(fromOutside(tcp(client, own, 4000, NODE_PORT, SYN, { seq: 7 })), frame(PEER.mac, HOST.mac, expected))
      serve({ vip, port: 443 })
      const body = (packet: Buffer) => join(u32(0), packet.subarray(0, family === 'ip4' ? 28 : 48))
      const unreachable = (packet: Buffer) =>
        family === 'ip4'
          ? icmp4(vip, client, 3, 3, body(packet), { id: 0, df: true })
          : icmp6(vip, client, 1, 4, body(packet))
      for (const packet of [udp(client, vip, 4000, 53), ping(client, vip, 7)] as Buffer[])
        assertFrame(fromOutside(packet), frame(PEER.mac, HOST.mac, unreachable(packet)))
      assert.equal(node.flows().length, 0)
    })

    it('chooses of the endpoints here, and leaves a port without any to the host, an address of services to nobody', () => {
      const elsewhere = { ip: REMOTE[family], port: 8080, vrf: 2, nh: NH.TUNNEL_2, label: REMOTE.label }
      serve({ outside: [elsewhere, inA, elsewhere] })
      for (let port = 4000; port < 4020; port++)
        assertTo(A, fromOutside(tcp(client, own, port, NODE_PORT, SYN)), tcp(client, A[family], port, 8080, SYN))
      serve({ outside: [elsewhere], port: 30081 })
      assertHost(tcp(client, own, 4000, 30081, SYN))
      serve({ vip, port: 443, outside: [elsewhere] })
      node.assertDrop(c.DROP_NOWHERE_TO_GO, c.VIF_ID_FABRIC, () => fromOutside(tcp(client, vip, 4000, 443, SYN)))
    })

    it('takes no pod of the default network for one of a tenant’s that has its address on the same node', () => {
      const vhost = { id: c.VIF_ID_VHOST, ifindex: node.devices.vhost, type: c.VIF_HOST, mac: HOST.mac, nhId: NH.RCV }
      node.setVif({ ...vhost, ip4: HOST.ip4, label: HOST.label })
      node.setGlobals({ snatPort: 61000, snatPorts: 4 })
      node.setRoute(0, `${REMOTE[family]}/${bits}`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
      const flags = c.BACK_HANDED | c.BACK_TENANT
      for (const vrf of [3, c.LABEL_NONE]) {
        serve({ vip, port: 443, outside: [{ ip: REMOTE[family], port: 8080, vrf, nh: NH.TUNNEL, label: 999, flags }] })
        const { frame: bytes } = fromOutside(tcp(client, vip, 4000 + (vrf & 1), 443, SYN))
        assert.equal(bytes.readUInt32BE(ETH + 28) >>> 12, 999, 'to its own node, which knows it')
      }
    })

    it('hands over what is for a pod of another node, with the client’s address, and takes its answers from there alone', () => {
      const vhost = { id: c.VIF_ID_VHOST, ifindex: node.devices.vhost, type: c.VIF_HOST, mac: HOST.mac, nhId: NH.RCV }
      node.setVif({ ...vhost, ip4: HOST.ip4, label: HOST.label })
      serve({ outside: [{ ip: C[family], port: 8080, vrf: 3, nh: NH.TUNNEL, label: 777, flags: c.BACK_HANDED }] })
      const answer = tcp(own, client, NODE_PORT, 4000, ACK)
      twice(() => {
        const { frame: bytes } = fromOutside(tcp(client, own, 4000, NODE_PORT, ACK))
        assert.deepEqual([bytes.readUInt32BE(ETH + 28) >>> 12, bytes.readUInt32BE(ETH + 32) >>> 12], [777, HOST.label])
        const inner = bytes.subarray(ETH + 36).toString('hex')
        assert.equal(inner, withTtl(tcp(client, own, 4000, NODE_PORT, ACK), 63).toString('hex'))
        const back = node.fromFabric(byTunnel(PEER.ip4, answer))
        assert.equal(back.frame.subarray(ETH).toString('hex'), withTtl(answer, 63).toString('hex'))
        assert.equal(back.verdict, REDIRECT)
      })
      assert.deepEqual([...node.drops()], [])
      node.assertDrop(c.DROP_FLOW_ACTION_INVALID, c.VIF_ID_FABRIC, () => node.fromFabric(byTunnel(PEER_2.ip4, answer)))
    })

    it('reaches a pod of the default network on a node of an older version with the own address, and nobody else’s answers', () => {
      node.setGlobals({ snatPort: 61000, snatPorts: 4 })
      node.setRoute(0, `${REMOTE[family]}/${bits}`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
      serve({ outside: [{ ip: REMOTE[family], port: 8080, vrf: 2, nh: NH.TUNNEL, label: 999 }] })
      const inner = ({ frame: bytes }: Sent) => {
        assert.equal(bytes.readUInt32BE(ETH + 28) >>> 12, REMOTE.label)
        return bytes.subarray(ETH + 32)
      }
      const ports = new Set<number>()
      for (const from of [4000, 4001]) {
        const first = inner(fromOutside(tcp(client, own, from, NODE_PORT, ACK)))
        const port = first.readUInt16BE(family === 'ip4' ? 20 : 40)
        assert.ok(port >= 61000 && port < 61004 && !ports.has(port), `port ${port}`)
        ports.add(port)
        twice(() => {
          const there = fromOutside(tcp(client, own, from, NODE_PORT, ACK))
          assert.equal(
            inner(there).toString('hex'),
            withTtl(tcp(own, REMOTE[family], port, 8080, ACK), 63).toString('hex'),
          )
          const answer = tcp(REMOTE[family], own, 8080, port, ACK)
          const back = node.fromFabric(byTunnel(PEER.ip4, answer))
          assert.equal(
            back.frame.subarray(ETH).toString('hex'),
            withTtl(tcp(own, client, NODE_PORT, from, ACK), 63).toString('hex'),
          )
          assert.equal(back.verdict, REDIRECT)
        })
        assert.deepEqual([...node.drops()], [])
      }
      const [port = 0] = ports
      const answer = tcp(REMOTE[family], own, 8080, port, ACK)
      node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () => {
        services.listen(port)
        return fromOutside(answer)
      })
      node.assertDrop(c.DROP_FLOW_ACTION_INVALID, c.VIF_ID_FABRIC, () => node.fromFabric(byTunnel(PEER_2.ip4, answer)))
      // into the other direction nobody gets by a tunnel
      const forged = tcp(client, own, 4000, NODE_PORT, ACK)
      node.assertDrop(c.DROP_FLOW_ACTION_INVALID, c.VIF_ID_FABRIC, () => node.fromFabric(byTunnel(PEER.ip4, forged)))
    })

    it('is silent where the policy says so, and where the source is none of those allowed', () => {
      serve({ outside: [], flags: c.FRONT_DROP_OUTSIDE })
      node.assertDrop(c.DROP_NOWHERE_TO_GO, c.VIF_ID_FABRIC, () => fromOutside(tcp(client, own, 4000, NODE_PORT, SYN)))
      serve({ vip, port: 443, flags: c.FRONT_SOURCE_RANGES, service: 2 })
      const send = () => fromOutside(tcp(client, vip, 4000, 443, SYN))
      node.assertDrop(c.DROP_FLOW_ACTION_DROP, c.VIF_ID_FABRIC, send)
      services.open(2, family === 'ip4' ? '198.51.100.0/24' : '2001:db8:99::/64')
      assertTo(A, send(), tcp(client, A[family], 4000, 8080, SYN))
    })

    it('never routes on what has no flow at an address of services', () => {
      serve({ vip, port: 443 })
      const quoted = join(u32(0), tcp(vip, client, 443, 4000, ACK))
      node.assertDrop(c.DROP_ICMP_ERROR, c.VIF_ID_FABRIC, () => fromOutside(error(client, vip, quoted)))
      // the host's own errors are the host's
      const ofHost = join(u32(0), tcp(own, client, 22, 4000, ACK))
      assertHost(error(client, own, ofHost))
    })

    it('takes errors both ways', () => {
      serve({})
      fromOutside(tcp(client, own, 4000, NODE_PORT, SYN))
      twice(() => {
        assertTo(
          A,
          fromOutside(error(client, own, join(u32(0), tcp(own, client, NODE_PORT, 4000, ACK)))),
          error(client, A[family], join(u32(0), tcp(A[family], client, 8080, 4000, ACK))),
        )
        assertOut(
          A,
          from(A, error(A[family], client, join(u32(0), tcp(client, A[family], 4000, 8080, ACK)))),
          error(own, client, join(u32(0), tcp(client, own, 4000, NODE_PORT, ACK))),
        )
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('keeps two flows of one client to one endpoint apart', () => {
      serve({})
      serve({ vip, port: 443 })
      assertTo(A, fromOutside(tcp(client, own, 4000, NODE_PORT, SYN)), tcp(client, A[family], 4000, 8080, SYN))
      const port = portOf(fromOutside(tcp(client, vip, 4000, 443, SYN)))
      assert.notEqual(port, 4000)
      twice(() => {
        assertTo(A, fromOutside(tcp(client, vip, 4000, 443, ACK)), tcp(client, A[family], port, 8080, ACK))
        assertOut(A, from(A, tcp(A[family], client, 8080, port, ACK)), tcp(vip, client, 443, 4000, ACK))
        assertOut(A, from(A, tcp(A[family], client, 8080, 4000, ACK)), tcp(own, client, NODE_PORT, 4000, ACK))
      })
    })

    it('takes no source of the overlay, nor a service’s own', () => {
      serve({ vip, port: 443 })
      for (const source of [A[family], vip])
        node.assertDrop(c.DROP_INVALID_SOURCE, c.VIF_ID_FABRIC, () => fromOutside(tcp(source, vip, 4000, 443, SYN)))
      assert.equal(node.flows().length, 0)
    })

    it('shows a client that has an address of the endpoint’s network as the service', () => {
      const twin = family === 'ip4' ? '10.2.0.12' : '2001:db8:2::12'
      serve({ vip, port: 443, outside: [inC] })
      node.setRoute(3, `${twin}/${bits}`, B.nh)
      assertTo(C, fromOutside(tcp(twin, vip, 4000, 443, SYN)), tcp(vip, C[family], 4000, 8080, SYN))
      twice(() => {
        assertOut(C, from(C, tcp(C[family], vip, 8080, 4000, ACK)), tcp(vip, twin, 443, 4000, ACK))
        assertTo(C, fromOutside(tcp(twin, vip, 4000, 443, ACK)), tcp(vip, C[family], 4000, 8080, ACK))
      })
    })

    it('reaches the host itself, whose answers leave from the service', () => {
      serve({ outside: [{ ip: own, port: 6443, flags: c.BACK_HOST, vrf: c.LABEL_NONE }] })
      twice(() => {
        assertFrame(
          fromOutside(tcp(client, own, 4000, NODE_PORT, SYN)),
          frame(HOST.mac, PEER.mac, withTtl(tcp(client, own, 4000, 6443, SYN), 63)),
        )
        assertFrame(
          node.fromHost(frame(PEER.mac, HOST.mac, tcp(own, client, 6443, 4000, SYN | ACK))),
          frame(PEER.mac, HOST.mac, tcp(own, client, NODE_PORT, 4000, SYN | ACK)),
        )
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('follows fragments, and holds those of services alone back from the host', () => {
      serve({ vip, port: 443, proto: PROTO.UDP })
      const whole = udp(client, vip, 4000, 443, Buffer.alloc(64, 7))
      const [first, second] = fragments(whole)
      node.assertHeld(() => fromOutside(second!))
      const sent = fromOutside(first!)
      assert.ok([REDIRECT, DROPPED].includes(sent.verdict))
    })

    it('counts against the fabric and the source, not against the pod', () => {
      serve({})
      for (let port = 4000; port < 4010; port++) fromOutside(tcp(client, own, port, NODE_PORT, SYN))
      const flowsOf = (vif: number) => node.maps.vifState.get(vif)!.flows
      assert.equal(flowsOf(c.VIF_ID_FABRIC), 20)
      assert.equal(flowsOf(A.vif), 0)
    })

    /** Two fragments of the packet. */
    function fragments(packet: Buffer): readonly Buffer[] {
      const head = family === 'ip4' ? 20 : 40
      const payload = packet.subarray(head)
      return [payload.subarray(0, 32), payload.subarray(32)].map((part, at) => {
        if (family === 'ip4') {
          const copy = Buffer.concat([packet.subarray(0, 20), part])
          copy.writeUInt16BE(copy.length, 2)
          copy.writeUInt16BE(at === 0 ? 0x2000 : 4, 6)
          return copy
        }
        const copy = Buffer.concat([packet.subarray(0, 40), Buffer.of(17, 0, 0, at === 0 ? 1 : 32, 0, 0, 0, 9), part])
        copy.writeUInt16BE(copy.length - 40, 4)
        copy[6] = 44
        return copy
      })
    }
  })
