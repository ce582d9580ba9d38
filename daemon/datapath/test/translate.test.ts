/**
 * Proves: the packets of a translated flow become what the key of its other direction says, byte by byte, as a naive NAT that builds them
 * anew would have them: random flows of both families and all protocols that can be translated, in both directions, in every program
 * that has flows; whole packets, fragments, and what ICMP errors quote. And none goes on when that key is gone or another flow's.
 */
import { strict as assert } from 'node:assert'
import { ip4Number, ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { NO_CONTEXT } from '../../src/maps/flows.ts'
import { type FlowStruct, flow4KeyCodec, flow6KeyCodec } from '../../src/maps/structs.ts'
import { encode, u32Codec } from '../../src/maps/table.ts'
import { A, assertFrame, B, Fixture, HOST, NH, PEER, REDIRECT, REMOTE, ROUTER_MAC, type Sent } from './fixture.ts'
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
  pong,
  tcp,
  u16,
  u32,
  udp,
  withTtl,
} from './frames.ts'
import { cannotRun } from './node.ts'

const FLOWS = 150
const SEED = 0x1d8f4e27
const AF = { inet: 2, inet6: 10 } as const

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

/** A packet's ends. Of an echo, `sport` is its id, and `dport` unused. */
interface Ends {
  readonly sip: string
  readonly dip: string
  readonly sport: number
  readonly dport: number
}

type Kind = 'tcp' | 'udp' | 'udp without checksum' | 'echo'

interface Way {
  readonly name: string
  /** Sends an IP packet of one direction; returns the IP packet that came out. */
  readonly send: (packet: Buffer) => Sent
  /** The frame that it must become. */
  readonly expected: (packet: Buffer) => Buffer
  /** The entry's fields. */
  readonly flow: Partial<FlowStruct>
  readonly keyNh: number
  /** Who sends: the source that flows of this way have. */
  readonly source: { readonly ip4: string; readonly ip6: string }
}

const is6 = (address: string) => address.includes(':')
/** The naive NAT: the same packet, built with other ends. */
function build(kind: Kind, { sip, dip, sport, dport }: Ends, isAnswer: boolean, data: Buffer): Buffer {
  switch (kind) {
    case 'tcp':
      return tcp(sip, dip, sport, dport, 16, { seq: 77, ack: 99, data })
    case 'echo':
      return isAnswer ? pong(sip, dip, sport) : ping(sip, dip, sport)
    default: {
      const packet = udp(sip, dip, sport, dport, data)
      if (kind === 'udp without checksum') packet.writeUInt16BE(0, (is6(sip) ? 40 : 20) + 6)
      return packet
    }
  }
}

const answerOf = (ends: Ends, kind: Kind): Ends => ({
  sip: ends.dip,
  dip: ends.sip,
  sport: kind === 'echo' ? ends.sport : ends.dport,
  dport: kind === 'echo' ? ends.dport : ends.sport,
})

