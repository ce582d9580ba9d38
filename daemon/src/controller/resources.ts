/** The kinds that the controller reads and writes, and how their objects look as they come from the API server. */
import type { KubeObject, Metadata, Resource } from '../kubernetes/objects.ts'

const own = (plural: string): Resource => ({ group: 'vrouter.dev', version: 'v1alpha1', plural })
const core = (plural: string): Resource => ({ group: '', version: 'v1', plural })

/** What is watched; each name is that of a map in `World`. */
export const WATCHED = {
  namespaces: core('namespaces'),
  nodes: core('nodes'),
  /** Pods of the vRouter daemons alone. */
  agents: core('pods'),
  networks: own('virtualnetworks'),
  networkRouters: own('virtualnetworkrouters'),
  blocks: own('ipamblocks'),
  interfaces: own('virtualmachineinterfaces'),
  routers: own('virtualrouters'),
} as const satisfies Readonly<Record<string, Resource>>

export type Watched = keyof typeof WATCHED

export const EVENTS = core('events')
export const PODS = core('pods')
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
