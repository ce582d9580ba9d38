/** Proves: a workload may use the further addresses that its vif has (map vif_addresses), in every kind of packet, and nobody else's. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { vifAddressKey } from '../../src/maps/vifs.ts'
import { A, B, Fixture, GATEWAY, REDIRECT, ROUTER_MAC, type Workload } from './fixture.ts'
import { advert, arp, eth, icmp4, icmp6, join, ping, solicit, u32, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const FAMILIES = [
  { family: 'IPv4', more: ['10.2.0.111', '10.2.0.112'], others: '10.2.0.113', neighbour: B.ip4 },
  { family: 'IPv6', more: ['2001:db8:2::111', '2001:db8:2::112'], others: '2001:db8:2::113', neighbour: B.ip6 },
] as const

/** Of the other family the bytes of 10.2.0.111: they are another address. */
const ALIKE = 'a02:6f::'

describe('datapath: further addresses of a vif', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    for (const address of FAMILIES.flatMap(({ more }) => more)) allow(A, address)
    flag(A, c.VIF_MORE_ADDRESSES)
  })
  afterEach(() => node?.[Symbol.dispose]())

  function flag(workload: Workload, flags: number): void {
    const { vif, nh, mac, ip4, ip6 } = workload
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6, flags })
  }
  const allow = (workload: Workload, address: string) =>
    node.maps.vifAddresses.set(vifAddressKey(workload.vif, address), 1)
  const send = (packet: Uint8Array, from: Workload = A) =>
    node.fromPod(from, eth(ROUTER_MAC, from.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const isRefused = (packet: Uint8Array, from: Workload = A) =>
    node.assertDrop(c.DROP_INVALID_SOURCE, from.vif, () => send(packet, from))

  for (const { family, more, others, neighbour } of FAMILIES) {
    it(`${family}: it sends with each of them, and with no other`, () => {
      for (const [i, address] of more.entries())
        assert.equal(send(ping(address, neighbour, i)).verdict, REDIRECT, address)
      isRefused(ping(others, neighbour, 9))
    })

    it(`${family}: another vif's are not its own`, () => {
      allow(B, others)
      isRefused(ping(others, neighbour, 9))
      flag(B, c.VIF_MORE_ADDRESSES)
      isRefused(ping(more[0], neighbour, 9), B)
    })

    it(`${family}: a vif without the flag is asked no further`, () => {
      flag(A, 0)
      isRefused(ping(more[0], neighbour, 1))
      const first = family === 'IPv4' ? A.ip4 : A.ip6
      assert.equal(send(ping(first, neighbour, 2)).verdict, REDIRECT)
    })

    it(`${family}: errors about what came to one of them may come from it`, () => {
      const arrived = udp(neighbour, more[0], 4000, 53, Buffer.from('x'))
      const error = (source: string) =>
        family === 'IPv4'
          ? icmp4(source, neighbour, 3, 3, join(u32(0), arrived))
          : icmp6(source, neighbour, 1, 4, join(u32(0), arrived))
      // The flow that the error is about.
      node.setRoute(2, `${more[0]}/${family === 'IPv4' ? 32 : 128}`, A.nh)
      assert.equal(send(arrived, B).verdict, REDIRECT)
      isRefused(error(others))
      assert.equal(send(error(more[0])).verdict, REDIRECT)
    })
  }

  it('a vif without an address of a family has none there, and not the unspecified one', () => {
    const { vif, nh, mac } = A
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4: '0.0.0.0', ip6: '::' })
    isRefused(udp('0.0.0.0', B.ip4, 1, 2))
    isRefused(udp('::', B.ip6, 1, 2))
    // Errors, and what is said of an address, are asked for the same.
    node.setRoute(2, `${A.ip6}/128`, A.nh)
    const arrived = udp(B.ip6, A.ip6, 4000, 53, Buffer.from('x'))
    assert.equal(send(arrived, B).verdict, REDIRECT)
    isRefused(icmp6('::', B.ip6, 1, 4, join(u32(0), arrived)))
    const advertisement = eth(B.mac, mac, 0x86dd, advert('fe80::1', B.ip6, 0x20, '::', mac))
    node.assertDrop(c.DROP_INVALID_SOURCE, vif, () => node.fromPod(A, advertisement))
  })

  it('the same bytes in the other family are another address', () => {
    isRefused(ping(ALIKE, B.ip6, 1))
  })

  it('ARP and neighbour discovery may name them, and no others', () => {
    const request = (sender: string) =>
      eth(
        'ff:ff:ff:ff:ff:ff',
        A.mac,
        0x0806,
        arp({ op: 1, sha: A.mac, spa: sender, tha: '00:00:00:00:00:00', tpa: GATEWAY.ip4 }),
      )
    const solicitation = (sender: string) =>
      eth('33:33:ff:00:00:01', A.mac, 0x86dd, solicit(sender, 'ff02::1:ff00:1', GATEWAY.ip6, A.mac))
    const advertisement = (target: string) => eth(B.mac, A.mac, 0x86dd, advert(A.ip6, B.ip6, 0x20, target, A.mac))
    const [four, six] = FAMILIES
    assert.equal(node.fromPod(A, request(four.more[1])).verdict, REDIRECT)
    assert.equal(node.fromPod(A, solicitation(six.more[1])).verdict, REDIRECT)
    assert.equal(node.fromPod(A, advertisement(six.more[1])).verdict, REDIRECT)
    for (const lie of [request(four.others), solicitation(six.others), advertisement(six.others)])
      node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () => node.fromPod(A, lie))
  })
})
