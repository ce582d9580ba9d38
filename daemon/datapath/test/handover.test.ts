/**
 * Proves: a connection to a service whose endpoint is on another node, where the client's routes don't lead, goes there as it is, under that
 * node's service label and the client's own; that node translates it and answers under the client's label. Clients and nodes with equal
 * addresses and ports stay apart, and under a service label nobody reaches anything but local endpoints of services.
 */
import { strict as assert } from 'node:assert'
import { ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import type { FrontKeyStruct, FrontStruct } from '../../src/maps/structs.ts'
import {
  A,
  assertFrame,
  B,
  C,
  Fixture,
  HOST,
  NH,
  PEER,
  PEER_2,
  REMOTE,
  ROUTER_MAC,
  type Sent,
  type Workload,
} from './fixture.ts'
import { ETH, frame, icmp4, icmp6, join, mplsOverUdp, PROTO, TCP_FLAG, tcp, u32, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'
import { routeServices, Services } from './services.ts'

const { SYN, ACK } = TCP_FLAG
const VIP = { ip4: '10.96.0.1', ip6: '2001:db8:96::1' }
const CLIENT = { ip4: '10.77.0.5', ip6: '2001:db8:77::5' }
const NH_PUBLIC = 61
/** Of this node, and of the other one. */
const SERVICE_LABEL = 150
const THEIR_LABEL = 250
/** Of clients of the other node. */
const [RETURN, RETURN_2] = [700, 701]
const OUTER = 28
const MPLS = 4

const entry = (label: number, bottom = true, ttl = 64) => u32((label * 4096 + (bottom ? 0x100 : 0) + ttl) >>> 0)

for (const family of ['ip4', 'ip6'] as const)
  describe(`datapath: handover, ${family}`, function () {
    this.timeout(60000)
    let node: Fixture
    let services: Services
    const vip = VIP[family]
    const client = CLIENT[family]

    before(function () {
      if (cannotRun()) this.skip()
    })
    beforeEach(() => {
      node = new Fixture()
      services = new Services(node)
      routeServices(node, [0, 2, 3])
      node.setGlobals({ hostNh: NH.RCV, underlayIp6: ip6Bytes(HOST.ip6) })
      node.setNexthop(NH_PUBLIC, {
        ...{ type: c.NH_VRF_TRANSLATE, flags: (c.NH_FLAG_VALID | c.NH_FLAG_SERVICE) >>> 0, vrf: 0 },
      })
      node.setLabel(SERVICE_LABEL, NH_PUBLIC)
      node.setPeer(PEER.ip4, PEER.ip6, NH.TUNNEL)
      node.setPeer(PEER_2.ip4, PEER_2.ip6, NH.TUNNEL_2)
    })
    afterEach(() => node?.[Symbol.dispose]())

    const twice = (check: () => void) => {
      check()
      node.raiseEpoch()
      check()
    }
    const fromPod = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
    const assertTo = (pod: Workload, sent: Sent, packet: Uint8Array) =>
      assertFrame(sent, frame(pod.mac, ROUTER_MAC, packet))
    const tunnelled = (src: string, label: number, inner: Uint8Array, bottom = true) =>
      node.fromFabric(frame(HOST.mac, PEER.mac, mplsOverUdp({ src, dst: HOST.ip4, label, bottom }, inner)))
    const handed = (packet: Uint8Array, { from = PEER.ip4, back = RETURN, label = SERVICE_LABEL } = {}) =>
      tunnelled(from, label, join(entry(back), packet), false)
    /** Where to, its labels and the packet inside. */
    const inTunnel = ({ frame: bytes }: Sent) => {
      const labels: number[] = []
      for (let at = ETH + OUTER; ; at += MPLS) {
        const shim = bytes.readUInt32BE(at)
        labels.push(shim >>> 12)
        if (shim & 0x100)
          return {
            to: [...bytes.subarray(ETH + 16, ETH + 20)].join('.'),
            labels,
            packet: bytes.subarray(at + MPLS).toString('hex'),
          }
      }
    }
    const sourcePort = ({ frame: bytes }: Sent) => bytes.readUInt16BE(ETH + (family === 'ip4' ? 20 : 40))
    const local = { ip: B[family], port: 8443, vrf: 2, nh: B.nh }
    const serveLocal = () => services.set({ vip, port: 443, proto: PROTO.TCP, backs: [], local: [local] })
    const hex = (packet: Uint8Array, ttl = 63) => withTtl(packet, ttl).toString('hex')

    it('brings what is handed over to an endpoint of this node, and the answers back under the label of the client', () => {
      serveLocal()
      twice(() => {
        const there = handed(tcp(client, vip, 4000, 443, SYN))
        assertTo(B, there, tcp(client, B[family], 4000, 8443, SYN))
        const back = inTunnel(fromPod(B, tcp(B[family], client, 8443, 4000, SYN | ACK)))
        assert.deepEqual(back, { to: PEER.ip4, labels: [RETURN], packet: hex(tcp(vip, client, 443, 4000, SYN | ACK)) })
      })
      assert.deepEqual([...node.drops()], [])
    })

    it('tells clients of one address and port apart by their label and their node', () => {
      serveLocal()
      const seen = new Set<number>()
      for (const [from, back] of [
        [PEER.ip4, RETURN],
        [PEER.ip4, RETURN_2],
        [PEER_2.ip4, RETURN],
      ] as const)
        twice(() => {
          const port = sourcePort(handed(tcp(client, vip, 4000, 443, ACK), { from, back }))
          seen.add(port)
          const answer = inTunnel(fromPod(B, tcp(B[family], client, 8443, port, ACK)))
          assert.deepEqual(answer, { to: from, labels: [back], packet: hex(tcp(vip, client, 443, 4000, ACK)) })
        })
      assert.equal(seen.size, 3)
      assert.deepEqual([...node.drops()], [])
    })

    it('takes NodePorts of the node that hands over for its own, and no other node’s', () => {
      services.set({ vip: HOST[family], vrf: 0, port: 30443, proto: PROTO.TCP, backs: [], local: [local] })
      services.delete({ vip: HOST[family], vrf: 0, port: 0, proto: 0 })
      twice(() => {
        assertTo(B, handed(tcp(client, PEER[family], 4000, 30443, SYN)), tcp(client, B[family], 4000, 8443, SYN))
        const back = inTunnel(fromPod(B, tcp(B[family], client, 8443, 4000, SYN | ACK)))
        const packet = hex(tcp(PEER[family], client, 30443, 4000, SYN | ACK))
        assert.deepEqual(back, { to: PEER.ip4, labels: [RETURN], packet })
      })
      for (const [address, port] of [
        [PEER_2[family], 30443],
        [HOST[family], 30443],
        [PEER[family], 30444],
      ] as const)
        node.assertDrop(c.DROP_DISCARD, 0, () => handed(tcp(client, address, 5000, port, SYN)))
    })

    it('translates errors about what was handed over', () => {
      serveLocal()
      handed(tcp(client, vip, 4000, 443, SYN))
      const quoted = (dip: string, dport: number) => join(u32(0), tcp(client, dip, 4000, dport, ACK))
      const error = (src: string, body: Buffer) =>
        family === 'ip4' ? icmp4(src, client, 3, 3, body) : icmp6(src, client, 1, 4, body)
      assert.deepEqual(inTunnel(fromPod(B, error(B[family], quoted(B[family], 8443)))), {
        ...{ to: PEER.ip4, labels: [RETURN], packet: hex(error(vip, quoted(vip, 443))) },
      })
    })

    it('takes under a service label nothing but connections to local endpoints of services, from nodes', () => {
      serveLocal()
      const syn = tcp(client, vip, 4000, 443, SYN)
      const drop = (reason: number, send: () => Sent) => node.assertDrop(reason, 0, send)
      drop(c.DROP_INVALID_LABEL, () => tunnelled(PEER.ip4, SERVICE_LABEL, syn))
      drop(c.DROP_INVALID_LABEL, () => handed(syn, { label: B.label }))
      drop(c.DROP_INVALID_LABEL, () => tunnelled(PEER.ip4, SERVICE_LABEL, join(entry(RETURN, false), syn), false))
      for (const address of [B[family], HOST[family], PEER[family]])
        drop(c.DROP_DISCARD, () => handed(tcp(client, address, 4000, 443, SYN)))
      drop(c.DROP_NOWHERE_TO_GO, () => handed(tcp(client, vip, 4000, 444, SYN)))
      services.set({ vip, port: 443, proto: PROTO.TCP, backs: [local] })
      drop(c.DROP_NOWHERE_TO_GO, () => handed(syn))
      for (const back of [
        { ip: PEER[family], port: 443, flags: c.BACK_HOST, vrf: c.LABEL_NONE },
        { ip: '10.9.9.9', port: 443, vrf: 2, nh: NH.TUNNEL, label: THEIR_LABEL, flags: c.BACK_HANDED },
      ]) {
        services.set({ vip, port: 443, proto: PROTO.TCP, backs: [], local: [back] })
        drop(c.DROP_NOWHERE_TO_GO, () => handed(syn))
      }
      serveLocal()
      node.setPeer(PEER.ip4, PEER.ip6, 0)
      drop(c.DROP_INVALID_SOURCE, () => handed(syn))
      assert.deepEqual(node.flows(), [])
      node.unsetPeer(PEER.ip4, PEER.ip6)
      node.raiseEpoch()
      const foreign = frame(
        HOST.mac,
        PEER.mac,
        mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: SERVICE_LABEL, bottom: false }, join(entry(RETURN), syn)),
      )
      assertFrame(node.fromFabric(foreign), foreign)
    })

    it('takes nothing in the name of a node but that node’s, nor of an address that nobody sends from', () => {
      serveLocal()
      const [loopback, group, link] =
        family === 'ip4' ? ['127.0.0.1', '224.0.0.9', '169.254.1.1'] : ['::1', 'ff02::9', 'fe80::1']
      for (const source of [HOST[family], PEER_2[family], loopback, group, link])
        node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => handed(tcp(source, vip, 4000, 443, SYN)))
      assert.deepEqual(node.flows(), [])
      assertTo(B, handed(tcp(PEER[family], vip, 4000, 443, SYN)), tcp(PEER[family], B[family], 4000, 8443, SYN))
    })

    it('brings what comes to a port of the node under the host’s label to an endpoint here, and all else to the host', () => {
      const { vrfLabel } = REMOTE
      const pod = REMOTE[family]
      const block = family === 'ip4' ? '10.2.1.0/24' : '2001:db8:2:1::/64'
      node.setRoute(0, block, NH.TUNNEL, { label: vrfLabel, flags: c.ROUTE_LABEL_VALID })
      node.setRoute(0, `${HOST[family]}/${family === 'ip4' ? 32 : 128}`, NH.RCV)
      services.set({ vip: HOST[family], vrf: 0, port: 30443, proto: PROTO.TCP, backs: [], local: [local] })
      services.delete({ vip: HOST[family], vrf: 0, port: 0, proto: 0 })
      services.listen(30443)
      const toHost = (port: number, from: string = PEER.ip4) =>
        tunnelled(from, HOST.label, tcp(pod, HOST[family], 4000, port, SYN))
      twice(() => {
        assertTo(B, toHost(30443), tcp(pod, B[family], 4000, 8443, SYN))
        const back = inTunnel(fromPod(B, tcp(B[family], pod, 8443, 4000, SYN | ACK)))
        const packet = hex(tcp(HOST[family], pod, 30443, 4000, SYN | ACK))
        assert.deepEqual(back, { to: PEER.ip4, labels: [vrfLabel], packet })
        assertFrame(toHost(30444), frame(HOST.mac, PEER.mac, tcp(pod, HOST[family], 4000, 30444, SYN)))
      })
      node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => toHost(30443, PEER_2.ip4))
    })

    // ---- the client's node

    const remote = {
      ip: '10.9.9.9',
      port: 8443,
      vrf: c.LABEL_NONE,
      nh: NH.TUNNEL,
      label: THEIR_LABEL,
      flags: c.BACK_HANDED,
    }
    const serveRemote = () =>
      services.set({
        vip,
        port: 443,
        proto: PROTO.TCP,
        backs: [family === 'ip4' ? remote : { ...remote, ip: '2001:db8:9::9' }],
      })

    it('hands a client’s connection over as it is, and lets in the answers of that node alone', () => {
      serveRemote()
      for (const pod of [A, C]) {
        const answer = (from: string) => tunnelled(from, pod.label, tcp(vip, pod[family], 443, 4000, SYN | ACK))
        node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => answer(PEER.ip4))
        twice(() => {
          const there = inTunnel(fromPod(pod, tcp(pod[family], vip, 4000, 443, SYN)))
          assert.deepEqual(there, {
            to: PEER.ip4,
            labels: [THEIR_LABEL, pod.label],
            packet: hex(tcp(pod[family], vip, 4000, 443, SYN)),
          })
          assertTo(pod, answer(PEER.ip4), tcp(vip, pod[family], 443, 4000, SYN | ACK))
        })
        node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => answer(PEER_2.ip4))
      }
    })

    it('serves a pod also at NodePorts of other nodes, unless those are for endpoints of theirs alone', () => {
      const ports = { vip: HOST[family], vrf: 0, port: 30443, proto: PROTO.TCP }
      services.set({ ...ports, backs: [{ ...local, ip: B[family] }], outside: [] })
      services.delete({ ...ports, port: 0, proto: 0 })
      services.listen(30443)
      const [[key, front]] = [...node.maps.services.fronts.entries()].filter(([{ port }]) => port === 30443) as [
        [FrontKeyStruct, FrontStruct],
      ]
      const peer = `${PEER[family]}/${family === 'ip4' ? 32 : 128}`
      for (const vrf of [2, 3]) node.setRoute(vrf, peer, NH.TUNNEL, { label: 16, flags: c.ROUTE_LABEL_VALID })
      node.setVrf(2, 2, true)
      const syn = (pod: Workload, sport: number) => tcp(pod[family], PEER[family], sport, 30443, SYN)
      const there = (pod: Workload, sport: number) => ({ to: PEER.ip4, labels: [16], packet: hex(syn(pod, sport)) })
      assert.deepEqual(inTunnel(fromPod(A, syn(A, 4000))), there(A, 4000), 'externalTrafficPolicy Local')
      node.maps.services.fronts.set(key, { ...front, flags: c.FRONT_EVERY_NODE })
      assertTo(B, fromPod(A, syn(A, 4001)), withTtl(tcp(A[family], B[family], 4001, 8443, SYN), 63))
      assertTo(
        A,
        fromPod(B, tcp(B[family], A[family], 8443, 4001, SYN | ACK)),
        withTtl(tcp(PEER[family], A[family], 30443, 4001, SYN | ACK), 63),
      )
      assert.deepEqual(inTunnel(fromPod(C, syn(C, 4002))), there(C, 4002), 'a pod of its network has that address')
      assert.deepEqual([...node.drops()], [])
    })

    it('goes the client’s own way where a route leads to the endpoint', () => {
      services.set({ vip, port: 443, proto: PROTO.TCP, backs: [{ ...remote, ip: B[family], vrf: 2 }] })
      assertTo(
        B,
        fromPod(A, tcp(A[family], vip, 4000, 443, SYN)),
        withTtl(tcp(A[family], B[family], 4000, 8443, SYN), 63),
      )
    })
  })
