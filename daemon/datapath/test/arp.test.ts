/** Proves: who answers ARP and neighbour solicitations, with which MAC, and what is counted (vRouter reference 2.4). */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import {
  A,
  assertFrame,
  B,
  C,
  Fixture,
  GATEWAY,
  HOST,
  NH,
  PEER,
  REMOTE,
  ROUTER_MAC,
  type Sent,
  type Workload,
} from './fixture.ts'
import { advert, agentFrame, arp, eth, icmp6, join, solicit, udp } from './frames.ts'
import { AGENT_MAC, cannotRun } from './node.ts'

const BROADCAST = 'ff:ff:ff:ff:ff:ff'
const NOBODY = '00:00:00:00:00:00'
const SOLICITED = 0x60
const SOLICITED_ROUTER = 0xe0

function request(from: { mac: string; ip4: string }, target: string, dst = BROADCAST): Buffer {
  return eth(dst, from.mac, 0x0806, arp({ op: 1, sha: from.mac, spa: from.ip4, tha: NOBODY, tpa: target }))
}

function reply(to: { mac: string; ip4: string }, target: string, mac: string): Buffer {
  return eth(to.mac, mac, 0x0806, arp({ op: 2, sha: mac, spa: target, tha: to.mac, tpa: to.ip4 }))
}

function solicitFrame(from: { mac: string; ip6: string }, target: string, dst = '33:33:ff:00:00:01'): Buffer {
  return eth(dst, from.mac, 0x86dd, solicit(from.ip6, 'ff02::1:ff00:1', target, from.mac))
}

function advertFrame(to: { mac: string; ip6: string }, target: string, mac: string, flags: number): Buffer {
  return eth(to.mac, mac, 0x86dd, advert(target, to.ip6, flags, target, mac))
}

