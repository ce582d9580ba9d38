/**
 * Proves for the program on the node's other NICs: whatever arrives, it is left to the host to the last byte and counted nowhere, or goes
 * to a workload, or is dropped and counted exactly once, or a copy of it waits for its first fragment.
 */
import { strict as assert } from 'node:assert'
import { close } from '@kube-vrouter/linux/ffi'
import { openTap, writeFrame } from '@kube-vrouter/linux/tap'
import { ip4Number, ip6Bytes } from '../../src/maps/addresses.ts'
import { A, DROPPED, Fixture, HOST, OUTSIDE, PASSED, REDIRECT, ROUTER_MAC } from './fixture.ts'
import { arp, eth, ip4, ip6, join, PROTO, ping, pong, TCP_FLAG, tcp, tooBig, udp } from './frames.ts'
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

const EXIT = { ip4: '10.77.0.1', ip6: '2001:db8:77::1' }
const MAC = '0e:00:00:00:00:77'
const ROUTER = '0e:00:00:00:00:99'
/** With a range of one port everybody knows which port a workload's packet leaves with. */
const PORT = 61000
const { ACK } = TCP_FLAG

/** What the workload sends, and what comes back by the NIC. */
function seeds(): { readonly out: Buffer[]; readonly back: [string, Buffer][] } {
  const out: Buffer[] = []
  const back: [string, Buffer][] = []
  for (const [pod, own, outside, host] of [
    [A.ip4, EXIT.ip4, OUTSIDE.ip4, HOST.ip4],
    [A.ip6, EXIT.ip6, OUTSIDE.ip6, HOST.ip6],
  ] as const) {
    const is4 = pod === A.ip4
    const type = is4 ? 0x0800 : 0x86dd
    const error = (quoted: Buffer) => tooBig(outside, own, 1280, quoted)
    const first = udp(outside, own, 53, PORT).subarray(is4 ? 20 : 40)
    const fragment = (isFirst: boolean) =>
      is4
        ? ip4(outside, own, PROTO.UDP, isFirst ? first : Buffer.alloc(24), { more: isFirst, offset: isFirst ? 0 : 16 })
        : ip6(
            outside,
            own,
            PROTO.FRAGMENT,
            join([PROTO.UDP, 0, 0, isFirst ? 1 : 16, 0, 0, 0, 9], isFirst ? first : Buffer.alloc(24)),
          )
    for (const packet of [tcp(pod, outside, 1, 443, ACK), udp(pod, outside, 1, 53), ping(pod, outside, 7)])
      out.push(eth(ROUTER_MAC, A.mac, type, packet))
    for (const [name, packet] of [
      ['tcp', tcp(outside, own, 443, PORT, ACK)],
      ['udp', udp(outside, own, 53, PORT)],
      ['echo', pong(outside, own, PORT)],
      ['tcp error', error(tcp(own, outside, PORT, 443, ACK))],
      ['udp error', error(udp(own, outside, PORT, 53))],
      ['echo error', error(ping(own, outside, PORT))],
      ['first fragment', fragment(true)],
      ['later fragment', fragment(false)],
      ['of nobody', udp(outside, own, 54, PORT)],
      ['of the host', tcp(outside, own, 443, 22, ACK)],
      ['to the underlay’s address', udp(outside, host, 53, PORT)],
      ['forwarded', udp(outside, pod, 53, PORT)],
    ] as const)
      back.push([`${is4 ? 'IPv4' : 'IPv6'} ${name}`, eth(MAC, ROUTER, type, packet)])
  }
  const question = arp({ op: 1, sha: ROUTER, spa: '10.77.0.9', tha: '00:00:00:00:00:00', tpa: EXIT.ip4 })
  back.push(['arp', eth('ff:ff:ff:ff:ff:ff', ROUTER, 0x0806, question)])
  return { out, back }
}

