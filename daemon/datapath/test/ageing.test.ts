/** Proves: when flows end, that a pair ends as one, that nothing leaks, and that the timer does it with nobody in user space. */
import { strict as assert } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../../test/patience.ts'
import { ip4Number, ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { flowCounters } from '../../src/maps/flows.ts'
import type { FlowStruct } from '../../src/maps/structs.ts'
import { A, B, Fixture, HOST, NH, PEER, PEER_2, REDIRECT, REMOTE, ROUTER_MAC } from './fixture.ts'
import { eth, TCP_FLAG, tcp, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const { SYN, ACK } = TCP_FLAG

/** Not before the machine was started: the clock is the kernel's monotonic one. */
function earlier(time: bigint, seconds: number): bigint {
  const before = time - BigInt(seconds) * 1_000_000_000n
  return before > 0n ? before : 1n
}

describe('datapath: ageing of flows', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.setGlobals({ ageTcpS: 300, ageOtherS: 60 })
  })
  afterEach(() => node?.[Symbol.dispose]())

  const fromA = (packet: Uint8Array) =>
    node.fromPod(A, eth(ROUTER_MAC, A.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet))
  const fromHost = (packet: Uint8Array) => node.fromHost(eth(HOST.mac, HOST.mac, 0x0800, packet))
  const held = () => node.maps.vifState.get(A.vif)!.flows

  /** Changes all flows whose nexthop in the key is `nh`, or all. */
  function change(edit: (flow: FlowStruct) => Partial<FlowStruct>, nh?: number): void {
    for (const table of [node.maps.flows.flow4, node.maps.flows.flow6])
      for (const [key, flow] of [...(table.entries() as Iterable<readonly [{ nhId: number }, FlowStruct]>)])
        if (nh === undefined || key.nhId === nh) table.set(key as never, { ...flow, ...edit(flow) })
  }
  const idle = (seconds: number, nh?: number) =>
    change((flow) => ({ lastSeenNs: earlier(flow.lastSeenNs, seconds) }), nh)
  const walk = () => assert.equal(node.call('age_now'), 0)

  it('removes both entries when neither direction was seen for long enough', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    fromA(udp(A.ip6, B.ip6, 1, 2))
    idle(59)
    walk()
    assert.equal(node.flows().length, 4)
    idle(2, A.nh)
    walk()
    assert.equal(node.flows().length, 4, 'the way back is younger')
    idle(2, B.nh)
    walk()
    assert.equal(node.flows().length, 0)
    assert.equal([...node.maps.flows.flow4.entries()].length + [...node.maps.flows.flow6.entries()].length, 0)
    assert.equal(held(), 0)
    const { deleted, aged, inUse } = flowCounters(node.maps.flows)
    assert.deepEqual([deleted, aged, inUse], [4n, 2n, 0n])
  })

  it('uses indices again, with another generation', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    const before = node.flows().map(({ flow }) => [flow.index, flow.gen])
    idle(61)
    walk()
    fromA(udp(A.ip4, B.ip4, 3, 4))
    const after = node.flows().map(({ flow }) => [flow.index, flow.gen])
    assert.deepEqual(after.map(([index]) => index).sort(), [0, 1])
    assert.deepEqual(
      after.map(([, gen]) => gen),
      before.map(([, gen]) => gen! + 1),
    )
    assert.equal(flowCounters(node.maps.flows).next, 2)
  })

  it('gives TCP the time its state deserves', () => {
    const age = (flags: number, seconds: number) => {
      const packet = tcp(A.ip4, B.ip4, 1000, 80, SYN)
      fromA(packet)
      change(() => ({ tcpFlags: flags }))
      idle(seconds)
      walk()
      const left = node.flows().length
      idle(1000)
      walk()
      assert.equal(node.flows().length, 0)
      return left
    }
    const established = c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R
    assert.deepEqual([age(established, 299), age(established, 301)], [2, 0])
    assert.deepEqual([age(c.TCP_SYN, 19), age(c.TCP_SYN, 21)], [2, 0])
    assert.deepEqual([age(established | c.TCP_FIN, 299), age(established | c.TCP_FIN, 301)], [2, 0], 'half closed')
    const closing = established | c.TCP_FIN | c.TCP_FIN_R
    assert.deepEqual([age(closing, 29), age(closing, 31)], [2, 0])
    assert.deepEqual([age(established | c.TCP_DEAD, 1), age(established | c.TCP_DEAD, 3)], [2, 0])
    node.setGlobals({ ageTcpS: 10 })
    assert.deepEqual([age(c.TCP_SYN, 9), age(c.TCP_SYN, 11)], [2, 0], 'never longer than established TCP')
    node.setGlobals({ ageTcpS: 0 })
    fromA(tcp(A.ip4, B.ip4, 1000, 80, ACK))
    change(() => ({ tcpFlags: established }))
    idle(1_000_000)
    walk()
    assert.equal(node.flows().length, 2, '0 = never')
  })

  it('removes at once what user space marked, and cleans up after what user space deleted', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    change((flow) => ({ flags: flow.flags | c.FLOW_EVICT_CANDIDATE }), A.nh)
    walk()
    assert.equal(node.flows().length, 0)
    assert.equal(flowCounters(node.maps.flows).evicted, 1n)

    fromA(udp(A.ip4, B.ip4, 1, 2))
    for (const [key] of [...node.maps.flows.flow4.entries()]) node.maps.flows.flow4.delete(key)
    walk()
    assert.equal(held(), 0)
    assert.equal(flowCounters(node.maps.flows).inUse, 0n)
    fromA(udp(A.ip4, B.ip4, 1, 2))
    assert.equal(flowCounters(node.maps.flows).next, 2, 'no index was lost')
  })

  it('leaves a flow alone that took the key of one that user space deleted', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    for (const [key] of [...node.maps.flows.flow4.entries()]) node.maps.flows.flow4.delete(key)
    fromA(udp(A.ip4, B.ip4, 1, 2))
    for (let i = 0; i < 3; i++) walk()
    const flows = node.flows()
    assert.deepEqual(
      flows.map(({ flow }) => [flow.index, flow.rindex, flow.packets]),
      [
        [2, 3, 1n],
        [3, 2, 0n],
      ],
    )
    assert.equal(held(), 2)
  })

  it('takes no stranger that got the handle of a deleted entry for the other direction', () => {
    fromA(tcp(A.ip4, B.ip4, 1, 80, SYN))
    const [[key]] = [...node.maps.flows.flow4.entries()].filter(([{ nhId }]) => nhId === A.nh) as [[never, never]]
    node.maps.flows.flow4.delete(key)
    walk()
    fromA(tcp(A.ip4, B.ip4, 2, 80, SYN))
    const stranger = () => node.flows().find(({ sourcePort }) => sourcePort === 2)!.flow
    assert.equal(stranger().index, 0, 'it has the handle')
    const before = stranger().tcpFlags
    const frame = (packet: Uint8Array) => eth(ROUTER_MAC, B.mac, 0x0800, packet)
    assert.equal(node.fromPod(B, frame(tcp(B.ip4, A.ip4, 80, 1, SYN | ACK, { seq: 9, ack: 1 }))).verdict, REDIRECT)
    node.fromPod(B, frame(tcp(B.ip4, A.ip4, 80, 1, TCP_FLAG.RST | ACK, { ack: 1 })))
    assert.equal(stranger().tcpFlags, before)
    assert.equal(held(), 2, 'what is left of the first connection is over, the other is not')
  })

  it('ends what led to a pod of another node that is gone, within seconds, and follows one that moved', () => {
    const established = c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R
    const connect = () => {
      fromA(tcp(A.ip4, REMOTE.ip4, 1000, 80, SYN))
      fromA(tcp(A.ip6, REMOTE.ip6, 1000, 80, SYN))
      fromA(tcp(A.ip4, '10.2.1.77', 1000, 80, SYN))
      change(() => ({ tcpFlags: established }))
      walk()
    }
    const left = () => [...new Set(node.flows().map(({ source, destination }) => [source, destination].sort().join()))]
    connect()
    node.setRoute(2, `${REMOTE.ip4}/32`, NH.TUNNEL_2, { label: 101, flags: c.ROUTE_LABEL_VALID })
    node.maps.routes.host6.delete({ vrf: 2, ip: ip6Bytes(REMOTE.ip6) })
    node.raiseEpoch()
    idle(3)
    walk()
    assert.equal(node.flows().length, 6, 'not before it is idle')
    idle(3)
    walk()
    assert.deepEqual(left().sort(), [`${A.ip4},${REMOTE.ip4}`, `${A.ip4},10.2.1.77`].sort())
    node.maps.routes.host4.delete({ vrf: 2, ip: 0x0a02010d })
    node.raiseEpoch()
    walk()
    assert.deepEqual(left(), [`${A.ip4},10.2.1.77`], 'what never had a route of its own stays')
  })

  it('looks at a living flow to another node without keeping it from going where its route leads', () => {
    const tunnelTo = (packet: Uint8Array) => {
      const { verdict, frame } = fromA(packet)
      return verdict === REDIRECT ? Buffer.from(frame.subarray(30, 34)).join('.') : undefined
    }
    for (const [source, destination] of [
      [A.ip4, REMOTE.ip4],
      [A.ip6, REMOTE.ip6],
    ] as const) {
      const packet = udp(source, destination, 1, 2)
      assert.equal(tunnelTo(packet), PEER.ip4)
      walk()
      const plen = source === A.ip4 ? 32 : 128
      node.setRoute(2, `${destination}/${plen}`, NH.TUNNEL_2, { label: 101, flags: c.ROUTE_LABEL_VALID })
      node.raiseEpoch()
      assert.equal(tunnelTo(packet), PEER_2.ip4, 'it moved')
      walk()
      node.setRoute(2, `${destination}/${plen}`, c.NH_ID_DISCARD)
      node.raiseEpoch()
      assert.equal(tunnelTo(packet), undefined, 'it is gone')
    }
  })

  it('removes what leads nowhere any more within seconds, although packets go on coming, unless the way comes back', () => {
    const packet = udp(A.ip4, B.ip4, 1, 2)
    const dropped = () => node.assertDrop(c.DROP_DISCARD, A.vif, () => fromA(packet))
    const own = () => node.flows().find(({ nexthop }) => nexthop === A.nh)!.flow
    const isForwarded = () => assert.equal(fromA(packet).verdict, REDIRECT)
    isForwarded()
    node.maps.routes.host4.delete({ vrf: 2, ip: ip4Number(B.ip4) })
    node.raiseEpoch()
    dropped()
    assert.deepEqual([own().action, own().dropReason], [c.FLOW_ACTION_DROP, c.FLOW_DROP_NO_DESTINATION_ROUTE])
    idle(9)
    dropped()
    walk()
    assert.equal(node.flows().length, 2)

    node.setRoute(2, `${B.ip4}/32`, B.nh)
    node.raiseEpoch()
    isForwarded()
    assert.deepEqual([own().action, own().dropReason], [c.FLOW_ACTION_FORWARD, 0])
    idle(11)
    walk()
    assert.equal(node.flows().length, 2, 'it has its time again')

    node.maps.routes.host4.delete({ vrf: 2, ip: ip4Number(B.ip4) })
    node.raiseEpoch()
    dropped()
    walk()
    assert.equal(node.flows().length, 0)
    dropped()
    assert.equal(node.flows().length, 0)
  })

  it('takes a connection whose way changed for one that has to show that it lives', () => {
    fromA(tcp(A.ip4, REMOTE.ip4, 1000, 80, SYN))
    change(() => ({ tcpFlags: c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R }))
    node.maps.routes.host4.delete({ vrf: 2, ip: 0x0a02010d })
    node.raiseEpoch()
    fromA(tcp(A.ip4, REMOTE.ip4, 1000, 80, ACK))
    idle(21)
    walk()
    assert.equal(node.flows().length, 0)
  })

  it('ages flows of a vif that is gone', () => {
    fromA(udp(A.ip4, B.ip4, 1, 2))
    node.maps.vifs.delete(node.devices[A.vif]!)
    idle(61)
    walk()
    assert.equal(node.flows().length, 0)
  })

  it('loses and doubles no index in thousands of lives', () => {
    node.setFlowRoom(100)
    for (let life = 0; life < 40; life++) {
      for (let port = 1; port <= 40; port++) {
        assert.equal(fromHost(udp(HOST.ip4, A.ip4, life, port)).verdict, REDIRECT)
        assert.equal(fromA(udp(A.ip4, HOST.ip4, port, life)).verdict, REDIRECT)
      }
      for (let port = 41; port <= 60; port++)
        assert.equal(fromHost(udp(HOST.ip4, A.ip4, life, port)).verdict, REDIRECT, 'one that nobody answered gives way')
      const indices = node.flows().map(({ flow }) => flow.index)
      assert.equal(new Set(indices).size, indices.length)
      assert.ok(indices.length >= 80 && indices.length <= 100, `${indices.length} entries`)
      idle(61)
      walk()
      walk()
      assert.equal(node.flows().length, 0)
    }
    assert.equal(node.maps.vifState.get(c.VIF_ID_VHOST)!.flows, 0)
  })

  it('goes on by itself once started, also when it is started twice', async () => {
    assert.equal(node.call('start_ageing'), 0)
    assert.equal(node.call('start_ageing'), 0)
    fromA(udp(A.ip4, B.ip4, 1, 2))
    await sleep(200)
    assert.equal(node.flows().length, 2)
    for (let round = 0; round < 3; round++) {
      fromA(udp(A.ip4, B.ip4, 1, 2))
      idle(61)
      await until(`the end of the flows of round ${round}`, () => node.flows().length === 0)
    }
  })
})
