import assert from 'node:assert/strict'
import type { Vif } from '../model/tables.ts'
import { announcements, takenOver } from './announce.ts'
import { checksum, pseudoHeaderSum } from './checksum.ts'
import { decodeEthernet } from './ethernet.ts'
import { decodeIpv6 } from './ipv6.ts'

const vif = (id: number, vrf: number, ip4: string, ip6: string, type: Vif['type'] = 'virtual'): Vif => ({
  id,
  type,
  name: `tap${id}`,
  ifindex: id + 10,
  vrf,
  flowNexthop: 0,
  mtu: 1468,
  mac: '00:00:5e:00:01:00',
  ip4,
  ip6,
  flags: 0,
  maxFlows: 0,
})
const vifs = [
  vif(1, 0, '192.0.2.1', '2001:db8::1', 'host'),
  vif(3, 2, '10.1.0.3', 'fd01::3'),
  vif(4, 2, '10.1.0.4', 'fd01::4'),
  vif(5, 2, '10.1.0.5', 'fd01::5'),
  vif(6, 3, '10.1.0.6', 'fd01::6'),
]
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

describe('announcements', () => {
  it('of load balancer addresses go out of the NIC, with its MAC', () => {
    const sent = takenOver(['192.0.2.77', '2001:db8::77'], '0e:00:00:00:00:01')
    assert.deepEqual(
      sent.map(({ command, vif, vrf }) => ({ command, vif, vrf })),
      [1, 2].map(() => ({ command: 0, vif: 0, vrf: 0 })),
    )
    const [arp, advert] = sent.map(({ frame }) => hex(frame))
    assert.equal(arp, 'ffffffffffff0e00000000010806' + '00010800060400010e0000000001c000024d000000000000c000024d')
    // No router, unsolicited, override.
    assert.match(
      advert!,
      /^3333000000010e000000000186dd.*8800....2000000020010db800000000000000000000007702010e0000000001$/,
    )
  })

  it('ask in ARP for the address, in its own name, out of the taps of the network but not the new owner’s', () => {
    const sent = announcements([{ vrf: 2, address: '10.1.0.5', mac: '02:00:00:00:00:0b' }], vifs)
    assert.deepEqual(
      sent.map(({ command, vif, vrf }) => ({ command, vif, vrf })),
      [3, 4].map((id) => ({ command: 0, vif: id, vrf: 2 })),
    )
    assert.equal(
      hex(sent[0]!.frame),
      `ffffffffffff02000000000b0806${'0001080006040001'}02000000000b0a0100050000000000000a010005`,
    )
  })

  it('leave out who has the address beside its first', () => {
    const owner: Vif = { ...vifs[3]!, moreAddresses: ['10.1.0.99'] }
    const sent = announcements(
      [{ vrf: 2, address: '10.1.0.99', mac: '02:00:00:00:00:0b' }],
      [...vifs, owner].with(3, owner),
    )
    assert.deepEqual(new Set(sent.map(({ vif }) => vif)), new Set([3, 4]))
  })

  it('advertise an IPv6 address to all nodes, overriding, with a right checksum', () => {
    const [sent] = announcements([{ vrf: 2, address: 'fd01::5', mac: '02:00:00:00:00:0b' }], vifs)
    const frame = decodeEthernet(sent!.frame)!
    assert.equal(hex(frame.destination), '333300000001')
    const packet = decodeIpv6(frame.payload)!
    assert.equal(packet.hopLimit, 255)
    assert.equal(hex(packet.payload.subarray(4)), `20000000${hex(packet.source)}020102000000000b`)
    const sum = pseudoHeaderSum(packet.source, packet.destination, 58, packet.payload.length)
    assert.equal(checksum(packet.payload, sum), 0)
  })

  it('name the router’s MAC, and it as a router, where the address went to another node', () => {
    const [arp, advert] = announcements(
      [
        { vrf: 3, address: '10.1.0.9' },
        { vrf: 3, address: 'fd01::9' },
      ],
      vifs,
    )
    assert.equal(hex(decodeEthernet(arp!.frame)!.source), '00005e000100')
    assert.equal(decodeIpv6(decodeEthernet(advert!.frame)!.payload)!.payload[4], 0xa0)
  })

  it('tell nobody where nobody is', () => {
    assert.deepEqual(
      announcements(
        [
          { vrf: 0, address: '192.0.2.1' },
          { vrf: 7, address: '10.1.0.5' },
        ],
        vifs,
      ),
      [],
    )
  })
})
