/**
 * The decisions of the migration. Pure.
 *
 * `Holdings` is what the node's network configuration consists of, in the form that it has on the NIC. It is on disk before anything is touched.
 * `absorb` brings it up to date with what the kernel shows; `planToVhost` and `planToNic` say what to do next so that one device
 * carries all of it and the other nothing. A plan is either things to add, or, when nothing is missing any more, things to take away from
 * the other side: what fails to be added is never taken away, the node never is without an address or a route that it had, and a
 * crash anywhere leaves a state from which the next plan goes on. An empty plan: done.
 */
import { AddressFlag, LIFETIME_FOREVER } from '@kube-vrouter/linux/netlink/route'
import { copyOf, doneCopies, isAdvertised, originals } from './advertised.ts'
import {
  type Address,
  addressKey,
  agedAddress,
  agedRoute,
  type DeviceState,
  familyOf,
  type Neighbour,
  type Route,
  routeIdentity,
  routeKey,
} from './device-state.ts'

export interface Holdings {
  readonly addresses: readonly Address[]
  readonly routes: readonly Route[]
  /** Permanent ones only. */
  readonly neighbours: readonly Neighbour[]
  /** Routes that newer ones have taken the place of: to be removed from vhost0. */
  readonly obsolete: readonly Route[]
}

export interface Situation {
  readonly nic: DeviceState & {
    /** net.ipv6.conf.<nic>.disable_ipv6; undefined in a kernel without IPv6. */
    readonly isIpv6Disabled: boolean | undefined
  }
  /** Undefined: there is no vhost0. */
  readonly vhost: DeviceState | undefined
  /** Seconds since boot. */
  readonly now: number
}

export type Side = 'nic' | 'vhost'

export type Operation =
  | { readonly op: 'add-address'; readonly on: Side; readonly address: Address; readonly replace: boolean }
  | { readonly op: 'delete-address'; readonly on: Side; readonly address: Address }
  | { readonly op: 'add-route'; readonly on: Side; readonly route: Route }
  | { readonly op: 'delete-route'; readonly on: Side; readonly route: Route }
  | { readonly op: 'set-neighbour'; readonly on: Side; readonly neighbour: Neighbour }
  | { readonly op: 'delete-neighbour'; readonly on: Side; readonly neighbour: Neighbour }
  | { readonly op: 'disable-ipv6'; readonly value: boolean }

// ---- what there is to carry -----------------------------------------------------------------------------------------------

/** The configuration of a NIC that no migration has touched yet. */
export function holdingsOf(state: DeviceState): Holdings {
  const neighbours = state.neighbours.filter(({ isPermanent }) => isPermanent)
  return { addresses: state.addresses, routes: originals(state.routes), neighbours, obsolete: [] }
}

/** The configuration as the NIC would have it, out of a vhost0 whose record is lost. */
export function holdingsFromVhost(vhost: DeviceState): Holdings {
  return holdingsOf({ ...vhost, addresses: vhost.addresses.map(nicForm) })
}

/**
 * Holdings after a look at the kernel. What appeared on the NIC is taken in; once the migration is complete (`isSettled`) it also takes the
 * place of what it competes with, as a renewed lease's default route does, because on the NIC the old one would have been replaced. An address
 * that somebody took off vhost0 is given up, with the routes that need it, and so is a route that a router no longer advertises; when all addresses are
 * gone at once the device was reset, and they are kept.
 */
export function absorb(holdings: Holdings, { nic, vhost, now }: Situation, isSettled: boolean): Holdings {
  const onNic = new Map(nic.addresses.map((address) => [addressKey(address), address]))
  const onVhost = new Map(vhost?.addresses.map((address) => [addressKey(address), address]))
  const isReset = onVhost.size === 0
  const dropped = new Set<string>()
  const addresses: Address[] = []
  for (const held of holdings.addresses) {
    const key = addressKey(held)
    const current = withLifetimesOf(held, onNic.get(key) ?? onVhost.get(key))
    const wasTakenOff = current === undefined && isSettled && !isReset
    const aged = wasTakenOff ? undefined : (current ?? agedAddress(held, now))
    if (aged === undefined) dropped.add(held.address)
    else addresses.push(aged)
  }
  const held = new Set(addresses.map(addressKey))
  addresses.push(...nic.addresses.filter((address) => !held.has(addressKey(address))))
  for (const { address } of addresses) dropped.delete(address)

  const vhostRoutes = originals(vhost?.routes ?? [])
  const present = new Set(vhostRoutes.map(routeIdentity))
  const routes = new Map<string, Route>()
  for (const route of holdings.routes) {
    const aged = agedRoute(route, now)
    const lostItsSource = route.source !== undefined && dropped.has(route.source)
    const wasWithdrawn = isSettled && !isReset && isAdvertised(route) && !present.has(routeIdentity(route))
    if (aged !== undefined && !lostItsSource && !wasWithdrawn) routes.set(routeIdentity(route), aged)
  }
  for (const route of vhostRoutes) {
    const identity = routeIdentity(route)
    const known = routes.get(identity)
    if (known !== undefined) routes.set(identity, { ...known, expires: route.expires, since: now })
  }
  const obsolete = new Map(holdings.obsolete.map((route) => [routeIdentity(route), route]))
  const nicRoutes = originals(nic.routes)
  const arrived = nicRoutes.filter((route) => !routes.has(routeIdentity(route)))
  if (isSettled) {
    const keys = new Set(arrived.map(routeKey))
    for (const [identity, route] of routes) {
      if (!keys.has(routeKey(route))) continue
      routes.delete(identity)
      obsolete.set(identity, route)
    }
  }
  for (const route of nicRoutes) routes.set(routeIdentity(route), route)
  for (const identity of routes.keys()) obsolete.delete(identity)

  const neighbours = new Map(holdings.neighbours.map((neighbour) => [neighbour.address, neighbour]))
  for (const neighbour of nic.neighbours) if (neighbour.isPermanent) neighbours.set(neighbour.address, neighbour)
  return {
    addresses,
    routes: [...routes.values()],
    neighbours: [...neighbours.values()],
    obsolete: [...obsolete].filter(([identity]) => present.has(identity)).map(([, route]) => route),
  }
}

