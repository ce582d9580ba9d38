/**
 * Proves: whatever arrives, a program ends with a verdict, and a frame that is dropped is counted exactly once, one that isn't
 * dropped never. Frames are cut at every byte, their lengths and labels are falsified, and their bytes are changed at random.
 */
import { strict as assert } from 'node:assert'
import { close } from '@kube-vrouter/linux/ffi'
import { openTap, writeFrame } from '@kube-vrouter/linux/tap'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  B,
  DROPPED,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  OUTSIDE,
  PEER,
  type Program,
  REDIRECT,
  REMOTE,
  ROUTER_MAC,
  VRF_LABEL,
} from './fixture.ts'
import {
  agentFrame,
  arp,
  eth,
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
  solicit,
  TCP_FLAG,
  tcp,
  tooBig,
  udp,
} from './frames.ts'
import {
  changedAtRandom,
  cutAtEveryByte,
  isRefusedAsShort,
  noiseAfter,
  RANDOM_FRAMES,
  randomFrom,
  withExtremeWords,
} from './mutations.ts'
import { cannotRun } from './node.ts'

/** The program of other NICs counts no vif: fuzz-outside.test.ts is its own. */
type Fuzzed = Exclude<Program, 'outside'>

function seeds(): [Fuzzed, string, Buffer][] {
  const fragmentHeader = join([PROTO.UDP, 0, 0, 1, 0, 0, 0, 9])
  const packets: [string, Buffer][] = [
    ['tcp4', tcp(A.ip4, B.ip4, 1, 2, TCP_FLAG.SYN, { tcpOptions: join([1], mss(9000), [0, 0, 0]) })],
    ['tcp6', tcp(A.ip6, REMOTE.ip6, 1, 2, TCP_FLAG.SYN, { tcpOptions: mss(9000) })],
    ['udp4', udp(A.ip4, REMOTE.ip4, 1, 2)],
    ['options4', udp(A.ip4, B.ip4, 1, 2, undefined, { options: Buffer.alloc(40, 1) })],
    ['ping6', ping(A.ip6, B.ip6, 1)],
    ['host4', ping(A.ip4, HOST.ip4, 1)],
    ['gateway4', ping(A.ip4, GATEWAY.ip4, 1)],
    ['error4', icmp4(A.ip4, B.ip4, 3, 3, join([0, 0, 0, 0], udp(B.ip4, A.ip4, 2, 1)))],
    ['error6', icmp6(A.ip6, B.ip6, 1, 3, join([0, 0, 0, 0], tcp(B.ip6, A.ip6, 2, 1, TCP_FLAG.ACK)))],
    ['fragment4', ip4(A.ip4, B.ip4, PROTO.UDP, Buffer.alloc(24), { more: true })],
    ['fragment6', ip6(A.ip6, B.ip6, PROTO.FRAGMENT, join(fragmentHeader, Buffer.alloc(24)))],
    [
      'extensions6',
      ip6(
        A.ip6,
        B.ip6,
        0,
        join(
          [60, 0],
          Buffer.alloc(6),
          [43, 1],
          Buffer.alloc(14),
          [6, 0],
          Buffer.alloc(6),
          tcp(A.ip6, B.ip6, 1, 2, 2).subarray(40),
        ),
      ),
    ],
    ['sctp', ip4(A.ip4, B.ip4, PROTO.SCTP, Buffer.alloc(12))],
    ['nested', mplsOverUdp({ src: A.ip4, dst: HOST.ip4, label: A.label }, udp(REMOTE.ip4, A.ip4, 1, 2))],
  ]
  const type = (packet: Buffer) => (packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd)
  const frames: [Fuzzed, string, Buffer][] = []
  for (const [name, packet] of packets) {
    frames.push(['tap', name, eth(ROUTER_MAC, A.mac, type(packet), packet)])
    frames.push(['tap', `${name} bridged`, eth(B.mac, A.mac, type(packet), packet)])
    frames.push(['vhost', name, eth(HOST.mac, HOST.mac, type(packet), packet)])
    frames.push([
      'agent',
      name,
      agentFrame(
        ROUTER_MAC,
        ROUTER_MAC,
        { vif: 3, vrf: 2, cmd: c.AGENT_ROUTE },
        eth(ROUTER_MAC, A.mac, type(packet), packet),
      ),
    ])
    for (const label of [A.label, VRF_LABEL, HOST.label])
      frames.push([
        'fabric',
        `${name} under ${label}`,
        eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label }, packet)),
      ])
  }
  frames.push(...snatSeeds())
  const question = arp({ op: 1, sha: A.mac, spa: A.ip4, tha: '00:00:00:00:00:00', tpa: B.ip4 })
  frames.push(['tap', 'arp', eth('ff:ff:ff:ff:ff:ff', A.mac, 0x0806, question)])
  frames.push(['tap', 'arp to a pod', eth(B.mac, A.mac, 0x0806, question)])
  frames.push(['vhost', 'arp', eth('ff:ff:ff:ff:ff:ff', HOST.mac, 0x0806, question)])
  const neighbour = solicit(A.ip6, 'ff02::1:ff00:1', B.ip6, A.mac)
  frames.push(['tap', 'solicit', eth('33:33:ff:00:00:01', A.mac, 0x86dd, neighbour)])
  frames.push(['tap', 'solicit a pod', eth(B.mac, A.mac, 0x86dd, neighbour)])
  frames.push(['vhost', 'solicit', eth('33:33:ff:00:00:01', HOST.mac, 0x86dd, neighbour)])
  frames.push([
    'agent',
    'switch',
    agentFrame(
      ROUTER_MAC,
      ROUTER_MAC,
      { vif: 3, vrf: 2, cmd: c.AGENT_SWITCH },
      eth(A.mac, ROUTER_MAC, 0x0806, question),
    ),
  ])
  return frames
}

