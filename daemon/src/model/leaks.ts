/**
 * Which VNs see each other's routes, as VirtualNetworkRouters say (kubernetes reference 2.22). The same on every node, for it
 * follows from the cluster's objects alone.
 *
 * A leak goes both ways. It never makes an address ambiguous: in no VRF do the subnets of its own VN and of those leaked into it
 * overlap. Where they would, the join that comes later in the order of names is left out, and a problem says so.
 */

import { overlaps } from './address.ts'
import type { FqName, SourceState, VirtualNetwork, VirtualNetworkRouter } from './objects.ts'
import { prefixOf } from './prefix-of.ts'
import { matches } from './selectors.ts'
import type { Problem } from './tables.ts'

export interface Leaks {
  /** VNs whose routes a VN sees beside its own, sorted; a VN that sees none is missing. Symmetric. */
  readonly of: ReadonlyMap<FqName, readonly FqName[]>
  readonly problems: readonly Problem[]
  /** Joins that were left out, the smaller name first, and what overlaps. */
  readonly refused: readonly { readonly pair: readonly [FqName, FqName]; readonly clash: string }[]
}

export const NO_LEAKS: Leaks = { of: new Map(), problems: [], refused: [] }

type LeakState = Pick<SourceState, 'namespaces' | 'virtualNetworks' | 'networkRouters'>

/** Computes anew only when one of the maps changed. */
export class LeakTable {
  #state: LeakState | undefined
  #leaks = NO_LEAKS

  compute(state: LeakState): Leaks {
    const before = this.#state
    const isSame =
      before !== undefined &&
      before.networkRouters === state.networkRouters &&
      (state.networkRouters.size === 0 ||
        (before.namespaces === state.namespaces && before.virtualNetworks === state.virtualNetworks))
    this.#state = state
    if (!isSame) this.#leaks = leaksOf(state)
    return this.#leaks
  }
}

export function leaksOf(state: LeakState): Leaks {
  if (state.networkRouters.size === 0) return NO_LEAKS
  const accepted = new Map<FqName, Set<FqName>>()
  const problems: Problem[] = []
  const refused: Leaks['refused'][number][] = []
  const neighbours = (vn: FqName) => accepted.get(vn) ?? new Set<FqName>()
  const network = (vn: FqName) => state.virtualNetworks.get(vn)!
  for (const [a, b] of wantedPairs(state)) {
    const clash =
      overlapOf(network(a), network(b)) ??
      firstClash(network(b), [...neighbours(a)].map(network)) ??
      firstClash(network(a), [...neighbours(b)].map(network))
    if (clash !== undefined) {
      refused.push({ pair: [a, b], clash })
      problems.push({
        object: `VirtualNetwork ${a}`,
        message: `routes are not leaked between it and ${b}: ${clash}; give one of them another subnet`,
      })
      continue
    }
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const known = accepted.get(from)
      if (known === undefined) accepted.set(from, new Set([to]))
      else known.add(to)
    }
  }
  return { of: new Map([...accepted].map(([vn, others]) => [vn, [...others].sort()])), problems, refused }
}

function firstClash(network: VirtualNetwork, others: readonly VirtualNetwork[]): string | undefined {
  for (const other of others) {
    const clash = overlapOf(network, other)
    if (clash !== undefined) return clash
  }
  return undefined
}

/** What makes two VNs unfit to be in one VRF: two subnets that overlap. */
function overlapOf(a: VirtualNetwork, b: VirtualNetwork): string | undefined {
  for (const one of a.subnets) {
    for (const other of b.subnets) {
      if (!overlaps(prefixOf(one), prefixOf(other))) continue
      return `subnet ${one.cidr} of ${a.fqName} overlaps ${other.cidr} of ${b.fqName}`
    }
  }
  return undefined
}

/** All joins that routers ask for, each once with the smaller name first, sorted. */
export function wantedPairs(state: LeakState): (readonly [FqName, FqName])[] {
  const routers = [...state.networkRouters.values()]
  const selected = new Map(routers.map((router) => [router, selectedBy(router, state)]))
  const pairs = new Map<string, readonly [FqName, FqName]>()
  const join = (as: readonly FqName[], bs: readonly FqName[]) => {
    for (const a of as) {
      for (const b of bs) {
        if (a !== b) pairs.set(a < b ? `${a} ${b}` : `${b} ${a}`, a < b ? [a, b] : [b, a])
      }
    }
  }
  for (const [index, one] of routers.entries()) {
    if (one.type === 'mesh') join(selected.get(one)!, selected.get(one)!)
    for (const other of routers.slice(0, index)) {
      if (areJoinable(one, other) && imports(one, other, state) && imports(other, one, state))
        join(selected.get(one)!, selected.get(other)!)
    }
  }
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair)
}

/** Networks of the router's namespace that have labels, all of which its selector wants. */
export function selectedBy({ namespace, networks }: VirtualNetworkRouter, { virtualNetworks }: LeakState): FqName[] {
  const selected: FqName[] = []
  for (const vn of virtualNetworks.values()) {
    const { labels = {} } = vn
    if (vn.namespace === namespace && Object.keys(labels).length > 0 && matches(networks, labels))
      selected.push(vn.fqName)
  }
  return selected
}

export function areJoinable(a: VirtualNetworkRouter, b: VirtualNetworkRouter): boolean {
  if (a.type === 'mesh' || b.type === 'mesh') return a.type === b.type
  return a.type !== b.type
}

/** Half of the consent: `a` names `b`. */
export function imports(a: VirtualNetworkRouter, b: VirtualNetworkRouter, { namespaces }: LeakState): boolean {
  return a.imports.some((wanted) => {
    if (!matches(wanted.routers, b.labels)) return false
    if (wanted.namespaces === undefined) return a.namespace === b.namespace
    // Kubernetes gives every namespace this label.
    const implied = { 'kubernetes.io/metadata.name': b.namespace }
    return matches(wanted.namespaces, { ...implied, ...namespaces.get(b.namespace)?.labels })
  })
}
