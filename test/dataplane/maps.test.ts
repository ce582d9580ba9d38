/** The typed tables against maps of the real kernel. */

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { macBytes } from '@kube-vrouter/daemon/maps/addresses'
import { bridgeEntry, listBridge } from '@kube-vrouter/daemon/maps/bridge'
import {
  BRIDGE_VALID,
  FLOW_ACTIVE,
  FLOW_NONE,
  LABEL_NONE,
  NH_FLAG_VALID,
  NH_TUNNEL,
  ROUTE_LABEL_VALID,
  VRF_VALID,
} from '@kube-vrouter/daemon/maps/constants'
import { type MapName, mapDefinitions } from '@kube-vrouter/daemon/maps/definitions'
import { reasonsSeen } from '@kube-vrouter/daemon/maps/drops'
import { flowByIndex, flowCounters, listFlows, reverseOf } from '@kube-vrouter/daemon/maps/flows'
import { readGlobals, updateGlobals } from '@kube-vrouter/daemon/maps/globals'
import { listLabels, nexthopOfLabel } from '@kube-vrouter/daemon/maps/mpls'
import { listNexthops, nexthopById } from '@kube-vrouter/daemon/maps/nexthops'
import { openMaps, type PinnedMaps } from '@kube-vrouter/daemon/maps/open'
import { compareRoutes, listRoutes, lookupRoute } from '@kube-vrouter/daemon/maps/routes'
import {
  dropStatsCodec,
  flow4KeyCodec,
  flow6KeyCodec,
  flowAllocCodec,
  flowCodec,
  flowSlotCodec,
  nexthopCodec,
  vifCodec,
  vifStatsCodec,
} from '@kube-vrouter/daemon/maps/structs'
import { decode, encode, u32Codec } from '@kube-vrouter/daemon/maps/table'
import { listVifs, vifById } from '@kube-vrouter/daemon/maps/vifs'
import { listVrfs, vrfById } from '@kube-vrouter/daemon/maps/vrfs'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { NO_CONTEXT } from '../../daemon/src/maps/flows.ts'
import { requireRoot, Sandbox } from './sandbox.ts'

async function all<T>(slices: AsyncGenerator<readonly T[]>): Promise<T[]> {
  return (await Array.fromAsync(slices)).flat()
}

