import assert from 'node:assert/strict'
import { parseAddress } from '@kube-vrouter/linux/address'
import fc from 'fast-check'
import {
  AGENT_ROUTE,
  AGENT_SWITCH,
  AGENT_TRAP_ARP,
  AGENT_TRAP_HANDLE_DF,
  AGENT_TRAP_L3_PROTOCOLS,
  AGENT_TRAP_NEXTHOP,
  AGENT_TRAP_RESOLVE,
  AGENT_TRAP_ZERO_TTL,
} from '../maps/constants.ts'
import type { Trap } from './agent-header.ts'
import { compileContext } from './context.ts'
import { type Outcome, respond } from './respond.ts'

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

const context = compileContext({
  routerMac: '00:00:5e:00:01:00',
  vrfs: new Map([
    [0, { own: [], subnets: [{ address: '0.0.0.0', prefixLength: 0, router: '192.168.0.11' }] }],
    [
      2,
      {
        own: ['10.0.0.1', '10.0.0.2', 'fd00::1', 'fd00::2'],
        subnets: [
          { address: '10.0.0.0', prefixLength: 24, router: '10.0.0.1' },
          { address: '10.1.0.0', prefixLength: 24, router: '10.1.0.1' },
          { address: 'fd00::', prefixLength: 64, router: 'fd00::1' },
        ],
      },
    ],
  ]),
  services: [],
})

const POD = '020000000005'
const ROUTER = '00005e000100'
const ETHER4 = `${ROUTER} ${POD} 0800`
const ETHER6 = `${ROUTER} ${POD} 86dd`

