/**
 * Proves: what a pod sends to a service becomes, byte by byte, what a naive translator makes of it, and so do the answers, wherever the
 * endpoint is; both families and all protocols; which endpoint is chosen follows from sets, source ranges and affinity alone; whom nobody
 * answers is told so at once; and connections from one port are never mixed up.
 */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
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
  PROTO,
  ping,
  TCP_FLAG,
  type TcpOptions,
  tcp,
  tooBig,
  u16,
  u32,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'
import { routeServices, Services } from './services.ts'

const { SYN, ACK, RST, FIN } = TCP_FLAG
const FLOWS = 150
const SEED = 0x5e21ace5
const VIP = { ip4: '10.96.0.10', ip6: '2001:db8:96::a' }
const VIP_2 = { ip4: '10.96.0.11', ip6: '2001:db8:96::b' }

type Family = 'ip4' | 'ip6'
const FAMILIES: readonly Family[] = ['ip4', 'ip6']

/** xorshift32: the same flows each time. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}

/** SCTP's checksum covers no address: any four bytes serve. */
function sctp(src: string, dst: string, sport: number, dport: number, data: Uint8Array): Buffer {
  const segment = join(u16(sport), u16(dport), u32(0xcafe), u32(0x12345678), data)
  return src.includes(':') ? ip6(src, dst, PROTO.SCTP, segment) : ip4(src, dst, PROTO.SCTP, segment)
}

type Build = (src: string, dst: string, sport: number, dport: number, data: Buffer) => Buffer
const BUILDS: Record<string, readonly [number, Build]> = {
  tcp: [PROTO.TCP, (src, dst, sport, dport, data) => tcp(src, dst, sport, dport, ACK, { seq: 77, ack: 99, data })],
  udp: [PROTO.UDP, udp],
  sctp: [PROTO.SCTP, sctp],
}

