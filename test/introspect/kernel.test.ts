/**
 * Kernel pages over maps of the real kernel: every table of it read as the pages read it, and large tables shown without holding
 * up the event loop.
 */

import assert from 'node:assert/strict'
import { parseArguments } from '@kube-vrouter/daemon/introspect/arguments'
import type { IntrospectContext } from '@kube-vrouter/daemon/introspect/context'
import { kernelOf } from '@kube-vrouter/daemon/introspect/kernel'
import { requestOf } from '@kube-vrouter/daemon/introspect/requests'
import { documentToXml } from '@kube-vrouter/daemon/introspect/wire'
import { ip4Number, macBytes } from '@kube-vrouter/daemon/maps/addresses'
import {
  BRIDGE_LABEL_VALID,
  BRIDGE_VALID,
  DROP_L2_NO_ROUTE,
  FLOW_ACTIVE,
  LABEL_NONE,
  NH_AF_INET,
  NH_COMPOSITE,
  NH_ENCAP,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_VALID,
  ROUTE_ARP_PROXY,
  ROUTE_LABEL_VALID,
  VIF_POLICY_ENABLED,
  VIF_VIRTUAL,
  VRF_VALID,
} from '@kube-vrouter/daemon/maps/constants'
import { type MapName, mapDefinitions } from '@kube-vrouter/daemon/maps/definitions'
import { type PinnedMaps, typedMaps } from '@kube-vrouter/daemon/maps/open'
import {
  dropStatsCodec,
  flow4KeyCodec,
  flowAllocCodec,
  vifStatsCodec,
  vrfStatsCodec,
} from '@kube-vrouter/daemon/maps/structs'
import { encode, u32Codec } from '@kube-vrouter/daemon/maps/table'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { NO_CONTEXT } from '../../daemon/src/maps/flows.ts'
import { flows as fixtureFlows } from '../doubles/kernel-tables.ts'
import { contextOfFixture } from '../doubles/small-cluster.ts'
import { longestTurnMs } from '../event-loop.ts'
import { skipBecause } from '../skip.ts'

const LARGE = 60_000
/** Longest that a page may keep the event loop, milliseconds of CPU; 20 are usual. */
const STALL_MS = 250

/** Why these tests can't run here; undefined: they can. */
function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    BpfMap.create({ type: MapType.ARRAY, keySize: 4, valueSize: 4, maxEntries: 1, name: 'probe' })[Symbol.dispose]()
  } catch (error) {
    return `needs BPF: ${(error as Error).message}`
  }
  return undefined
}

