/** The endpoints of a service port: what its slices say of them, each one once. */
import type { Address, Endpoint, EndpointSlice, ServicePort, ServiceProtocol } from '../objects.ts'
import { compareText } from '../order.ts'

export interface PortEndpoint {
  readonly address: Address
  /** Its own: a target port that has a name may be another number on each. */
  readonly port: number
  readonly endpoint: Endpoint
}

export function isDraining({ isServing, isTerminating }: Endpoint): boolean {
  return isServing && isTerminating
}

/**
 * Sorted by address and port. An endpoint that is in two slices, as it is for a moment when the cluster moves it from one to another, counts as the one that
 * can do more; of equals that of the slice whose name comes first.
 * @param slices of one family, by name
 */
export function endpointsOf(
  { name, protocol }: Pick<ServicePort, 'name' | 'protocol'>,
  slices: readonly EndpointSlice[],
): PortEndpoint[] {
  const found = new Map<string, PortEndpoint>()
  for (const { ports, endpoints } of slices) {
    for (const one of ports) {
      if (one.name !== name || one.protocol !== protocol) continue
      for (const endpoint of endpoints) {
        const key = `${endpoint.address} ${one.port}`
        const known = found.get(key)
        if (known === undefined || rank(endpoint) > rank(known.endpoint))
          found.set(key, { address: endpoint.address, port: one.port, endpoint })
      }
    }
  }
  return [...found.values()].sort((a, b) => compareText(a.address, b.address) || a.port - b.port)
}

/** Those that flows may go on with. A connection ends with the endpoint itself, what knows no connections when the endpoint stops to serve. */
export function aliveOf(endpoints: readonly PortEndpoint[], protocol: ServiceProtocol): readonly PortEndpoint[] {
  if (protocol !== 'UDP') return endpoints
  return endpoints.filter(({ endpoint }) => endpoint.isServing || endpoint.isReady)
}

function rank(endpoint: Endpoint): number {
  return endpoint.isReady ? 2 : isDraining(endpoint) ? 1 : 0
}