describe('datapath: translation', function () {
  this.timeout(120000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
    node = new Fixture()
    node.setRoute(0, `${REMOTE.ip6}/128`, NH.TUNNEL, { label: REMOTE.label, flags: c.ROUTE_LABEL_VALID })
    node.setGlobals({ underlayIp6: ip6Bytes(HOST.ip6) })
    node.setRoute(0, `${HOST.ip6}/128`, NH.RCV)
  })
  after(() => node?.[Symbol.dispose]())

  const base: FlowStruct = {
    packets: 0n,
    bytes: 0n,
    lastSeenNs: 1n,
    index: 0,
    rindex: 0,
    keyNh: 0,
    flags: 0,
    epoch: 1,
    nh: 0,
    label: c.LABEL_NONE,
    vrf: 2,
    dvrf: 2,
    srcNh: 0,
    srcInfo: 0,
    vif: A.vif,
    tcpSeq: 0,
    tcpAck: 0,
    tcpFlags: c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R,
    udpSrcPort: 50000,
    action: c.FLOW_ACTION_NAT,
    gen: 0,
    dropReason: 0,
    ecmp: 0xff,
    out: 0,
    rgen: 0,
  }

  const peerWord = Buffer.from([192, 0, 2, 2]).readUInt32LE()
  const fromPeer = (packet: Buffer) =>
    node.fromFabric(
      eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, packet)),
    )
  /** What a tunnel must carry. Its outer headers are other tests' business: only what is inside is compared. */
  const inner = (sent: Sent) => sent.frame.subarray(ETH + 32)

  const toB: Way = {
    name: 'tap, to a pod of the node',
    keyNh: A.nh,
    source: A,
    flow: { nh: B.nh },
    send: (packet) => node.fromPod(A, frame(ROUTER_MAC, A.mac, packet)),
    expected: (packet) => frame(B.mac, ROUTER_MAC, withTtl(packet, 63)),
  }
  const fromB: Way = {
    ...toB,
    keyNh: B.nh,
    source: B,
    flow: { nh: A.nh },
    send: (packet) => node.fromPod(B, frame(ROUTER_MAC, B.mac, packet)),
    expected: (packet) => frame(A.mac, ROUTER_MAC, withTtl(packet, 63)),
  }
  const toRemote: Way = {
    name: 'tap, into a tunnel',
    keyNh: A.nh,
    source: A,
    flow: { nh: NH.TUNNEL, label: REMOTE.label },
    send: (packet) => {
      const sent = node.fromPod(A, frame(ROUTER_MAC, A.mac, packet))
      return sent.verdict === REDIRECT ? { ...sent, frame: inner(sent) } : sent
    },
    expected: (packet) => withTtl(packet, 63),
  }
  const fromRemote: Way = {
    name: 'fabric, out of a tunnel',
    keyNh: A.nh,
    source: REMOTE,
    flow: { nh: A.nh, srcInfo: peerWord, flags: c.FLOW_TTL_KEEP },
    send: fromPeer,
    expected: (packet) => frame(A.mac, ROUTER_MAC, packet),
  }
  const fromHost: Way = {
    name: 'vhost',
    keyNh: NH.RCV,
    source: HOST,
    flow: { nh: A.nh, vrf: 0, dvrf: 0, vif: c.VIF_ID_VHOST },
    send: (packet) => node.fromHost(frame(HOST.mac, HOST.mac, packet)),
    expected: (packet) => frame(A.mac, ROUTER_MAC, withTtl(packet, 63)),
  }
  const toHost: Way = {
    name: 'tap, to the host',
    keyNh: A.nh,
    source: A,
    flow: { nh: NH.RCV, vrf: 2, dvrf: 0, flags: c.FLOW_VRFT | c.FLOW_TO_HOST },
    send: (packet) => node.fromPod(A, frame(ROUTER_MAC, A.mac, packet)),
    expected: (packet) => frame(HOST.mac, A.mac, withTtl(packet, 63)),
  }
  const PAIRS: readonly (readonly [Way, Way])[] = [
    [toB, fromB],
    [toRemote, fromRemote],
    [fromRemote, toRemote],
    [fromHost, toHost],
  ]

  const keyOf = (nhId: number, { sip, dip, sport, dport }: Ends, kind: Kind) => {
    const proto = kind === 'tcp' ? PROTO.TCP : kind !== 'echo' ? PROTO.UDP : is6(sip) ? PROTO.ICMP6 : PROTO.ICMP
    // an echo of ICMPv6 is keyed with 129 in the place of the other port, IPv4's with 0
    const other = kind !== 'echo' ? dport : is6(sip) ? 129 : 0
    return is6(sip)
      ? { nhId, sip: ip6Bytes(sip), dip: ip6Bytes(dip), sport, dport: other, proto, context: NO_CONTEXT }
      : { nhId, sip: ip4Number(sip), dip: ip4Number(dip), sport, dport: other, proto, context: NO_CONTEXT }
  }

  const enter = (family: number, key: ReturnType<typeof keyOf>, flow: FlowStruct) => {
    const slot = Buffer.alloc(52)
    slot.writeUInt8(family, 0)
    slot.writeUInt8(flow.gen, 1)
    slot.writeUInt16LE(flow.vif, 2)
    const bytes = family === AF.inet ? encode(flow4KeyCodec, key as never) : encode(flow6KeyCodec, key as never)
    Buffer.from(bytes).copy(slot, 4)
    const table = family === AF.inet ? node.maps.flows.flow4 : node.maps.flows.flow6
    table.set(key as never, flow)
    node.raw.get('flow_slots')!.update(encode(u32Codec, flow.index), slot)
  }

  const flagsOf = (before: Ends, after: Ends, isBack: boolean) => {
    const source = (before.sip !== after.sip ? c.FLOW_SNAT : 0) | (before.sport !== after.sport ? c.FLOW_SPAT : 0)
    const destination = (before.dip !== after.dip ? c.FLOW_DNAT : 0) | (before.dport !== after.dport ? c.FLOW_DPAT : 0)
    if (!isBack) return source | destination
    return (
      (source & c.FLOW_SNAT ? c.FLOW_DNAT : 0) |
      (source & c.FLOW_SPAT ? c.FLOW_DPAT : 0) |
      (destination & c.FLOW_DNAT ? c.FLOW_SNAT : 0) |
      (destination & c.FLOW_DPAT ? c.FLOW_SPAT : 0)
    )
  }

  /** Enters both directions: what is sent with `before` becomes `after`. */
  const enterPair = (kind: Kind, [there, back]: readonly [Way, Way], before: Ends, after: Ends, index: number) => {
    const family = is6(before.sip) ? AF.inet6 : AF.inet
    const gens = [(index * 7) & 255, (index * 13 + 1) & 255] as const
    const common = { epoch: node.maps.globals.get(0)!.epoch }
    const shared = c.FLOW_ACTIVE | c.FLOW_RFLOW_VALID
    const forward = {
      ...base,
      ...common,
      ...there.flow,
      keyNh: there.keyNh,
      index,
      rindex: index + 1,
      gen: gens[0],
      rgen: gens[1],
      flags: shared | (there.flow.flags ?? 0) | flagsOf(before, after, false),
    }
    const reverse = {
      ...base,
      ...common,
      ...back.flow,
      keyNh: back.keyNh,
      index: index + 1,
      rindex: index,
      gen: gens[1],
      rgen: gens[0],
      flags: shared | (back.flow.flags ?? 0) | flagsOf(before, after, true),
    }
    enter(family, keyOf(there.keyNh, before, kind), forward)
    enter(family, keyOf(back.keyNh, answerOf(after, kind), kind), reverse)
  }

  /** A flow of that way, with one or more of its ends translated; where it goes to is a pod, the host or a remote pod by then. */
  const randomFlow = (
    random: (below: number) => number,
    kind: Kind,
    v6: boolean,
    [there, back]: readonly [Way, Way],
  ) => {
    const address = (net: number) =>
      v6 ? `2001:db8:aa${net}::${(random(0xffff) + 1).toString(16)}` : `198.18.${net}.${random(250) + 1}`
    const of = (who: { readonly ip4: string; readonly ip6: string }) => (v6 ? who.ip6 : who.ip4)
    const port = () => random(60000) + 1024
    const change = random(7) + 1
    const before: Ends = {
      sip: of(there.source),
      sport: port(),
      dip: change & 1 ? address(1) : of(back.source),
      dport: kind === 'echo' ? 0 : port(),
    }
    const after: Ends = {
      sip: change & 4 ? address(2) : before.sip,
      sport: change & 2 ? port() : before.sport,
      dip: of(back.source),
      dport: kind !== 'echo' && change & 1 && random(2) ? port() : before.dport,
    }
    return { before, after }
  }

  for (const pair of PAIRS)
    for (const v6 of [false, true])
      it(`${pair[0].name}, ${v6 ? 'IPv6' : 'IPv4'}: packets and answers are what a naive NAT makes of them`, () => {
        const random = randomFrom(SEED + PAIRS.indexOf(pair) * 2 + Number(v6))
        for (let i = 0; i < FLOWS; i++) {
          const kind = (['tcp', 'udp', 'udp without checksum', 'echo'] as const)[random(v6 ? 4 : 4)]!
          const { before, after } = randomFlow(random, kind, v6, pair)
          enterPair(kind, pair, before, after, 100 + i * 2)
          const data = Buffer.from(Array.from({ length: random(40) }, () => random(256)))
          const what = `${kind} ${JSON.stringify({ before, after })}`
          for (let repeat = 0; repeat < 2; repeat++) {
            const there = pair[0].send(build(kind, before, false, data))
            assert.equal(there.verdict, REDIRECT, `${what}: ${[...node.drops()]}`)
            assertSame(there, pair[0].expected(build(kind, after, false, data)), what)
            const answer = pair[1].send(build(kind, answerOf(after, kind), true, data))
            assert.equal(answer.verdict, REDIRECT, `answer of ${what}: ${[...node.drops()]}`)
            assertSame(answer, pair[1].expected(build(kind, answerOf(before, kind), true, data)), `answer of ${what}`)
          }
        }
      })

  for (const pair of PAIRS)
    for (const v6 of [false, true])
      it(`${pair[0].name}, ${v6 ? 'IPv6' : 'IPv4'}: so is what ICMP errors quote`, () => {
        const random = randomFrom(SEED + 100 + PAIRS.indexOf(pair) * 2 + Number(v6))
        // the error comes from who got the packet, and quotes it as it was then
        const error = (src: string, dst: string, quoted: Buffer) =>
          v6 ? icmp6(src, dst, 1, 4, join(u32(0), quoted)) : icmp4(src, dst, 3, 3, join(u32(0), quoted))
        for (let i = 0; i < FLOWS; i++) {
          const kind = (['tcp', 'udp', 'udp without checksum', 'echo'] as const)[random(4)]!
          const { before, after } = randomFlow(random, kind, v6, pair)
          enterPair(kind, pair, before, after, 100 + i * 2)
          const data = Buffer.from('quoted')
          const length = random(2) ? undefined : v6 ? 48 : 28
          const quoted = (ends: Ends) => build(kind, ends, false, data).subarray(0, length)
          const what = `error about ${kind} ${JSON.stringify({ before, after, length })}`
          const sent = pair[1].send(error(after.dip, after.sip, quoted(after)))
          assert.equal(sent.verdict, REDIRECT, `${what}: ${[...node.drops()]}`)
          assertSame(sent, pair[1].expected(error(before.dip, before.sip, quoted(before))), what)
        }
      })

  for (const v6 of [false, true])
    it(`${v6 ? 'IPv6' : 'IPv4'}: fragments, the later ones of which have an address only`, () => {
      const random = randomFrom(SEED + 200 + Number(v6))
      for (const pair of PAIRS.filter(([there]) => there !== fromHost))
        for (let i = 0; i < 20; i++) {
          const { before, after } = randomFlow(random, 'udp', v6, pair)
          enterPair('udp', pair, before, after, 100 + i * 2)
          const id = random(0xffff)
          const data = Buffer.alloc(80, i)
          const cut = (ends: Ends) => {
            const body = udp(ends.sip, ends.dip, ends.sport, ends.dport, data).subarray(v6 ? 40 : 20)
            const part = (offset: number, bytes: Buffer, more: boolean) =>
              v6
                ? ip6(
                    ends.sip,
                    ends.dip,
                    PROTO.FRAGMENT,
                    join([PROTO.UDP, 0], u16(offset | Number(more)), u32(id), bytes),
                  )
                : ip4(ends.sip, ends.dip, PROTO.UDP, bytes, { id, offset, more })
            return [part(0, body.subarray(0, 48), true), part(48, body.subarray(48), false)] as const
          }
          for (const part of [0, 1] as const) {
            const sent = pair[0].send(cut(before)[part])
            assert.equal(sent.verdict, REDIRECT, `${part} ${JSON.stringify({ before, after })}: ${[...node.drops()]}`)
            assertSame(
              sent,
              pair[0].expected(cut(after)[part]),
              `fragment ${part} ${JSON.stringify({ before, after })}`,
            )
          }
        }
    })

  it('goes on after a change of routes, by the route of what the packet becomes', () => {
    const random = randomFrom(SEED + 300)
    for (const pair of PAIRS)
      for (let i = 0; i < 10; i++) {
        const { before, after } = randomFlow(random, 'udp', i % 2 === 1, pair)
        const isChosen = before.dip !== after.dip
        enterPair('udp', pair, before, after, 100 + i * 2)
        node.raiseEpoch()
        const data = Buffer.from('again')
        assertSame(
          pair[0].send(build('udp', before, false, data)),
          pair[0].expected(build('udp', after, false, data)),
          `${isChosen}`,
        )
      }
  })

  it('drops and ends a flow whose other direction is gone, or whose place another flow has', () => {
    const before = { sip: A.ip4, sport: 999, dip: '198.18.1.1', dport: 80 }
    const after = { sip: A.ip4, sport: 999, dip: B.ip4, dport: 8080 }
    for (const spoil of [
      (slot: Buffer) => slot.writeUInt8(0, 0),
      (slot: Buffer) => slot.writeUInt8((slot[1]! + 1) & 255, 1),
      (slot: Buffer) => slot.writeUInt8(AF.inet6, 0),
    ]) {
      enterPair('udp', [toB, fromB], before, after, 100)
      const slots = node.raw.get('flow_slots')!
      const slot = Buffer.from(slots.lookup(encode(u32Codec, 101))!)
      spoil(slot)
      slots.update(encode(u32Codec, 101), slot)
      node.assertDrop(c.DROP_FLOW_NAT_NO_RFLOW, A.vif, () => toB.send(build('udp', before, false, Buffer.from('x'))))
      assert.equal(node.maps.flows.flow4.get(keyOf(A.nh, before, 'udp') as never), undefined)
    }
  })

  it('has the agent answer for what ends here, about the packet as its sender knows it', () => {
    const before = { sip: A.ip4, sport: 999, dip: '198.18.1.1', dport: 80 }
    enterPair('udp', [toB, fromB], before, { ...before, dip: B.ip4 }, 100)
    const packet = withTtl(build('udp', before, false, Buffer.from('x')), 1)
    const sent = toB.send(packet)
    assert.equal(sent.verdict, REDIRECT)
    assert.equal(sent.frame.readUInt16BE(ETH + 4), c.AGENT_TRAP_ZERO_TTL)
    assert.deepEqual(sent.frame.subarray(ETH + 30 + ETH), packet)
  })

  function assertSame(sent: Sent, expected: Buffer, what: string): void {
    assert.equal(sent.frame.toString('hex'), expected.toString('hex'), what)
    assertFrame(sent, expected)
  }
})
