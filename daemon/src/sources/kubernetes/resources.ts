/** The kinds that the source follows, and where the API server serves them. */
import type { Resource } from '../../kubernetes/objects.ts'
import type { Kind } from '../objects/decode.ts'

const ours = (plural: string): Resource => ({ group: 'vrouter.dev', version: 'v1alpha1', plural })
const core = (plural: string): Resource => ({ group: '', version: 'v1', plural })

export const RESOURCES: Readonly<Record<Kind, Resource>> = {
  Namespace: core('namespaces'),
  VirtualNetwork: ours('virtualnetworks'),
  VirtualNetworkRouter: ours('virtualnetworkrouters'),
  IPAMBlock: ours('ipamblocks'),
  VirtualMachineInterface: ours('virtualmachineinterfaces'),
  VirtualRouter: ours('virtualrouters'),
  Service: core('services'),
  EndpointSlice: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' },
  ServiceCIDR: { group: 'networking.k8s.io', version: 'v1', plural: 'servicecidrs' },
  LoadBalancerPool: ours('loadbalancerpools'),
}

export const NODES = core('nodes')
export const PODS = core('pods')
export const EVENTS = core('events')
