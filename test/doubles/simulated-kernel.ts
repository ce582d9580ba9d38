/**
 * A kernel for the plan's tests: addresses and routes of two devices with the rules of Linux that a migration can trip over. An IPv4 address
 * goes with its primary; the last one takes the device's routes along; deleting an address takes the routes that prefer it; addresses bring
 * prefix routes; a gateway must be reachable over the same device; disabling IPv6 empties it.
 */
import { AddressFlag, RouteProtocol, RouteTable, RouteType, Scope } from '@kube-vrouter/linux/netlink/route'
import {
  type Address,
  addressKey,
  type DeviceState,
  familyOf,
  type Route,
  routeIdentity,
  SELF,
} from '../../daemon/src/vhost0/device-state.ts'
import type { Operation, Side, Situation } from '../../daemon/src/vhost0/plan.ts'

const SETTABLE = AddressFlag.NODAD | AddressFlag.NOPREFIXROUTE | AddressFlag.MANAGETEMPADDR

interface Device {
  addresses: Address[]
  routes: Route[]
  neighbours: DeviceState['neighbours'][number][]
}

export class SimulatedKernel {
  readonly devices: Record<Side, Device> = {
    nic: { addresses: [], routes: [], neighbours: [] },
    vhost: { addresses: [], routes: [], neighbours: [] },
  }
  isIpv6Disabled = false
  now = 1000

  situation(): Situation {
    const { nic, vhost } = structuredClone(this.devices)
    return { nic: { ...nic, isIpv6Disabled: this.isIpv6Disabled }, vhost, now: this.now }
  }

  /** Applies one operation; a refusal is named. Adding what is there and deleting what isn't are no refusals, as in the real executor. */
  apply(operation: Operation): string | undefined {
    switch (operation.op) {
      case 'add-address':
        return this.#addAddress(operation.on, operation.address, operation.replace)
      case 'delete-address':
        this.#deleteAddress(operation.on, operation.address)
        return undefined
      case 'add-route':
        return this.#addRoute(operation.on, operation.route)
      case 'delete-route': {
        const device = this.devices[operation.on]
        const at = device.routes.findIndex((route) => routeIdentity(route) === routeIdentity(operation.route))
        if (at >= 0) device.routes.splice(at, 1)
        return undefined
      }
      case 'set-neighbour': {
        const device = this.devices[operation.on]
        device.neighbours = device.neighbours.filter(({ address }) => address !== operation.neighbour.address)
        device.neighbours.push(operation.neighbour)
        return undefined
      }
      case 'delete-neighbour': {
        const device = this.devices[operation.on]
        device.neighbours = device.neighbours.filter(({ address }) => address !== operation.neighbour.address)
        return undefined
      }
      case 'disable-ipv6':
        this.isIpv6Disabled = operation.value
        if (operation.value) {
          const { nic } = this.devices
          nic.addresses = nic.addresses.filter((address) => familyOf(address) === 4)
          nic.routes = nic.routes.filter(({ family }) => family === 4)
          nic.neighbours = nic.neighbours.filter((neighbour) => familyOf(neighbour) === 4)
        }
        return undefined
    }
  }

