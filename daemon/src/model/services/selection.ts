/**
 * Which endpoints of a service port apply on a node: the ones of the whole cluster and those of the node itself, as the traffic policies of the Service choose
 * between them. Hints say which of the cluster's a node shall keep to. While a port has no endpoint that is ready, those serve that are on their way out.
 */
import type { Endpoint } from '../objects.ts'
import { isDraining, type PortEndpoint } from './endpoints.ts'

export interface Selection {
  readonly cluster: readonly PortEndpoint[]
  /** Need not be part of the cluster's: hints don't count here, and each falls back by itself. */
  readonly local: readonly PortEndpoint[]
  /** Some node has one that could serve. */
  readonly isAnywhere: boolean
}

/** The node that asks. */
export interface Here {
  readonly node: string
  readonly zone: string | undefined
}

export function selectionOf(endpoints: readonly PortEndpoint[], here: Here): Selection {
  const ready = endpoints.filter(({ endpoint }) => endpoint.isReady)
  const draining = endpoints.filter(({ endpoint }) => !endpoint.isReady && isDraining(endpoint))
  const isHere = ({ endpoint }: PortEndpoint) => endpoint.node === here.node
  const localReady = ready.filter(isHere)
  return {
    cluster: ready.length > 0 ? hinted(ready, here) : draining,
    local: localReady.length > 0 ? localReady : draining.filter(isHere),
    isAnywhere: ready.length > 0 || draining.length > 0,
  }
}

/** Hints count only when all endpoints have them and one of them is meant for this node: half of them would overload the few that have. */
function hinted(ready: readonly PortEndpoint[], { node, zone }: Here): readonly PortEndpoint[] {
  const kept = (hints: (endpoint: Endpoint) => readonly string[] | undefined, name: string) => {
    if (!ready.every(({ endpoint }) => (hints(endpoint)?.length ?? 0) > 0)) return []
    return ready.filter(({ endpoint }) => hints(endpoint)!.includes(name))
  }
  const forNode = kept(({ hintedNodes }) => hintedNodes, node)
  if (forNode.length > 0) return forNode
  const forZone = zone === undefined ? [] : kept(({ hintedZones }) => hintedZones, zone)
  return forZone.length > 0 ? forZone : ready
}