/** Holdings for the way back: also what came to vhost0 itself since (by hand, by router advertisements). */
export function absorbVhost(holdings: Holdings, vhost: DeviceState): Holdings {
  const addresses = new Set(holdings.addresses.map(addressKey))
  const routes = new Set([...holdings.routes, ...holdings.obsolete].map(routeIdentity))
  const neighbours = new Set(holdings.neighbours.map(({ address }) => address))
  return {
    ...holdings,
    addresses: [
      ...holdings.addresses,
      ...vhost.addresses.filter((address) => !addresses.has(addressKey(address))).map(nicForm),
    ],
    routes: [...holdings.routes, ...originals(vhost.routes).filter((route) => !routes.has(routeIdentity(route)))],
    neighbours: [
      ...holdings.neighbours,
      ...vhost.neighbours.filter(({ address, isPermanent }) => isPermanent && !neighbours.has(address)),
    ],
  }
}

// ---- the plans ------------------------------------------------------------------------------------------------------------

/** The next steps towards vhost0 carrying all of `holdings` and the NIC nothing. */
export function planToVhost(holdings: Holdings, { nic, vhost, now }: Situation): Operation[] {
  if (vhost === undefined) throw new RangeError('there is no vhost0 to plan for')
  const additions = [
    ...addressAdditions(holdings, vhost, nic, vhostForm, now, 'vhost'),
    ...neighbourAdditions(holdings, vhost, nic, 'vhost'),
    ...routeAdditions(holdings, vhost, 'vhost', now),
  ]
  if (additions.length > 0) return additions
  const present = new Set(vhost.routes.map(routeIdentity))
  const superseded = holdings.obsolete.map((route) => (present.has(routeIdentity(route)) ? route : copyOf(route)))
  const obsolete = [...superseded, ...doneCopies(vhost.routes)].map(
    (route): Operation => ({ op: 'delete-route', on: 'vhost', route }),
  )
  const removals = removalsFrom('nic', nic, (address) => familyOf(address) === 4)
  const closesIpv6 = nic.isIpv6Disabled === false
  return [...obsolete, ...removals, ...(closesIpv6 ? [{ op: 'disable-ipv6', value: true } as const] : [])]
}

/** The next steps towards the NIC carrying all of `holdings` again, IPv6 as it was, and vhost0 nothing. */
export function planToNic(holdings: Holdings, { nic, vhost, now }: Situation, wasIpv6Disabled: boolean): Operation[] {
  if (nic.isIpv6Disabled !== undefined && nic.isIpv6Disabled !== wasIpv6Disabled) {
    return [{ op: 'disable-ipv6', value: wasIpv6Disabled }]
  }
  const other = vhost ?? { addresses: [], routes: [], neighbours: [] }
  const additions = [
    ...addressAdditions(holdings, nic, other, nicReturnForm, now, 'nic'),
    ...neighbourAdditions(holdings, nic, other, 'nic'),
    ...routeAdditions(holdings, nic, 'nic', now),
  ]
  if (additions.length > 0) return additions
  return [
    ...flagCorrections(holdings, nic, now),
    ...(vhost === undefined ? [] : removalsFrom('vhost', vhost, () => true)),
  ]
}

/**
 * Missing addresses, and lifetimes that were renewed on the other side, so that both devices list them in the same order: the kernel appends IPv4
 * addresses (the first one of a subnet is its primary), and puts the newest IPv6 address first.
 */
function addressAdditions(
  { addresses }: Holdings,
  target: DeviceState,
  other: DeviceState,
  form: (address: Address) => Address,
  now: number,
  on: Side,
): Operation[] {
  const present = new Map(target.addresses.map((address) => [addressKey(address), address]))
  const renewed = new Map(other.addresses.map((address) => [addressKey(address), address]))
  const inOrder = [
    ...addresses.filter((held) => familyOf(held) === 4),
    ...addresses.filter((held) => familyOf(held) === 6).reverse(),
  ]
  return inOrder.flatMap((held): Operation[] => {
    const there = present.get(addressKey(held))
    const wanted = agedAddress(held, now)
    if (wanted === undefined) return []
    if (there === undefined) return [{ op: 'add-address', on, address: form(wanted), replace: false }]
    const isRenewed = on === 'vhost' && renewed.has(addressKey(held)) && differInLifetime(wanted, there)
    return isRenewed ? [{ op: 'add-address', on, address: form(wanted), replace: true }] : []
  })
}

