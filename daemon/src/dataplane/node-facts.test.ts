import assert from 'node:assert/strict'
import {
  AddressFlag,
  type AddressInfo,
  type LinkInfo,
  type NeighbourInfo,
  NeighbourState,
  type RouteInfo,
  RouteType,
  Scope,
} from '@kube-vrouter/linux/netlink/route'
import { factsOf, isSameFacts, type NodeState } from './node-facts.ts'

const NIC = 10
const VHOST = 11

const link = (index: number, name: string) => ({ index, name, mac: '02:00:00:00:00:aa', mtu: 9000 }) as LinkInfo
const address = (index: number, text: string, prefixLength = 24, more: Partial<AddressInfo> = {}) =>
  ({
    index,
    family: 4,
    address: text,
    prefixLength,
    scope: Scope.UNIVERSE,
    flags: AddressFlag.PERMANENT,
    ...more,
  }) as AddressInfo
const route = (destination: string, prefixLength: number, more: Partial<RouteInfo> = {}) =>
  ({ family: 4, destination, prefixLength, oif: VHOST, type: RouteType.UNICAST, tos: 0, ...more }) as RouteInfo
const hop = (oif: number, gateway: string) => ({ oif, gateway, weight: 1, onlink: false, flags: 0 })
const neighbour = (text: string, state: number, more: Partial<NeighbourInfo> = {}) =>
  ({ index: VHOST, family: 4, address: text, mac: '02:00:00:00:00:01', state, ...more }) as NeighbourInfo

const state = (more: Partial<NodeState> = {}): NodeState => ({
  nic: link(NIC, 'eth0'),
  vhost: link(VHOST, 'vhost0'),
  agent: link(12, 'pkt0'),
  addresses: [address(VHOST, '192.0.2.11')],
  routes: [route('0.0.0.0', 0, { gateway: '192.0.2.1' }), route('192.0.2.0', 24)],
  neighbours: [],
  ...more,
})
const facts = (more: Partial<NodeState> = {}) => factsOf('node-1', state(more))