describe('datapath: services', function () {
  this.timeout(60000)
  let node: Fixture
  let services: Services

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    services = new Services(node)
    routeServices(node, [0, 2, 3])
  })
  afterEach(() => node?.[Symbol.dispose]())

  const from = (pod: Workload, packet: Uint8Array) => node.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
  const fromRemote = (packet: Uint8Array) =>
    node.fromFabric(
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, packet)),
    )
  const portsOf = ({ frame: bytes }: Sent, at = ETH) => {
    const l4 = at + (bytes[at]! >> 4 === 4 ? 20 : 40)
    return [bytes.readUInt16BE(l4), bytes.readUInt16BE(l4 + 2)] as const
  }
  const assertTo = (pod: Workload, sent: Sent, packet: Uint8Array) =>
    assertFrame(sent, frame(pod.mac, ROUTER_MAC, withTtl(packet, 63)))

  for (const family of FAMILIES)
    for (const [kind, [proto, build]] of Object.entries(BUILDS))
      it(`${kind}, ${family}: packets and answers are what a naive translator makes of them, on this node and another`, () => {
        const random = randomFrom(SEED + proto + (family === 'ip6' ? 1000 : 0))
        const owners = new Map<string, 'local' | 'remote'>()
        for (let i = 0; i < FLOWS; i++) {
          const vip = family === 'ip4' ? `10.96.1.${i}` : `2001:db8:96::${(0x100 + i).toString(16)}`
          const port = random(60000) + 1
          const target = () => (kind === 'sctp' ? port : random(60000) + 1)
          const backs = Array.from({ length: random(4) + 1 }, (_, n) =>
            n % 2 === i % 2 ? { ip: B[family], port: target() } : { ip: REMOTE[family], port: target() },
          )
          services.set({ vip, port, proto, backs, service: 1 })
          const sport = random(60000) + 1024
          const data = Buffer.from(Array.from({ length: random(40) }, () => random(256)))
          const sent = from(A, build(A[family], vip, sport, port, data))
          assert.equal(sent.verdict, REDIRECT, `${[...node.drops()]}`)
          const isTunnel = sent.frame.length > ETH + data.length + 90 || sent.frame.readUInt16BE(ETH + 22) === 6635
          const at = isTunnel ? ETH + 32 : ETH
          const [, chosen] = portsOf(sent, at)
          const back = backs.find(({ ip, port: each }) => each === chosen && (ip === REMOTE[family]) === isTunnel)
          assert.ok(back, `port ${chosen} is one of ${JSON.stringify(backs)}`)
          owners.set(vip, isTunnel ? 'remote' : 'local')
          for (let repeat = 0; repeat < 3; repeat++) {
            if (repeat === 2) node.raiseEpoch()
            const there = repeat === 0 ? sent : from(A, build(A[family], vip, sport, port, data))
            const expected = withTtl(build(A[family], back.ip, sport, back.port, data), 63)
            if (isTunnel) assert.equal(there.frame.subarray(at).toString('hex'), expected.toString('hex'))
            else assertFrame(there, frame(B.mac, ROUTER_MAC, expected))
            const answer = build(back.ip, A[family], back.port, sport, data)
            const reply = build(vip, A[family], port, sport, data)
            if (isTunnel) assertFrame(fromRemote(answer), frame(A.mac, ROUTER_MAC, reply))
            else assertTo(A, from(B, answer), reply)
          }
        }
        assert.deepEqual([...new Set(owners.values())].sort(), ['local', 'remote'])
        assert.deepEqual([...node.drops()], [])
        assert.equal(services.stats().connections, FLOWS)
      })

  for (const family of FAMILIES)
    describe(family, () => {
      const pod = A[family]
      const back = B[family]
      const vip = VIP[family]
      const serve = (options: Partial<Parameters<Services['set']>[0]> = {}) =>
        services.set({ vip, port: 80, proto: PROTO.TCP, backs: [{ ip: back, port: 8080 }], ...options })

      it('says of a flow what it does: destination and port there, source and port back', () => {
        serve()
        assertTo(B, from(A, tcp(pod, vip, 4000, 80, SYN)), tcp(pod, back, 4000, 8080, SYN))
        const [there, answer] = node.flows().sort((a, b) => a.nexthop - b.nexthop)
        const translated = c.FLOW_SNAT | c.FLOW_SPAT | c.FLOW_DNAT | c.FLOW_DPAT
        assert.deepEqual(
          [there!, answer!].map(({ flow, ...key }) => [
            key.nexthop,
            key.source,
            key.sourcePort,
            key.destination,
            key.destinationPort,
            flow.action,
            flow.flags & translated,
          ]),
          [
            [A.nh, pod, 4000, vip, 80, c.FLOW_ACTION_NAT, c.FLOW_DNAT | c.FLOW_DPAT],
            [B.nh, back, 8080, pod, 4000, c.FLOW_ACTION_NAT, c.FLOW_SNAT | c.FLOW_SPAT],
          ],
        )
      })

      it('keeps the endpoint of a flow when endpoints and routes change', () => {
        serve()
        from(A, tcp(pod, vip, 4000, 80, SYN))
        serve({ backs: [{ ip: REMOTE[family], port: 8081 }] })
        node.raiseEpoch()
        assertTo(B, from(A, tcp(pod, vip, 4000, 80, ACK)), tcp(pod, back, 4000, 8080, ACK))
        assertTo(A, from(B, tcp(back, pod, 8080, 4000, ACK)), tcp(vip, pod, 80, 4000, ACK))
        assert.deepEqual([...node.drops()], [])
      })

      it('begins anew with an endpoint that has moved to another node', () => {
        serve()
        from(A, tcp(pod, vip, 4000, 80, SYN))
        const options = { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID }
        node.setRoute(2, `${back}/${family === 'ip4' ? 32 : 128}`, NH.TUNNEL, options)
        node.raiseEpoch()
        node.assertDrop(c.DROP_FLOW_EVICT, A.vif, () => from(A, tcp(pod, vip, 4000, 80, ACK)))
        assert.deepEqual(node.flows(), [])
        const sent = from(A, tcp(pod, vip, 4000, 80, ACK))
        const expected = withTtl(tcp(pod, back, 4000, 8080, ACK), 63)
        assert.equal(sent.frame.subarray(ETH + 32).toString('hex'), expected.toString('hex'))
        const answer = fromRemote(tcp(back, pod, 8080, 4000, ACK))
        assertFrame(answer, frame(A.mac, ROUTER_MAC, tcp(vip, pod, 80, 4000, ACK)))
      })

      it('keeps connections apart that a client has from one port: direct, by one service and by another', () => {
        serve()
        services.set({ vip: VIP_2[family], port: 80, proto: PROTO.TCP, backs: [{ ip: back, port: 8080 }] })
        const ways = [vip, VIP_2[family], back] as const
        const portTo = (to: string) => (to === back ? 8080 : 80)
        const seen = new Set<number>()
        for (const order of [ways, [...ways].reverse()])
          for (const [n, to] of order.entries()) {
            const client = order === ways ? 4000 : 5000
            const sent = from(A, tcp(pod, to, client, portTo(to), SYN))
            const [sport] = portsOf(sent)
            assertTo(B, sent, tcp(pod, back, sport, 8080, SYN))
            assert.equal(n === 0, sport === client, 'the first one keeps its port, the others have another')
            assert.ok(!seen.has(sport) && sport >= 1024, `port ${sport}`)
            seen.add(sport)
            for (let repeat = 0; repeat < 3; repeat++) {
              if (repeat === 2) node.raiseEpoch()
              assertTo(A, from(B, tcp(back, pod, 8080, sport, ACK)), tcp(to, pod, portTo(to), client, ACK))
              assertTo(B, from(A, tcp(pod, to, client, portTo(to), ACK)), tcp(pod, back, sport, 8080, ACK))
            }
          }
        assert.deepEqual([...node.drops()], [])
      })

      it('has a pod that is its own endpoint reach itself, from the service’s address', () => {
        serve({ backs: [{ ip: pod, port: 8080 }] })
        assertTo(A, from(A, tcp(pod, vip, 4000, 80, SYN)), tcp(vip, pod, 4000, 8080, SYN))
        assertTo(A, from(A, tcp(pod, vip, 8080, 4000, SYN | ACK)), tcp(vip, pod, 80, 4000, SYN | ACK))
        node.raiseEpoch()
        assertTo(A, from(A, tcp(pod, vip, 4000, 80, ACK)), tcp(vip, pod, 4000, 8080, ACK))
        assertTo(A, from(A, tcp(pod, vip, 8080, 4000, ACK)), tcp(vip, pod, 80, 4000, ACK))
      })

      it('tells a client of ICMP errors by the address that it knows', () => {
        services.set({ vip, port: 53, proto: PROTO.UDP, backs: [{ ip: back, port: 5353 }] })
        from(A, udp(pod, vip, 4000, 53))
        const quoted = (dst: string, port: number) => udp(pod, dst, 4000, port)
        assertTo(A, from(B, tooBig(back, pod, 1300, quoted(back, 5353))), tooBig(vip, pod, 1300, quoted(vip, 53)))
      })

      it('translates what SCTP’s ICMP errors quote', () => {
        services.set({ vip, port: 7, proto: PROTO.SCTP, backs: [{ ip: back, port: 7 }] })
        const data = Buffer.from('chunk')
        from(A, sctp(pod, vip, 4000, 7, data))
        assertTo(
          A,
          from(B, tooBig(back, pod, 1300, sctp(pod, back, 4000, 7, data))),
          tooBig(vip, pod, 1300, sctp(pod, vip, 4000, 7, data)),
        )
      })

      it('refuses an SCTP association that would need another port', () => {
        services.set({ vip, port: 7, proto: PROTO.SCTP, backs: [{ ip: back, port: 8 }] })
        node.assertDrop(c.DROP_FLOW_INVALID_PROTOCOL, A.vif, () => from(A, sctp(pod, vip, 4000, 7, Buffer.from('x'))))
      })

      // ---- nobody there

      const unreachable = (packet: Uint8Array) => {
        const quoted = packet.subarray(0, family === 'ip4' ? 28 : 48)
        const body = join(u32(0), quoted)
        return family === 'ip4' ? icmp4(vip, pod, 3, 3, body, { id: 0, df: true }) : icmp6(vip, pod, 1, 4, body)
      }
      const reset = (sport: number, dport: number, flags: number, options: TcpOptions) => {
        const packet = tcp(vip, pod, sport, dport, flags, { id: 0, df: true, ...options })
        const l4 = family === 'ip4' ? 20 : 40
        packet.writeUInt16BE(0, l4 + 14) // no window; to the sum that is the same as all bits set
        return packet
      }

      it('resets a TCP connection that nobody takes, with the numbers that its sender believes', () => {
        serve({ backs: [] })
        for (const [flags, given, expected] of [
          [SYN, { seq: 1000 }, { flags: RST | ACK, seq: 0, ack: 1001 }],
          [SYN, { seq: 0xffffffff, data: Buffer.from('fast') }, { flags: RST | ACK, seq: 0, ack: 4 }],
          [ACK, { seq: 1000, ack: 7777, data: Buffer.from('late') }, { flags: RST, seq: 7777 }],
          [FIN, { seq: 1000, data: Buffer.from('odd') }, { flags: RST | ACK, seq: 0, ack: 1004 }],
          [SYN, { seq: 5, tcpOptions: Buffer.alloc(20, 1) }, { flags: RST | ACK, seq: 0, ack: 6 }],
        ] as const) {
          const sent = from(A, tcp(pod, vip, 4000, 80, flags, given))
          assertFrame(sent, frame(A.mac, ROUTER_MAC, reset(80, 4000, expected.flags, { ...expected })))
        }
        assert.equal(from(A, tcp(pod, vip, 4000, 80, RST, { seq: 1 })).verdict, DROPPED)
        assert.deepEqual([...node.drops()], [[c.DROP_NOWHERE_TO_GO, 1]])
        assert.deepEqual(services.stats(), { connections: 0, refused: 6, dropped: 0 })
        assert.deepEqual(node.flows(), [])
      })

      it('answers everything else that nobody takes: port unreachable', () => {
        serve()
        for (const packet of [
          udp(pod, vip, 4000, 80, Buffer.from('the protocol is another')),
          udp(pod, vip, 4000, 81, new Uint8Array(0)),
          ping(pod, vip, 77),
          sctp(pod, vip, 4000, 80, Buffer.from('chunk')),
          tcp(pod, vip, 4000, 81, SYN),
        ]) {
          const sent = from(A, packet)
          const expected =
            packet[family === 'ip4' ? 9 : 6] === PROTO.TCP
              ? reset(81, 4000, RST | ACK, { seq: 0, ack: 1001 })
              : unreachable(packet)
          assertFrame(sent, frame(A.mac, ROUTER_MAC, expected))
        }
        assert.deepEqual(services.stats(), { connections: 0, refused: 5, dropped: 0 })
        assert.deepEqual(node.flows(), [])
      })

      it('is silent where the address is nobody’s, where the policy says so, and to errors and fragments that belong to nothing', () => {
        serve({ backs: [], flags: c.FRONT_DROP_INSIDE })
        node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, tcp(pod, VIP_2[family], 4000, 80, SYN)))
        node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => from(A, tcp(pod, vip, 4000, 80, SYN)))
        node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, tooBig(pod, vip, 1300, udp(vip, pod, 4000, 53))))
        assert.deepEqual(services.stats(), { connections: 0, refused: 0, dropped: 1 })
      })

      it('answers no more often than a vif may send packets to the agent, and leaves the agent half of them', () => {
        serve({ backs: [] })
        node.setGlobals({ trapRate: 1, trapBurst: 6 })
        const verdicts = Array.from({ length: 9 }, () => from(A, tcp(pod, vip, 4000, 80, SYN)).verdict)
        assert.deepEqual(verdicts.slice(0, 3), [REDIRECT, REDIRECT, REDIRECT])
        assert.equal(verdicts[8], DROPPED)
        assert.ok(node.drops().get(c.DROP_TRAP_LIMIT)! >= 1)
        const expiring = udp(pod, B[family], 5353, 53, undefined, { ttl: 1 })
        for (let i = 0; i < 3; i++) assert.equal(from(A, expiring).verdict, REDIRECT)
      })

      it('begins no flow while an upgrade carries flows over', () => {
        serve()
        node.setGlobals({ natFromNs: 1n << 62n })
        node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () => from(A, tcp(pod, vip, 4000, 80, SYN)))
      })

      // ---- which endpoint

      const chosen = (sport: number) => portsOf(from(A, tcp(pod, vip, sport, 80, SYN)))[1]
      const many = [8080, 8081, 8082, 8083].map((port) => ({ ip: back, port }))

      it('spreads connections over the set of those inside', () => {
        serve({ backs: many, outside: [{ ip: back, port: 1 }] })
        const counts = new Map<number, number>()
        for (let i = 0; i < 200; i++) counts.set(chosen(5000 + i), (counts.get(chosen(5000 + i)) ?? 0) + 1)
        assert.deepEqual([...counts.keys()].sort(), [8080, 8081, 8082, 8083])
        for (const count of counts.values()) assert.ok(count > 20, `${[...counts]}`)
      })

      it('lets a client keep its endpoint as long as it is in the set, and refreshes that with each connection', () => {
        serve({ backs: many, affinityS: 3600 })
        const first = chosen(5000)
        for (let i = 1; i < 30; i++) assert.equal(chosen(5000 + i), first)
        // the set was written anew, and the endpoint lies elsewhere in it
        serve({ backs: [...many].reverse(), affinityS: 3600 })
        for (let i = 30; i < 60; i++) assert.equal(chosen(5000 + i), first)
        const rest = many.filter(({ port }) => port !== first)
        serve({ backs: rest, affinityS: 3600 })
        const second = chosen(6000)
        assert.notEqual(second, first)
        // it is the later one that counts when the first is back
        serve({ backs: many, affinityS: 3600 })
        for (let i = 1; i < 30; i++) assert.equal(chosen(6000 + i), second)
      })

      it('forgets an affinity that is too old', () => {
        serve({ backs: many, affinityS: 3600 })
        const first = chosen(5000)
        const { affinity } = node.maps.services
        const old = [...affinity.entries()]
        assert.equal(old.length, 1)
        for (const [key, value] of old) affinity.set(key, { ...value, expiresNs: 1n })
        const later = Array.from({ length: 40 }, (_, i) => {
          for (const [key, value] of affinity.entries()) affinity.set(key, { ...value, expiresNs: 1n })
          return chosen(6000 + i)
        })
        assert.ok(later.some((port) => port !== first))
      })

      it('lets in whom the source ranges name, with or without affinity, and nobody else', () => {
        serve({ flags: c.FRONT_SOURCE_RANGES, affinityS: 3600, service: 7 })
        node.assertDrop(c.DROP_FLOW_ACTION_DROP, A.vif, () => from(A, tcp(pod, vip, 4000, 80, SYN)))
        services.open(8, family === 'ip4' ? '0.0.0.0/0' : '::/0') // another's
        services.open(7, family === 'ip4' ? '::/0' : '0.0.0.0/0') // of the other family
        node.assertDrop(c.DROP_FLOW_ACTION_DROP, A.vif, () => from(A, tcp(pod, vip, 4000, 80, SYN)))
        services.open(7, family === 'ip4' ? '10.2.0.8/29' : '2001:db8:2::10/124')
        assertTo(B, from(A, tcp(pod, vip, 4000, 80, SYN)), tcp(pod, back, 4000, 8080, SYN))
        assert.deepEqual(services.stats(7), { connections: 1, refused: 0, dropped: 2 })
      })

      it('leaves alone who asks for a service network that its routes don’t lead to, or sends with its address', () => {
        serve()
        const table = family === 'ip4' ? node.routeTables().lpm4 : node.routeTables().lpm6
        for (const [key] of [...table.entries()].filter(
          ([key]) => key.vrf === 2 && key.prefixlen !== 32 + 24 && key.prefixlen !== 32 + 64,
        ))
          table.delete(key as never)
        node.assertDrop(c.DROP_DISCARD, A.vif, () => from(A, tcp(pod, vip, 4000, 80, SYN)))
        node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () => from(A, tcp(vip, back, 80, 4000, SYN)))
        node.assertDrop(c.DROP_INVALID_SOURCE, 0, () => fromRemote(tcp(vip, pod, 80, 4000, SYN)))
      })
    })
})