describe('pinned maps', () => {
  let sandbox: Sandbox
  let pins: string
  let maps: PinnedMaps
  const raw = new Map<MapName, BpfMap>()

  before(function () {
    requireRoot(this)
    sandbox = new Sandbox()
    pins = join(sandbox.bpffs, 'vrouter')
    mkdirSync(join(pins, 'maps'), { recursive: true })
    for (const name of Object.keys(mapDefinitions) as MapName[]) {
      const map = BpfMap.create({ ...mapDefinitions[name], name })
      map.pin(join(pins, 'maps', name))
      raw.set(name, map)
    }
    maps = openMaps(pins, { readOnly: false })
  })

  after(() => {
    if (!sandbox) return
    maps?.[Symbol.dispose]()
    for (const map of raw.values()) map[Symbol.dispose]()
    sandbox[Symbol.dispose]()
  })

  const zero = <T>(codec: { size: number; decode(view: DataView): T }) =>
    codec.decode(new DataView(new ArrayBuffer(codec.size)))

  it('name what is missing, and what to do', () => {
    assert.throws(() => openMaps(join(sandbox.bpffs, 'nowhere')), {
      code: 'MAPS_NOT_FOUND',
      remedy: /Start the vrouter daemon/,
    })
  })

  it('refuse maps of another layout', () => {
    const folder = join(sandbox.bpffs, 'old')
    mkdirSync(join(folder, 'maps'), { recursive: true })
    for (const [name, map] of raw) {
      if (name !== 'vifs') map.pin(join(folder, 'maps', name))
    }
    using old = BpfMap.create({ ...mapDefinitions.vifs, valueSize: 80, name: 'vifs' })
    old.pin(join(folder, 'maps/vifs'))
    assert.throws(() => openMaps(folder), { code: 'MAP_INCOMPATIBLE', message: /values of 80 bytes, expected 84/ })
  })

  it('open read-only for tools: nothing can be written', () => {
    using tools = openMaps(pins)
    assert.equal(readGlobals(tools.globals).abi, 0)
    assert.throws(() => tools.mpls.set(20, 1), { code: 'EPERM' })
  })

  it('hold vifs by ifindex and by id', () => {
    const vif = { ...zero(vifCodec), id: 7, ifindex: 44, name: 'tap0', mac: macBytes('00:00:5e:00:01:00') }
    maps.vifs.set(44, vif)
    maps.vifs.set(40, { ...vif, id: 3, ifindex: 40 })
    maps.vifDevices.set(7, 44)
    assert.deepEqual(
      listVifs(maps.vifs).map(({ id }) => id),
      [3, 7],
    )
    assert.deepEqual(vifById(maps.vifs, maps.vifDevices, 7), vif)
    assert.equal(vifById(maps.vifs, maps.vifDevices, 3), undefined)
    assert.equal(vifById(maps.vifs, maps.vifDevices, 1_000_000), undefined)
    assert.equal(maps.vifs.delete(40), true)
    assert.equal(maps.vifs.delete(40), false)
  })

  it('list only the array elements in use', async () => {
    const tunnel = { ...zero(nexthopCodec), type: NH_TUNNEL, family: 2, flags: NH_FLAG_VALID, dip: 0x0a000002 }
    maps.nexthops.set(65535, tunnel)
    maps.nexthops.set(20, tunnel)
    assert.deepEqual(
      (await all(listNexthops(maps.nexthops))).map(([id]) => id),
      [20, 65535],
    )
    assert.deepEqual(nexthopById(maps.nexthops, 20), tunnel)
    assert.equal(nexthopById(maps.nexthops, 21), undefined)
    maps.mpls.set(17, 20)
    assert.deepEqual(listLabels(maps.mpls), [{ label: 17, nexthop: 20 }])
    assert.deepEqual(
      [nexthopOfLabel(maps.mpls, 17), nexthopOfLabel(maps.mpls, 18), nexthopOfLabel(maps.mpls, 1 << 20)],
      [20, undefined, undefined],
    )
    maps.vrfs.set(2, { flags: VRF_VALID, label: 18, nh: 20, forwardingVrf: 2 })
    assert.deepEqual(
      listVrfs(maps.vrfs).map(([id]) => id),
      [2],
    )
    assert.equal(vrfById(maps.vrfs, 3), undefined)
  })

  it('find the longest prefix of the VRF, in both families', async () => {
    const { host4, lpm4, host6, lpm6 } = maps.routes
    const to = (nh: number, plen: number) => ({
      nh,
      label: 17,
      macIndex: LABEL_NONE,
      mac: new Uint8Array(6),
      flags: ROUTE_LABEL_VALID,
      plen,
    })
    lpm4.set({ prefixlen: 32, vrf: 2, ip: 0 }, to(1, 0))
    lpm4.set({ prefixlen: 32 + 16, vrf: 2, ip: 0x0a010000 }, to(2, 16))
    lpm4.set({ prefixlen: 32 + 24, vrf: 2, ip: 0x0a010200 }, to(3, 24))
    lpm4.set({ prefixlen: 32 + 24, vrf: 3, ip: 0x0a010200 }, to(9, 24))
    host4.set({ vrf: 2, ip: 0x0a010203 }, to(4, 32))
    const found = (address: string, vrf = 2) => lookupRoute(maps.routes, vrf, address)
    assert.deepEqual([found('10.1.2.3')?.nexthop, found('10.1.2.4')?.nexthop, found('10.1.9.9')?.nexthop], [4, 3, 2])
    assert.deepEqual([found('11.0.0.1')?.address, found('11.0.0.1')?.prefixLength], ['0.0.0.0', 0])
    assert.deepEqual([found('10.1.2.9')?.address, found('10.1.2.9')?.label], ['10.1.2.0', 17])
    assert.equal(found('11.0.0.1', 3), undefined)
    const ip = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    lpm6.set({ prefixlen: 32 + 64, vrf: 2, ip }, to(5, 64))
    host6.set({ vrf: 2, ip: ip.with(15, 3) }, to(6, 128))
    assert.deepEqual(
      [found('fd00::3')?.nexthop, found('fd00::4')?.nexthop, found('fd00::4')?.address],
      [6, 5, 'fd00::'],
    )
    const routes = (await all(listRoutes(maps.routes, 4, 2))).sort(compareRoutes)
    assert.deepEqual(
      routes.map(({ address, prefixLength }) => `${address}/${prefixLength}`),
      ['0.0.0.0/0', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32'],
    )
    assert.equal((await all(listRoutes(maps.routes, 6))).length, 2)
  })

  it('read a table larger than a page whole, in slices', async () => {
    for (let i = 0; i < 5000; i++) {
      maps.routes.host4.set(
        { vrf: 77, ip: i },
        { nh: i, label: 0, macIndex: 0, mac: new Uint8Array(6), flags: 0, plen: 32 },
      )
    }
    const slices = await Array.fromAsync(listRoutes(maps.routes, 4, 77))
    assert.ok(slices.length >= 5)
    assert.equal(new Set(slices.flat().map(({ address }) => address)).size, 5000)
  })

  it('name bridge entries by VRF and MAC', async () => {
    const mac = macBytes('02:00:00:00:00:01')
    maps.bridge.set({ mac, vrf: 2 }, { nh: 20, label: LABEL_NONE, flags: BRIDGE_VALID, index: 5, packets: 9n })
    const entry = bridgeEntry(maps.bridge, 2, '02:00:00:00:00:01')
    assert.deepEqual([entry?.nexthop, entry?.label, entry?.index, entry?.packets], [20, undefined, 5, 9n])
    assert.deepEqual(await all(listBridge(maps.bridge, 2)), [entry])
    assert.deepEqual(await all(listBridge(maps.bridge, 3)), [])
  })

  it('add up per-CPU counters, show their parts, and clear them', () => {
    const map = raw.get('vif_stats')!
    const size = vifStatsCodec.size
    const element = new Uint8Array(map.elementSize)
    const cpus = map.elementSize / size
    for (let cpu = 0; cpu < cpus; cpu++) {
      vifStatsCodec.encode(
        { ...zero(vifStatsCodec), rxPackets: BigInt(cpu + 1), txBytes: 1n << 60n },
        new DataView(element.buffer),
        cpu * size,
      )
    }
    map.update(encode(u32Codec, 3), element)
    assert.equal(maps.vifStats.get(3)?.rxPackets, BigInt((cpus * (cpus + 1)) / 2))
    assert.equal(maps.vifStats.get(3)?.txBytes, BigInt.asUintN(64, (1n << 60n) * BigInt(cpus)))
    assert.equal(maps.vifStats.perCpu(3)?.[cpus - 1]?.rxPackets, BigInt(cpus))
    maps.vifStats.clear(3)
    assert.equal(maps.vifStats.get(3)?.rxPackets, 0n)
    assert.equal(maps.vifStats.get(1 << 20), undefined)
    assert.equal([...maps.vifStats.entries(4)].length, 4)
    const reasons = zero(dropStatsCodec).reasons.with(20, 5n)
    raw.get('drop_stats')!.update(encode(u32Codec, 0), encode(dropStatsCodec, { reasons }))
    assert.deepEqual(reasonsSeen(maps.dropStats.get(0)!), new Map([[20, 5n * BigInt(cpus)]]))
  })

  it('find flows by their index, and the way back', async () => {
    const { flow4, flow6, slots, alloc } = maps.flows
    const ports = { sport: 40000, dport: 80, proto: 6, context: NO_CONTEXT }
    const key = { nhId: 20, sip: 0x0a010203, dip: 0x0a010204, ...ports }
    const back = { ...ports, nhId: 21, sip: key.dip, dip: key.sip, sport: 80, dport: 40000 }
    const flow = { ...zero(flowCodec), flags: FLOW_ACTIVE, index: 100, rindex: 101 }
    flow4.set(key, flow)
    flow4.set(back, { ...flow, index: 101, rindex: 100 })
    const slot = (index: number, family: number, encoded: Uint8Array) => {
      const bytes = new Uint8Array(flowSlotCodec.size)
      bytes[0] = family
      bytes.set(encoded, 4)
      slots.update(encode(u32Codec, index), bytes)
    }
    slot(100, 2, encode(flow4KeyCodec, key))
    slot(101, 2, encode(flow4KeyCodec, back))
    const key6 = { ...key, sip: new Uint8Array(16).fill(1), dip: new Uint8Array(16).fill(2) }
    flow6.set(key6, { ...flow, index: 102, rindex: FLOW_NONE })
    slot(102, 10, encode(flow6KeyCodec, key6))
    const record = flowByIndex(maps.flows, 100)!
    assert.deepEqual([record.source, record.sourcePort, record.destinationPort], ['10.1.2.3', 40000, 80])
    assert.equal(reverseOf(maps.flows, record)?.sourcePort, 80)
    assert.equal(flowByIndex(maps.flows, 102)?.family, 6)
    assert.equal(reverseOf(maps.flows, flowByIndex(maps.flows, 102)!), undefined)
    assert.equal(flowByIndex(maps.flows, 5), undefined)
    flow4.delete(back)
    assert.equal(flowByIndex(maps.flows, 101), undefined, 'the slot still names it, the flow is gone')
    assert.deepEqual((await all(listFlows(maps.flows))).map(({ flow }) => flow.index).sort(), [100, 102])
    alloc.update(
      encode(u32Codec, 0),
      encode(flowAllocCodec, { ...decode(flowAllocCodec, alloc.lookup(encode(u32Codec, 0))!), added: 5n, deleted: 2n }),
    )
    assert.equal(flowCounters(maps.flows).inUse, 3n)
  })

  it('change single settings', () => {
    updateGlobals(maps.globals, { epoch: 5, underlayIp: 0x0a000001 })
    updateGlobals(maps.globals, { epoch: 6 })
    assert.deepEqual([readGlobals(maps.globals).epoch, readGlobals(maps.globals).underlayIp], [6, 0x0a000001])
  })
})