describe('datapath: ARP and neighbour discovery', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  function setFlags(workload: Workload, flags: number): void {
    const { vif, nh, mac, ip4, ip6 } = workload
    node.setVif({ id: vif, ifindex: node.devices[vif]!, vrf: 2, nhId: nh, peerMac: mac, ip4, ip6, flags })
  }

  it('answers with the router MAC for the gateway and for remote pods', () => {
    for (const target of [GATEWAY.ip4, REMOTE.ip4, '10.2.1.200', HOST.ip4])
      assertFrame(node.fromPod(A, request(A, target)), reply(A, target, ROUTER_MAC))
    for (const target of [GATEWAY.ip6, REMOTE.ip6, '2001:db8:2:1::200'])
      assertFrame(node.fromPod(A, solicitFrame(A, target)), advertFrame(A, target, ROUTER_MAC, SOLICITED_ROUTER))
    assert.deepEqual(node.vrfCounters(2), { arpVirtualProxys: 7 })
    assert.equal(node.vifCounters(A.vif)['txPackets'], 7)
    assert.equal(node.flows().length, 0)
  })

  it('answers for remote pods with the router MAC although it knows theirs', () => {
    node.setBridge(2, '02:99:00:00:00:02', NH.TUNNEL, REMOTE.label)
    for (const dst of [BROADCAST, '02:99:00:00:00:02'])
      assertFrame(node.fromPod(A, request(A, REMOTE.ip4, dst)), reply(A, REMOTE.ip4, ROUTER_MAC))
    const asked = solicitFrame(A, REMOTE.ip6)
    assertFrame(node.fromPod(A, asked), advertFrame(A, REMOTE.ip6, ROUTER_MAC, SOLICITED_ROUTER))
  })

  it('answers with the real MAC for a pod whose MAC is stitched to its route, also to unicast requests', () => {
    for (const dst of [BROADCAST, B.mac, ROUTER_MAC]) {
      assertFrame(node.fromPod(A, request(A, B.ip4, dst)), reply(A, B.ip4, B.mac))
      const frame = solicitFrame(A, B.ip6, dst === BROADCAST ? undefined : dst)
      assertFrame(node.fromPod(A, frame), advertFrame(A, B.ip6, B.mac, SOLICITED))
    }
    const stats = node.vrfCounters(2)
    assert.equal(stats['arpVirtualStitchs'], 6)
    assert.equal(stats['l2Receives'], 2)
  })

  it('answers a solicitation without its link-layer address option to where it came from', () => {
    const frame = eth(B.mac, A.mac, 0x86dd, solicit(A.ip6, B.ip6, B.ip6))
    assertFrame(node.fromPod(A, frame), advertFrame(A, B.ip6, B.mac, SOLICITED))
  })

  it('floods what it has no answer for, which drops it as long as there is no broadcast entry', () => {
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, request(A, '10.2.0.99')))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, request(A, '198.51.100.1')))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, solicitFrame(A, '2001:db8:2::99')))
    node.setRoute(2, '10.2.0.50/32', B.nh, { flags: c.ROUTE_ARP_PROXY | c.ROUTE_ARP_FLOOD })
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, request(A, '10.2.0.50')))
    assert.deepEqual(node.vrfCounters(2), { arpVirtualFloods: 4 })
    node.setRoute(2, '10.2.0.50/32', B.nh, { mac: B.mac, flags: c.ROUTE_ARP_PROXY | c.ROUTE_ARP_FLOOD })
    assertFrame(node.fromPod(A, request(A, '10.2.0.50')), reply(A, '10.2.0.50', B.mac))
    node.setBridge(2, BROADCAST, NH.ECMP)
    node.assertDrop(c.DROP_INVALID_NH, A.vif, () => node.fromPod(A, request(A, '10.2.0.99')))
  })

  it('answers nobody who asks for its own address, and shows gratuitous ARP to the agent where the route says so', () => {
    const gratuitous = request(A, A.ip4)
    const probe = request({ mac: A.mac, ip4: '0.0.0.0' }, B.ip4)
    const duplicate = eth('33:33:ff:00:00:11', A.mac, 0x86dd, solicit('::', 'ff02::1:ff00:11', B.ip6))
    for (const frame of [gratuitous, probe, duplicate])
      node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, frame))
    node.assertDrop(c.DROP_INVALID_ARP, A.vif, () => node.fromPod(A, request(A, A.ip4, ROUTER_MAC)))
    node.setRoute(2, `${A.ip4}/32`, A.nh, { mac: A.mac, flags: c.ROUTE_ARP_PROXY | c.ROUTE_ARP_TRAP })
    const trapped = agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_ARP }, gratuitous)
    assertFrame(node.fromPod(A, gratuitous), trapped)
  })

  it('bridges a unicast request that it has no answer for, and unicast replies', () => {
    node.setBridge(2, '02:00:00:00:02:99', B.nh + 1)
    const asked = request(A, '10.2.0.99', '02:00:00:00:02:99')
    assertFrame(node.fromPod(A, asked), asked)
    const answer = eth(B.mac, A.mac, 0x0806, arp({ op: 2, sha: A.mac, spa: A.ip4, tha: B.mac, tpa: B.ip4 }))
    assertFrame(node.fromPod(A, answer), answer)
    const advertised = eth(B.mac, A.mac, 0x86dd, advert(A.ip6, B.ip6, SOLICITED, A.ip6, A.mac))
    assertFrame(node.fromPod(A, advertised), advertised)
    const toRouter = eth(
      ROUTER_MAC,
      A.mac,
      0x0806,
      arp({ op: 2, sha: A.mac, spa: A.ip4, tha: ROUTER_MAC, tpa: GATEWAY.ip4 }),
    )
    assertFrame(
      node.fromPod(A, toRouter),
      agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_ARP }, toRouter),
    )
    const everybody = eth(BROADCAST, A.mac, 0x0806, arp({ op: 2, sha: A.mac, spa: A.ip4, tha: B.mac, tpa: B.ip4 }))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, everybody))
  })

  it('lets a pod speak for no address but its own', () => {
    const lies: (() => Sent)[] = [
      () =>
        node.fromPod(
          A,
          eth(B.mac, A.mac, 0x0806, arp({ op: 2, sha: A.mac, spa: GATEWAY.ip4, tha: B.mac, tpa: B.ip4 })),
        ),
      () =>
        node.fromPod(A, eth(BROADCAST, A.mac, 0x0806, arp({ op: 1, sha: A.mac, spa: B.ip4, tha: NOBODY, tpa: B.ip4 }))),
      () =>
        node.fromPod(
          A,
          eth(BROADCAST, A.mac, 0x0806, arp({ op: 1, sha: B.mac, spa: A.ip4, tha: NOBODY, tpa: GATEWAY.ip4 })),
        ),
      () => node.fromPod(A, eth(B.mac, A.mac, 0x86dd, advert(A.ip6, B.ip6, SOLICITED, GATEWAY.ip6, A.mac))),
      () => node.fromPod(A, solicitFrame({ mac: A.mac, ip6: B.ip6 }, GATEWAY.ip6)),
      () =>
        node.fromPod(
          A,
          eth('33:33:00:00:00:01', A.mac, 0x86dd, icmp6(A.ip6, 'ff02::1', 134, 0, Buffer.alloc(12), { hopLimit: 255 })),
        ),
      () =>
        node.fromPod(A, eth(B.mac, A.mac, 0x86dd, icmp6(A.ip6, B.ip6, 137, 0, Buffer.alloc(36), { hopLimit: 255 }))),
    ]
    for (const lie of lies) node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, lie)
  })

  it('drops malformed ARP and discovery', () => {
    const fields = { op: 1, sha: A.mac, spa: A.ip4, tha: NOBODY, tpa: GATEWAY.ip4 }
    const good = arp(fields)
    const broken = [
      good.subarray(0, 27),
      arp({ ...fields, op: 3 }),
      join([0, 2], good.subarray(2)),
      join(good.subarray(0, 2), [0x86, 0xdd], good.subarray(4)),
      join(good.subarray(0, 4), [8], good.subarray(5)),
      join(good.subarray(0, 5), [16], good.subarray(6)),
    ]
    for (const packet of broken)
      node.assertDrop(c.DROP_INVALID_ARP, A.vif, () => node.fromPod(A, eth(BROADCAST, A.mac, 0x0806, packet)))
    const near = solicit(A.ip6, 'ff02::1:ff00:1', GATEWAY.ip6, A.mac)
    near[7] = 64
    node.assertDrop(c.DROP_INVALID_PACKET, A.vif, () => node.fromPod(A, eth('33:33:ff:00:00:01', A.mac, 0x86dd, near)))
    const short = icmp6(A.ip6, 'ff02::1', 135, 0, Buffer.alloc(8), { hopLimit: 255 })
    node.assertDrop(c.DROP_INVALID_PACKET, A.vif, () => node.fromPod(A, eth('33:33:ff:00:00:01', A.mac, 0x86dd, short)))
  })

  it('answers everything on a vif with MAC_PROXY, and only for the gateway on one with NO_ARP_PROXY', () => {
    setFlags(A, c.VIF_MAC_PROXY)
    assertFrame(node.fromPod(A, request(A, '10.2.0.99')), reply(A, '10.2.0.99', ROUTER_MAC))
    assertFrame(node.fromPod(A, request(A, B.ip4)), reply(A, B.ip4, ROUTER_MAC))
    node.assertDrop(c.DROP_INVALID_ARP, A.vif, () => node.fromPod(A, request(A, A.ip4)))
    setFlags(A, c.VIF_NO_ARP_PROXY)
    assertFrame(node.fromPod(A, request(A, GATEWAY.ip4)), reply(A, GATEWAY.ip4, ROUTER_MAC))
    node.assertDrop(c.DROP_INVALID_ARP, A.vif, () => node.fromPod(A, request(A, B.ip4)))
    node.assertDrop(c.DROP_INVALID_ARP, A.vif, () => node.fromPod(A, solicitFrame(A, B.ip6)))
  })

  it('asks within the network of the pod', () => {
    node.assertDrop(c.DROP_L2_NO_ROUTE, C.vif, () => node.fromPod(C, request(C, B.ip4)))
  })

  it('shows DHCP and router solicitations to the agent', () => {
    const trap = (frame: Buffer) =>
      agentFrame(AGENT_MAC, ROUTER_MAC, { vif: A.vif, vrf: 2, cmd: c.AGENT_TRAP_L3_PROTOCOLS }, frame)
    const solicitRouter = eth(
      '33:33:00:00:00:02',
      A.mac,
      0x86dd,
      icmp6('fe80::1', 'ff02::2', 133, 0, Buffer.alloc(4), { hopLimit: 255 }),
    )
    assertFrame(node.fromPod(A, solicitRouter), trap(solicitRouter))
    const discover = eth(BROADCAST, A.mac, 0x0800, udp('0.0.0.0', '255.255.255.255', 68, 67, Buffer.alloc(250)))
    const solicit6 = eth('33:33:00:01:00:02', A.mac, 0x86dd, udp('fe80::1', 'ff02::1:2', 546, 547))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, discover))
    node.assertDrop(c.DROP_L2_NO_ROUTE, A.vif, () => node.fromPod(A, solicit6))
    setFlags(A, c.VIF_DHCP_ENABLED)
    assertFrame(node.fromPod(A, discover), trap(discover))
    assertFrame(node.fromPod(A, solicit6), trap(solicit6))
  })

  it('answers the host for link-local addresses, pods and remote pods; the rest goes to the wire', () => {
    const host = { mac: HOST.mac, ip4: HOST.ip4, ip6: '2001:db8:ff::1' }
    for (const target of ['169.254.1.2', A.ip4, REMOTE.ip4])
      assertFrame(node.fromHost(request(host, target)), reply(host, target, HOST.mac))
    assertFrame(node.fromHost(solicitFrame(host, A.ip6)), advertFrame(host, A.ip6, HOST.mac, SOLICITED_ROUTER))
    const forWire = [
      request(host, PEER.ip4),
      request(host, '192.0.2.200'),
      request(host, HOST.ip4),
      request({ mac: HOST.mac, ip4: '169.254.1.2' }, '169.254.1.2'),
      reply({ mac: PEER.mac, ip4: PEER.ip4 }, HOST.ip4, HOST.mac),
      solicitFrame(host, '2001:db8:ff::2'),
      eth('33:33:ff:00:00:01', HOST.mac, 0x86dd, solicit('::', 'ff02::1:ff00:1', A.ip6)),
      eth(
        '33:33:00:00:00:02',
        HOST.mac,
        0x86dd,
        icmp6('fe80::1', 'ff02::2', 133, 0, Buffer.alloc(4), { hopLimit: 255 }),
      ),
    ]
    for (const frame of forWire) assertFrame(node.fromHost(frame), frame)
    assert.equal(node.vifCounters(0)['txPackets'], forWire.length)
    assert.equal(node.totalDrops(), 0)
    assert.deepEqual(node.vrfCounters(0), {})
  })
})
