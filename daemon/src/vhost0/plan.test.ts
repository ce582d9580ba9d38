import assert from 'node:assert/strict'
import { AddressFlag, LIFETIME_FOREVER } from '@kube-vrouter/linux/netlink/route'
import fc from 'fast-check'
import { aRoute, SimulatedKernel } from '../../../test/doubles/simulated-kernel.ts'
import { originals } from './advertised.ts'
import { type Address, addressKey, type DeviceState, familyOf, type Route, routeIdentity } from './device-state.ts'
import {
  absorb,
  absorbVhost,
  type Holdings,
  holdingsFromVhost,
  holdingsOf,
  type Operation,
  planToNic,
  planToVhost,
} from './plan.ts'

function anAddress(address: string, prefixLength: number, fields: Partial<Address> = {}): Address {
  return {
    family: address.includes(':') ? 6 : 4,
    address,
    prefixLength,
    peer: undefined,
    broadcast: undefined,
    label: undefined,
    scope: address.startsWith('fe80') ? 253 : 0,
    flags: AddressFlag.PERMANENT,
    validLifetime: LIFETIME_FOREVER,
    preferredLifetime: LIFETIME_FOREVER,
    metric: undefined,
    protocol: undefined,
    since: 1000,
    ...fields,
  }
}

/** A NIC as distributions leave it: some subnets, secondary addresses, IPv6, defaults with metrics, extra routes and tables. */
const nics = fc
  .record({
    subnets: fc.uniqueArray(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 2 }),
    hosts: fc.integer({ min: 1, max: 3 }),
    noPrefixRoute: fc.boolean(),
    metric: fc.constantFrom(undefined, 100, 1024),
    hasIpv6: fc.boolean(),
    routers6: fc.integer({ min: 0, max: 2 }),
    lifetime: fc.constantFrom(LIFETIME_FOREVER, 3600),
    extras: fc.subarray(['host', 'via', 'table', 'onlink', 'multipath', 'twice', 'source6'] as const),
    neighbour: fc.boolean(),
  })
  .map((shape) => {
    const kernel = new SimulatedKernel()
    const put = (operation: Operation) => assert.equal(kernel.apply(operation), undefined, JSON.stringify(operation))
    const add = (address: Address) => put({ op: 'add-address', on: 'nic', address, replace: false })
    const route = (fields: Parameters<typeof aRoute>[0]) => put({ op: 'add-route', on: 'nic', route: aRoute(fields) })
    for (const subnet of shape.subnets) {
      for (let host = 0; host < shape.hosts; host++) {
        const flags = AddressFlag.PERMANENT | (shape.noPrefixRoute ? AddressFlag.NOPREFIXROUTE : 0)
        add(
          anAddress(`10.0.${subnet}.${11 + host}`, 24, {
            flags,
            metric: shape.metric,
            validLifetime: shape.lifetime,
            preferredLifetime: shape.lifetime,
          }),
        )
      }
      if (shape.noPrefixRoute)
        route({ family: 4, destination: `10.0.${subnet}.0`, prefixLength: 24, scope: 253, metric: 100 })
    }
    const gateway = `10.0.${shape.subnets[0]}.1`
    const source = `10.0.${shape.subnets[0]}.11`
    route({ family: 4, destination: '0.0.0.0', prefixLength: 0, gateway, metric: shape.metric, source })
    if (shape.hasIpv6) {
      add(anAddress('fe80::11', 64))
      add(anAddress('fd00::11', 64, { validLifetime: shape.lifetime, preferredLifetime: shape.lifetime }))
      for (let n = 1; n <= shape.routers6; n++) {
        route({
          family: 6,
          destination: '::',
          prefixLength: 0,
          gateway: `fe80::${n}`,
          metric: 1024,
          expires: 1800,
          protocol: 9,
        })
      }
      if (shape.extras.includes('source6')) {
        route({
          family: 6,
          destination: 'fd01::',
          prefixLength: 64,
          gateway: 'fd00::1',
          metric: 1024,
          source: 'fd00::11',
        })
      }
    }
    if (shape.extras.includes('host')) route({ family: 4, destination: '10.9.9.9', prefixLength: 32, scope: 253 })
    if (shape.extras.includes('via')) route({ family: 4, destination: '10.8.0.0', prefixLength: 16, gateway })
    if (shape.extras.includes('table'))
      route({ family: 4, destination: '10.8.0.0', prefixLength: 16, gateway, table: 77 })
    if (shape.extras.includes('onlink'))
      route({ family: 4, destination: '10.7.0.0', prefixLength: 16, gateway: '172.16.0.1', onlink: true })
    if (shape.extras.includes('multipath')) {
      const path = { weight: 1, onlink: false, flags: 0 }
      const multipath = [
        { ...path, oif: 0, gateway },
        { ...path, oif: 99 },
      ]
      route({ family: 4, destination: '10.6.0.0', prefixLength: 16, oif: undefined, multipath })
    }
    if (shape.extras.includes('twice')) {
      route({
        family: 4,
        destination: '0.0.0.0',
        prefixLength: 0,
        gateway: `10.0.${shape.subnets[0]}.2`,
        metric: shape.metric,
      })
    }
    if (shape.neighbour) {
      kernel.devices.nic.neighbours.push({ address: gateway, mac: '0a:00:00:00:00:01', isPermanent: false })
      kernel.devices.nic.neighbours.push({
        address: `10.0.${shape.subnets[0]}.50`,
        mac: '0a:00:00:00:00:02',
        isPermanent: true,
      })
    }
    return kernel
  })