/** Missing routes: direct ones before those that need them to reach a gateway. */
function routeAdditions({ routes }: Holdings, target: DeviceState, on: Side, now: number): Operation[] {
  const present = new Set(originals(target.routes).map(routeIdentity))
  return routes
    .filter((route) => !present.has(routeIdentity(route)))
    .flatMap((route) => agedRoute(route, now) ?? [])
    .sort((a, b) => distance(a) - distance(b))
    .map((route) => ({ op: 'add-route', on, route: copyOf(route) }))
}

/** Missing permanent neighbours, and learnt ones from the other side, so that the first packet doesn't wait for an answer. */
function neighbourAdditions({ neighbours }: Holdings, target: DeviceState, other: DeviceState, on: Side): Operation[] {
  const present = new Map(target.neighbours.map((neighbour) => [neighbour.address, neighbour]))
  const missing = neighbours.filter(({ address, mac }) => {
    const there = present.get(address)
    return !there?.isPermanent || there.mac !== mac
  })
  const permanent = new Set(neighbours.map(({ address }) => address))
  const learnt = other.neighbours.filter(
    ({ address, isPermanent }) => !isPermanent && !permanent.has(address) && !present.has(address),
  )
  // Learnt entries go along with the first addresses and are left alone later: each device learns for itself.
  const seeds = target.addresses.length === 0 ? learnt : []
  return [...missing, ...seeds].map((neighbour) => ({ op: 'set-neighbour', on, neighbour }))
}

/** All of a device's routes (those over gateways first), permanent neighbours and addresses (secondary ones first: they'd go with their primary). */
function removalsFrom(on: Side, state: DeviceState, takesAddress: (address: Address) => boolean): Operation[] {
  const routes = [...state.routes].sort((a, b) => distance(b) - distance(a))
  return [
    ...routes.map((route): Operation => ({ op: 'delete-route', on, route })),
    ...state.neighbours
      .filter(({ isPermanent }) => isPermanent)
      .map((neighbour): Operation => ({ op: 'delete-neighbour', on, neighbour })),
    ...state.addresses
      .filter(takesAddress)
      .reverse()
      .map((address): Operation => ({ op: 'delete-address', on, address })),
  ]
}

/** IPv6 addresses go back without duplicate address detection, so they work at once; the flag that says so is taken off afterwards. */
function flagCorrections({ addresses }: Holdings, nic: DeviceState, now: number): Operation[] {
  const present = new Map(nic.addresses.map((address) => [addressKey(address), address]))
  return addresses.flatMap((held): Operation[] => {
    const there = present.get(addressKey(held))
    const wanted = agedAddress(held, now)
    if (there === undefined || wanted === undefined || familyOf(held) === 4) return []
    if ((there.flags & AddressFlag.NODAD) === (held.flags & AddressFlag.NODAD)) return []
    return [{ op: 'add-address', on: 'nic', address: wanted, replace: true }]
  })
}

/** How many lookups away: 0 for direct routes, 1 for those over a gateway. */
function distance({ gateway, multipath }: Route): number {
  return gateway !== undefined || multipath?.some((path) => path.gateway !== undefined) ? 1 : 0
}

// ---- forms of an address --------------------------------------------------------------------------------------------------

/** On vhost0 no address brings a route of its own along (all are carried), and none is checked for duplicates: it is the same node. */
function vhostForm(address: Address): Address {
  const noDad = familyOf(address) === 6 ? AddressFlag.NODAD : 0
  return { ...address, flags: address.flags | AddressFlag.NOPREFIXROUTE | noDad }
}

/** Back on the NIC: as it was, but usable at once. */
function nicReturnForm(address: Address): Address {
  return familyOf(address) === 6 ? { ...address, flags: address.flags | AddressFlag.NODAD } : address
}

/** The form on the NIC of an address that is known from vhost0 only. */
function nicForm(address: Address): Address {
  return { ...address, flags: address.flags & ~(AddressFlag.NOPREFIXROUTE | AddressFlag.NODAD) }
}

function withLifetimesOf(held: Address, live: Address | undefined): Address | undefined {
  if (live === undefined) return undefined
  const { validLifetime, preferredLifetime, since } = live
  return { ...held, validLifetime, preferredLifetime, since }
}

/** Lifetimes count down while they are copied, so a few seconds make no difference. */
function differInLifetime(a: Address, b: Address): boolean {
  const isForever = ({ validLifetime }: Address) => validLifetime === LIFETIME_FOREVER
  if (isForever(a) || isForever(b)) return isForever(a) !== isForever(b)
  return Math.abs(a.validLifetime - b.validLifetime) > 3 || Math.abs(a.preferredLifetime - b.preferredLifetime) > 3
}