  #addAddress(on: Side, address: Address, replace: boolean): string | undefined {
    const device = this.devices[on]
    if (familyOf(address) === 6 && on === 'nic' && this.isIpv6Disabled) return 'EACCES'
    const there = device.addresses.findIndex((a) => addressKey(a) === addressKey(address))
    if (there >= 0 && !replace) return undefined
    const stored = { ...address, flags: (address.flags & SETTABLE) | AddressFlag.PERMANENT, since: this.now }
    if (there >= 0) device.addresses[there] = stored
    else if (familyOf(stored) === 4) device.addresses.push(stored)
    else device.addresses.unshift(stored)
    const isSecondary =
      familyOf(address) === 4 && device.addresses.some((a) => a !== stored && network(a) === network(stored))
    if (there < 0 && !isSecondary && (address.flags & AddressFlag.NOPREFIXROUTE) === 0) {
      const route = prefixRoute(address, this.now)
      if (!device.routes.some((r) => routeIdentity(r) === routeIdentity(route))) device.routes.push(route)
    }
    return undefined
  }

  #deleteAddress(on: Side, { address, prefixLength, ...rest }: Address): void {
    const device = this.devices[on]
    const target = device.addresses.find(
      (a) => addressKey(a) === addressKey({ address, prefixLength, peer: rest.peer }),
    )
    if (target === undefined) return
    const family = familyOf(target)
    const subnet = network(target)
    const sameSubnet = device.addresses.filter((a) => familyOf(a) === family && network(a) === subnet)
    const gone = family === 4 && sameSubnet[0] === target ? sameSubnet : [target]
    device.addresses = device.addresses.filter((a) => !gone.includes(a))
    for (const a of gone) {
      if ((a.flags & AddressFlag.NOPREFIXROUTE) === 0) {
        const identity = routeIdentity(prefixRoute(a, this.now))
        device.routes = device.routes.filter((route) => routeIdentity(route) !== identity)
      }
      const isStillLocal = this.#everywhere().some((other) => other.address === a.address)
      for (const d of [this.devices.nic, this.devices.vhost]) {
        if (!isStillLocal || (family === 6 && d === device))
          d.routes = d.routes.filter((route) => route.source !== a.address)
      }
    }
    if (family === 4 && !device.addresses.some((a) => familyOf(a) === 4)) {
      device.routes = device.routes.filter((route) => route.family !== 4)
    }
  }

  #addRoute(on: Side, route: Route): string | undefined {
    const device = this.devices[on]
    if (route.family === 6 && on === 'nic' && this.isIpv6Disabled) return 'EACCES'
    if (device.routes.some((r) => routeIdentity(r) === routeIdentity(route))) return undefined
    for (const gateway of [route.gateway, ...(route.multipath?.map((path) => path.gateway) ?? [])]) {
      if (gateway === undefined || route.onlink || gateway.startsWith('fe80')) continue
      const direct = device.routes.some(
        (r) => r.gateway === undefined && r.multipath === undefined && holds(r.destination, r.prefixLength, gateway),
      )
      if (!direct) return 'ENETUNREACH'
    }
    const locals = route.family === 6 ? device.addresses : this.#everywhere()
    if (route.source !== undefined && !locals.some(({ address }) => address === route.source)) return 'EINVAL'
    device.routes.push({ ...route, since: this.now })
    return undefined
  }

  #everywhere(): Address[] {
    return [...this.devices.nic.addresses, ...this.devices.vhost.addresses]
  }
}

/** The prefix route that the kernel makes for an address. Networks are told by text: test addresses lie in /24s and /64s. */
export function prefixRoute(address: Address, now: number): Route {
  const family = familyOf(address)
  return aRoute({
    family,
    destination: network(address),
    prefixLength: address.prefixLength,
    protocol: RouteProtocol.KERNEL,
    scope: family === 4 ? Scope.LINK : Scope.UNIVERSE,
    source: family === 4 ? address.address : undefined,
    metric: address.metric ?? (family === 4 ? undefined : 256),
    since: now,
  })
}

export function aRoute(fields: Partial<Route> & Pick<Route, 'family' | 'destination' | 'prefixLength'>): Route {
  return {
    sourcePrefix: undefined,
    gateway: undefined,
    oif: SELF,
    iif: undefined,
    source: undefined,
    metric: undefined,
    protocol: RouteProtocol.STATIC,
    scope: Scope.UNIVERSE,
    table: RouteTable.MAIN,
    type: RouteType.UNICAST,
    tos: 0,
    flags: 0,
    onlink: false,
    metrics: undefined,
    mtu: undefined,
    multipath: undefined,
    expires: undefined,
    preference: undefined,
    nexthopId: undefined,
    realm: undefined,
    encap: undefined,
    since: 1000,
    ...fields,
  }
}

function network({ address, prefixLength }: Pick<Address, 'address' | 'prefixLength'>): string {
  if (address.includes(':')) return `${address.split('::')[0]}::`
  if (prefixLength === 32) return address
  return `${address.split('.').slice(0, 3).join('.')}.0`
}

function holds(destination: string, prefixLength: number, address: string): boolean {
  if (destination.includes(':') !== address.includes(':')) return false
  if (prefixLength === 0) return false
  return prefixLength === 32 || prefixLength === 128
    ? destination === address
    : network({ address, prefixLength }) === destination
}