const identities = (state: DeviceState) => originals(state.routes).map(routeIdentity).sort()
const keys = (state: { readonly addresses: readonly Address[] }) => state.addresses.map(addressKey).sort()

const keysInOrder = (addresses: readonly Address[]) => addresses.map(addressKey)
const byFamily = (addresses: readonly Address[]) =>
  [4, 6].map((family) => addresses.filter((address) => familyOf(address) === family).map((a) => ({ ...a, since: 0 })))

/** What must stay true at every moment: no address and no route of the node is ever missing. */
class Watchdog {
  readonly #kernel: SimulatedKernel
  readonly #addresses: readonly string[]
  readonly #routes: readonly string[]

  constructor(kernel: SimulatedKernel) {
    this.#kernel = kernel
    this.#addresses = keys(kernel.devices.nic)
    this.#routes = kernel.devices.nic.routes.map(routeIdentity)
  }

  check(after: Operation): void {
    const { nic, vhost } = this.#kernel.devices
    const addresses = new Set([...keys(nic), ...keys(vhost)])
    const routes = new Set(originals([...nic.routes, ...vhost.routes]).map(routeIdentity))
    for (const key of this.#addresses) assert.ok(addresses.has(key), `${key} is missing after ${JSON.stringify(after)}`)
    for (const key of this.#routes) assert.ok(routes.has(key), `${key} is missing after ${JSON.stringify(after)}`)
  }
}

/** Plans and applies until there is nothing to do, or `budget` operations are done (a crash). Returns whether it came to an end. */
function run(
  kernel: SimulatedKernel,
  next: () => Operation[],
  options: { budget?: number; watchdog?: Watchdog } = {},
): boolean {
  let budget = options.budget ?? Number.POSITIVE_INFINITY
  for (let round = 0; round < 10; round++) {
    const operations = next()
    if (operations.length === 0) return true
    for (const operation of operations) {
      if (budget-- <= 0) return false
      assert.equal(kernel.apply(operation), undefined, `refused: ${JSON.stringify(operation)}`)
      options.watchdog?.check(operation)
    }
  }
  assert.fail('the plan never ends')
}

function toVhost(kernel: SimulatedKernel, holdings: Holdings, options?: Parameters<typeof run>[2]): boolean {
  return run(kernel, () => planToVhost(absorb(holdings, kernel.situation(), false), kernel.situation()), options)
}

function toNic(kernel: SimulatedKernel, holdings: Holdings, options?: Parameters<typeof run>[2]): boolean {
  const all = () => absorbVhost(absorb(holdings, kernel.situation(), false), kernel.devices.vhost)
  return run(kernel, () => planToNic(all(), kernel.situation(), false), options)
}

describe('plan of the vhost0 migration', () => {
  it('moves everything, whatever the NIC holds and wherever it is interrupted, and never lets go of anything', () => {
    fc.assert(
      fc.property(nics, fc.array(fc.nat({ max: 25 }), { maxLength: 4 }), (kernel, crashes) => {
        const before = structuredClone(kernel.devices.nic)
        const holdings = holdingsOf(kernel.situation().nic)
        const watchdog = new Watchdog(kernel)
        for (const budget of crashes) toVhost(kernel, holdings, { budget, watchdog })
        assert.ok(toVhost(kernel, holdings, { watchdog }))
        const { nic, vhost } = kernel.devices
        assert.deepEqual(nic.addresses, [])
        assert.deepEqual(nic.routes, [])
        assert.ok(nic.neighbours.every(({ isPermanent }) => !isPermanent))
        assert.ok(kernel.isIpv6Disabled)
        assert.deepEqual(byFamily(vhost.addresses).map(keysInOrder), byFamily(before.addresses).map(keysInOrder))
        assert.deepEqual(identities(vhost), identities(before))
        assert.deepEqual(planToVhost(absorb(holdings, kernel.situation(), true), kernel.situation()), [])
      }),
      { numRuns: 500 },
    )
  })

  it('puts everything back as it was, wherever the migration and the way back were interrupted', () => {
    fc.assert(
      fc.property(
        nics,
        fc.nat({ max: 60 }),
        fc.array(fc.nat({ max: 25 }), { maxLength: 4 }),
        (kernel, progress, crashes) => {
          const before = structuredClone(kernel.devices.nic)
          const holdings = holdingsOf(kernel.situation().nic)
          const watchdog = new Watchdog(kernel)
          toVhost(kernel, holdings, { budget: progress, watchdog })
          for (const budget of crashes) toNic(kernel, holdings, { budget, watchdog })
          assert.ok(toNic(kernel, holdings, { watchdog }))
          const { nic, vhost } = kernel.devices
          assert.deepEqual(vhost.addresses, [])
          assert.deepEqual(vhost.routes, [])
          assert.deepEqual(byFamily(nic.addresses), byFamily(before.addresses))
          assert.deepEqual(identities(nic), identities(before))
          assert.equal(kernel.isIpv6Disabled, false)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('finds its way back without a record', () => {
    fc.assert(
      fc.property(nics, (kernel) => {
        const before = structuredClone(kernel.devices.nic)
        assert.ok(toVhost(kernel, holdingsOf(kernel.situation().nic)))
        assert.ok(toNic(kernel, holdingsFromVhost(kernel.situation().vhost!)))
        assert.deepEqual(keys(kernel.devices.nic), keys(before))
        const missing = identities(before).filter((identity) => !identities(kernel.devices.nic).includes(identity))
        assert.deepEqual(missing, [])
      }),
      { numRuns: 100 },
    )
  })
})

describe('changes after the migration', () => {
  const gateway = (address: string, fields: Partial<Route> = {}) =>
    aRoute({ family: 4, destination: '0.0.0.0', prefixLength: 0, gateway: address, metric: 100, ...fields })

  function settled(): { kernel: SimulatedKernel; holdings: Holdings } {
    const kernel = new SimulatedKernel()
    const lifetime = { validLifetime: 3600, preferredLifetime: 3600 }
    kernel.apply({ op: 'add-address', on: 'nic', address: anAddress('10.0.1.11', 24, lifetime), replace: false })
    kernel.apply({ op: 'add-address', on: 'nic', address: anAddress('10.0.1.12', 24), replace: false })
    kernel.apply({ op: 'add-route', on: 'nic', route: gateway('10.0.1.1', { source: '10.0.1.11' }) })
    const holdings = holdingsOf(kernel.situation().nic)
    assert.ok(toVhost(kernel, holdings))
    return { kernel, holdings }
  }

  function follow(kernel: SimulatedKernel, holdings: Holdings): Holdings {
    let current = holdings
    assert.ok(
      run(kernel, () => {
        current = absorb(current, kernel.situation(), true)
        return planToVhost(current, kernel.situation())
      }),
    )
    return current
  }

  it('moves an address that appears on the NIC', () => {
    const { kernel, holdings } = settled()
    kernel.apply({ op: 'add-address', on: 'nic', address: anAddress('10.0.2.5', 24), replace: false })
    follow(kernel, holdings)
    assert.deepEqual(kernel.devices.nic.addresses, [])
    assert.deepEqual(kernel.devices.nic.routes, [])
    assert.ok(kernel.devices.vhost.addresses.some(({ address }) => address === '10.0.2.5'))
    assert.ok(kernel.devices.vhost.routes.some(({ destination }) => destination === '10.0.2.0'))
  })

  it('takes over the lifetimes of a renewed lease', () => {
    const { kernel, holdings } = settled()
    kernel.now += 1800
    const lifetime = { validLifetime: 7200, preferredLifetime: 7200 }
    kernel.apply({ op: 'add-address', on: 'nic', address: anAddress('10.0.1.11', 24, lifetime), replace: false })
    follow(kernel, holdings)
    assert.deepEqual(kernel.devices.nic.addresses, [])
    const address = kernel.devices.vhost.addresses.find((a) => a.address === '10.0.1.11')
    assert.equal(address?.validLifetime, 7200)
    assert.ok(address.flags & AddressFlag.NOPREFIXROUTE)
  })

  it('lets a new default route take the place of the old one, once', () => {
    const { kernel, holdings } = settled()
    kernel.apply({ op: 'add-address', on: 'nic', address: anAddress('10.0.1.11', 24), replace: false })
    kernel.apply({ op: 'add-route', on: 'nic', route: gateway('10.0.1.2') })
    const after = follow(kernel, holdings)
    const defaults = kernel.devices.vhost.routes.filter(({ prefixLength }) => prefixLength === 0)
    assert.deepEqual(
      defaults.map((route) => route.gateway),
      ['10.0.1.2'],
    )
    assert.deepEqual(after.obsolete, [])
  })

  it('puts back a route that vhost0 lost', () => {
    const { kernel, holdings } = settled()
    kernel.devices.vhost.routes = []
    follow(kernel, holdings)
    assert.deepEqual(
      kernel.devices.vhost.routes.map(({ gateway }) => gateway),
      [undefined, '10.0.1.1'],
    )
  })

  it('makes room for the route of the next advertisement, and lets it go with its router', () => {
    const { kernel, holdings } = settled()
    kernel.isIpv6Disabled = false
    const put = (on: 'nic' | 'vhost', route: Route) =>
      assert.equal(kernel.apply({ op: 'add-route', on, route }), undefined)
    const fields = { destination: '::', prefixLength: 0, gateway: 'fe80::1', metric: 1024, expires: 1800, protocol: 9 }
    const route = aRoute({ family: 6, ...fields })
    const routers = () => kernel.devices.vhost.routes.filter(({ family }) => family === 6)
    put('nic', route)
    let held = follow(kernel, holdings)
    assert.deepEqual(
      routers().map(({ protocol, metric }) => [protocol, metric]),
      [[119, 1025]],
    )
    put('vhost', { ...route, expires: 9000 })
    held = follow(kernel, held)
    assert.deepEqual(routers().map(routeIdentity), [routeIdentity(route)])
    kernel.apply({ op: 'delete-route', on: 'vhost', route })
    held = follow(kernel, held)
    assert.deepEqual(routers(), [], 'withdrawn')
    assert.ok(!held.routes.some(({ family }) => family === 6))
  })

  it('puts everything back on a vhost0 that was made anew', () => {
    const { kernel, holdings } = settled()
    kernel.devices.vhost = { addresses: [], routes: [], neighbours: [] }
    follow(kernel, holdings)
    assert.equal(kernel.devices.vhost.addresses.length, 2)
    assert.equal(kernel.devices.vhost.routes.length, 2)
  })

  it('gives up an address that somebody took off vhost0, with the routes that need it', () => {
    const { kernel, holdings } = settled()
    kernel.apply({
      op: 'add-route',
      on: 'vhost',
      route: aRoute({ family: 4, destination: '10.5.0.0', prefixLength: 16, source: '10.0.1.12' }),
    })
    kernel.devices.vhost.addresses = kernel.devices.vhost.addresses.filter(({ address }) => address !== '10.0.1.12')
    const after = follow(kernel, {
      ...holdings,
      routes: [
        ...holdings.routes,
        aRoute({ family: 4, destination: '10.5.0.0', prefixLength: 16, source: '10.0.1.12' }),
      ],
    })
    assert.deepEqual(keys(after), ['10.0.1.11/24'])
    assert.ok(!after.routes.some(({ source }) => source === '10.0.1.12'))
  })

  it('forgets addresses and routes whose time is over', () => {
    const { kernel, holdings } = settled()
    kernel.now += 4000
    kernel.devices.vhost.addresses = kernel.devices.vhost.addresses.filter(({ address }) => address !== '10.0.1.11')
    kernel.devices.vhost.routes = kernel.devices.vhost.routes.filter(({ source }) => source !== '10.0.1.11')
    const after = follow(kernel, holdings)
    assert.deepEqual(keys(after), ['10.0.1.12/24'])
    assert.ok(!after.routes.some(({ source }) => source === '10.0.1.11'))
  })

  it('takes what came to vhost0 itself along on the way back', () => {
    const { kernel, holdings } = settled()
    kernel.apply({ op: 'add-address', on: 'vhost', address: anAddress('10.0.3.1', 32), replace: false })
    kernel.apply({
      op: 'add-route',
      on: 'vhost',
      route: aRoute({ family: 4, destination: '10.4.0.0', prefixLength: 16, gateway: '10.0.1.1' }),
    })
    assert.ok(toNic(kernel, holdings))
    assert.ok(kernel.devices.nic.addresses.some(({ address }) => address === '10.0.3.1'))
    assert.ok(kernel.devices.nic.routes.some(({ destination }) => destination === '10.4.0.0'))
  })

  it('puts an address back that is nowhere, as long as the migration is not complete', () => {
    const { kernel, holdings } = settled()
    kernel.devices.vhost.addresses = kernel.devices.vhost.addresses.filter(({ address }) => address !== '10.0.1.12')
    assert.ok(toVhost(kernel, holdings))
    assert.ok(kernel.devices.vhost.addresses.some(({ address }) => address === '10.0.1.12'))
  })

  it('moves a permanent neighbour that appears on the NIC', () => {
    const { kernel, holdings } = settled()
    const neighbour = { address: '10.0.1.50', mac: '02:00:00:00:00:50', isPermanent: true }
    kernel.apply({ op: 'set-neighbour', on: 'nic', neighbour })
    const after = follow(kernel, holdings)
    assert.deepEqual(after.neighbours, [neighbour])
    assert.deepEqual(kernel.devices.nic.neighbours, [])
    assert.deepEqual(kernel.devices.vhost.neighbours, [neighbour])
  })

  it('closes IPv6 on the NIC again when somebody opened it', () => {
    const { kernel, holdings } = settled()
    kernel.isIpv6Disabled = false
    follow(kernel, holdings)
    assert.equal(kernel.isIpv6Disabled, true)
  })
})
