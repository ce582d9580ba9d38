/**
 * Proves: flows of a former table go on in a new one as if nothing had been: their packets leave as before, SNAT with the same port, answers find the pod,
 * they count for those for whom they counted, and end as any other. What the new table has already isn't touched.
 */
import { strict as assert } from 'node:assert'
import { layoutOfMap } from '@kube-vrouter/linux/bpf/layout'
import type { FlowsCarried } from '../../src/dataplane/upgrade/flows.ts'
import { FlowImporter } from '../../src/dataplane/upgrade/flows.ts'
import * as c from '../../src/maps/constants.ts'
import { type MapName, mapDefinitions } from '../../src/maps/definitions.ts'
import { deleteFlow, flowCounters } from '../../src/maps/flows.ts'
import {
  A,
  assertFrame,
  B,
  Fixture,
  HOST,
  OUTSIDE,
  PEER,
  REDIRECT,
  ROUTER_MAC,
  type Sent,
  type Workload,
} from './fixture.ts'
import { ETH, frame, mplsOverUdp, TCP_FLAG, tcp, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const { SYN, ACK, RST } = TCP_FLAG

describe('datapath: flows of a former table', function () {
  this.timeout(120000)
  let former: Fixture
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    former = new Fixture()
    node = new Fixture()
    for (const one of [former, node]) one.enableSnat()
  })
  afterEach(() => {
    former?.[Symbol.dispose]()
    node?.[Symbol.dispose]()
  })

  const from = (at: Fixture, pod: Workload, packet: Uint8Array) => at.fromPod(pod, frame(ROUTER_MAC, pod.mac, packet))
  const sourcePort = (sent: Sent) => {
    assert.equal(sent.verdict, REDIRECT)
    return sent.frame.readUInt16BE(ETH + (sent.frame.readUInt16BE(12) === 0x0800 ? 20 : 40))
  }

  function open(): FlowImporter {
    const importer = FlowImporter.open(
      { former: (name) => former.raw.get(name), map: (name) => node.raw.get(name)!, typed: node.maps },
      () => node.objects.get('import')!,
    )
    assert.ok(importer)
    return importer
  }

  function carry(importer: FlowImporter): FlowsCarried {
    for (const steps = importer.steps(); ; ) {
      const step = steps.next()
      if (step.done) return step.value
    }
  }

  /** All that is counted of flows, and each flow but for its handles. */
  function state(at: Fixture): unknown {
    const { ip4, ip6 } = flowCounters(at.maps.flows)
    const counted = (name: MapName) =>
      [...at.raw.get(name)!.entries()].map(({ value }) => Buffer.from(value).toString('hex'))
    const flows = at.flows().map(({ flow, ...key }) => {
      const { index: _, rindex, gen: __, epoch: ___, ...rest } = flow
      return { ...key, ...rest, isPair: rindex !== c.FLOW_NONE }
    })
    const order = (one: unknown) =>
      JSON.stringify(one, (_, value) => (typeof value === 'bigint' ? String(value) : value))
    const vifs = [0, 1, 3, 4, 5].map((vif) => {
      const { flows, flows6 } = at.maps.vifState.get(vif)!
      return { flows, flows6 }
    })
    return {
      families: [ip4, ip6],
      vifs,
      vrfs: counted('vrf_flows'),
      ports: counted('snat_shares'),
      flows: flows.map(order).sort(),
    }
  }

  it('have the layout that is written down for each map', () => {
    for (const [name, map] of node.raw) {
      const digest = layoutOfMap(map.fd)?.digest
      if (digest !== undefined) assert.equal(digest, mapDefinitions[name].layout, name)
      else assert.equal(map.keySize, 0, `${name} has no type information`)
    }
  })

  it('go on: to pods, to other nodes, and to the outside from the port that they had', () => {
    const calls: [Workload, Uint8Array][] = [
      [A, udp(A.ip4, B.ip4, 1000, 53)],
      [A, udp(A.ip6, B.ip6, 1000, 53)],
      [A, tcp(A.ip4, OUTSIDE.ip4, 40000, 443, SYN, { seq: 1 })],
      [A, tcp(A.ip6, OUTSIDE.ip6, 40000, 443, SYN, { seq: 1 })],
      [B, udp(B.ip4, OUTSIDE.ip4, 5000, 53)],
    ]
    const before = calls.map(([pod, packet]) => from(former, pod, packet))
    const port = sourcePort(before[2]!)
    former.fromFabric(frame(HOST.mac, PEER.mac, tcp(OUTSIDE.ip4, HOST.ip4, 443, port, SYN | ACK, { seq: 9, ack: 2 })))
    const wanted = state(former)
    using importer = open()
    assert.deepEqual(carry(importer), { carried: 5, known: 0, refused: 0 })
    assert.deepEqual(state(node), wanted)
    for (const { flow } of node.flows())
      assert.notEqual(flow.epoch, node.maps.globals.get(0)!.epoch, 'looks its route up')

    const created = flowCounters(node.maps.flows).created
    for (const [i, [pod, packet]] of calls.entries()) assertFrame(from(node, pod, packet), before[i]!.frame)
    const answer = tcp(OUTSIDE.ip4, HOST.ip4, 443, port, ACK, { seq: 10, ack: 2 })
    assertFrame(
      node.fromFabric(frame(HOST.mac, PEER.mac, answer)),
      frame(A.mac, ROUTER_MAC, tcp(OUTSIDE.ip4, A.ip4, 443, 40000, ACK, { seq: 10, ack: 2, ttl: 63 })),
    )
    assert.equal(flowCounters(node.maps.flows).created, created, 'no flow was made anew')
  })

  it('count for nobody once they have ended', () => {
    from(former, A, udp(A.ip4, B.ip4, 1, 2))
    from(former, A, udp(A.ip4, OUTSIDE.ip4, 1, 2))
    former.fromHost(frame(HOST.mac, HOST.mac, udp(HOST.ip4, A.ip4, 7, 8)))
    former.fromFabric(
      frame(
        HOST.mac,
        PEER.mac,
        mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, udp('10.2.1.13', A.ip4, 5, 6)),
      ),
    )
    using importer = open()
    assert.equal(carry(importer).carried, 4)
    const empty = new Fixture()
    try {
      empty.enableSnat()
      for (const { flow } of node.flows()) deleteFlow(node.maps.flows, flow.index)
      for (let i = 0; i < 4; i++) node.call('age_now')
      assert.deepEqual(state(node), state(empty))
    } finally {
      empty[Symbol.dispose]()
    }
  })

  it('that are over count for nobody from the start', () => {
    from(former, A, tcp(A.ip4, B.ip4, 1, 2, SYN, { seq: 1 }))
    from(former, A, tcp(A.ip4, B.ip4, 1, 2, RST, { seq: 2 }))
    assert.equal(former.maps.vifState.get(A.vif)!.flows, 0)
    using importer = open()
    assert.equal(carry(importer).carried, 1)
    assert.equal(node.maps.vifState.get(A.vif)!.flows, 0)
    assert.equal(node.flows().length, 2)
  })

  it('are carried over once; those that came since, with the next time', () => {
    from(former, A, udp(A.ip4, B.ip4, 1, 2))
    using importer = open()
    assert.equal(carry(importer).carried, 1)
    from(former, A, udp(A.ip4, B.ip4, 3, 4))
    assert.deepEqual(carry(importer), { carried: 1, known: 0, refused: 0 })
    assert.deepEqual(carry(importer), { carried: 0, known: 0, refused: 0 })
  })

  it('leave alone what the new table has, and don’t take another’s port', () => {
    const packet = tcp(A.ip4, OUTSIDE.ip4, 40000, 443, SYN, { seq: 1 })
    from(former, A, packet)
    const own = sourcePort(from(node, A, packet))
    const before = state(node)
    using importer = open()
    assert.deepEqual(carry(importer), { carried: 0, known: 1, refused: 0 })
    assert.deepEqual(state(node), before)
    assert.equal(sourcePort(from(node, A, packet)), own)
  })

  it('stay out where there is no room, and leave no trace', () => {
    from(former, A, udp(A.ip4, B.ip4, 1, 2))
    from(former, A, udp(A.ip4, B.ip4, 3, 4))
    node.setFlowRoom(2)
    using importer = open()
    assert.deepEqual(carry(importer), { carried: 1, known: 0, refused: 1 })
    assert.equal(node.flows().length, 2)
    assert.equal(flowCounters(node.maps.flows).ip4.entries, 2)
  })

  it('are told as those that found no room, too, where only the map itself is full', () => {
    node[Symbol.dispose]()
    node = new Fixture({ sizes: { flow4: 1 } })
    node.setFlowRoom(64)
    from(former, A, udp(A.ip4, B.ip4, 1, 2))
    using importer = open()
    assert.deepEqual(carry(importer), { carried: 0, known: 0, refused: 1 })
    assert.deepEqual([node.flows().length, flowCounters(node.maps.flows).ip4.entries], [0, 0])
  })

  it('keep translations that begin meanwhile waiting, and nothing else', () => {
    const packet = udp(A.ip4, OUTSIDE.ip4, 1, 53)
    from(former, A, packet)
    node.setGlobals({ natFromNs: process.hrtime.bigint() + 3_600_000_000_000n })
    node.assertDrop(c.DROP_NEW_FLOWS, A.vif, () => from(node, A, packet))
    assert.equal(from(node, A, udp(A.ip4, B.ip4, 1, 53)).verdict, REDIRECT)
    using importer = open()
    carry(importer)
    assert.equal(from(node, A, packet).verdict, REDIRECT, 'of the former table')
    node.setGlobals({ natFromNs: process.hrtime.bigint() - 1_000_000_000n })
    assert.equal(from(node, A, udp(A.ip4, OUTSIDE.ip4, 2, 53)).verdict, REDIRECT)
  })
})
