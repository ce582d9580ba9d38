/** Ids that are lost on disk come back from the maps: the model then computes the very same tables. */
import assert from 'node:assert/strict'
import { adoptIds } from '@kube-vrouter/daemon/dataplane/adopt-ids'
import { encodeTables, TABLE_MAPS } from '@kube-vrouter/daemon/dataplane/encode-tables'
import { Pace } from '@kube-vrouter/daemon/ground/pace'
import { type MapName, mapDefinitions } from '@kube-vrouter/daemon/maps/definitions'
import { typedMaps } from '@kube-vrouter/daemon/maps/open'
import { Model } from '@kube-vrouter/daemon/model/compute'
import type { NodeFacts, Port } from '@kube-vrouter/daemon/model/facts'
import { Ids } from '@kube-vrouter/daemon/model/ids'
import type { SourceState, VirtualNetwork } from '@kube-vrouter/daemon/model/objects'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { requireRoot } from './sandbox.ts'

const network = (name: string): VirtualNetwork => ({
  ...{
    namespace: 'default',
    name,
    fqName: `default-domain:k8s-default:${name}`,
    uuid: name,
    blockSize4: 26,
    blockSize6: 122,
  },
  subnets: [{ cidr: '10.1.0.0/16', gateway: '10.1.0.1', service: '10.1.0.2' }],
})
const red = network('red')
const blue = network('blue')

const facts: NodeFacts = {
  node: 'node-1',
  underlay: {
    ...{ name: 'eth0', ifindex: 10, mac: '02:00:00:00:00:aa', mtu: 1500 },
    ...{ address: '192.0.2.11', prefixLength: 24, gateway: '192.0.2.1' },
  },
  vhost: { name: 'vhost0', ifindex: 11 },
  agent: { name: 'pkt0', ifindex: 12 },
  otherRoutes: [],
  fabricRoutes: [
    { destination: '0.0.0.0', prefixLength: 0, gateway: '192.0.2.1' },
    { destination: '192.0.2.0', prefixLength: 24 },
  ],
  neighbours: new Map([
    ['192.0.2.1', '02:00:00:00:00:01'],
    ['192.0.2.12', '02:00:00:00:00:02'],
  ]),
}

const port = (n: number, vn: VirtualNetwork): Port => ({
  ...{ uuid: `uuid-${n}`, containerId: `c${n}`, ifname: 'eth0', namespace: 'default', vn: vn.fqName, mtu: 1468 },
  ...{ mac: `02:00:00:00:01:0${n}`, addresses: [`10.1.0.${10 + n}`], tap: `tap00000000000${n}`, ifindex: 20 + n },
  ...{ labels: {}, createdAt: `2026-01-01T00:00:0${n}Z`, pod: { name: `pod${n}`, uid: `uid${n}` } },
})

const source: SourceState = {
  namespaces: new Map(),
  virtualNetworks: new Map([red, blue].map((vn) => [vn.fqName, vn])),
  blocks: new Map([['b', { name: 'b', vn: red.fqName, cidr: '10.1.0.64/26', node: 'node-2' }]]),
  interfaces: new Map(),
  routers: new Map([
    [
      'node-2',
      {
        name: 'node-2',
        address: '192.0.2.12',
        encapsulations: ['MPLSoUDP'],
        vrfLabels: { [red.fqName]: 40 },
        vhostLabel: 16,
      },
    ],
  ]),
  networkRouters: new Map(),
  pods: new Map(),
  rejected: [],
}

describe('adopting ids from the maps', () => {
  before(function () {
    requireRoot(this)
  })

  it('gives everything the number that it had', async () => {
    const limits = { vrf: 64, nexthop: 1024, label: 512, vif: 64, bridge: 1024, service: 64 }
    const modelOf = (ids: Ids) =>
      new Model(
        { node: 'node-1', cluster: 'k8s', limits: { routes: 1000 }, flowsPerVif: 0, snat: true, now: () => 0 },
        ids,
      )
    const original = new Ids({ limits, quarantineMs: { vif: 0, nexthop: 0, label: 0, vrf: 0, bridge: 0, service: 0 } })
    const model = modelOf(original)
    // Numbers with gaps, and not in the order in which they would be given out.
    model.update({ source, facts, ports: [port(4, blue), port(5, red)] })
    model.update({ source, facts, ports: [port(1, red), port(5, red)] })
    const ports = [port(1, red), port(2, blue), port(3, red), port(5, red)]
    const tables = model.update({ source, facts, ports })
    assert.deepEqual(tables.problems, [])

    using owner = new DisposableStack()
    const opened = new Map<MapName, BpfMap>()
    for (const name of Object.keys(mapDefinitions) as MapName[]) {
      const definition = { ...mapDefinitions[name], name }
      opened.set(name, owner.use(BpfMap.create({ ...definition, maxEntries: Math.min(definition.maxEntries, 2048) })))
    }
    const encoded = await new Pace().run(encodeTables(tables))
    for (const name of TABLE_MAPS) {
      for (const [key, value] of encoded[name] ?? [])
        opened.get(name)!.update(Buffer.from(key, 'latin1'), Buffer.from(value, 'latin1'))
    }

    const ids = new Ids({ limits })
    const adopted = await adoptIds(
      ids,
      typedMaps((name) => opened.get(name)!, owner),
      ports,
    )
    for (const kind of ['vrf', 'vif', 'label', 'nexthop', 'bridge'] as const) {
      assert.deepEqual(new Map([...ids.used(kind)].sort()), new Map([...original.used(kind)].sort()), kind)
    }
    assert.ok(adopted > 20)
    assert.deepEqual(modelOf(ids).update({ source, facts, ports }), tables)
  })
})
