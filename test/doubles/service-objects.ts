/** Services and their slices as tests of the model write them: what isn't said is as a cluster has it as a rule. */
import type { Endpoint, EndpointSlice, Service } from '@kube-vrouter/daemon/model/objects'

export function serviceOf(name: string, more: Partial<Service> = {}): Service {
  return {
    namespace: 'default',
    name,
    uid: name,
    type: 'ClusterIP',
    clusterIps: ['10.96.0.10'],
    ports: [{ name: '', protocol: 'TCP', port: 80 }],
    externalIps: [],
    loadBalancerIps: [],
    sourceRanges: [],
    internalTrafficPolicy: 'Cluster',
    externalTrafficPolicy: 'Cluster',
    ...more,
  }
}

export function sliceOf(
  service: string,
  endpoints: readonly Endpoint[],
  more: Partial<EndpointSlice> = {},
): EndpointSlice {
  return {
    namespace: 'default',
    name: `${service}-1`,
    service,
    family: 4,
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints,
    ...more,
  }
}

export function endpointOf(address: string, more: Partial<Endpoint> = {}): Endpoint {
  return { address, isReady: true, isServing: true, isTerminating: false, ...more }
}

/** As sources keep them: by `<namespace>/<name>`. */
export function byName<T extends { readonly namespace: string; readonly name: string }>(
  objects: readonly T[],
): ReadonlyMap<string, T> {
  return new Map(objects.map((one) => [`${one.namespace}/${one.name}`, one]))
}