/** With a range of one port everybody knows which port a workload's packet leaves with. */
const SNAT_PORT = 61000

function snatSeeds(): [Fuzzed, string, Buffer][] {
  const { ACK } = TCP_FLAG
  const frames: [Fuzzed, string, Buffer][] = []
  for (const [pod, host, outside] of [
    [A.ip4, HOST.ip4, OUTSIDE.ip4],
    [A.ip6, HOST.ip6, OUTSIDE.ip6],
  ] as const) {
    const type = pod === A.ip4 ? 0x0800 : 0x86dd
    const error = (src: string, dst: string, quoted: Buffer) => tooBig(src, dst, 1280, quoted)
    const fragment = (src: string, dst: string) =>
      type === 0x0800
        ? ip4(src, dst, PROTO.UDP, Buffer.alloc(24), { more: true })
        : ip6(src, dst, PROTO.FRAGMENT, join([PROTO.UDP, 0, 0, 1, 0, 0, 0, 9], Buffer.alloc(24)))
    for (const [name, out, back] of [
      ['tcp', tcp(pod, outside, 1, 443, ACK), tcp(outside, host, 443, SNAT_PORT, ACK)],
      ['udp', udp(pod, outside, 1, 53), udp(outside, host, 53, SNAT_PORT)],
      ['echo', ping(pod, outside, 7), pong(outside, host, SNAT_PORT)],
      [
        'udp error',
        error(pod, outside, udp(outside, pod, 53, 1)),
        error(outside, host, udp(host, outside, SNAT_PORT, 53)),
      ],
      [
        'tcp error',
        error(pod, outside, tcp(outside, pod, 443, 1, ACK)),
        error(outside, host, tcp(host, outside, SNAT_PORT, 443, ACK)),
      ],
      ['echo error', error(pod, outside, pong(outside, pod, 7)), error(outside, host, ping(host, outside, SNAT_PORT))],
      ['fragment', fragment(pod, outside), fragment(outside, host)],
      ['host', tcp(pod, host, 1, 443, ACK), tcp(outside, host, 443, 22, ACK)],
    ] as const) {
      frames.push(['tap', `snat ${name}`, eth(ROUTER_MAC, A.mac, type, out)])
      frames.push(['fabric', `snat ${name}`, eth(HOST.mac, PEER.mac, type, back)])
    }
  }
  return frames
}

