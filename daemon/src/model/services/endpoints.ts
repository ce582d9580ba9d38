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

/** What one slice says of one port. */
interface SlicePart {
  /** The endpoints' own. */
  readonly port: number
  readonly endpoints: readonly Endpoint[]
}

/** Slices of one Service and family, by the ports that they are about. */
export class EndpointsByPort {
  readonly #parts = new Map<string, SlicePart[]>()

  /** @param slices by name */
  constructor(slices: readonly EndpointSlice[]) {
    for (const { ports, endpoints } of slices) {
      for (const { name, protocol, port } of ports) {
        const key = partKey({ name, protocol })
        const parts = this.#parts.get(key)
        if (parts === undefined) this.#parts.set(key, [{ port, endpoints }])
        else parts.push({ port, endpoints })
      }
    }
  }

  /** Endpoints of the port in all slices, those that are in two of them counted twice. */
  countOf(port: Pick<ServicePort, 'name' | 'protocol'>): number {
    return this.#partsOf(port).reduce((count, { endpoints }) => count + endpoints.length, 0)
  }

  /**
   * Sorted by address and port. An endpoint that is in two slices, as it is for a moment when the cluster moves it from one to another, counts as the one that
   * can do more; of equals that of the slice whose name comes first.
   */
  of(of: Pick<ServicePort, 'name' | 'protocol'>): PortEndpoint[] {
    const found = new Map<string, PortEndpoint>()
    for (const { port, endpoints } of this.#partsOf(of)) {
      for (const endpoint of endpoints) {
        const key = `${endpoint.address} ${port}`
        const known = found.get(key)
        if (known === undefined || rank(endpoint) > rank(known.endpoint))
          found.set(key, { address: endpoint.address, port, endpoint })
      }
    }
    return [...found.values()].sort((a, b) => compareText(a.address, b.address) || a.port - b.port)
  }

  #partsOf(port: Pick<ServicePort, 'name' | 'protocol'>): readonly SlicePart[] {
    return this.#parts.get(partKey(port)) ?? []
  }
}

function partKey({ name, protocol }: Pick<ServicePort, 'name' | 'protocol'>): string {
  return `${protocol} ${name}`
}

/** Those that flows may go on with. A connection ends with the endpoint itself, what knows no connections when the endpoint stops to serve. */
export function aliveOf(endpoints: readonly PortEndpoint[], protocol: ServiceProtocol): readonly PortEndpoint[] {
  if (protocol !== 'UDP') return endpoints
  return endpoints.filter(({ endpoint }) => endpoint.isServing || endpoint.isReady)
}

function rank(endpoint: Endpoint): number {
  return endpoint.isReady ? 2 : isDraining(endpoint) ? 1 : 0
}
