/**
 * Policies that nobody enforces: each is told so by an Event, for as long as that is so. The API server takes a NetworkPolicy whether or not there is
 * anybody who acts on it, and who wrote one believes in it. Pure.
 */
import type { Action } from './actions.ts'
import { KINDS, type Watched } from './resources.ts'
import type { View } from './view.ts'

export const POLICIES = [
  'networkPolicies',
  'adminNetworkPolicies',
  'baselineAdminNetworkPolicies',
  'clusterNetworkPolicies',
] as const satisfies readonly Watched[]

export function reportPolicies({ world }: View): Action[] {
  return POLICIES.flatMap((of) =>
    [...world[of].values()].map((object): Action => {
      const message = `this version of kube-vrouter doesn't enforce ${KINDS[of]}: traffic flows as if it weren't there. Networks keep tenants apart (vrouter.dev/network, vrouter.dev/isolation)`
      return { type: 'event', event: { of, object, type: 'Warning', reason: 'NotEnforced', message } }
    }),
  )
}
