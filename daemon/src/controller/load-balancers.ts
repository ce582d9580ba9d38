/**
 * Services of type LoadBalancer get addresses of LoadBalancerPools: in `status.loadBalancer.ingress`, beside a condition that says that they are ours. What another load
 * balancer wrote there is never touched. All that a successor needs stands in the Services. Pure.
 */
import { canonicalAddress, type Family, familyOf, mustParseAddress } from '../model/address.ts'
import { isEqual } from '../model/equal.ts'
import { rangeHolds } from '../model/load-balancer/address-ranges.ts'
import { ADDRESSES_ANNOTATION, LOAD_BALANCER_CLASS, SHARING_ANNOTATION } from '../model/load-balancer/class.ts'
import type { Address } from '../model/objects.ts'
import { type Action, withConditions } from './actions.ts'
import { allocate, type Claim, type Grant } from './address-allocation.ts'
import { findPools, type PoolFindings, type PoolReportOptions, reportPool } from './load-balancer-pools.ts'
import { nodeAddresses } from './network-overlaps.ts'
import { type Condition, conditionOf, type Resourceful } from './resources.ts'
import type { View } from './view.ts'

/** True: what stands in `status.loadBalancer.ingress` was written by us, and is what the message says. */
export const ASSIGNED = 'vrouter.dev/LoadBalancer'

interface ServiceSpec {
  readonly type?: string
  readonly loadBalancerClass?: string
  readonly loadBalancerIP?: string
  readonly ipFamilies?: readonly ('IPv4' | 'IPv6')[]
  readonly ipFamilyPolicy?: string
  readonly externalTrafficPolicy?: string
  readonly selector?: Readonly<Record<string, string>>
  readonly ports?: readonly { readonly protocol?: string; readonly port: number }[]
}

interface Ingress {
  readonly ip?: string
  readonly hostname?: string
  readonly ipMode?: string
}

export interface LoadBalancerOptions extends PoolReportOptions {
  /** Pools and Services have been listed. */
  readonly hasPools: boolean
  /** How long an address must have been in no pool before it is taken away, milliseconds. */
  readonly goneMs: number
}

interface Wish {
  readonly object: Resourceful
  readonly claim: Claim
  /** What it asks for that is no address. */
  readonly unclear: readonly string[]
}

export function reconcileLoadBalancers(view: View, options: LoadBalancerOptions): Action[] {
  if (!options.hasPools) return []
  const pools = findPools(view)
  const hasDefault = pools.some(({ isDefault }) => isDefault)
  const wishes: Wish[] = []
  const actions: Action[] = []
  for (const object of view.world.services.values()) {
    if (isOurs(object, hasDefault)) wishes.push(wishOf(object))
    else actions.push(...letGo(object))
  }
  const objects = new Map(wishes.map((wish) => [wish.claim, wish]))
  const grants = allocate(
    pools,
    wishes.map(({ claim }) => claim),
    {
      taken: new Set(nodeAddresses(view).map(({ address }) => address)),
      stays: ({ namespace, name }, address) =>
        !options.durations.haveLasted(`no pool has ${address} of Service ${namespace}/${name}`, options.goneMs),
    },
  )
  for (const grant of grants) actions.push(...tell(objects.get(grant.claim)!, grant, options.now))
  const given = new Set(grants.flatMap(({ addresses }) => addresses))
  for (const pool of pools) actions.push(...reportPool(pool, usageOf(pool, given), options))
  return actions
}

function specOf({ spec }: Resourceful): ServiceSpec {
  return (spec ?? {}) as ServiceSpec
}

function ingressOf({ status }: Resourceful): readonly Ingress[] {
  const { ingress } = (status?.['loadBalancer'] ?? {}) as { readonly ingress?: readonly Ingress[] | null }
  return ingress ?? []
}

/** What stands in the status is what we wrote. */
function isMarked(object: Resourceful): boolean {
  const condition = conditionOf(object, ASSIGNED)
  const ips = ingressOf(object).map(({ ip = '' }) => ip)
  return condition?.status === 'True' && condition.message === ips.join(', ')
}

function isOurs(object: Resourceful, hasDefault: boolean): boolean {
  const { type, loadBalancerClass } = specOf(object)
  if (type !== 'LoadBalancer') return false
  if (loadBalancerClass !== undefined) return loadBalancerClass === LOAD_BALANCER_CLASS
  // Somebody else's, if it has an address that isn't ours.
  return isMarked(object) || (hasDefault && ingressOf(object).length === 0)
}

