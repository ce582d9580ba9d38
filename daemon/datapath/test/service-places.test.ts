/**
 * Proves: a service's endpoints are reached wherever they are: on the node itself and on others, from pods of any network and from the host;
 * in other networks of this node, whose addresses overlap with the client's own. What is meant for a workload never leaves the
 * overlay, and what is meant for the underlay reaches no workload.
 */
import { strict as assert } from 'node:assert'
import { ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { deleteFlow } from '../../src/maps/flows.ts'
import {
  A,
  assertFrame,
  B,
  C,
  DROPPED,
  Fixture,
  HOST,
  NH,
  PEER,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  type Sent,
  type Workload,
} from './fixture.ts'
import { ETH, frame, icmp4, icmp6, join, PROTO, TCP_FLAG, tcp, u32, udp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'
import { routeServices, Services } from './services.ts'

const { SYN, ACK } = TCP_FLAG
const VIP = { ip4: '10.96.0.1', ip6: '2001:db8:96::1' }
const FIRST_SNAT_PORT = 61000

for (const family of ['ip4', 'ip6'] as const)
  describe(`datapath: places of endpoints, ${family}`, function () {
    this.timeout(60000)
    let node: Fixture
    let services: Services
    const vip = VIP[family]
    const own = HOST[family]
    const bits = family === 'ip4' ? 32 : 128

    before(function () {
      if (cannotRun()) this.skip()
    })
    beforeEach(() => {
      node = new Fixture()
      services = new Services(node)
      routeServices(node, [0, 2, 3])
      node.setGlobals({ hostNh: NH.RCV, underlayIp6: ip6Bytes(HOST.ip6) })
      for (const vrf of [0, 2, 3]) node.setRoute(vrf, `${own}/${bits}`, NH.RCV)
    })
    afterEach(() => node?.[Symbol.dispose]())

    const from = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
    const fromHost = (packet: Uint8Array) => node.fromHost(frame(HOST.mac, HOST.mac, packet))
    const assertTo = (pod: Workload, sent: Sent, packet: Uint8Array) =>
      assertFrame(sent, frame(pod.mac, ROUTER_MAC, withTtl(packet, 63)))
    const assertToHost = (pod: Workload, sent: Sent, packet: Uint8Array) =>
      assertFrame(sent, frame(HOST.mac, pod.mac, withTtl(packet, 63)))
    const sourcePort = ({ frame: bytes }: Sent) => bytes.readUInt16BE(ETH + (family === 'ip4' ? 20 : 40))
    const serve = (back: Parameters<Services['set']>[0]['backs'][number]) =>
      services.set({ vip, port: 443, proto: PROTO.TCP, backs: [back] })
    const hostBack = (ip: string) => ({ ip, port: 6443, flags: c.BACK_HOST, vrf: c.LABEL_NONE })
    const twice = (check: () => void) => {
      check()
      node.raiseEpoch()
      check()
    }

    it('reaches the node itself, with the pod’s own address where the host knows it', () => {
      serve(hostBack(own))
      twice(() => {
        assertToHost(A, from(A, tcp(A[family], vip, 4000, 443, SYN)), tcp(A[family], own, 4000, 6443, SYN))
        assertTo(A, fromHost(tcp(own, A[family], 6443, 4000, SYN | ACK)), tcp(vip, A[family], 443, 4000, SYN | ACK))
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('reaches the node itself from the service’s address where the host doesn’t know the pod’s, or knows it as another’s', () => {
      serve(hostBack(own))
      const ports = new Set<number>()
      for (const pod of [C, B]) {
        const sent = from(pod, tcp(pod[family], vip, 4000, 443, SYN))
        const port = sourcePort(sent)
        assert.ok(!ports.has(port))
        ports.add(port)
        twice(() => {
          assertToHost(pod, from(pod, tcp(pod[family], vip, 4000, 443, ACK)), tcp(vip, own, port, 6443, ACK))
          assertTo(pod, fromHost(tcp(own, vip, 6443, port, ACK)), tcp(vip, pod[family], 443, 4000, ACK))
        })
      }
      assert.deepEqual([...node.drops()], [])
    })

    it('reaches hosts of the underlay by the network’s way out: both ends become others', () => {
      node.enableSnat(4)
      const host = PEER[family]
      serve(hostBack(host))
      const fromOutside = (packet: Uint8Array) => node.fromFabric(frame(HOST.mac, PEER.mac, packet))
      const shares = () =>
        [...node.raw.get('snat_shares')!.entries()].reduce(
          (sum, { value }) => sum + Buffer.from(value).readInt32LE(),
          0,
        )
      const out = (sent: Sent) => sent.frame.subarray(ETH).toString('hex')
      for (const pod of [A, C]) {
        const port = sourcePort(from(pod, tcp(pod[family], vip, 4000, 443, SYN)))
        assert.ok(port >= FIRST_SNAT_PORT && port < FIRST_SNAT_PORT + 4, `port ${port}`)
        twice(() => {
          const expected = withTtl(tcp(own, host, port, 6443, ACK), 63)
          assert.equal(out(from(pod, tcp(pod[family], vip, 4000, 443, ACK))), expected.toString('hex'))
          const answer = fromOutside(tcp(host, own, 6443, port, ACK))
          assertFrame(answer, frame(pod.mac, ROUTER_MAC, withTtl(tcp(vip, pod[family], 443, 4000, ACK), 63)))
        })
        const quoted = (sip: string, dip: string, sport: number, dport: number) =>
          join(u32(0), tcp(sip, dip, sport, dport, ACK))
        const error = (src: string, dst: string, body: Buffer) =>
          family === 'ip4' ? icmp4(src, dst, 3, 1, body) : icmp6(src, dst, 1, 3, body)
        assertFrame(
          fromOutside(error(host, own, quoted(own, host, port, 6443))),
          frame(pod.mac, ROUTER_MAC, withTtl(error(vip, pod[family], quoted(pod[family], vip, 4000, 443)), 63)),
        )
      }
      assert.deepEqual([...node.drops()], [])
      assert.ok(shares() > 0)
      for (const { flow } of node.flows()) deleteFlow(node.maps.flows, flow.index)
      for (let i = 0; i < 4; i++) node.call('age_now')
      assert.equal(shares(), 0, 'each port was given back once')
    })

    it('reaches NodePorts of the node itself as any front, from every network, and the host at all other ports', () => {
      const ports = { vip: own, vrf: 0, port: 30443, proto: PROTO.TCP }
      const listen = (backs: Parameters<Services['set']>[0]['backs']) => {
        services.set({ ...ports, backs })
        services.delete({ ...ports, port: 0, proto: 0 }) // the address itself is the host's
        services.listen(ports.port)
      }
      listen([{ ip: B[family], port: 8443, vrf: 2, nh: B.nh }])
      twice(() => {
        assertTo(B, from(A, tcp(A[family], own, 4000, 30443, SYN)), tcp(A[family], B[family], 4000, 8443, SYN))
        assertTo(
          A,
          from(B, tcp(B[family], A[family], 8443, 4000, SYN | ACK)),
          tcp(own, A[family], 30443, 4000, SYN | ACK),
        )
        assertTo(B, from(C, tcp(C[family], own, 5000, 30443, SYN)), tcp(C[family], B[family], 5000, 8443, SYN))
        assertTo(
          C,
          from(B, tcp(B[family], C[family], 8443, 5000, SYN | ACK)),
          tcp(own, C[family], 30443, 5000, SYN | ACK),
        )
        // the endpoint itself, which takes nothing from its own address
        assertTo(B, from(B, tcp(B[family], own, 6000, 30443, SYN)), tcp(own, B[family], 6000, 8443, SYN))
      })
      for (const packet of [
        tcp(A[family], own, 4000, 22, SYN),
        udp(A[family], own, 4000, 30443, Buffer.from('another protocol')),
      ])
        assertToHost(A, from(A, packet), packet)
      assert.deepEqual([...node.drops()], [])
      listen([])
      const refused = from(A, tcp(A[family], own, 4001, 30443, SYN))
      assert.equal(refused.frame[ETH + (family === 'ip4' ? 20 : 40) + 13], TCP_FLAG.RST | ACK)
    })

    it('never takes a workload for an endpoint of the underlay', () => {
      serve(hostBack(B[family]))
      node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, tcp(A[family], vip, 4000, 443, SYN)))
    })

    const inVrf2 = { ip: B[family], port: 8443, vrf: 2, nh: B.nh }

    it('reaches an endpoint of another network, beside a client of that network with the same address and port', () => {
      serve(inVrf2)
      assertTo(B, from(A, tcp(A[family], B[family], 4000, 8443, SYN)), tcp(A[family], B[family], 4000, 8443, SYN))
      const port = sourcePort(from(C, tcp(C[family], vip, 4000, 443, SYN)))
      assert.notEqual(port, 4000)
      twice(() => {
        assertTo(B, from(C, tcp(C[family], vip, 4000, 443, ACK)), tcp(C[family], B[family], port, 8443, ACK))
        assertTo(C, from(B, tcp(B[family], C[family], 8443, port, ACK)), tcp(vip, C[family], 443, 4000, ACK))
        assertTo(B, from(A, tcp(A[family], B[family], 4000, 8443, ACK)), tcp(A[family], B[family], 4000, 8443, ACK))
        assertTo(A, from(B, tcp(B[family], A[family], 8443, 4000, ACK)), tcp(B[family], A[family], 8443, 4000, ACK))
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('reaches an endpoint of another network that has an address of the client’s own, or that of a pod there', () => {
      node.setRoute(3, `${B[family]}/${bits}`, C.nh)
      serve(inVrf2)
      twice(() => {
        assertTo(B, from(C, tcp(C[family], vip, 4000, 443, ACK)), tcp(C[family], B[family], 4000, 8443, ACK))
        assertTo(C, from(B, tcp(B[family], C[family], 8443, 4000, ACK)), tcp(vip, C[family], 443, 4000, ACK))
      })
      serve({ ip: A[family], port: 8443, vrf: 2, nh: A.nh })
      twice(() => {
        assertTo(A, from(C, tcp(C[family], vip, 5000, 443, ACK)), tcp(vip, A[family], 5000, 8443, ACK))
        assertTo(C, from(A, tcp(A[family], vip, 8443, 5000, ACK)), tcp(vip, C[family], 443, 5000, ACK))
      })
    })

    it('never sends what is meant for a workload out of the overlay', () => {
      node.enableSnat()
      for (const back of [
        { ip: PEER[family], port: 8443, vrf: 2 },
        { ip: PEER[family], port: 8443, vrf: c.LABEL_NONE },
        { ip: REMOTE[family], port: 8443, vrf: 2, nh: NH.TUNNEL, label: REMOTE.label },
        { ip: own, port: 8443, vrf: 2 },
      ]) {
        serve(back)
        node.assertDrop(c.DROP_DISCARD, C.vif, () => from(C, tcp(C[family], vip, 4000, 443, SYN)))
      }
      assert.deepEqual(node.flows(), [])
    })

    // ---- the host

    it('brings the host’s own connections to pods, and their answers back', () => {
      if (family === 'ip4') node.setRoute(0, `${REMOTE.ip4}/32`, NH.TUNNEL, { label: 100, flags: c.ROUTE_LABEL_VALID })
      serve({ ip: A[family], port: 8443 })
      twice(() => {
        assertTo(A, fromHost(tcp(own, vip, 4000, 443, SYN)), tcp(own, A[family], 4000, 8443, SYN))
        assertToHost(A, from(A, tcp(A[family], own, 8443, 4000, ACK)), tcp(vip, own, 443, 4000, ACK))
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('takes the host to no pod of the default network for one of a tenant’s that has its address on the same node', () => {
      const bits = family === 'ip4' ? 32 : 128
      node.setRoute(0, `${REMOTE[family]}/${bits}`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
      for (const vrf of [3, c.LABEL_NONE]) {
        serve({ ip: REMOTE[family], port: 8443, vrf, nh: NH.TUNNEL, flags: c.BACK_TENANT })
        const { verdict } = fromHost(tcp(own, vip, 4000, 443, SYN))
        assert.equal(verdict, DROPPED)
      }
      assert.deepEqual(node.flows(), [])
    })

    it('brings connections to a pod of another node by the route of its block, or as another network leaks it', () => {
      const { label, vrfLabel } = REMOTE
      const block = family === 'ip4' ? '10.2.1.0/24' : '2001:db8:2:1::/64'
      for (const vrf of [0, 3]) node.setRoute(vrf, block, NH.TUNNEL, { label: vrfLabel, flags: c.ROUTE_LABEL_VALID })
      serve({ ip: REMOTE[family], port: 8443, vrf: 2, nh: NH.TUNNEL, label })
      const inner = (sent: Sent) => sent.frame.subarray(ETH + 32).toString('hex')
      for (const [source, send] of [
        [own, fromHost],
        [C[family], (packet: Uint8Array) => from(C, packet)],
      ] as const)
        twice(() => {
          const expected = withTtl(tcp(source, REMOTE[family], 4000, 8443, SYN), 63)
          assert.equal(inner(send(tcp(source, vip, 4000, 443, SYN))), expected.toString('hex'))
        })
      // of a network that this node doesn't know: that address may be another's
      serve({ ip: REMOTE[family], port: 8443, vrf: c.LABEL_NONE })
      node.assertDrop(c.DROP_DISCARD, C.vif, () => from(C, tcp(C[family], vip, 5000, 443, SYN)))
    })

    it('brings the host’s own connections to itself, from the service’s address', () => {
      serve(hostBack(own))
      twice(() => {
        const there = fromHost(tcp(own, vip, 4000, 443, SYN))
        assertFrame(there, frame(HOST.mac, HOST.mac, withTtl(tcp(vip, own, 4000, 6443, SYN), 63)))
        const answer = fromHost(tcp(own, vip, 6443, 4000, SYN | ACK))
        assertFrame(answer, frame(HOST.mac, HOST.mac, withTtl(tcp(vip, own, 443, 4000, SYN | ACK), 63)))
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('brings the host’s own connections to other hosts, from a port of SNAT’s, and their answers back', () => {
      node.setGlobals({ snatPort: FIRST_SNAT_PORT, snatPorts: 4 })
      const host = PEER[family]
      if (family === 'ip6') node.setRoute(0, `${host}/128`, NH.UNDERLAY)
      serve(hostBack(host))
      const port = sourcePort(fromHost(tcp(own, vip, 4000, 443, SYN)))
      assert.ok(port >= FIRST_SNAT_PORT && port < FIRST_SNAT_PORT + 4, `port ${port}`)
      const fromOutside = (packet: Uint8Array) => node.fromFabric(frame(HOST.mac, PEER.mac, packet))
      twice(() => {
        const there = fromHost(tcp(own, vip, 4000, 443, ACK))
        assertFrame(there, frame(PEER.mac, HOST.mac, withTtl(tcp(own, host, port, 6443, ACK), 63)))
        const answer = fromOutside(tcp(host, own, 6443, port, SYN | ACK))
        assertFrame(answer, frame(HOST.mac, PEER.mac, withTtl(tcp(vip, own, 443, 4000, SYN | ACK), 63)))
      })
      assert.deepEqual([...node.drops()], [])
      // beside it, and from the same port, the host speaks to that host as it always does
      const direct = frame(PEER.mac, HOST.mac, tcp(own, host, 4000, 6443, SYN))
      assertFrame(node.fromHost(direct), direct)
      const reply = frame(HOST.mac, PEER.mac, tcp(host, own, 6443, 4000, ACK))
      assertFrame(node.fromFabric(reply), reply)
    })

    it('has the kernel find other hosts whose MAC isn’t known', () => {
      node.setGlobals({ snatPort: FIRST_SNAT_PORT, snatPorts: 4 })
      const host = family === 'ip4' ? '192.0.2.77' : '2001:db8:ff::77'
      node.setRoute(0, family === 'ip4' ? '192.0.2.0/24' : '2001:db8:ff::/64', NH.RESOLVE)
      serve(hostBack(host))
      twice(() => {
        const there = fromHost(tcp(own, vip, 4000, 443, ACK))
        const port = sourcePort(there)
        assert.ok(port >= FIRST_SNAT_PORT && port < FIRST_SNAT_PORT + 4, `port ${port}`)
        assert.equal(
          there.frame.subarray(ETH).toString('hex'),
          withTtl(tcp(own, host, port, 6443, ACK), 63).toString('hex'),
        )
        assert.equal(there.verdict, REDIRECT)
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('refuses the host as it refuses a pod, and lets nothing for a service out of the NIC', () => {
      services.set({ vip, port: 443, proto: PROTO.UDP, backs: [] })
      const sent = fromHost(udp(own, vip, 4000, 443))
      const body = join(u32(0), udp(own, vip, 4000, 443).subarray(0, family === 'ip4' ? 28 : 48))
      const expected = family === 'ip4' ? icmp4(vip, own, 3, 3, body, { id: 0, df: true }) : icmp6(vip, own, 1, 4, body)
      assertFrame(sent, frame(HOST.mac, HOST.mac, expected))
      node.assertDrop(c.DROP_DISCARD, c.VIF_ID_VHOST, () =>
        fromHost(udp(own, family === 'ip4' ? '10.96.0.2' : '2001:db8:96::2', 4000, 443)),
      )
    })

    it('gives what the host forwards for others the set of those outside', () => {
      services.set({
        vip,
        port: 443,
        proto: PROTO.TCP,
        backs: [{ ip: B[family], port: 1 }],
        outside: [{ ip: A[family], port: 2 }],
      })
      const stranger = family === 'ip4' ? '198.51.100.9' : '2001:db8:99::9'
      const send = (packet: Uint8Array, ingressIfindex: number) =>
        node.fromHost(frame(HOST.mac, HOST.mac, packet), { ingressIfindex })
      assertTo(A, send(tcp(stranger, vip, 4000, 443, SYN), node.devices.fabric), tcp(stranger, A[family], 4000, 2, SYN))
    })
  })
