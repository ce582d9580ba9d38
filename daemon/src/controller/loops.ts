/** All loops, in one pass over the world: what is there, what is wanted. Pure but for the durations; one loop that fails doesn't stop the others. */
import type { Action } from './actions.ts'
import { showBuiltIn } from './built-in.ts'
import { reportConflicts } from './conflicts.ts'
import type { Durations } from './durations.ts'
import { type Census, collectGarbage } from './garbage.ts'
import { reconcileLoadBalancers } from './load-balancers.ts'
import { reconcileNamespaces } from './namespaces.ts'
import { reconcileNetworkRouters } from './network-routers.ts'
import { reconcileNetworks } from './networks.ts'
import { reconcileNodes } from './nodes.ts'
import { reportPolicies } from './policies.ts'
import type { View } from './view.ts'

export interface PassOptions {
  /** Milliseconds of the wall clock, for what is written. */
  readonly now: number
  readonly durations: Durations
  readonly pods?: Census
  /** LoadBalancerPools and Services have been listed. */
  readonly hasPools: boolean
  readonly agentGraceMs: number
  readonly goneMs: number
  readonly patienceMs: number
  readonly usageMs: number
  readonly onError: (loop: string, error: unknown) => void
}

const LOOPS: Readonly<Record<string, (view: View, options: PassOptions) => Action[]>> = {
  'built-in networks': (view) => showBuiltIn(view),
  networks: reconcileNetworks,
  'network routers': (view, { now }) => reconcileNetworkRouters(view, now),
  namespaces: (view, { now }) => reconcileNamespaces(view, now),
  nodes: (view, { now, durations, agentGraceMs: graceMs }) => reconcileNodes(view, { now, durations, graceMs }),
  'load balancers': reconcileLoadBalancers,
  garbage: collectGarbage,
  conflicts: reportConflicts,
  // The last: there may be thousands, and Events are limited.
  policies: reportPolicies,
}

export function reconcile(view: View, options: PassOptions): Action[] {
  return Object.entries(LOOPS).flatMap(([name, loop]) => {
    try {
      return loop(view, options)
    } catch (error) {
      options.onError(name, error)
      return []
    }
  })
}
