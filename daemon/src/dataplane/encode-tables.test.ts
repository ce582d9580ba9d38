import assert from 'node:assert/strict'
import fc from 'fast-check'
import { ip4Number, macBytes } from '../maps/addresses.ts'
import {
  LABEL_NONE,
  NH_AF_BRIDGE,
  NH_AF_INET,
  NH_COMPOSITE,
  NH_DISCARD,
  NH_ENCAP,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_SERVICE,
  NH_FLAG_SNAT,
  NH_FLAG_TUNNEL_UDP_MPLS,
  NH_FLAG_VALID,
  NH_L2_RCV,
  NH_RCV,
  NH_TUNNEL,
  NH_VRF_TRANSLATE,
  ROUTE_ARP_FLOOD,
  ROUTE_ARP_PROXY,
  ROUTE_HAS_MAC,
  ROUTE_LABEL_VALID,
  VIF_HOST,
  VIF_PHYSICAL,
  VIF_VIRTUAL,
} from '../maps/constants.ts'
import { mapDefinitions } from '../maps/definitions.ts'
import type { Codec, Decoder } from '../maps/structs.ts'
import {
  bridgeEntryCodec,
  bridgeKeyCodec,
  compositeCodec,
  nexthopCodec,
  peerCodec,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  routeCodec,
  vifAddressKeyCodec,
  vifCodec,
  vrfCodec,
} from '../maps/structs.ts'
import { decode as decodeBytes, u32Codec } from '../maps/table.ts'
import { vifAddressKey } from '../maps/vifs.ts'
import { NO_FLAGS } from '../model/paths.ts'
import { Rib } from '../model/rib/rib.ts'
import type { BridgeRoute, Nexthop, NumberedNexthop, Route, Tables, Vif } from '../model/tables.ts'
import { type EncodedTables, Encoder, type Encoding, encodeTables, TABLE_MAPS } from './encode-tables.ts'

const fabric: Vif = {
  ...{
    id: 0,
    type: 'physical',
    name: 'eth0',
    ifindex: 10,
    vrf: 0,
    flowNexthop: 0,
    mtu: 1500,
    flags: 0x40,
    maxFlows: 0,
  },
  mac: '02:00:00:00:00:aa',
}
const vhost: Vif = {
  ...fabric,
  id: 1,
  type: 'host',
  name: 'vhost0',
  ifindex: 11,
  flowNexthop: 5,
  ip4: '192.0.2.11',
  label: 16,
}
const tap: Vif = {
  ...{ id: 3, type: 'virtual', name: 'tap0123456789ab', ifindex: 20, vrf: 2, flowNexthop: 21, mtu: 1468, flags: 0xc1 },
  ...{ maxFlows: 1000, mac: '00:00:5e:00:01:00', peerMac: '02:11:22:33:44:55', label: 17 },
  ...{ ip4: '10.1.0.3', ip6: 'fd00::3', port: 'uuid' },
}

const route = (address: string, prefixLength: number, more: Partial<Route> = {}): Route => ({
  ...{ address, prefixLength, paths: [], nexthop: 21, kind: 'pod' },
  flags: { arpProxy: false, arpFlood: false, arpTrap: false },
  ...more,
})

const tables: Tables = {
  vrfs: [{ id: 2, name: 'red:red', uuid: 'u', vn: 'red', label: 30, nexthop: 31, forwardingVrf: 2 }],
  vifs: [fabric, vhost, tap],
  nexthops: [],
  labels: [{ label: 17, nexthop: 21 }],
  inet: new Map([
    [
      2,
      [
        route('10.1.0.0', 24, { nexthop: 1, flags: { arpProxy: false, arpFlood: true, arpTrap: false } }),
        route('10.1.0.3', 32, {
          label: 17,
          stitchedMac: '02:11:22:33:44:55',
          bridgeIndex: 4,
          flags: { arpProxy: true, arpFlood: false, arpTrap: false },
        }),
      ],
    ],
  ]),
  inet6: new Map([[2, [route('fd00::3', 128)]]]),
  bridge: new Map([[2, [{ mac: '00:00:5e:00:01:00', index: 1, nexthop: 6, floodDhcp: false, peer: 'Local' }]]]),
  neighbours: [],
  peers: [],
  hostRoutes: [],
  problems: [],
}

