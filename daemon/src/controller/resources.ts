/** The kinds that the controller reads and writes, and how their objects look as they come from the API server. */
import type { KubeObject, Metadata, Resource } from '../kubernetes/objects.ts'
import { EVENTS, NODES, PODS, RESOURCES } from '../sources/kubernetes/resources.ts'

/** What is watched; each name is that of a map in `World`. */
export const WATCHED = {
  namespaces: RESOURCES.Namespace,
  nodes: NODES,
  /** Pods of the vRouter daemons alone. */
  agents: PODS,
  networks: RESOURCES.VirtualNetwork,
  networkRouters: RESOURCES.VirtualNetworkRouter,
  blocks: RESOURCES.IPAMBlock,
  interfaces: RESOURCES.VirtualMachineInterface,
  routers: RESOURCES.VirtualRouter,
  loadBalancerPools: RESOURCES.LoadBalancerPool,
  /** Those of type LoadBalancer, and what else has an address of ours. */
  services: RESOURCES.Service,
  /** Where addresses of Services come from. */
  serviceRanges: { group: 'networking.k8s.io', version: 'v1', plural: 'servicecidrs' },
  /** The Service `kubernetes` alone. */
  apiServices: { group: '', version: 'v1', plural: 'services' },
  networkPolicies: { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies' },
  adminNetworkPolicies: { group: 'policy.networking.k8s.io', version: 'v1alpha1', plural: 'adminnetworkpolicies' },
  baselineAdminNetworkPolicies: {
    group: 'policy.networking.k8s.io',
    version: 'v1alpha1',
    plural: 'baselineadminnetworkpolicies',
  },
  clusterNetworkPolicies: { group: 'policy.networking.k8s.io', version: 'v1alpha2', plural: 'clusternetworkpolicies' },
} as const satisfies Readonly<Record<string, Resource>>

export type Watched = keyof typeof WATCHED

/** What isn't waited for where it isn't installed, or may not be read: not every cluster has these kinds, and nothing but hints rests on them. */
export const OPTIONAL: ReadonlySet<Watched> = new Set<Watched>([
  'loadBalancerPools',
  'services',
  'serviceRanges',
  'apiServices',
  'networkPolicies',
  'adminNetworkPolicies',
  'baselineAdminNetworkPolicies',
  'clusterNetworkPolicies',
])

export { EVENTS, PODS }
export const LEASES: Resource = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' }

/** Kinds of `WATCHED`, as they stand in objects. */
export const KINDS: Readonly<Record<Watched, string>> = {
  namespaces: 'Namespace',
  nodes: 'Node',
  agents: 'Pod',
  networks: 'VirtualNetwork',
  networkRouters: 'VirtualNetworkRouter',
  blocks: 'IPAMBlock',
  interfaces: 'VirtualMachineInterface',
  routers: 'VirtualRouter',
  loadBalancerPools: 'LoadBalancerPool',
  services: 'Service',
  serviceRanges: 'ServiceCIDR',
  apiServices: 'Service',
  networkPolicies: 'NetworkPolicy',
  adminNetworkPolicies: 'AdminNetworkPolicy',
  baselineAdminNetworkPolicies: 'BaselineAdminNetworkPolicy',
  clusterNetworkPolicies: 'ClusterNetworkPolicy',
}

export interface FullMetadata extends Metadata {
  readonly generation?: number
  readonly finalizers?: readonly string[]
}

export interface Condition {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime?: string
  readonly observedGeneration?: number
}

/** An object with what the controller looks at; all else stays as it is. */
export interface Resourceful extends KubeObject {
  readonly metadata: FullMetadata
  readonly status?: { readonly conditions?: readonly Condition[] } & Readonly<Record<string, unknown>>
}

export interface NodeObject extends Resourceful {
  readonly spec?: {
    readonly taints?: readonly { readonly key: string; readonly value?: string; readonly effect: string }[]
  }
}

export interface AgentPod extends Resourceful {
  readonly spec?: { readonly nodeName?: string }
}

/** All that the controller knows, by `<namespace>/<name>` or name. */
export type World = { readonly [K in Watched]: ReadonlyMap<string, Resourceful> }

export function conditionOf(object: Resourceful | undefined, type: string): Condition | undefined {
  return object?.status?.conditions?.find((condition) => condition.type === type)
}
