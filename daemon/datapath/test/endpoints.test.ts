/**
 * Proves: flows to an endpoint that is gone end, both directions of them, and are paid back; no other flow is touched, and none for longer than the
 * endpoint is gone.
 */
import { strict as assert } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { FlowEnding } from '../../src/dataplane/services/flow-ending.ts'
import { GoneBacks } from '../../src/dataplane/services/gone-backs.ts'
import { createLog } from '../../src/log.ts'
import { ip4Number, ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { type FlowRecord, flowByIndex, flowCounters, reverseOf } from '../../src/maps/flows.ts'
import { flowSlotCodec } from '../../src/maps/structs.ts'
import { decode, encode, u32Codec } from '../../src/maps/table.ts'
import type { Front } from '../../src/model/tables.ts'
import { A, B, Fixture, ROUTER_MAC } from './fixture.ts'
import { eth, TCP_FLAG, tcp, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const VIP = { 4: '10.96.0.10', 6: '2001:db8:96::10' } as const
const PORT = 53
const BACK_PORT = 5353
/** Where struct flow_slot has the key. */
const KEY_IN_SLOT = 4

type Family = 4 | 6
type Protocol = 'TCP' | 'UDP'

describe('datapath: endpoints that are gone', function () {
  this.timeout(60000)
  let node: Fixture
  let gone: GoneBacks
  let ending: FlowEnding
  let loads = 0

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    gone = new GoneBacks()
    loads = 0
    ending = new FlowEnding(
      node.maps.flows,
      gone,
      () => {
        loads++
        const object = node.objects.get('endpoints')!
        return { program: object.programFd('end_flows'), gone: BpfMap.fromFd(object.mapFd('gone_backs')) }
      },
      createLog('info', { write: (line) => assert.ok(!/could not/.test(line), line) }),
    )
  })
  afterEach(async () => {
    await ending?.[Symbol.asyncDispose]()
    node?.[Symbol.dispose]()
  })

  const addressOf = (pod: typeof A, family: Family) => (family === 4 ? pod.ip4 : pod.ip6)

  /** A flow of A to B. */
  function open(family: Family, protocol: Protocol, port: number): FlowRecord {
    const [from, to] = [addressOf(A, family), addressOf(B, family)]
    const packet = protocol === 'UDP' ? udp(from, to, port, BACK_PORT) : tcp(from, to, port, BACK_PORT, TCP_FLAG.SYN)
    node.fromPod(A, eth(ROUTER_MAC, A.mac, family === 4 ? 0x0800 : 0x86dd, packet))
    return node.flows().find((flow) => flow.sourcePort === port)!
  }

  /** The same through a Service: what was sent to its address goes to B. */
  function openThroughService(family: Family, protocol: Protocol, port: number): FlowRecord {
    const record = open(family, protocol, port)
    const { index } = record.flow
    const { slots, flow4, flow6 } = node.maps.flows
    const slot = slots.lookup(encode(u32Codec, index))!
    const { k4, k6 } = decode(flowSlotCodec, slot)
    const flow = { ...record.flow, flags: record.flow.flags | c.FLOW_DNAT | c.FLOW_DPAT, action: c.FLOW_ACTION_NAT }
    if (family === 4) {
      const moved = { ...k4, dip: ip4Number(VIP[4]), dport: PORT }
      flow4.delete(k4)
      flow4.set(moved, flow)
      slot.set(encode(flow4.key, moved), KEY_IN_SLOT)
    } else {
      const moved = { ...k6, dip: ip6Bytes(VIP[6]), dport: PORT }
      flow6.delete(k6)
      flow6.set(moved, flow)
      slot.set(encode(flow6.key, moved), KEY_IN_SLOT)
    }
    slots.update(encode(u32Codec, index), slot)
    const found = flowByIndex(node.maps.flows, index)!
    assert.equal(found.destination, VIP[family])
    assert.equal(reverseOf(node.maps.flows, found)!.source, addressOf(B, family))
    return found
  }

  function front(family: Family, protocol: Protocol, hosts: readonly string[]): Front {
    const alive = hosts.map((address) => ({ address, port: BACK_PORT }))
    const set = { backs: alive, whenEmpty: 'reject' } as const
    return {
      ...{ vrf: 9, address: VIP[family], listener: { protocol, port: PORT }, kind: 'cluster-ip', id: 1 },
      ...{
        service: { namespace: 'default', name: 'dns', port: '', family },
        inside: set,
        outside: set,
        local: set,
        alive,
      },
    }
  }

  /** Of A's end, by which a flow is known here; once for each direction. */
  const ports = () =>
    node
      .flows()
      .map(({ source, sourcePort, destinationPort }) =>
        [A.ip4, A.ip6].includes(source) ? sourcePort : destinationPort,
      )
      .sort()
  const counts = () => {
    const { ip4, ip6 } = flowCounters(node.maps.flows)
    const { flows, flows6 } = node.maps.vifState.get(A.vif)!
    return [ip4.entries, ip6.entries, flows, flows6]
  }
  const until = async (what: string, condition: () => boolean) => {
    for (const end = performance.now() + 20_000; !condition(); await sleep(5))
      assert.ok(performance.now() < end, `not in time: ${what}`)
  }

  for (const family of [4, 6] as const) {
    for (const protocol of ['UDP', 'TCP'] as const) {
      it(`ends ${protocol} over IPv${family}, and no flow beside it`, async () => {
        open(family, protocol, 40001)
        openThroughService(family, protocol === 'UDP' ? 'TCP' : 'UDP', 40002)
        const before = counts()
        openThroughService(family, protocol, 40003)
        gone.note(front(family, protocol, [addressOf(B, family)]), front(family, protocol, ['10.2.0.99']))
        ending.soon()
        await until('it has ended', () => node.flows().length === 4)
        assert.deepEqual(counts(), before)
        assert.deepEqual(ports(), [40001, 40001, 40002, 40002])
      })
    }

    it(`ends what went to the address untranslated before the Service came, over IPv${family}`, async () => {
      const { destination, destinationPort } = open(family, 'UDP', 40001)
      openThroughService(family, 'UDP', 40002)
      const own = { ...front(family, 'UDP', ['10.2.0.99']), address: destination }
      gone.note(undefined, { ...own, listener: { protocol: 'UDP', port: destinationPort } })
      ending.soon()
      await until('it has ended', () => node.flows().length === 2)
      assert.deepEqual(ports(), [40002, 40002])
    })
  }

  it('ends what comes while the former front may still be in use, and forgets then', async () => {
    gone.note(front(4, 'UDP', [B.ip4]), front(4, 'UDP', []))
    ending.soon()
    await until('it was looked for', () => loads === 1)
    openThroughService(4, 'UDP', 40003)
    await until('it has ended', () => node.flows().length === 0)
    await until('it is forgotten', () => gone.size === 0)
    openThroughService(4, 'UDP', 40004)
    ending.soon()
    gone.note(front(4, 'UDP', [A.ip4]), front(4, 'UDP', []))
    ending.soon()
    await until('others are looked for', () => gone.size === 0)
    assert.deepEqual(ports(), [40004, 40004])
  })

  it('leaves flows to an endpoint that is back', async () => {
    openThroughService(4, 'UDP', 40003)
    openThroughService(4, 'UDP', 40004)
    gone.note(front(4, 'UDP', [B.ip4, A.ip4]), front(4, 'UDP', []))
    gone.note(front(4, 'UDP', []), front(4, 'UDP', [B.ip4]))
    ending.soon()
    await until('all was looked through', () => gone.size === 0)
    assert.deepEqual(ports(), [40003, 40003, 40004, 40004])
  })

  it('finds what an earlier daemon has left', async () => {
    openThroughService(4, 'UDP', 40003)
    openThroughService(6, 'TCP', 40004)
    open(4, 'UDP', 40005)
    ending.findStale([front(4, 'UDP', ['10.2.0.99']), front(6, 'TCP', [B.ip6])])
    await until('it has ended', () => node.flows().length === 4)
    assert.deepEqual(ports(), [40004, 40004, 40005, 40005])
  })
})
