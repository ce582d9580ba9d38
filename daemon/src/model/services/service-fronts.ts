/** Fronts of one Service and family: where it is reached, and which of its sets applies there for those inside this node and for what comes from elsewhere. */
import { familyOf } from '../address.ts'
import type { Address, Cidr, Service, ServicePort } from '../objects.ts'
import type { Front, ServicePortName } from '../tables.ts'
import { FABRIC_VRF_ID } from '../vrfs.ts'
import { NONE_REJECT, type PortSets } from './back-sets.ts'

/** A port of the Service that has its number. */
export interface ReadyPort {
  readonly port: ServicePort
  readonly name: ServicePortName
  readonly id: number
  readonly sets: PortSets
}

export interface Place {
  /** VRF of the Service's network on this node. */
  readonly vrf: number
  /** This node's, at which NodePorts listen. */
  readonly nodeAddresses: readonly Address[]
  /** Whether the Service may be reached there. */
  readonly isAllowed: (kind: Front['kind'], address: Address) => boolean
}

/** An address at which all ports are reached. */
interface At {
  readonly kind: Exclude<Front['kind'], 'node-port' | 'host-port'>
  readonly vrf: number
  readonly address: Address
}

/**
 * Cluster IPs are in the service network. What is public, load balancer addresses and external IPs, is in the underlay's VRF, whatever network the Service is of:
 * several Services may share such an address.
 */
export function frontsOf(service: Service, family: 4 | 6, ports: readonly ReadyPort[], place: Place): Front[] {
  const [first] = ports
  if (first === undefined) return []
  const { type, clusterIps, loadBalancerIps, externalIps, affinitySeconds } = service
  const ofFamily = (addresses: readonly Address[]) => [...new Set(addresses)].filter((one) => familyOf(one) === family)
  const at = (kind: At['kind'], vrf: number, addresses: readonly Address[]): At[] =>
    ofFamily(addresses).flatMap((address) => (place.isAllowed(kind, address) ? [{ kind, vrf, address }] : []))
  const places = [
    ...at('cluster-ip', place.vrf, clusterIps),
    ...at('load-balancer', FABRIC_VRF_ID, type === 'LoadBalancer' ? loadBalancerIps : []),
    ...at('external-ip', FABRIC_VRF_ID, externalIps),
  ]
  const ranges = rangesOf(service.sourceRanges, family)
  const affinity = affinitySeconds === undefined ? {} : { affinitySeconds }
  const isLocal = (policy: Service['internalTrafficPolicy']) => policy === 'Local'
  const fronts: Front[] = places.map(({ kind, vrf, address }) => ({
    ...{ vrf, address, kind, service: first.name, id: first.id },
    ...{ inside: NONE_REJECT, outside: NONE_REJECT, local: NONE_REJECT },
  }))
  for (const { port, name, id, sets } of ports) {
    const { protocol } = port
    const common = { service: name, id, alive: sets.alive, local: sets.local, ...affinity }
    const internal = isLocal(service.internalTrafficPolicy) ? sets.local : sets.cluster
    // Who is inside already reaches every endpoint: the policy is about the way that others' packets take.
    const isOfNode = isLocal(service.externalTrafficPolicy)
    const external = { inside: sets.cluster, outside: isOfNode ? sets.local : sets.cluster }
    for (const { kind, vrf, address } of places) {
      fronts.push({
        ...{ vrf, address, listener: { protocol, port: port.port }, kind, ...common },
        ...(kind === 'cluster-ip' ? { inside: internal, outside: internal } : external),
        ...(kind === 'load-balancer' && ranges !== undefined && { sourceRanges: ranges }),
      })
    }
    if (type === 'ClusterIP' || port.nodePort === undefined) continue
    for (const address of ofFamily(place.nodeAddresses)) {
      const listener = { protocol, port: port.nodePort }
      fronts.push({
        ...{ vrf: FABRIC_VRF_ID, address, listener, kind: 'node-port', ...common, ...external },
        ...(!isOfNode && { isAtEveryNode: true }),
      })
    }
  }
  return fronts
}

/** Undefined: everybody may come. Ranges of the other family don't restrict this one. */
function rangesOf(ranges: readonly Cidr[], family: 4 | 6): readonly Cidr[] | undefined {
  const own = ranges.filter((cidr) => familyOf(cidr) === family)
  return own.length === 0 || own.some((cidr) => cidr.endsWith('/0')) ? undefined : own
}