function encoded(changes: Partial<Tables> = {}): EncodedTables {
  const steps = encodeTables({ ...tables, ...changes })
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

function bytes<T>(codec: Codec<T>, value: T): string {
  const buffer = Buffer.alloc(codec.size)
  codec.encode(value, new DataView(buffer.buffer, buffer.byteOffset, codec.size))
  return buffer.toString('latin1')
}

const read = <T>(codec: Decoder<T>, text: string | undefined): T => decodeBytes(codec, Buffer.from(text!, 'latin1'))

function nexthop(numbered: Partial<NumberedNexthop> & Pick<NumberedNexthop, 'nexthop'>, vifs = tables.vifs) {
  const entries = encoded({ vifs, nexthops: [{ id: 21, isValid: true, references: 1, ...numbered }] })
  return { nh: read(nexthopCodec, entries.nexthops.get(bytes(u32Codec, 21))), entries }
}

describe('encodeTables', () => {
  it('makes keys and values of the sizes that the maps have', () => {
    const all = encoded({
      nexthops: [
        { id: 9, isValid: true, references: 0, nexthop: { type: 'composite', kind: 'ecmp', vrf: 2, members: [] } },
      ],
    })
    for (const name of TABLE_MAPS) {
      for (const [key, value] of all[name] ?? []) {
        assert.equal(key.length, mapDefinitions[name].keySize, name)
        assert.equal(value.length, mapDefinitions[name].valueSize, name)
      }
    }
  })

  it('finds vifs by ifindex, and devices by vif id', () => {
    const { vifs, vif_devices } = encoded()
    const vif = read(vifCodec, vifs.get(bytes(u32Codec, 20)))
    assert.equal(vif.id, 3)
    assert.equal(vif.type, VIF_VIRTUAL)
    assert.equal(vif.nhId, 21)
    assert.equal(vif.ip4, 0x0a010003)
    assert.deepEqual(vif.peerMac, macBytes('02:11:22:33:44:55'))
    assert.equal(vif.ip6[15], 3)
    assert.equal(read(u32Codec, vif_devices.get(bytes(u32Codec, 3))), 20)
  })

  it('allows a vif its further addresses, each family by itself', () => {
    const more = { ...tables.vifs.find(({ id }) => id === 3)!, moreAddresses: ['10.1.0.99', 'fd00::99'] }
    const { vif_addresses } = encoded({ vifs: [more] })
    const keys = ['10.1.0.99', 'fd00::99'].map((address) => bytes(vifAddressKeyCodec, vifAddressKey(3, address)))
    assert.deepEqual([...vif_addresses.keys()], keys)
    assert.equal(encoded().vif_addresses.size, 0)
  })

  it('puts host routes and prefixes where the datapath looks for them', () => {
    const { route4_host, route4_lpm, route6_host, route6_lpm } = encoded()
    const pod = read(routeCodec, route4_host.get(bytes(route4KeyCodec, { vrf: 2, ip: 0x0a010003 })))
    assert.equal(pod.flags, ROUTE_LABEL_VALID | ROUTE_ARP_PROXY | ROUTE_HAS_MAC)
    assert.deepEqual([pod.label, pod.macIndex, pod.plen], [17, 4, 32])
    const subnet = read(routeCodec, route4_lpm.get(bytes(route4LpmKeyCodec, { prefixlen: 56, vrf: 2, ip: 0x0a010000 })))
    assert.equal(subnet.flags, ROUTE_ARP_FLOOD)
    assert.deepEqual([subnet.nh, subnet.label, subnet.macIndex], [1, LABEL_NONE, LABEL_NONE])
    const ip = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3)
    assert.equal(read(routeCodec, route6_host.get(bytes(route6KeyCodec, { vrf: 2, ip }))).plen, 128)
    assert.equal(route6_lpm.size, 0)
  })

  it('encodes the other nodes, and a VRF that takes what they forward', () => {
    const peers = [{ address: '192.0.2.2', address6: 'fd00::2', nexthop: 7 }, { address: '192.0.2.3' }]
    const vrf = { id: 5, name: 'k8s:k8s', uuid: 'u', forwardingVrf: 5, takesOutside: true } as const
    const { peers4, peers6, vrfs } = encoded({ ...tables, peers, vrfs: [vrf] })
    assert.deepEqual(
      [...peers4.keys()].map((key) => Buffer.from(key, 'latin1').join('.')),
      ['192.0.2.2', '192.0.2.3'],
    )
    for (const [key, value] of peers4) assert.equal(value.slice(0, 4), key)
    assert.deepEqual(
      [...peers4.values()].map((value) => read(peerCodec, value).nh),
      [7, 0],
    )
    assert.deepEqual([...peers6.values()], [...peers4.values()].slice(0, 1))
    assert.equal(read(vrfCodec, vrfs.get(bytes(u32Codec, 5))).flags, 3)
  })

  it('encodes the other nodes once', () => {
    const encoder = new Encoder()
    const encode = (next: Tables) => {
      for (const steps = encoder.encode(next); ; ) {
        const step = steps.next()
        if (step.done) return step.value
      }
    }
    const peers = [{ address: '192.0.2.2' }]
    const first = encode({ ...tables, peers })
    assert.equal(first.touched.peers4, undefined, 'all of them')
    const second = encode({ ...tables, peers })
    assert.equal(second.tables.peers4, first.tables.peers4)
    assert.deepEqual(second.touched.peers4, new Set())
    assert.deepEqual(encode({ ...tables, peers: [] }).tables.peers4, new Map())
  })

  it('encodes VRFs and bridge entries', () => {
    const { vrfs, bridge } = encoded()
    assert.deepEqual(read(vrfCodec, vrfs.get(bytes(u32Codec, 2))), { flags: 1, label: 30, nh: 31, forwardingVrf: 2 })
    const key = bytes(bridgeKeyCodec, { mac: macBytes('00:00:5e:00:01:00'), vrf: 2 })
    assert.deepEqual(read(bridgeEntryCodec, bridge.get(key)), {
      nh: 6,
      label: LABEL_NONE,
      flags: 1,
      index: 1,
      packets: 0n,
    })
  })

  it('gives a pod nexthop its device, its key and its Ethernet header', () => {
    const macs = { dstMac: '02:11:22:33:44:55', srcMac: '00:00:5e:00:01:00' }
    const { nh } = nexthop({
      nexthop: { type: 'encap', family: 'inet', vif: 3, vrf: 2, policy: true, role: 'interface', ...macs },
    })
    assert.deepEqual([nh.type, nh.family, nh.flags], [NH_ENCAP, NH_AF_INET, NH_FLAG_VALID | NH_FLAG_POLICY_ENABLED])
    assert.deepEqual([nh.oif, nh.ifindex, nh.keyNh, nh.oifType, nh.mtu, nh.vrf], [3, 20, 21, VIF_VIRTUAL, 1468, 2])
    assert.equal(Buffer.from(nh.rewrite).toString('hex'), '02112233445500005e0001000800')
    assert.equal(nh.rewriteLen, 14)
  })

  it('keeps a nexthop whose device is gone, without VALID', () => {
    const macs = { dstMac: '02:11:22:33:44:55', srcMac: '00:00:5e:00:01:00' }
    const { nh } = nexthop(
      { nexthop: { type: 'encap', family: 'bridge', vif: 3, vrf: 2, policy: false, role: 'interface', ...macs } },
      [fabric],
    )
    assert.deepEqual([nh.type, nh.family, nh.flags, nh.ifindex], [NH_ENCAP, NH_AF_BRIDGE, 0, 0])
  })

  it('validates a tunnel only when its next MAC is known', () => {
    const tunnel = {
      ...({ type: 'tunnel', encapsulation: 'MPLSoUDP', source: '192.0.2.11', destination: '192.0.2.12' } as const),
      ...{ via: '192.0.2.12', srcMac: '02:00:00:00:00:aa', mtu: 1468 },
    }
    const without = nexthop({ nexthop: tunnel }).nh
    assert.deepEqual([without.type, without.flags], [NH_TUNNEL, NH_FLAG_TUNNEL_UDP_MPLS])
    const { nh } = nexthop({ nexthop: { ...tunnel, dstMac: '02:00:00:00:00:bb' } })
    assert.equal(nh.flags, NH_FLAG_TUNNEL_UDP_MPLS | NH_FLAG_VALID)
    assert.deepEqual(
      [nh.sip, nh.dip, nh.oif, nh.ifindex, nh.oifType, nh.mtu],
      [0xc000020b, 0xc000020c, 0, 10, VIF_PHYSICAL, 1468],
    )
    assert.equal(Buffer.from(nh.rewrite).toString('hex'), '0200000000bb0200000000aa0800')
  })

  it('encodes the other types under the numbers of the vRouter', () => {
    const { nh: receive } = nexthop({ nexthop: { type: 'receive', vif: 1, vrf: 0, policy: true } })
    assert.deepEqual([receive.type, receive.oif, receive.oifType, receive.keyNh], [NH_RCV, 1, VIF_HOST, 5])
    assert.equal(nexthop({ nexthop: { type: 'vrf-translate', vrf: 7 } }).nh.vrf, 7)
    assert.equal(nexthop({ nexthop: { type: 'vrf-translate', vrf: 7 } }).nh.type, NH_VRF_TRANSLATE)
    assert.equal(nexthop({ nexthop: { type: 'vrf-translate', vrf: 7 } }).nh.flags, NH_FLAG_VALID)
    assert.equal(
      nexthop({ nexthop: { type: 'vrf-translate', vrf: 0, snat: true } }).nh.flags,
      NH_FLAG_VALID + NH_FLAG_SNAT,
    )
    assert.equal(
      nexthop({ nexthop: { type: 'vrf-translate', vrf: 9, service: true } }).nh.flags,
      NH_FLAG_VALID + NH_FLAG_SERVICE,
    )
    assert.equal(nexthop({ nexthop: { type: 'l2-receive' } }).nh.type, NH_L2_RCV)
    const { nh: discard } = nexthop({ nexthop: { type: 'discard' } })
    assert.deepEqual([discard.type, discard.flags], [NH_DISCARD, NH_FLAG_VALID])
  })

  it('keeps the members of a composite nexthop apart', () => {
    const { nh, entries } = nexthop({
      nexthop: { type: 'composite', kind: 'ecmp', vrf: 2, members: [{ nexthop: 21, label: 17 }, { nexthop: 22 }] },
    })
    assert.deepEqual([nh.type, nh.flags], [NH_COMPOSITE, NH_FLAG_VALID | NH_FLAG_COMPOSITE_ECMP])
    const composite = read(compositeCodec, entries.composites.get(bytes(u32Codec, 21)))
    assert.equal(composite.count, 2)
    assert.deepEqual(composite.members.slice(0, 2), [
      { nh: 21, label: 17 },
      { nh: 22, label: LABEL_NONE },
    ])
  })

  it('tells the kinds of composite nexthops by the vRouter’s flags', () => {
    for (const [kind, family, flag] of [
      ['ecmp', NH_AF_INET, 0x400],
      ['l2-multicast', NH_AF_BRIDGE, 0x20],
      ['l2-interface', NH_AF_BRIDGE, 0x2000],
      ['evpn', NH_AF_BRIDGE, 0x1000],
    ] as const) {
      const { nh } = nexthop({ nexthop: { type: 'composite', kind, vrf: 2, members: [{ nexthop: 22 }] } })
      assert.deepEqual([nh.type, nh.family, nh.flags], [NH_COMPOSITE, family, NH_FLAG_VALID | flag], kind)
    }
  })

  it('encodes a list that it saw before for the VRF that it belongs to', () => {
    const list = [route('10.9.0.1', 32)]
    encoded({ inet: new Map([[2, list]]) })
    const { route4_host } = encoded({ inet: new Map([[3, list]]) })
    assert.deepEqual([...route4_host.keys()], [bytes(route4KeyCodec, { vrf: 3, ip: 0x0a090001 })])
  })
})

