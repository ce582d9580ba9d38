import assert from 'node:assert/strict'
import {
  AddressFlag,
  LIFETIME_FOREVER,
  NeighbourState,
  RouteProtocol,
  RouteTable,
} from '@kube-vrouter/linux/netlink/route'
import { aRoute } from '../../../test/doubles/simulated-kernel.ts'
import { agedAddress, agedRoute, SELF, stateOf } from './device-state.ts'
import { defaultGateways } from './gateway.ts'

const NIC = 3
const OTHER = 4

const address = (fields: object) => ({
  index: NIC,
  family: 4 as const,
  address: '10.0.0.1',
  prefixLength: 24,
  peer: undefined,
  broadcast: undefined,
  label: 'eth0',
  scope: 0,
  flags: AddressFlag.PERMANENT as number,
  validLifetime: LIFETIME_FOREVER,
  preferredLifetime: LIFETIME_FOREVER,
  metric: undefined,
  protocol: undefined,
  ...fields,
})
const neighbour = (fields: object) => ({
  index: NIC,
  family: 4 as const,
  address: '10.0.0.9',
  mac: '02:00:00:00:00:09',
  state: NeighbourState.REACHABLE as number,
  flags: 0,
  managed: false,
  externallyLearned: false,
  isRouter: false,
  protocol: undefined,
  probes: undefined,
  ...fields,
})
const dumps = { addresses: [], routes: [], neighbours: [] }

describe('what a device holds', () => {
  it('is its own addresses, without those that failed duplicate address detection', () => {
    const addresses = [
      address({}),
      address({ index: OTHER }),
      address({ address: 'fd00::1', flags: AddressFlag.DADFAILED }),
    ]
    const state = stateOf(NIC, { ...dumps, addresses }, 50)
    assert.deepEqual(
      state.addresses.map(({ address, since }) => [address, since]),
      [['10.0.0.1', 50]],
    )
  })

  it("is its own routes in any table, without the kernel's local ones and the daemon's", () => {
    const route = { family: 4 as const, destination: '10.1.0.0', prefixLength: 16 }
    const routes = [
      aRoute({ ...route, oif: NIC }),
      aRoute({ ...route, oif: NIC, table: 77 }),
      aRoute({ ...route, oif: NIC, table: RouteTable.LOCAL, protocol: RouteProtocol.KERNEL, type: 2 }),
      aRoute({ ...route, oif: NIC, protocol: 118 }),
      aRoute({ ...route, oif: OTHER }),
      aRoute({ ...route, oif: undefined, type: 6 }),
    ]
    const state = stateOf(NIC, { ...dumps, routes }, 50)
    assert.deepEqual(
      state.routes.map(({ table, oif }) => [table, oif]),
      [
        [RouteTable.MAIN, SELF],
        [77, SELF],
      ],
    )
  })

  it('is an IPv4 route with one of its paths, and each path of an IPv6 route by itself', () => {
    const paths = [NIC, OTHER, NIC].map((oif, i) => ({
      oif,
      gateway: `fe80::${i + 1}`,
      weight: 1,
      onlink: false,
      flags: 0,
    }))
    const multipath = { destination: '::', prefixLength: 0, oif: undefined, multipath: paths }
    const state = stateOf(
      NIC,
      { ...dumps, routes: [aRoute({ family: 6, ...multipath }), aRoute({ family: 4, ...multipath })] },
      50,
    )
    assert.deepEqual(
      state.routes.map(({ family, gateway, oif, multipath }) => [
        family,
        gateway,
        oif,
        multipath?.map((path) => path.oif),
      ]),
      [
        [6, 'fe80::1', SELF, undefined],
        [6, 'fe80::3', SELF, undefined],
        [4, undefined, undefined, [SELF, OTHER, SELF]],
      ],
    )
  })

  it('is neighbours with a MAC that can be used, but not those that the daemon manages', () => {
    const neighbours = [
      neighbour({ address: '10.0.0.2' }),
      neighbour({ address: '10.0.0.3', state: NeighbourState.PERMANENT }),
      neighbour({ address: '10.0.0.4', state: NeighbourState.FAILED }),
      neighbour({ address: '10.0.0.5', mac: undefined }),
      neighbour({ address: '10.0.0.6', managed: true }),
      neighbour({ address: '10.0.0.7', index: OTHER }),
    ]
    const state = stateOf(NIC, { ...dumps, neighbours }, 50)
    assert.deepEqual(
      state.neighbours.map(({ address, isPermanent }) => [address, isPermanent]),
      [
        ['10.0.0.2', false],
        ['10.0.0.3', true],
      ],
    )
  })

  it('ages', () => {
    const { index: _, ...held } = address({ validLifetime: 100, preferredLifetime: 50 })
    const at = (now: number) => agedAddress({ ...held, since: 1000 }, now)
    assert.deepEqual([at(1060)?.validLifetime, at(1060)?.preferredLifetime], [40, 0])
    assert.equal(at(1100), undefined)
    assert.equal(
      agedAddress({ ...held, validLifetime: LIFETIME_FOREVER, since: 0 }, 1e9)?.validLifetime,
      LIFETIME_FOREVER,
    )
    const route = aRoute({ family: 6, destination: '::', prefixLength: 0, expires: 100, since: 1000 })
    assert.equal(agedRoute(route, 1060)?.expires, 40)
    assert.equal(agedRoute(route, 1100), undefined)
    assert.equal(agedRoute({ ...route, expires: undefined }, 1e9)?.expires, undefined)
  })
})

describe('the gateway to watch', () => {
  const toAll = { destination: '0.0.0.0', prefixLength: 0 }
  it('is that of the preferred IPv4 default route', () => {
    const routes = [
      aRoute({ family: 6, ...toAll, destination: '::', gateway: 'fe80::1' }),
      aRoute({ family: 4, ...toAll, gateway: '10.0.0.2', metric: 200 }),
      aRoute({ family: 4, ...toAll, gateway: '10.0.0.1', metric: 100 }),
      aRoute({ family: 4, ...toAll, gateway: '10.0.0.3', metric: 50, table: 77 }),
    ]
    assert.deepEqual(defaultGateways({ routes }), ['10.0.0.1'])
  })

  it('is that of IPv6 where there is no other, and none where there is no default route', () => {
    assert.deepEqual(
      defaultGateways({ routes: [aRoute({ family: 6, ...toAll, destination: '::', gateway: 'fe80::1' })] }),
      ['fe80::1'],
    )
    assert.deepEqual(
      defaultGateways({ routes: [aRoute({ family: 4, destination: '10.0.0.0', prefixLength: 24 })] }),
      [],
    )
  })

  it('is every one of a multipath route that the device leads to', () => {
    const path = { weight: 1, onlink: false, flags: 0 }
    const multipath = [
      { ...path, oif: SELF, gateway: '10.0.0.1' },
      { ...path, oif: OTHER, gateway: '10.9.0.1' },
      { ...path, oif: SELF, gateway: '10.0.0.2' },
    ]
    assert.deepEqual(defaultGateways({ routes: [aRoute({ family: 4, ...toAll, oif: undefined, multipath })] }), [
      '10.0.0.1',
      '10.0.0.2',
    ])
  })
})