describe('datapath: malformed and random frames', function () {
  this.timeout(300000)
  let node: Fixture
  let drops = 0
  let waiting = 0
  const frames = seeds()

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.setGlobals({ trapRate: 0 })
    node.enableSnat(1)
    // What the kernel routes is counted at vhost0 only, where it comes by.
    for (const prefix of ['::/0', '192.0.2.0/24']) node.setRoute(0, prefix, NH.UNDERLAY)
    drops = 0
    waiting = 0
    openTaps()
    openFlows()
  })
  afterEach(() => {
    for (const fd of taps.values()) close(fd)
    taps.clear()
    node?.[Symbol.dispose]()
  })

  /** TAP devices with a program each, for what test runs refuse. */
  const taps = new Map<Fuzzed, number>()

  function openTaps(): void {
    for (const [program, mac] of [
      ['tap', ROUTER_MAC],
      ['fabric', HOST.mac],
      ['agent', ROUTER_MAC],
    ] as const) {
      const { fd, index } = openTap({ name: `in-${program}`, persist: false, netns: node.path, mac })
      taps.set(program, fd)
      node.ip(`link set in-${program} up`)
      const device = { tap: node.devices[A.vif]!, fabric: node.devices.fabric, agent: node.devices.agent }[program]
      node.maps.vifs.set(index, { ...node.maps.vifs.get(device)!, ifindex: index })
      node.attach(program, index)
    }
  }

  /** Frames that went out of any vif, and those that came in. */
  function traffic(): { rx: number; tx: number } {
    const sum = { rx: 0, tx: 0 }
    for (let vif = 0; vif < 6; vif++) {
      const { rxPackets, txPackets } = node.maps.vifStats.get(vif)!
      sum.rx += Number(rxPackets)
      sum.tx += Number(txPackets)
    }
    return sum
  }

  /** The workload's packets open the flows that the answers of snatSeeds belong to. */
  function openFlows(): void {
    for (const [program, name, frame] of frames)
      if (program === 'tap' && name.startsWith('snat')) check(program, name, frame)
  }

  function check(program: Fuzzed, what: string, frame: Uint8Array): void {
    const device = {
      tap: node.devices[A.vif]!,
      fabric: node.devices.fabric,
      vhost: node.devices.vhost,
      agent: node.devices.agent,
    }[program]
    const detail = `${program} ${what}: ${Buffer.from(frame).toString('hex')}`
    const before = traffic()
    waiting = program === 'fabric' ? node.waiting() : waiting // the host's fragments wait as copies
    let verdict: number | undefined
    try {
      verdict = node.send(program, device, frame).retval
    } catch (error) {
      if (!isRefusedAsShort(error, frame)) throw error
      const fd = taps.get(program)
      if (fd === undefined) return
      writeFrame(fd, frame)
    }
    const now = node.totalDrops()
    const counted = now - drops
    drops = now
    const after = traffic()
    if (after.rx === before.rx) {
      // A fragment that waits for its first one, or a first one that comes in again with those that waited: neither lost nor sent.
      assert.deepEqual([counted, after.tx - before.tx, verdict ?? DROPPED], [0, 0, DROPPED], `waits: ${detail}`)
      assert.notEqual(node.waiting(), waiting, `waits: ${detail}`)
      waiting = node.waiting()
      return
    }
    assert.equal(after.rx - before.rx, 1, `received: ${detail}`)
    assert.equal(counted + after.tx - before.tx, 1, `dropped once or sent once: ${detail}`)
    if (verdict === undefined) return
    assert.ok(verdict === DROPPED || verdict === REDIRECT, `verdict ${verdict} of ${detail}`)
    assert.equal(counted, verdict === DROPPED ? 1 : 0, `drops counted for verdict ${verdict} of ${detail}`)
  }

  it('cut at every byte', () => {
    for (const [program, name, frame] of frames)
      for (const [what, cut] of cutAtEveryByte(frame)) check(program, `${name} ${what}`, cut)
  })

  it('every 16-bit word set to extremes', () => {
    for (const [program, name, frame] of frames)
      for (const [what, falsified] of withExtremeWords(frame)) check(program, `${name} ${what}`, falsified)
  })

  it('bytes changed at random', () => {
    const random = randomFrom(0x5eed)
    for (let i = 0; i < RANDOM_FRAMES; i++) {
      const [program, name, frame] = frames[Math.floor(random() * frames.length)]!
      check(program, `${name} changed at random`, changedAtRandom(frame, random))
    }
  })

  it('nothing but noise', () => {
    const random = randomFrom(0xbad)
    for (let i = 0; i < RANDOM_FRAMES / 4; i++) {
      const [program, , frame] = frames[i % frames.length]!
      check(program, 'noise', noiseAfter(frame, random))
    }
  })

  it('leaves no index and no charge behind', () => {
    for (const [program, name, frame] of frames) check(program, name, frame)
    for (const table of [node.maps.flows.flow4, node.maps.flows.flow6])
      for (const [key, flow] of [...(table.entries() as Iterable<readonly [never, never]>)])
        table.set(key, { ...(flow as object), flags: c.FLOW_EVICT_CANDIDATE } as never)
    assert.equal(node.call('age_now'), 0)
    assert.equal(node.call('age_now'), 0)
    assert.deepEqual(node.flows(), [])
    for (let vif = 0; vif < 6; vif++) assert.equal(node.maps.vifState.get(vif)!.flows, 0)
  })
})
