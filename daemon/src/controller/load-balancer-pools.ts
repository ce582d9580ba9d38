/**
 * LoadBalancerPools: which of them give addresses, and what their conditions say. A pool whose addresses others have gives none, or traffic of those others would
 * go to a Service. A network that came after the pool takes nothing away from it: whoever may make networks must not be able to. Pure.
 */
import { formatCidr, type ParsedAddress } from '../model/address.ts'
import {
  type ParsedRange,
  parsedRange,
  rangeHolds,
  rangeOfPrefix,
  rangesMeet,
  rangeText,
} from '../model/load-balancer/address-ranges.ts'
import { prefixOf } from '../model/prefix-of.ts'
import { matches } from '../model/selectors.ts'
import { type Action, listed, statusPatch, type WantedCondition, withConditions } from './actions.ts'
import type { AllocationPool } from './address-allocation.ts'
import type { Durations } from './durations.ts'
import { nodeAddresses, serviceRanges } from './network-overlaps.ts'
import type { Resourceful } from './resources.ts'
import { type Entry, isBuiltIn, isInForce, type View } from './view.ts'

/** A pool with what was found out about it. */
export interface PoolFindings extends AllocationPool {
  readonly object: Resourceful
  /** It can't be used at all. */
  readonly rejected: readonly string[]
  /** Others have its addresses, and it gives none. */
  readonly clashes: readonly string[]
  /** Others that came later have its addresses. */
  readonly notes: readonly string[]
}

export function findPools(view: View): PoolFindings[] {
  const nodes = nodeAddresses(view)
  const services = serviceRanges(view).map((prefix) => ({ range: rangeOfPrefix(prefix), text: formatCidr(prefix) }))
  const before: { readonly name: string; readonly ranges: readonly ParsedRange[] }[] = []
  return view.loadBalancerPools.map((entry) => {
    const { object, item } = entry
    const { name } = object.metadata
    const ranges = item?.ranges.map(parsedRange) ?? []
    const clashes = (item?.ranges ?? []).flatMap((one, index) => {
      const range = ranges[index]!
      const text = rangeText(one)
      const inside = nodes.filter((address: ParsedAddress) => rangeHolds(range, address)).map((node) => node.text)
      const pools = before.filter((other) => other.ranges.some((their) => rangesMeet(their, range)))
      const own = ranges.slice(0, index).findIndex((other) => rangesMeet(other, range))
      return [
        ...(own < 0 ? [] : [`${text} overlaps ${rangeText(item!.ranges[own]!)} of the same pool; take one away`]),
        ...(inside.length === 0 ? [] : [`${text} holds addresses of nodes: ${listed(inside.sort())}; leave them out`]),
        ...pools.map((other) => `${text} overlaps LoadBalancerPool ${other.name}, which is older; take it out of one`),
        ...services.flatMap(({ range: their, text: cidr }) =>
          rangesMeet(their, range) ? [`${text} overlaps the addresses of Services (${cidr}); choose others`] : [],
        ),
      ]
    })
    const { older, younger } = networksAmong(view, entry, ranges)
    // What gives no addresses is in nobody's way.
    const all = [...clashes, ...older]
    if (item !== undefined && all.length === 0) before.push({ name, ranges })
    const { namespaces } = item ?? {}
    return {
      ...{ name, object, ranges, clashes: all, notes: younger },
      rejected: item === undefined ? view.problemsOf('loadBalancerPools', object) : [],
      givesNew: item !== undefined && all.length === 0,
      autoAssign: item?.autoAssign ?? false,
      isDefault: item?.isDefault ?? false,
      isForNamespaces: namespaces !== undefined,
      serves: (namespace: string) =>
        namespaces === undefined || matches(namespaces, view.state.namespaces.get(namespace)?.labels ?? {}),
    }
  })
}

/** Networks of pods that have addresses of the pool, in words. */
function networksAmong(
  view: View,
  { object, item }: Entry<'LoadBalancerPool'>,
  ranges: readonly ParsedRange[],
): { readonly older: string[]; readonly younger: string[] } {
  const found = { older: [] as string[], younger: [] as string[] }
  if (item === undefined) return found
  const madeAt = object.metadata.creationTimestamp ?? ''
  const objects = new Map(view.networks.map((entry) => [entry.item?.fqName, entry]))
  for (const network of view.state.virtualNetworks.values()) {
    const entry = objects.get(network.fqName)
    const isLater =
      entry !== undefined &&
      isInForce(view, entry) &&
      !isBuiltIn(entry.object) &&
      (entry.object.metadata.creationTimestamp ?? '') > madeAt
    for (const subnet of network.subnets) {
      const index = ranges.findIndex((range) => rangesMeet(range, rangeOfPrefix(prefixOf(subnet))))
      if (index < 0) continue
      const what = `${rangeText(item.ranges[index]!)} overlaps ${subnet.cidr} of VirtualNetwork ${network.namespace}/${network.name}`
      if (isLater) found.younger.push(`${what}, whose pods don't reach these addresses`)
      else found.older.push(`${what}; choose others`)
    }
  }
  return found
}

export interface PoolReportOptions {
  readonly now: number
  readonly durations: Durations
  /** Numbers of use are written at most this often, milliseconds. */
  readonly usageMs: number
}

/** `used`: addresses of the pool that Services have; `exhausted`: families of which none is free. */
export function reportPool(
  pool: PoolFindings,
  { used, exhausted }: { readonly used: number; readonly exhausted: readonly number[] },
  { now, durations, usageMs }: PoolReportOptions,
): Action[] {
  const { object, rejected, clashes, notes, givesNew } = pool
  const overlap = [...clashes, ...notes]
  const problems = [...rejected, ...clashes]
  const free = exhausted.map((family) => `no IPv${family} address is free: add some`)
  const conditions: WantedCondition[] = [
    {
      type: 'Ready',
      status: givesNew,
      reason: rejected.length > 0 ? 'Rejected' : clashes.length > 0 ? 'Overlap' : 'Accepted',
      message: givesNew ? '' : problems.join('; '),
    },
    {
      type: 'Overlap',
      status: overlap.length > 0,
      reason: overlap.length > 0 ? 'AddressesOverlap' : 'None',
      message: overlap.join('; '),
    },
    {
      type: 'Exhausted',
      status: free.length > 0,
      reason: free.length > 0 ? 'NoneFree' : 'None',
      message: free.join('; '),
    },
  ]
  const essential = {
    observedGeneration: object.metadata.generation,
    conditions: withConditions(object, conditions, now),
  }
  const whole = statusPatch('loadBalancerPools', object, { ...essential, assigned: used })
  const isUrgent = statusPatch('loadBalancerPools', object, essential) !== undefined
  const isDue =
    whole !== undefined && (isUrgent || durations.haveLasted(`usage of pool ${object.metadata.uid}`, usageMs))
  const warn = (reason: string, message: string): Action => ({
    type: 'event',
    event: { of: 'loadBalancerPools', object, type: 'Warning', reason, message },
  })
  return [
    ...(isDue ? [whole] : []),
    ...rejected.map((message) => warn('Rejected', message)),
    ...overlap.map((message) => warn('Overlap', message)),
    ...free.map((message) => warn('PoolExhausted', message)),
  ]
}