describe('datapath: malformed and random frames at another NIC', function () {
  this.timeout(300000)
  let node: Fixture
  let nic: number
  let tap: number
  const { out, back } = seeds()

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat(1)
    for (const device of ['vhost', 'vhost-x', 'agent']) node.ip(`link set ${device} up`)
    nic = node.device('nic2')
    node.ip(`link set nic2 address ${MAC}`)
    for (const device of ['nic2', 'nic2-x']) node.ip(`link set ${device} up`)
    node.ip(`addr add ${EXIT.ip4}/24 dev nic2`)
    node.ip(`addr add ${EXIT.ip6}/64 dev nic2 nodad`)
    node.ip('route add default dev nic2')
    node.ip('-6 route add default dev nic2')
    // For what test runs refuse. The program isn't on the NIC itself: what has waited comes in there once more, and would be counted with the frame
    // that it waited for.
    const opened = openTap({ name: 'in-nic2', persist: false, netns: node.path, mac: MAC })
    tap = opened.fd
    node.ip('link set in-nic2 up')
    for (const index of [nic, opened.index])
      node.maps.exits.set(index, { ip: ip4Number(EXIT.ip4), mtu: 1500, ip6: ip6Bytes(EXIT.ip6) })
    node.attach('outside', opened.index)
    node.run('sysctl', '-qw', 'net.ipv4.conf.agent.forwarding=1', 'net.ipv6.conf.agent.forwarding=1')
    for (const frame of out) assert.equal(node.fromPod(A, frame).verdict, REDIRECT)
  })
  afterEach(() => {
    close(tap)
    node?.[Symbol.dispose]()
  })

  /** Frames that went out of the workload's vif, were dropped, and wait. */
  const counts = () => [Number(node.maps.vifStats.get(A.vif)!.txPackets), node.totalDrops(), node.waiting()] as const
  const received = () => [0, 1, 2, 3, 4, 5].map((vif) => node.maps.vifStats.get(vif)!.rxPackets)

  function check(what: string, frame: Uint8Array): number | undefined {
    const detail = `${what}: ${Buffer.from(frame).toString('hex')}`
    const before = counts()
    const sent = sendOrWrite(frame)
    const after = counts()
    const [delivered, dropped] = [after[0] - before[0], after[1] - before[1]]
    if (sent === undefined) {
      assert.ok(delivered + dropped <= 1, `at most one: ${detail}`)
      return undefined
    }
    switch (sent.verdict) {
      case PASSED:
        // A later fragment may be the host's or a workload's: the host gets it, and a copy waits for the first one.
        assert.deepEqual([delivered, dropped], [0, 0], `counted, though it is the host's: ${detail}`)
        assert.equal(sent.frame.toString('hex'), Buffer.from(frame).toString('hex'), `changed: ${detail}`)
        break
      case REDIRECT:
        assert.deepEqual([delivered, dropped], [1, 0], `sent once: ${detail}`)
        break
      case DROPPED:
        if (after[2] !== before[2]) assert.deepEqual([delivered, dropped], [0, 0], `waits: ${detail}`)
        else assert.deepEqual([delivered, dropped], [0, 1], `dropped once: ${detail}`)
        break
      default:
        assert.fail(`verdict ${sent.verdict} of ${detail}`)
    }
    return sent.verdict
  }

  function sendOrWrite(frame: Uint8Array) {
    try {
      return node.fromExit(nic, frame)
    } catch (error) {
      if (!isRefusedAsShort(error, frame)) throw error
      writeFrame(tap, frame)
      return undefined
    }
  }

  it('whole: answers reach the workload, all else is the host’s', () => {
    const verdicts = new Map(back.map(([name, frame]) => [name, check(name, frame)]))
    for (const family of ['IPv4', 'IPv6']) {
      for (const name of ['tcp', 'udp', 'echo', 'tcp error', 'udp error', 'echo error'])
        assert.equal(verdicts.get(`${family} ${name}`), REDIRECT, `${family} ${name}`)
      for (const name of ['of the host', 'to the underlay’s address', 'forwarded'])
        assert.equal(verdicts.get(`${family} ${name}`), PASSED, `${family} ${name}`)
    }
    assert.equal(verdicts.get('arp'), PASSED)
  })

  it('cut at every byte', () => {
    for (const [name, frame] of back) for (const [what, cut] of cutAtEveryByte(frame)) check(`${name} ${what}`, cut)
  })

  it('every 16-bit word set to extremes', () => {
    for (const [name, frame] of back)
      for (const [what, falsified] of withExtremeWords(frame)) check(`${name} ${what}`, falsified)
  })

  it('bytes changed at random, and noise', () => {
    const random = randomFrom(0x0e71)
    for (let i = 0; i < RANDOM_FRAMES / 2; i++) {
      const [name, frame] = back[Math.floor(random() * back.length)]!
      check(`${name} changed at random`, changedAtRandom(frame, random))
      if (i % 4 === 0) check('noise', noiseAfter(frame, random))
    }
  })

  it('count as received on no vif', () => {
    const before = received()
    for (const [name, frame] of back) check(name, frame)
    assert.deepEqual(received(), before)
  })
})
