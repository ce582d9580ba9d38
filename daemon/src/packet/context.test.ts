import assert from 'node:assert/strict'
import { formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import fc from 'fast-check'
import { Rib } from '../model/rib/rib.ts'
import type { Route, Tables, Vif } from '../model/tables.ts'
import {
  compileContext,
  contextFromTables,
  deltaBetween,
  EMPTY_CONTEXT,
  isOwn,
  isSubnetBroadcast,
  routerAddress,
  withDelta,
} from './context.ts'

function route(address: string, prefixLength: number, kind: Route['kind']): Route {
  const flags = { arpProxy: false, arpFlood: false, arpTrap: false }
  return { address, prefixLength, kind, flags, nexthop: 1, paths: [] }
}

const host: Vif = {
  id: 1,
  type: 'host',
  name: 'vhost0',
  ifindex: 4,
  vrf: 0,
  flowNexthop: 5,
  mtu: 1500,
  mac: '0a:00:00:00:00:01',
  ip4: '192.168.0.11',
  flags: 0,
  maxFlows: 0,
}

const tables: Pick<Tables, 'vrfs' | 'vifs' | 'inet' | 'inet6'> = {
  vrfs: [0, 2, 3].map((id) => ({ id, name: `vrf${id}`, uuid: '', forwardingVrf: id })),
  vifs: [host],
  inet: new Map([
    [0, [route('192.168.0.0', 24, 'fabric')]],
    [
      2,
      [
        route('10.0.0.0', 24, 'subnet'),
        route('10.0.0.1', 32, 'gateway'),
        route('10.0.0.2', 32, 'service'),
        route('10.0.0.5', 32, 'pod'),
        route('10.1.0.0', 24, 'subnet'),
        route('10.1.0.1', 32, 'gateway'),
      ],
    ],
  ]),
  inet6: new Map([[2, [route('fd00::', 64, 'subnet'), route('fd00::1', 128, 'gateway')]]]),
}

describe('packet context', () => {
  it('takes own addresses and subnets from the tables', () => {
    const context = contextFromTables(tables)
    assert.deepEqual([...context.vrfs.keys()], [0, 2])
    assert.deepEqual(context.vrfs.get(2), {
      own: ['10.0.0.1', '10.0.0.2', '10.1.0.1', 'fd00::1'],
      subnets: [
        { address: '10.0.0.0', prefixLength: 24, router: '10.0.0.1' },
        { address: '10.1.0.0', prefixLength: 24, router: '10.1.0.1' },
        { address: 'fd00::', prefixLength: 64, router: 'fd00::1' },
      ],
    })
    assert.deepEqual(context.vrfs.get(0), {
      own: [],
      subnets: [{ address: '0.0.0.0', prefixLength: 0, router: '192.168.0.11' }],
    })
    assert.equal(context.routerMac, '00:00:5e:00:01:00')
  })

  const pod: Vif = {
    ...host,
    ...{ id: 5, type: 'virtual', name: 'tap5', ifindex: 9, vrf: 2, mac: '00:00:5e:00:01:00', port: 'u5' },
    ...{ peerMac: '02:00:00:00:00:05', ip4: '10.0.0.5', ip6: 'fd00::5', moreAddresses: ['10.0.0.99'] },
  }

  it('says who is behind every vif of a pod', () => {
    const { vifs } = contextFromTables({ ...tables, vifs: [host, pod] })
    const addresses = ['10.0.0.5', 'fd00::5', '10.0.0.99']
    assert.deepEqual([...vifs], [[5, { vrf: 2, mac: '02:00:00:00:00:05', addresses, port: 'u5' }]])
  })

  it('is told by what is different, and that makes of one context the other, whatever changed', () => {
    const contexts = [
      EMPTY_CONTEXT,
      contextFromTables(tables),
      contextFromTables({ ...tables, vifs: [host, pod] }),
      contextFromTables({ ...tables, vifs: [host, { ...pod, ip4: '10.0.0.6' }] }),
      contextFromTables({ ...tables, inet: new Map([[3, [route('10.3.0.1', 32, 'gateway')]]]) }),
      { ...contextFromTables(tables), services: ['dns' as const] },
    ]
    for (const before of contexts) {
      for (const after of contexts) {
        const delta = deltaBetween(before, after)
        const told = compileContext(before)
        assert.deepEqual(delta === undefined ? told : withDelta(told, delta), compileContext(after))
      }
    }
    // The worker needs to know of no pod, only that one is gone.
    assert.equal(deltaBetween(contexts[1]!, contexts[2]!), undefined)
    assert.equal(deltaBetween(contexts[2]!, contexts[3]!), undefined)
    assert.deepEqual(deltaBetween(contexts[2]!, contexts[1]!), { vrfs: [], goneVifs: [5] })
    assert.equal(deltaBetween(contextFromTables(tables), contextFromTables({ ...tables })), undefined)
  })

  it('is what the lists say, where the RIB tells what is different, too', () => {
    const kinds: readonly Route['kind'][] = ['gateway', 'subnet', 'service', 'remote-pod', 'remote-pod', 'pod']
    const step = fc.record({
      route: fc.record({ at: fc.nat(5), kind: fc.constantFrom(...kinds), isIpv6: fc.boolean() }),
      isThere: fc.boolean(),
      isSeen: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const rib = new Rib()
        const offers = rib.open({ id: 2, name: 'vrf2', vn: 'red' })
        const who = { by: { name: 'test', preference: 1 }, source: 's' }
        for (const { route: one, isThere, isSeen } of steps) {
          const [address, length] = one.isIpv6 ? [`fd00::${one.at}`, 128] : [`10.0.0.${one.at}`, 32]
          if (isThere) offers.offer({ ...who, route: route(address, length, one.kind) })
          else offers.withdraw(address, length, who)
          for (const _ of rib.commit(() => undefined));
          if (!isSeen) continue
          const lists = { inet: new Map([[2, rib.routes(2, 4)]]), inet6: new Map([[2, rib.routes(2, 6)]]) }
          const told = contextFromTables({ ...tables, ...lists, routeLog: rib })
          assert.deepEqual(told, contextFromTables({ ...tables, ...lists }))
        }
      }),
    )
  })

  it('looks at no route again when other nodes’ pods come and go', () => {
    const rib = new Rib()
    const offers = rib.open({ id: 2, name: 'vrf2', vn: 'red' })
    const who = { by: { name: 'test', preference: 1 }, source: 's' }
    const contextNow = () => {
      for (const _ of rib.commit(() => undefined));
      return contextFromTables({ ...tables, inet: new Map([[2, rib.routes(2, 4)]]), inet6: new Map(), routeLog: rib })
    }
    offers.offer({ ...who, route: route('10.0.0.1', 32, 'gateway') })
    const first = contextNow().vrfs.get(2)
    offers.offer({ ...who, route: route('10.0.0.9', 32, 'remote-pod') })
    assert.equal(contextNow().vrfs.get(2), first)
    offers.withdraw('10.0.0.9', 32, who)
    assert.equal(contextNow().vrfs.get(2), first)
    offers.withdraw('10.0.0.1', 32, who)
    assert.equal(contextNow().vrfs.get(2), undefined)
  })

  it('is the same where the lists of routes are, and another one where a host address changes', () => {
    const before = contextFromTables(tables)
    assert.equal(contextFromTables({ ...tables, vifs: [...tables.vifs] }).vrfs.get(2), before.vrfs.get(2))
    const moved = tables.vifs.map((vif) => (vif.type === 'host' ? { ...vif, ip4: '192.0.2.99' } : vif))
    const other = contextFromTables({ ...tables, vifs: moved })
    assert.deepEqual(
      deltaBetween(before, other)?.vrfs.map(([id, vrf]) => [id, vrf?.subnets.map(({ router }) => router)]),
      [[0, ['192.0.2.99']]],
    )
  })

  it('speaks with the address of the subnet that the peer is in', () => {
    const vrf = compileContext(contextFromTables(tables)).vrfs.get(2)!
    const towards = (peer: string) => formatAddress(routerAddress(vrf, parseAddress(peer))!)
    assert.equal(towards('10.1.0.9'), '10.1.0.1')
    assert.equal(towards('10.0.0.9'), '10.0.0.1')
    assert.equal(towards('203.0.113.1'), '10.0.0.1')
    assert.equal(towards('2001:db8::1'), 'fd00::1')
    assert.ok(isOwn(vrf, parseAddress('fd00::1')))
    assert.ok(!isOwn(vrf, parseAddress('10.0.0.5')))
  })

  it('knows the broadcast addresses of its subnets', () => {
    const vrf = compileContext(contextFromTables(tables)).vrfs.get(2)!
    assert.ok(isSubnetBroadcast(vrf, parseAddress('10.0.0.255')))
    assert.ok(!isSubnetBroadcast(vrf, parseAddress('10.0.0.254')))
    assert.ok(!isSubnetBroadcast(vrf, parseAddress('10.2.0.255')))
    const point = compileContext({
      routerMac: '00:00:5e:00:01:00',
      vrfs: new Map([[1, { own: [], subnets: [{ address: '10.0.0.0', prefixLength: 31, router: '10.0.0.0' }] }]]),
      services: [],
    })
    assert.ok(!isSubnetBroadcast(point.vrfs.get(1)!, parseAddress('10.0.0.1')))
  })
})
