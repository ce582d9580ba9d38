import assert from 'node:assert/strict'
import type { Nexthop, NumberedNexthop, Route, Subject, Tables, Vif } from '../model/tables.ts'
import { faultsByVif } from './port-faults.ts'

const flags = { arpProxy: false, arpFlood: false, arpTrap: false }
const route = (address: string, prefixLength: number, nexthop: number, kind: Route['kind']): Route => ({
  ...{ address, prefixLength, nexthop, kind, flags, paths: [] },
})
const numbered = (id: number, nexthop: Nexthop): NumberedNexthop => ({ id, nexthop, isValid: true, references: 1 })
const encap = (vif: number, vrf: number): Nexthop => ({
  ...({ type: 'encap', family: 'inet', vif, vrf, policy: true, role: 'interface' } as const),
  ...{ dstMac: '02:00:00:00:00:01', srcMac: '00:00:5e:00:01:00' },
})
const vif = (id: number, vrf: number, port?: string): Vif => ({
  ...{ id, type: 'virtual', name: `tap${id}`, ifindex: 100 + id, vrf, flowNexthop: 20 + id, mtu: 1500, flags: 0 },
  ...{ maxFlows: 0, mac: '00:00:5e:00:01:00', ...(port !== undefined && { port }) },
})

/** Pods behind vif 3 and 4 in VRF 2, one behind vif 5 in VRF 3, to which VRF 2 leaks. */
const tables: Tables = {
  vrfs: [],
  vifs: [vif(0, 0), vif(3, 2, 'a'), vif(4, 2, 'b'), vif(5, 3, 'c')],
  nexthops: [
    ...[numbered(23, encap(3, 2)), numbered(24, encap(4, 2)), numbered(25, encap(5, 3))],
    numbered(30, { type: 'composite', kind: 'ecmp', vrf: 2, members: [{ nexthop: 23 }, { nexthop: 24 }] }),
    numbered(31, { type: 'vrf-translate', vrf: 2 }),
    numbered(32, { type: 'l2-receive' }),
  ],
  labels: [
    { label: 16, nexthop: 31 },
    { label: 17, nexthop: 24 },
  ],
  inet: new Map([
    [2, [route('10.1.0.0', 16, 0, 'subnet'), route('10.1.0.3', 32, 23, 'pod'), route('10.1.0.9', 32, 7, 'remote-pod')]],
    [3, [route('10.1.0.3', 32, 23, 'pod'), route('10.1.0.7', 32, 30, 'ecmp')]],
  ]),
  inet6: new Map([[2, [route('fd01::3', 128, 23, 'pod')]]]),
  bridge: new Map([
    [
      2,
      [
        { mac: '02:00:00:00:00:01', index: 1, nexthop: 23, floodDhcp: false, peer: 'Local' },
        { mac: '00:00:5e:00:01:00', index: 2, nexthop: 32, floodDhcp: false, peer: 'Local_Vm' },
      ],
    ],
  ]),
  neighbours: [],
  peers: [],
  hostRoutes: [],
  problems: [],
  fronts: [
    {
      ...{ vrf: 0, address: '192.0.2.11', listener: { protocol: 'TCP', port: 8080 }, kind: 'host-port', id: 1 },
      service: { namespace: 'default', name: 'a', port: '8080', family: 4, isPod: true },
      inside: { backs: [{ address: '10.1.0.3', port: 80, vrf: 2, nexthop: 23 }], whenEmpty: 'reject' },
      outside: { backs: [], whenEmpty: 'reject' },
      local: { backs: [], whenEmpty: 'reject' },
    },
    {
      ...{ vrf: 0, address: '192.0.2.11', listener: { protocol: 'TCP', port: 30080 }, kind: 'node-port', id: 2 },
      service: { namespace: 'default', name: 'a', port: '', family: 4 },
      inside: { backs: [{ address: '10.1.0.3', port: 80, vrf: 2, nexthop: 23 }], whenEmpty: 'reject' },
      outside: { backs: [], whenEmpty: 'reject' },
      local: { backs: [], whenEmpty: 'reject' },
    },
  ],
}

describe('which attachments a failure concerns', () => {
  const cases: readonly [subject: Subject, vifs: readonly number[]][] = [
    [{ kind: 'vif', id: 3 }, [3]],
    [{ kind: 'device', ifindex: 104 }, [4]],
    [{ kind: 'port', uuid: 'c' }, [5]],
    [{ kind: 'vrf', id: 2 }, [3, 4]],
    [{ kind: 'nexthop', id: 24 }, [4]],
    [{ kind: 'nexthop', id: 30, part: 'members' }, [3, 4]],
    [{ kind: 'nexthop', id: 31 }, [3, 4]],
    [{ kind: 'label', label: 17 }, [4]],
    [{ kind: 'label', label: 16 }, [3, 4]],
    [{ kind: 'route', vrf: 2, address: '10.1.0.3', prefixLength: 32 }, [3]],
    [{ kind: 'route', vrf: 2, address: 'fd01::3', prefixLength: 128 }, [3]],
    [{ kind: 'route', vrf: 3, address: '10.1.0.3', prefixLength: 32 }, [3]],
    [{ kind: 'route', vrf: 3, address: '10.1.0.7', prefixLength: 32 }, [3, 4]],
    [{ kind: 'route', vrf: 2, address: '10.1.0.0', prefixLength: 16 }, [3, 4]],
    [{ kind: 'bridge', vrf: 2, mac: '02:00:00:00:00:01' }, [3]],
    [{ kind: 'bridge', vrf: 2, mac: '00:00:5e:00:01:00' }, [3, 4]],
    [{ kind: 'front', vrf: 0, address: '192.0.2.11', protocol: 6, port: 8080 }, [3]],
    [{ kind: 'service', namespace: 'default', name: 'a', port: '8080', family: 4, isPod: true }, [3]],
    // Services of others are no pod's own business.
    [{ kind: 'front', vrf: 0, address: '192.0.2.11', protocol: 6, port: 30_080 }, []],
    [{ kind: 'service', namespace: 'default', name: 'a', port: '8080', family: 4 }, []],
    // Another node's pod, what is gone already, and the node's own network are nothing that a pod of this node waits for.
    [{ kind: 'route', vrf: 2, address: '10.1.0.9', prefixLength: 32 }, []],
    [{ kind: 'route', vrf: 2, address: '10.1.0.77', prefixLength: 32 }, []],
    [{ kind: 'nexthop', id: 99 }, []],
    [{ kind: 'node' }, []],
  ]
  for (const [subject, vifs] of cases) {
    it(JSON.stringify(subject), () => {
      const failure = { subject }
      assert.deepEqual(
        [...faultsByVif(tables, [failure])],
        vifs.map((id) => [id, failure]),
      )
    })
  }

  it('tells the first of several', () => {
    const [first, second] = [{ subject: { kind: 'vif', id: 3 } }, { subject: { kind: 'vrf', id: 2 } }] as const
    assert.deepEqual(
      [...faultsByVif<{ subject: Subject }>(tables, [first, second])],
      [
        [3, first],
        [4, second],
      ],
    )
  })
})