describe('facts of the node', () => {
  it('are those of vhost0 with the MAC and MTU of the NIC', () => {
    assert.deepEqual(facts().underlay, {
      ...{ name: 'eth0', ifindex: NIC, mac: '02:00:00:00:00:aa', mtu: 9000 },
      ...{ address: '192.0.2.11', prefixLength: 24, gateway: '192.0.2.1' },
    })
  })

  it('are those of the NIC as long as vhost0 has no address', () => {
    const found = facts({
      addresses: [address(NIC, '198.51.100.7', 16)],
      routes: [route('0.0.0.0', 0, { oif: NIC, gateway: '198.51.0.1' }), route('10.9.0.0', 16)],
      neighbours: [
        neighbour('198.51.0.1', NeighbourState.REACHABLE, { index: NIC }),
        neighbour('192.0.2.9', NeighbourState.STALE),
      ],
    })
    assert.deepEqual([found.underlay.address, found.underlay.gateway], ['198.51.100.7', '198.51.0.1'])
    assert.deepEqual(found.fabricRoutes, [{ destination: '0.0.0.0', prefixLength: 0, gateway: '198.51.0.1' }])
    assert.deepEqual([...found.neighbours.keys()], ['198.51.0.1'])
  })

  it('tell what the host reaches by other devices, or not at all', () => {
    const routes = [
      ...state().routes,
      route('172.17.0.0', 16, { oif: 40 }),
      route('10.8.0.0', 16, { oif: 41, gateway: '172.17.0.9' }),
      route('0.0.0.0', 0, { oif: 41, gateway: '172.17.0.9', metric: 900 }),
      route('10.9.0.0', 16, { oif: undefined, type: RouteType.BLACKHOLE }),
      route('10.7.0.0', 16, { oif: NIC }),
    ]
    assert.deepEqual(
      facts({ routes }).otherRoutes.map(({ destination }) => destination),
      ['10.8.0.0', '10.9.0.0', '172.17.0.0'],
    )
  })

  it('take the address in the gateway’s subnet, never a secondary or a link-scope one', () => {
    const addresses = [
      address(VHOST, '169.254.3.3', 16, { scope: Scope.LINK }),
      address(VHOST, '10.0.0.5', 24),
      address(VHOST, '192.0.2.12', 24, { flags: AddressFlag.SECONDARY }),
      address(VHOST, '192.0.2.11', 24),
    ]
    assert.equal(facts({ addresses }).underlay.address, '192.0.2.11')
    assert.equal(facts({ addresses, routes: [] }).underlay.address, '10.0.0.5')
  })

  it('can not be had without an address', () => {
    assert.throws(() => facts({ addresses: [] }), { code: 'UNDERLAY_NO_ADDRESS', remedy: /address of the node/ })
  })

  it('hold the best route of each destination, in order', () => {
    const { fabricRoutes } = facts({
      routes: [
        route('198.51.100.0', 24, { gateway: '192.0.2.8', metric: 200 }),
        route('198.51.100.0', 24, { gateway: '192.0.2.9', metric: 100 }),
        route('192.0.2.0', 24),
        route('10.0.0.0', 8, { oif: 99, gateway: '10.1.1.1' }),
        route('10.66.0.0', 16, { type: RouteType.BLACKHOLE }),
        route('10.77.0.0', 16, { gateway: 'fe80::1' }),
        route('0.0.0.0', 0, {
          oif: undefined,
          multipath: [hop(99, '9.9.9.9'), hop(VHOST, '192.0.2.1')],
        }),
      ],
    })
    assert.deepEqual(fabricRoutes, [
      { destination: '0.0.0.0', prefixLength: 0, gateway: '192.0.2.1' },
      { destination: '192.0.2.0', prefixLength: 24, gateway: undefined },
      { destination: '198.51.100.0', prefixLength: 24, gateway: '192.0.2.9' },
    ])
  })

  it('hold neighbours whose MAC can be used', () => {
    const { neighbours } = facts({
      neighbours: [
        neighbour('192.0.2.30', NeighbourState.STALE),
        neighbour('192.0.2.4', NeighbourState.PERMANENT),
        neighbour('192.0.2.5', NeighbourState.FAILED),
        neighbour('192.0.2.6', NeighbourState.INCOMPLETE, { mac: undefined }),
      ],
    })
    assert.deepEqual([...neighbours.keys()], ['192.0.2.4', '192.0.2.30'])
  })

  it('name the other devices that are up, part of no other, and have an address of the world', () => {
    const device = (index: number, name: string, more: Partial<LinkInfo> = {}) =>
      ({ ...link(index, name), type: 1, up: true, ...more }) as LinkInfo
    const { otherDevices } = facts({
      others: {
        links: [
          device(31, 'docker0', { kind: 'bridge' }),
          device(21, 'eth1'),
          device(22, 'eth2', { up: false }),
          device(23, 'eth3', { masterIndex: 31 }),
          device(24, 'wg0', { type: 65534 }),
          device(25, 'eth4'),
        ],
        addresses: [
          address(21, '10.77.0.2', 24, { flags: AddressFlag.PERMANENT | AddressFlag.SECONDARY }),
          address(21, '10.77.0.1'),
          address(21, '2001:db8:77::1', 64, { family: 6 }),
          ...[22, 23, 24].map((index) => address(index, `10.${index}.0.1`)),
          address(25, '2001:db8:25::1', 64, { family: 6, flags: AddressFlag.TENTATIVE }),
          address(31, '172.17.0.1'),
        ],
      },
    })
    assert.deepEqual(otherDevices, [
      { name: 'eth1', ifindex: 21, mtu: 9000, address: '10.77.0.1', address6: '2001:db8:77::1' },
      { name: 'docker0', ifindex: 31, mtu: 9000, kind: 'bridge', address: '172.17.0.1' },
    ])
  })

  it('are the same when only the state of a neighbour has changed', () => {
    const with_ = (...neighbours: NeighbourInfo[]) => facts({ neighbours })
    const a = with_(neighbour('192.0.2.4', NeighbourState.STALE))
    assert.equal(isSameFacts(a, with_(neighbour('192.0.2.4', NeighbourState.REACHABLE))), true)
    assert.equal(
      isSameFacts(a, with_(neighbour('192.0.2.4', NeighbourState.STALE, { mac: '02:00:00:00:00:02' }))),
      false,
    )
    assert.equal(isSameFacts(a, with_()), false)
    assert.equal(isSameFacts(facts(), facts({ nic: { ...link(NIC, 'eth0'), mtu: 1500 } })), false)
  })
})