/** Takes back what is ours in a Service that isn't. */
function letGo(object: Resourceful): Action[] {
  if (conditionOf(object, ASSIGNED) === undefined) return []
  const conditions = object.status!.conditions!.filter(({ type }) => type !== ASSIGNED)
  if (!isMarked(object)) return [statusOf(object, conditions)]
  const message = `${ingressOf(object)
    .map(({ ip }) => ip)
    .join(', ')} is taken back: the Service isn't of type LoadBalancer and our class any more`
  return [statusOf(object, conditions, []), told(object, 'Normal', 'AddressReleased', message)]
}

function wishOf(object: Resourceful): Wish {
  const { metadata } = object
  const spec = specOf(object)
  const { namespace = '', name, annotations = {}, creationTimestamp = '' } = metadata
  const families = (spec.ipFamilies ?? ['IPv4']).map((family): Family => (family === 'IPv6' ? 6 : 4))
  const texts = (annotations[ADDRESSES_ANNOTATION] ?? spec.loadBalancerIP ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
  const asked: Address[] = []
  const unclear: string[] = []
  for (const text of texts) {
    const address = canonicalAddress(text)
    const field = annotations[ADDRESSES_ANNOTATION] === undefined ? 'spec.loadBalancerIP' : ADDRESSES_ANNOTATION
    if (address === undefined) unclear.push(`${field} (${text.slice(0, 64)}) is not an IPv4 or IPv6 address`)
    else if (asked.some((other) => familyOf(other) === familyOf(address)))
      unclear.push(`${field} (${text}) is a second IPv${familyOf(address)} address: give one of each family`)
    else asked.push(address)
  }
  const sharingKey = annotations[SHARING_ANNOTATION] || undefined
  const claim: Claim = {
    namespace,
    name,
    age: `${creationTimestamp} ${namespace}/${name}`,
    families,
    isOneEnough: spec.ipFamilyPolicy !== 'RequireDualStack' && texts.length === 0,
    hasClass: spec.loadBalancerClass !== undefined,
    asked,
    held: ingressOf(object).flatMap(({ ip = '' }) => canonicalAddress(ip) ?? []),
    ...(sharingKey !== undefined && { sharingKey }),
    ports: (spec.ports ?? []).map(({ protocol = 'TCP', port }) => `${protocol}/${port}`),
    ...(spec.externalTrafficPolicy === 'Local' && { localTo: selectorText(spec.selector ?? {}) }),
  }
  return { object, claim, unclear }
}

function selectorText(selector: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(selector).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function tell({ object, claim, unclear }: Wish, { addresses, problems }: Grant, now: number): Action[] {
  const refused = [...unclear.map((message) => ({ reason: 'AddressUnclear', message })), ...problems]
  const [first] = refused
  const condition =
    addresses.length > 0
      ? { type: ASSIGNED, status: true, reason: 'Assigned', message: addresses.join(', ') }
      : { type: ASSIGNED, status: false, reason: first?.reason ?? 'None', message: first?.message ?? '' }
  const conditions = withConditions(object, [condition], now)
  const ingress = addresses.map((ip) => ({ ip, ipMode: 'VIP' }))
  const isSame = isEqual(ingressOf(object), ingress)
  const actions: Action[] = refused.map(({ reason, message }) => told(object, 'Warning', reason, message))
  if (isSame && isEqual(object.status?.conditions, conditions)) return actions
  actions.unshift(statusOf(object, conditions, isSame ? undefined : ingress))
  const fresh = addresses.filter((address) => !claim.held.includes(address))
  if (fresh.length > 0) actions.push(told(object, 'Normal', 'AddressAssigned', `got ${fresh.join(' and ')}`))
  return actions
}

/** Fails when the Service has changed since: it may be somebody else's by now. */
function statusOf(object: Resourceful, conditions: readonly Condition[], ingress?: readonly Ingress[]): Action {
  const loadBalancer = ingress && { loadBalancer: { ingress: ingress.length === 0 ? null : ingress } }
  return {
    ...{ type: 'patch', of: 'services', object, subresource: 'status', form: 'merge', isExact: true },
    patch: { status: { ...loadBalancer, conditions: conditions.length === 0 ? null : conditions } },
  }
}

function told(object: Resourceful, type: 'Normal' | 'Warning', reason: string, message: string): Action {
  return { type: 'event', event: { of: 'services', object, type, reason, message } }
}

function usageOf(
  { ranges }: PoolFindings,
  given: ReadonlySet<Address>,
): { readonly used: number; readonly exhausted: readonly Family[] } {
  const parsed = [...given].map(mustParseAddress)
  const inside = parsed.filter((address) => ranges.some((range) => rangeHolds(range, address)))
  const exhausted = ([4, 6] as const).filter((family) => {
    const own = ranges.filter((range) => range.family === family)
    const size = own.reduce((sum, { first, last }) => sum + last - first + 1n, 0n)
    return size > 0n && BigInt(inside.filter((address) => address.family === family).length) >= size
  })
  return { used: inside.length, exhausted }
}