describe('an Encoder', () => {
  const prefix = fc.constantFrom(...['10.0.0.0/24', '10.0.0.1/32', '10.0.0.2/32', '10.0.1.0/24', '0.0.0.0/0'])
  const lists = fc.dictionary(fc.constantFrom('2', '3'), fc.dictionary(prefix, fc.integer({ min: 1, max: 3 })))
  const made = new Map<string, Route>()
  const entry = fc.constantFrom(...['00:00:5e:00:01:00', '02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:01:00'])
  const entries = fc.dictionary(fc.constantFrom('2', '3'), fc.dictionary(entry, fc.integer({ min: 1, max: 3 })))
  const madeEntries = new Map<string, BridgeRoute>()
  const entryTo = (mac: string, nexthop: number): BridgeRoute => {
    const key = `${mac} ${nexthop}`
    if (!madeEntries.has(key)) madeEntries.set(key, { mac, index: 1, nexthop, floodDhcp: false, peer: 'EVPN' })
    return madeEntries.get(key)!
  }
  /** As the model does: what says the same is the same object. */
  const routeTo = (at: string, nexthop: number): Route => {
    const [address, length] = at.split('/') as [string, string]
    const route = { address, prefixLength: Number(length), paths: [], nexthop, flags: NO_FLAGS, kind: 'pod' } as const
    const key = `${at} ${nexthop}`
    if (!made.has(key)) made.set(key, route)
    return made.get(key)!
  }
  const run = (steps: Generator<void, Encoding>): Encoding => {
    for (;;) {
      const step = steps.next()
      if (step.done) return step.value
    }
  }

  it('ends with what encoding everything gives, and tells every entry that is different', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(lists, entries)), (all) => {
        const encoder = new Encoder()
        let before: EncodedTables | undefined
        for (const [one, macs] of all) {
          const bridge = new Map(
            Object.entries(macs).map(([vrf, list]) => [
              Number(vrf),
              Object.entries(list)
                .sort(([a], [b]) => (a < b ? -1 : 1))
                .map(([mac, nexthop]) => entryTo(mac, nexthop)),
            ]),
          )
          const inet = new Map(
            Object.entries(one).map(([vrf, routes]) => [
              Number(vrf),
              Object.entries(routes)
                .map(([at, nexthop]) => routeTo(at, nexthop))
                .sort((a, b) => ip4Number(a.address) - ip4Number(b.address) || a.prefixLength - b.prefixLength),
            ]),
          )
          const whole = encoded({ inet, bridge })
          const { tables: now, touched } = run(encoder.encode({ ...tables, inet, bridge }))
          assert.deepEqual(now, whole)
          for (const name of ['route4_host', 'route4_lpm', 'bridge'] as const) {
            if (before === undefined) assert.equal(touched[name], undefined)
            for (const key of new Set([...(before?.[name].keys() ?? []), ...now[name].keys()])) {
              if (before !== undefined && before[name].get(key) !== now[name].get(key))
                assert.ok(touched[name]!.has(key))
            }
          }
          const { route4_host, route4_lpm, bridge: macsNow } = now
          before = {
            ...now,
            ...{ route4_host: new Map(route4_host), route4_lpm: new Map(route4_lpm), bridge: new Map(macsNow) },
          }
        }
      }),
    )
  })

  it('calls nothing unchanged after a call that ended half-way', () => {
    const encoder = new Encoder()
    run(encoder.encode({ ...tables, inet: new Map([[2, [routeTo('10.0.0.1/32', 1)]]]) }))
    const inet = new Map([[2, [routeTo('10.0.0.1/32', 2)]]])
    const broken = new Map([[2, [{ ...routeTo('10.0.0.1/32', 1), address: 'no address', prefixLength: 128 }]]])
    assert.throws(() => run(encoder.encode({ ...tables, inet, inet6: broken })))
    // What was told of that call nobody heard.
    const { tables: now, touched } = run(encoder.encode({ ...tables, inet }))
    assert.deepEqual(touched, {})
    assert.deepEqual(now, encoded({ inet }))
  })

  it('ends there, too, when the RIB tells what changed, whatever it has missed', () => {
    const vrf = { id: 2, name: 'red:red', vn: 'red' }
    const by = { name: 'test', preference: 1 }
    const step = fc.record({
      at: prefix,
      nexthop: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      isSeen: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const encoder = new Encoder()
        const rib = new Rib()
        const offers = rib.open(vrf)
        for (const { at, nexthop, isSeen } of steps) {
          const who = { by, source: 's' }
          if (nexthop !== undefined) offers.offer({ ...who, route: routeTo(at, nexthop) })
          else offers.withdraw(at.split('/')[0]!, Number(at.split('/')[1]), who)
          for (const _ of rib.commit(() => undefined));
          if (!isSeen) continue
          const inet = new Map([[2, rib.routes(2, 4)]])
          assert.deepEqual(run(encoder.encode({ ...tables, inet, routeLog: rib })).tables, encoded({ inet }))
        }
      }),
    )
  })

  it('encodes nexthops anew that are others, and all when devices are', () => {
    const variants: readonly Nexthop[] = [
      { type: 'receive', vif: 1, vrf: 0, policy: true },
      {
        ...{ type: 'encap', family: 'inet', vif: 3, vrf: 2, dstMac: '02:00:00:00:00:05', srcMac: fabric.mac },
        ...{ policy: true, role: 'interface' },
      },
      { type: 'composite', kind: 'ecmp', vrf: 2, members: [{ nexthop: 21, label: 17 }] },
      { type: 'composite', kind: 'ecmp', vrf: 2, members: [{ nexthop: 22 }] },
    ]
    const entry = fc.record({
      nexthop: fc.constantFrom(...variants),
      isValid: fc.boolean(),
      references: fc.integer({ min: 0, max: 2 }),
    })
    const devices = fc.constantFrom<readonly Vif[]>(tables.vifs, [fabric, vhost, { ...tap, ifindex: 99 }])
    const state = fc.record({ vifs: devices, entries: fc.dictionary(fc.constantFrom('5', '6', '7'), entry) })
    fc.assert(
      fc.property(fc.array(state, { maxLength: 8 }), (states) => {
        const encoder = new Encoder()
        for (const { vifs, entries } of states) {
          const nexthops = Object.entries(entries).map(([id, one]) => ({ id: Number(id), ...one }))
          assert.deepEqual(run(encoder.encode({ ...tables, vifs, nexthops })).tables, encoded({ vifs, nexthops }))
        }
      }),
    )
  })

  it('tells everything anew after a call that didn’t come to its end, and nothing where nothing is different', () => {
    const encoder = new Encoder()
    assert.equal(run(encoder.encode(tables)).touched.vifs, undefined)
    const names = ['vrfs', 'nexthops', 'composites', 'mpls', 'vifs', 'vif_devices'] as const
    const { touched } = run(encoder.encode({ ...tables }))
    assert.deepEqual(
      names.map((name) => touched[name]?.size),
      names.map(() => 0),
    )
    encoder.encode({ ...tables, vifs: [], labels: [] }).next()
    const after = run(encoder.encode(tables))
    assert.deepEqual(
      names.map((name) => after.touched[name]),
      names.map(() => undefined),
    )
    assert.deepEqual(after.tables, encoded({}))
  })

  it('encodes the nexthops of a pod anew whose device is another one', () => {
    const encoder = new Encoder()
    run(encoder.encode(tables))
    const vifs = tables.vifs.map((vif) => (vif.type === 'virtual' ? { ...vif, ifindex: vif.ifindex + 100 } : vif))
    assert.deepEqual(run(encoder.encode({ ...tables, vifs })).tables, encoded({ vifs }))
  })
})
