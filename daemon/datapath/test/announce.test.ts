/** Proves: requests for announced addresses are answered on the underlay, no others, and only to who asked; and who gets an echo. */
import { strict as assert } from 'node:assert'
import { announcedKey } from '../../src/maps/announced.ts'
import * as c from '../../src/maps/constants.ts'
import { A, assertFrame, Fixture, HOST, PEER } from './fixture.ts'
import { advert, arp, eth, mplsOverUdp, solicit, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const BROADCAST = 'ff:ff:ff:ff:ff:ff'
const NOBODY = '00:00:00:00:00:00'
const VIP = { ip4: '192.0.2.77', ip6: '2001:db8:ff::77' }
const SOLICITED = 0x60

function request(
  target: string,
  from: { mac: string; ip4: string } = PEER,
  more: { op?: number; dst?: string } = {},
): Buffer {
  const { op = 1, dst = BROADCAST } = more
  return eth(dst, from.mac, 0x0806, arp({ op, sha: from.mac, spa: from.ip4, tha: NOBODY, tpa: target }))
}

function solicitFrame(target: string, source = PEER.ip6): Buffer {
  return eth('33:33:ff:00:00:77', PEER.mac, 0x86dd, solicit(source, 'ff02::1:ff00:77', target, PEER.mac))
}

describe('datapath: announced addresses', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    for (const address of [VIP.ip4, VIP.ip6]) node.maps.announced.set(announcedKey(address), { answers: 0n })
  })
  afterEach(() => node?.[Symbol.dispose]())

  const answers = (address: string) => Number(node.maps.announced.get(announcedKey(address))?.answers)

  /** The frame goes to the host as it is. */
  function assertForHost(frame: Buffer): void {
    const before = node.vifCounters(1)['txPackets'] ?? 0
    assertFrame(node.fromFabric(frame), frame)
    assert.equal(node.vifCounters(1)['txPackets'], before + 1)
  }

  it('are answered with the MAC of the NIC, to who asked, broadcast or not', () => {
    for (const dst of [BROADCAST, HOST.mac]) {
      const reply = eth(
        PEER.mac,
        HOST.mac,
        0x0806,
        arp({ op: 2, sha: HOST.mac, spa: VIP.ip4, tha: PEER.mac, tpa: PEER.ip4 }),
      )
      assertFrame(node.fromFabric(request(VIP.ip4, PEER, { dst })), reply)
    }
    const found = eth(PEER.mac, HOST.mac, 0x86dd, advert(VIP.ip6, PEER.ip6, SOLICITED, VIP.ip6, HOST.mac))
    assertFrame(node.fromFabric(solicitFrame(VIP.ip6)), found)
    assert.deepEqual([answers(VIP.ip4), answers(VIP.ip6)], [2, 1])
    assert.equal(node.vifCounters(0)['txPackets'], 3)
    assert.equal(node.flows().length, 0)
    assert.equal(node.totalDrops(), 0)
  })

  it('are defended against who probes whether they are free', () => {
    const prober = { mac: PEER.mac, ip4: '0.0.0.0' }
    const reply = eth(
      PEER.mac,
      HOST.mac,
      0x0806,
      arp({ op: 2, sha: HOST.mac, spa: VIP.ip4, tha: PEER.mac, tpa: '0.0.0.0' }),
    )
    assertFrame(node.fromFabric(request(VIP.ip4, prober)), reply)
  })

  it('leave all other requests to the host', () => {
    const zeros = 'c000:24d::' // The bytes of the IPv4 address in an IPv6 one.
    const group = { mac: '01:00:5e:00:00:01', ip4: PEER.ip4 }
    for (const frame of [
      request('192.0.2.78'),
      request(HOST.ip4),
      request(VIP.ip4, { mac: PEER.mac, ip4: VIP.ip4 }),
      request(VIP.ip4, PEER, { op: 2 }),
      request(VIP.ip4, group),
      eth(BROADCAST, PEER.mac, 0x0806, Buffer.alloc(12)),
      solicitFrame('2001:db8:ff::78'),
      solicitFrame(zeros),
      solicitFrame(VIP.ip6, '::'),
      solicitFrame(VIP.ip6, 'ff02::1'),
      eth(HOST.mac, PEER.mac, 0x86dd, advert(PEER.ip6, HOST.ip6, SOLICITED, VIP.ip6, PEER.mac)),
    ])
      assertForHost(frame)
    assert.deepEqual([answers(VIP.ip4), answers(VIP.ip6)], [0, 0])
    node.maps.announced.delete(announcedKey(VIP.ip4))
    assertForHost(request(VIP.ip4))
  })

  it('are nothing to workloads: their requests are answered as ever', () => {
    const frame = eth(BROADCAST, A.mac, 0x0806, arp({ op: 1, sha: A.mac, spa: A.ip4, tha: NOBODY, tpa: VIP.ip4 }))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, frame))
    assert.equal(answers(VIP.ip4), 0)
  })

  describe('an echo', () => {
    const ask = (more: object = {}, inner: Uint8Array = Buffer.from('12345678')) =>
      eth(
        HOST.mac,
        PEER.mac,
        0x0800,
        mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: 14, sport: 40_000, ...more }, inner),
      )

    it('goes back to the node that asked, as it came', () => {
      const back = mplsOverUdp(
        { src: HOST.ip4, dst: PEER.ip4, label: 14, sport: 6635, dport: 40_000 },
        Buffer.from('12345678'),
      )
      assertFrame(node.fromFabric(ask()), eth(PEER.mac, HOST.mac, 0x0800, back))
      assert.equal(node.vifCounters(0)['txPackets'], 1)
      assert.equal(node.totalDrops(), 0)
    })

    it('goes to nobody else: not to strangers, not to a tunnel’s own port, and none that is long', () => {
      const stranger = ask({ src: '192.0.2.99' })
      assertForHost(stranger)
      for (const sport of [6635, 51_234])
        node.assertDrop(c.DROP_INVALID_LABEL, 0, () => node.fromFabric(ask({ sport })))
      node.assertDrop(c.DROP_INVALID_PACKET, 0, () => node.fromFabric(ask({}, Buffer.alloc(200))))
    })

    it('is not for workloads: a tunnel packet with that label reaches none of them', () => {
      const sent = node.fromFabric(ask({}, udp('10.2.1.13', A.ip4, 1, 2)))
      assert.equal(sent.frame.subarray(0, 6).toString('hex'), PEER.mac.replaceAll(':', ''))
    })
  })
})