describe('introspect over maps of the kernel', () => {
  const raw = new Map<MapName, BpfMap>()
  const owned = new DisposableStack()
  let maps: PinnedMaps
  let context: IntrospectContext

  before(function () {
    skipBecause(this, whyNot())
    for (const name of Object.keys(mapDefinitions) as MapName[]) {
      raw.set(name, owned.use(BpfMap.create({ ...mapDefinitions[name], name })))
    }
    maps = typedMaps((name) => raw.get(name)!, owned)
    context = contextOfFixture({ kernel: kernelOf(maps) })
  })
  after(() => owned.dispose())

  async function show(page: string): Promise<string> {
    const [name, query = ''] = page.split('?') as [string, string?]
    const request = requestOf(name)!
    const { pieces } = await documentToXml(await request.answer(parseArguments(request.args, query), context))
    return (await Array.fromAsync(pieces)).join('')
  }

  /** Values of a field, in order. */
  const valuesOf = (xml: string, field: string) =>
    Array.from(xml.matchAll(new RegExp(`<${field} [^>]*>([^<]*)<`, 'g')), (match) => match[1]!)

  /** The same counters on CPU 0, nothing on the others. */
  function setCounters(name: MapName, index: number, value: Uint8Array): void {
    const key = encode(u32Codec, index)
    const all = raw.get(name)!.lookup(key)!
    all.fill(0)
    all.set(value)
    raw.get(name)!.update(key, all)
  }

  it('shows empty tables as empty', async () => {
    for (const page of [
      'KInterfaceReq',
      'KRouteReq?vrf_id=2',
      'KNHReq',
      'KMplsReq',
      'KVrfStatsReq',
      'FetchAllFlowRecords',
    ]) {
      assert.match(await show(page), /size="0"/, page)
    }
    assert.equal(valuesOf(await show('KFlowReq'), 'flow_handle')[0], '0')
    assert.equal(valuesOf(await show('KNHReq?x=5'), 'resp')[0], '   Invalid Input !!!   ')
    assert.equal(valuesOf(await show('KNHReq?x=70000'), 'resp')[0], '   Invalid Input !!!   ')
    assert.equal(valuesOf(await show('KFlowReq?flow_idx=2000000000'), 'resp')[0], '   Invalid Input !!!   ')
  })

  it('shows vifs with their counters', async () => {
    maps.vifs.set(12, {
      id: 3,
      ifindex: 12,
      flags: VIF_POLICY_ENABLED,
      vrf: 2,
      nhId: 10,
      mtu: 1468,
      maxFlows: 0,
      label: 19,
      type: VIF_VIRTUAL,
      mac: macBytes('00:00:5e:00:01:00'),
      peerMac: macBytes('02:4b:6d:1c:9e:52'),
      ip4: ip4Number('10.47.255.10'),
      ip6: new Uint8Array(16),
      name: 'tap4b6d1c9e52f0',
    })
    const counted = { rxPackets: 5n, rxBytes: 2n ** 40n, rxErrors: 1n, txPackets: 6n, txBytes: 600n, txErrors: 0n }
    setCounters('vif_stats', 3, encode(vifStatsCodec, counted))
    const page = await show('KInterfaceReq?if_id=3')
    for (const [field, value] of Object.entries({
      type: 'VIRTUAL',
      flags: 'POLICY ',
      os_idx: '12',
      name: 'tap4b6d1c9e52f0',
      ip: '10.47.255.10',
      ibytes: '1099511627776',
      ierrors: '1',
      opackets: '6',
    })) {
      assert.equal(valuesOf(page, field)[0], value, field)
    }
  })

  it('shows nexthops, members and labels', async () => {
    const nexthop = {
      type: NH_ENCAP,
      family: NH_AF_INET,
      rewriteLen: 14,
      flags: NH_FLAG_VALID,
      vrf: 2,
      oif: 3,
      ifindex: 12,
      keyNh: 10,
      mtu: 0,
      sip: 0,
      dip: 0,
      rewrite: Uint8Array.of(2, 75, 109, 28, 158, 82, 0, 0, 94, 0, 1, 0, 8, 0),
      oifType: VIF_VIRTUAL,
    }
    maps.nexthops.set(10, nexthop)
    const composite = { ...nexthop, type: NH_COMPOSITE, flags: NH_FLAG_VALID | NH_FLAG_COMPOSITE_ECMP, rewriteLen: 0 }
    maps.nexthops.set(40_000, composite)
    const none = { nh: 0, label: 0 }
    maps.composites.set(40_000, {
      count: 2,
      hashFields: 0,
      members: [{ nh: 10, label: 19 }, { nh: 14, label: LABEL_NONE }, ...Array(62).fill(none)],
    })
    maps.mpls.set(19, 10)
    const page = await show('KNHReq')
    assert.deepEqual(valuesOf(page, 'id'), ['10', '40000'])
    assert.deepEqual(valuesOf(page, 'encap'), ['024b6d1c9e5200005e0001000800'])
    assert.deepEqual(valuesOf(page, 'nh_id'), ['10', '14'])
    assert.deepEqual(valuesOf(await show('KMplsReq'), 'nhid'), ['10'])
    assert.deepEqual(valuesOf(await show('KMplsReq?mpls_label=19'), 'nhid'), ['10'])
    assert.deepEqual(valuesOf(await show('KMplsReq?mpls_label=20'), 'resp'), ['   Invalid Input !!!   '])
  })

  it('shows routes of one VRF in order, bridge entries, and what an address meets', async () => {
    const route = {
      nh: 10,
      label: LABEL_NONE,
      macIndex: LABEL_NONE,
      mac: new Uint8Array(6),
      flags: ROUTE_ARP_PROXY,
      plen: 32,
    }
    maps.routes.host4.set({ vrf: 2, ip: ip4Number('10.0.0.10') }, route)
    maps.routes.host4.set({ vrf: 2, ip: ip4Number('10.0.0.9') }, { ...route, label: 31, flags: ROUTE_LABEL_VALID })
    maps.routes.host4.set({ vrf: 3, ip: ip4Number('10.0.0.9') }, route)
    maps.routes.lpm4.set({ prefixlen: 32 + 24, vrf: 2, ip: ip4Number('10.0.0.0') }, { ...route, plen: 24, nh: 1 })
    const page = await show('KRouteReq?vrf_id=2')
    assert.deepEqual(valuesOf(page, 'prefix'), ['10.0.0.0', '10.0.0.9', '10.0.0.10'])
    assert.deepEqual(valuesOf(page, 'label_flags'), ['PROXY-ARP', 'MPLS ', 'PROXY-ARP'])
    assert.deepEqual(valuesOf(page, 'label'), ['0', '31', '0'])
    const met = await show('KRouteGetReq?vrf_id=2&prefix=10.0.0.77&prefix_len=32')
    assert.deepEqual([valuesOf(met, 'nh_id')[0], valuesOf(met, 'replace_plen')[0]], ['1', '24'])
    maps.bridge.set(
      { mac: macBytes('02:4b:6d:1c:9e:52'), vrf: 2 },
      { nh: 11, label: 19, flags: BRIDGE_VALID | BRIDGE_LABEL_VALID, index: 7, packets: 0n },
    )
    const bridge = await show('KRouteReq?vrf_id=2&family=bridge')
    assert.deepEqual([valuesOf(bridge, 'rtr_mac')[0], valuesOf(bridge, 'index')[0]], ['02:4b:6d:1c:9e:52', '7'])
    assert.match(await show('KRouteReq?vrf_id=9&family=bridge'), /size="0"/)
  })

  it('shows VRF counters and drops', async () => {
    maps.vrfs.set(2, { flags: VRF_VALID, label: 17, nh: 8, forwardingVrf: 2 })
    const zero = vrfStatsCodec.decode(new DataView(new ArrayBuffer(vrfStatsCodec.size)))
    setCounters('vrf_stats', 2, encode(vrfStatsCodec, { ...zero, udpMplsTunnels: 95n, unknownUnicastFloods: 1n }))
    const stats = await show('KVrfStatsReq')
    assert.deepEqual(valuesOf(stats, 'vrf_udp_mpls_tunnels'), ['95'])
    assert.deepEqual(valuesOf(stats, 'vrf_uuc_floods'), ['1'])
    assert.deepEqual(valuesOf(await show('KVrfReq'), 'vrf_idx'), ['2'])
    const reasons = Array<bigint>(64).fill(0n)
    reasons[DROP_L2_NO_ROUTE] = 7n
    setCounters('drop_stats', 0, encode(dropStatsCodec, { reasons }))
    assert.deepEqual(valuesOf(await show('KDropStatsReq'), 'ds_l2_no_route'), ['7'])
  })

  describe('with large tables', () => {
    before(function () {
      this.timeout(60_000)
      const { flow } = fixtureFlows[0]!
      const slot = new Uint8Array(mapDefinitions.flow_slots.valueSize)
      for (let index = 0; index < LARGE; index++) {
        const ports = { sport: 1000, dport: 80, proto: 6, context: NO_CONTEXT }
        const key = { nhId: 10, sip: 0x0a2f0000 + index, dip: 0x0a2fff46, ...ports }
        maps.flows.flow4.set(key, { ...flow, flags: FLOW_ACTIVE, index })
        slot[0] = 2
        slot.set(encode(flow4KeyCodec, key), 4)
        maps.flows.slots.update(encode(u32Codec, index), slot)
        const route = {
          nh: 10,
          label: 31,
          macIndex: LABEL_NONE,
          mac: new Uint8Array(6),
          flags: ROUTE_LABEL_VALID,
          plen: 32,
        }
        maps.routes.host4.set({ vrf: 7, ip: 0x0a2f0000 + index }, route)
      }
      const zero = flowAllocCodec.decode(new DataView(new ArrayBuffer(flowAllocCodec.size)))
      const alloc = { ...zero, next: LARGE, size: 196_608, added: BigInt(LARGE) }
      maps.flows.alloc.update(encode(u32Codec, 0), encode(flowAllocCodec, alloc))
    })

    /** Longest time that the event loop was kept while `work` went on, milliseconds. */
    it('shows all routes in order', async () => {
      const prefixes = valuesOf(await show('KRouteReq?vrf_id=7'), 'prefix')
      assert.equal(prefixes.length, LARGE)
      assert.deepEqual(prefixes.slice(0, 3), ['10.47.0.0', '10.47.0.1', '10.47.0.2'])
      assert.equal(prefixes.at(-1), '10.47.234.95')
    }).timeout(30_000)

    it('leads through all flows by index, and begins them by key', async () => {
      assert.deepEqual(valuesOf(await show('NextKFlowReq?x=59990'), 'index'), [
        '59990',
        '59991',
        '59992',
        '59993',
        '59994',
        '59995',
        '59996',
        '59997',
        '59998',
        '59999',
      ])
      const first = await show('FetchAllFlowRecords')
      assert.equal(valuesOf(first, 'sip').length, 100)
      assert.deepEqual(valuesOf(first, 'sip').slice(0, 2), ['10.47.0.0', '10.47.0.1'])
      assert.deepEqual(valuesOf(first, 'flow_key'), ['0-10-1000-80-6-10.47.0.99-10.47.255.70'])
      const found = await show(
        'FetchFlowRecord?nh=10&sip=10.47.0.99&dip=10.47.255.70&src_port=1000&dst_port=80&protocol=6',
      )
      assert.deepEqual(valuesOf(found, 'flow_handle'), ['99'])
    })

    it('never keeps the event loop for long', async () => {
      const drain = async (page: string) => {
        const [name, query = ''] = page.split('?') as [string, string?]
        const request = requestOf(name)!
        const { pieces } = await documentToXml(await request.answer(parseArguments(request.args, query), context))
        for await (const _ of pieces) await new Promise((resolve) => setImmediate(resolve))
      }
      await drain('KRouteReq?vrf_id=7')
      for (const page of ['KRouteReq?vrf_id=7', 'KRouteReq?vrf_id=8', 'FetchAllFlowRecords', 'KFlowReq', 'KNHReq']) {
        const kept = await longestTurnMs(() => drain(page))
        assert.ok(kept < STALL_MS, `${page} kept the event loop for ${kept.toFixed(1)} ms`)
      }
    }).timeout(30_000)
  })
})