/** Right checksums for a test packet that is written with zeros in their place. Done by hand, so that the codecs aren't their own judges. */
function fill(packet: Uint8Array, at: number, from: number, pseudo: string): Uint8Array {
  const covered = Buffer.concat([hex(pseudo), packet.subarray(from)])
  let total = 0
  for (let i = 0; i < covered.length; i += 2) total += covered[i]! * 256 + (covered[i + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 65536)
  const result = Uint8Array.from(packet)
  result[at] = (total ^ 0xffff) >> 8
  result[at + 1] = (total ^ 0xffff) & 0xff
  return result
}

function ip4(text: string): Uint8Array {
  const packet = hex(text)
  const header = fill(packet.subarray(0, (packet[0]! & 15) * 4), 10, 0, '')
  return Uint8Array.of(...header, ...packet.subarray(header.length))
}

function trap(command: number, frame: Uint8Array, fields: Partial<Trap> = {}): Trap {
  return { vif: 5, vrf: 2, command, param: 0, param1: 0, param2: 0, param3: 0, param4: 0, param5: 0, frame, ...fields }
}

function frame(ether: string, packet: Uint8Array): Uint8Array {
  return Uint8Array.of(...hex(ether), ...packet)
}

function reply(outcome: Outcome) {
  assert.equal(outcome.kind, 'reply', JSON.stringify(outcome))
  return (outcome as Extract<Outcome, { kind: 'reply' }>).injection
}

function reason(outcome: Outcome): string {
  assert.equal(outcome.kind, 'silent')
  return (outcome as Extract<Outcome, { kind: 'silent' }>).reason
}

// 10.0.0.5 pings 10.0.0.1: echo id 0x1234, sequence 1, data "abcdefgh"; both checksums worked out by hand below.
const ping = () => {
  const icmp = fill(hex('08 00 0000 1234 0001 6162636465666768'), 2, 0, '')
  return Uint8Array.of(...ip4('45 10 0024 abcd 4000 40 01 0000 0a000005 0a000001'), ...icmp)
}

describe('answers to trapped packets', () => {
  it('answers a ping of the gateway out of the interface it came from', () => {
    const injection = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, ping())), context))
    assert.equal(injection.command, AGENT_SWITCH)
    assert.equal(injection.vif, 5)
    assert.equal(injection.vrf, 2)
    const ip = ip4('45 10 0024 0000 4000 40 01 0000 0a000001 0a000005')
    const icmp = fill(hex('00 00 0000 1234 0001 6162636465666768'), 2, 0, '')
    assert.equal(toHex(injection.frame), toHex(frame(`${POD} ${ROUTER} 0800`, Uint8Array.of(...ip, ...icmp))))
  })

  it('answers a ping of the service address, and of nothing else', () => {
    const packet = ping()
    packet[19] = 2
    const other = ping()
    other[19] = 3
    const refill = (p: Uint8Array) => {
      p[10] = 0
      p[11] = 0
      return Uint8Array.of(...ip4(toHex(p.subarray(0, 20))), ...p.subarray(20))
    }
    reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, refill(packet))), context))
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, refill(other))), context)), 'not_own_address')
  })

  it('says nothing to broken, cut, fragmented or broadcast pings', () => {
    const broken = ping()
    broken[25]! ^= 1
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, broken)), context)), 'malformed')
    const badHeader = ping()
    badHeader[1] = 0x20
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, badHeader)), context)), 'malformed')
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, ping().subarray(0, 30))), context)), 'truncated')
    const fragment = Uint8Array.of(...ip4('45 00 0024 abcd 2000 40 01 0000 0a000005 0a000001'), ...ping().subarray(20))
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, fragment)), context)), 'not_handled')
    const groupMac = frame(`ffffffffffff ${POD} 0800`, ping())
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, groupMac), context)), 'answer_not_allowed')
    for (const source of ['00000000', 'e0000001', '0a0000ff', 'ffffffff', '7f000001']) {
      const packet = Uint8Array.of(...ip4(`45 00 0024 abcd 0000 40 01 0000 ${source} 0a000001`), ...ping().subarray(20))
      assert.equal(
        reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, packet)), context)),
        'answer_not_allowed',
        source,
      )
    }
  })

  it('answers an IPv6 ping of the gateway', () => {
    const pseudo = 'fd000000000000000000000000000005 fd000000000000000000000000000001 0000000c 0000003a'
    const back = 'fd000000000000000000000000000001 fd000000000000000000000000000005 0000000c 0000003a'
    const request = fill(hex('80 00 0000 0001 0002 deadbeef'), 2, 0, pseudo)
    const addresses = 'fd000000000000000000000000000005 fd000000000000000000000000000001'
    const packet = Uint8Array.of(...hex(`60000000 000c 3a 40 ${addresses}`), ...request)
    const injection = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER6, packet)), context))
    const expected = fill(hex('81 00 0000 0001 0002 deadbeef'), 2, 0, back)
    const reversed = 'fd000000000000000000000000000001 fd000000000000000000000000000005'
    assert.equal(
      toHex(injection.frame),
      toHex(frame(`${POD} ${ROUTER} 86dd`, Uint8Array.of(...hex(`60000000 000c 3a 40 ${reversed}`), ...expected))),
    )
  })

  it('refuses UDP with port unreachable, but leaves DHCP and DNS alone', () => {
    const udp = (port: string) =>
      ip4(`45 00 0020 0001 0000 40 11 0000 0a000005 0a000001 c000 ${port} 000c 0000 01020304`)
    const packet = udp('1f90')
    const { frame: answer } = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, packet)), context))
    const ip = ip4('45 c0 003c 0000 4000 40 01 0000 0a000001 0a000005')
    const icmp = fill(Uint8Array.of(...hex('03 03 0000 00000000'), ...packet), 2, 0, '')
    assert.equal(toHex(answer), toHex(frame(`${POD} ${ROUTER} 0800`, Uint8Array.of(...ip, ...icmp))))
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, udp('0043'))), context)), 'later_service')
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, udp('0035'))), context)), 'later_service')
  })

  it('refuses TCP with a reset', () => {
    const packet = ip4(
      '45 00 0028 0001 4000 40 06 0000 0a000005 0a000001 c000 0050 00000010 00000000 50 02 ffff 0000 0000',
    )
    const { frame: answer } = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, packet)), context))
    const tcp = fill(hex('0050 c000 00000000 00000011 50 14 0000 0000 0000'), 16, 0, '0a000001 0a000005 0006 0014')
    const ip = ip4('45 00 0028 0000 4000 40 06 0000 0a000001 0a000005')
    assert.equal(toHex(answer), toHex(frame(`${POD} ${ROUTER} 0800`, Uint8Array.of(...ip, ...tcp))))
    const dns = ip4(
      '45 00 0028 0001 4000 40 06 0000 0a000005 0a000001 c000 0035 00000010 00000000 50 02 ffff 0000 0000',
    )
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, dns)), context)), 'later_service')
  })

  it('says nothing to fragments of what it would refuse or answer, nor to IPv6 multicast frames', () => {
    const first = ip4(
      '45 00 0028 0001 2000 40 06 0000 0a000005 0a000001 c000 0050 00000010 00000000 50 02 ffff 0000 0000',
    )
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, first)), context)), 'not_handled')
    const addresses = 'fd000000000000000000000000000005 fd000000000000000000000000000001'
    const pseudo = `${addresses} 0000000c 0000003a`
    const request = toHex(fill(hex('80 00 0000 0001 0002 deadbeef'), 2, 0, pseudo))
    const fragment = hex(`60000000 0014 2c 40 ${addresses} 3a 00 0001 00000007 ${request}`)
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER6, fragment)), context)), 'not_handled')
    const whole = hex(`60000000 000c 3a 40 ${addresses} ${request}`)
    reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER6, whole)), context))
    const toGroup = frame(`333300000001 ${POD} 86dd`, whole)
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, toGroup), context)), 'answer_not_allowed')
  })

  it('refuses other protocols: protocol unreachable, unrecognized next header', () => {
    const gre = ip4('45 00 0018 0001 0000 40 2f 0000 0a000005 0a000001 00000800')
    const answer = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, gre)), context)).frame
    assert.equal(toHex(answer.subarray(34, 36)), '0302')
    const addresses = 'fd000000000000000000000000000005 fd000000000000000000000000000001'
    const gre6 = hex(`60000000 0004 2f 40 ${addresses} 00000800`)
    const answer6 = reply(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER6, gre6)), context)).frame
    assert.equal(toHex(answer6.subarray(54, 56)), '0401')
    assert.equal(toHex(answer6.subarray(58, 62)), '00000006')
  })

  it('says time exceeded from the gateway of the subnet that the sender is in', () => {
    const packet = ip4('45 00 0020 0001 0000 00 11 0000 0a010005 0a000063 c000 829b 000c 0000 01020304')
    const { frame: answer, command } = reply(respond(trap(AGENT_TRAP_ZERO_TTL, frame(ETHER4, packet)), context))
    const ip = ip4('45 c0 003c 0000 4000 40 01 0000 0a010001 0a010005')
    const icmp = fill(Uint8Array.of(...hex('0b 00 0000 00000000'), ...packet), 2, 0, '')
    assert.equal(command, AGENT_SWITCH)
    assert.equal(toHex(answer), toHex(frame(`${POD} ${ROUTER} 0800`, Uint8Array.of(...ip, ...icmp))))
  })

  it('routes the answer to a sender behind the fabric, with or without tunnel headers on the trap', () => {
    const inner = ip4('45 00 0020 0001 0000 00 11 0000 0a000005 0a000063 c000 829b 000c 0000 01020304')
    const outer = ip4(`45 00 0040 0000 0000 40 11 0000 c0a8000c c0a8000b c000 19eb 002c 0000 00010140 ${toHex(inner)}`)
    for (const packet of [inner, outer]) {
      const traped = trap(AGENT_TRAP_ZERO_TTL, frame('0a0000000001 0a0000000002 0800', packet), { vif: 0 })
      const injection = reply(respond(traped, context))
      assert.equal(injection.command, AGENT_ROUTE)
      assert.equal(injection.vif, 2)
      assert.equal(injection.vrf, 2)
      assert.equal(toHex(injection.frame.subarray(0, 14)), `${ROUTER}0000000000010800`)
      assert.equal(toHex(injection.frame.subarray(26, 34)), '0a0000010a000005')
      assert.equal(toHex(injection.frame.subarray(42)), toHex(inner))
    }
  })

  it('tells the host about its own packets from the address it sent to', () => {
    const packet = ip4('45 00 0020 0001 4000 40 11 0000 c0a8000b a9fe0005 c000 829b 000c 0000 01020304')
    const fromHost = frame('0a0000000001 0a0000000002 0800', packet)
    const injection = reply(respond(trap(AGENT_TRAP_HANDLE_DF, fromHost, { vif: 1, vrf: 0, param: 1468 }), context))
    assert.equal(injection.command, AGENT_SWITCH)
    assert.equal(injection.vif, 1)
    assert.equal(toHex(injection.frame.subarray(0, 14)), '0a00000000020a00000000010800')
    assert.equal(toHex(injection.frame.subarray(26, 34)), 'a9fe0005c0a8000b')
  })

  it('gives the MTU with fragmentation needed and packet too big', () => {
    const packet = ip4(`45 00 05dc 0001 4000 40 11 0000 0a000005 0a000063 c000 829b 05c8 0000 ${'5a'.repeat(1472)}`)
    const answer = reply(respond(trap(AGENT_TRAP_HANDLE_DF, frame(ETHER4, packet), { param: 1468 }), context)).frame
    assert.equal(toHex(answer.subarray(34, 36)), '0304')
    assert.equal(toHex(answer.subarray(38, 42)), '000005bc')
    assert.equal(answer.length, 14 + 576)
    const addresses = 'fd000000000000000000000000000005 fd000000000000000000000000000063'
    const packet6 = hex(`60000000 05b4 11 40 ${addresses} c000 829b 05b4 0000 ${'5a'.repeat(1452)}`)
    const answer6 = reply(respond(trap(AGENT_TRAP_HANDLE_DF, frame(ETHER6, packet6), { param: 1468 }), context)).frame
    assert.equal(toHex(answer6.subarray(54, 56)), '0200')
    assert.equal(toHex(answer6.subarray(58, 62)), '000005bc')
    assert.equal(answer6.length, 14 + 1280)
    const small = reply(respond(trap(AGENT_TRAP_HANDLE_DF, frame(ETHER6, packet6), { param: 600 }), context)).frame
    assert.equal(toHex(small.subarray(58, 62)), '00000500')
    assert.equal(reason(respond(trap(AGENT_TRAP_HANDLE_DF, frame(ETHER4, packet), { param: 0 }), context)), 'malformed')
  })

  it('never answers errors, later fragments, multicast or link-local senders with an error', () => {
    const quiet = (ether: string, packet: Uint8Array) =>
      assert.equal(reason(respond(trap(AGENT_TRAP_ZERO_TTL, frame(ether, packet)), context)), 'answer_not_allowed')
    for (const type of ['03', '04', '05', '0b', '0c', '2a']) {
      quiet(ETHER4, ip4(`45 00 001c 0001 0000 00 01 0000 0a000005 0a000063 ${type}00 0000 00000000`))
    }
    quiet(ETHER4, ip4('45 00 001c 0001 0001 00 11 0000 0a000005 0a000063 0000000000000000'))
    quiet(ETHER4, ip4('45 00 001c 0001 0000 00 11 0000 0a000005 e00000fb 0000000000000000'))
    quiet(ETHER4, ip4('45 00 001c 0001 0000 00 11 0000 0a000005 0a0000ff 0000000000000000'))
    quiet(`01005e0000fb ${POD} 0800`, ip4('45 00 001c 0001 0000 00 11 0000 0a000005 0a000063 0000000000000000'))
    const from6 = 'fd000000000000000000000000000005'
    const to6 = 'fd000000000000000000000000000063'
    for (const type of ['01', '02', '03', '04', '7f', '89'])
      quiet(ETHER6, hex(`60000000 0008 3a 00 ${from6} ${to6} ${type}000000 00000000`))
    quiet(ETHER6, hex(`60000000 0008 11 00 ${from6} ff0200000000000000000000000000fb 0000000000000000`))
    quiet(ETHER6, hex(`60000000 0008 11 00 fe800000000000000000000000000005 ${to6} 0000000000000000`))
    quiet(ETHER6, hex(`60000000 0010 2c 00 ${from6} ${to6} 1100000800000001 0000000000000000`))
  })

  it('asks for the neighbour of a resolve trap', () => {
    const packet = ip4('45 00 001c 0001 0000 40 11 0000 c0a8000b c0a80063 0000000000000000')
    const outcome = respond(trap(AGENT_TRAP_RESOLVE, frame(ETHER4, packet), { vrf: 0 }), context)
    assert.deepEqual(outcome, { kind: 'resolve', address: parseAddress('192.168.0.99') })
  })

  it('counts what it has no context for, and what it does not handle', () => {
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, frame(ETHER4, ping()), { vrf: 9 }), context)), 'unknown_vrf')
    assert.equal(reason(respond(trap(AGENT_TRAP_L3_PROTOCOLS, frame(ETHER6, hex(''))), context)), 'not_handled')
    assert.equal(reason(respond(trap(AGENT_TRAP_ARP, frame(ETHER4, hex(''))), context)), 'not_handled')
    assert.equal(reason(respond(trap(AGENT_TRAP_NEXTHOP, hex('0102')), context)), 'malformed')
    const underlay6 = hex(
      '60000000 0008 11 00 fd000000000000000000000000000005 fd000000000000000000000000000063 0000000000000000',
    )
    assert.equal(
      reason(respond(trap(AGENT_TRAP_ZERO_TTL, frame(ETHER6, underlay6), { vrf: 0 }), context)),
      'no_source_address',
    )
  })

  it('never throws, whatever the packet', () => {
    const seeds = [
      frame(ETHER4, ping()),
      frame(ETHER6, hex(`60000000 0000 00 40 ${'fd'.repeat(32)}`)),
      new Uint8Array(0),
    ]
    const mutated = fc
      .record({
        seed: fc.constantFrom(...seeds),
        patches: fc.array(fc.tuple(fc.nat({ max: 80 }), fc.nat({ max: 255 }))),
        tail: fc.uint8Array(),
      })
      .map(({ seed, patches, tail }) => {
        const bytes = Uint8Array.of(...seed, ...tail)
        for (const [at, value] of patches) if (at < bytes.length) bytes[at] = value
        return bytes
      })
    fc.assert(
      fc.property(
        mutated,
        fc.nat({ max: 20 }),
        fc.constantFrom(0, 1, 2, 5),
        fc.constantFrom(0, 2),
        (bytes, command, vif, vrf) => {
          respond(trap(command, bytes, { vif, vrf, param: 1400 }), context)
        },
      ),
      { numRuns: 3000 },
    )
  })
})
