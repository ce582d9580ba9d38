/** A node with Services, as tests of the model see it: what they give the model, and what its tables say, in words. */
import { longestMatch, mustParseAddress } from '@kube-vrouter/daemon/model/address'
import { builtInNetworks, defaultSubnet } from '@kube-vrouter/daemon/model/built-in-networks'
import { Model, type ModelInput } from '@kube-vrouter/daemon/model/compute'
import type { NodeFacts, Port } from '@kube-vrouter/daemon/model/facts'
import { type IdLimits, Ids } from '@kube-vrouter/daemon/model/ids'
import { interfaceUuid, podMac, tapName } from '@kube-vrouter/daemon/model/names'
import type {
  EndpointSlice,
  Namespace,
  Service,
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualRouter,
} from '@kube-vrouter/daemon/model/objects'
import type { Back, BackSet, Front, Tables } from '@kube-vrouter/daemon/model/tables'
import { nodeFacts } from './node-facts.ts'
import { byName } from './service-objects.ts'

export const limits: IdLimits = { vrf: 100, nexthop: 1000, label: 1000, vif: 100, bridge: 1000, service: 100 }
export const facts: NodeFacts = { ...nodeFacts, underlay: { ...nodeFacts.underlay, address6: '2001:db8::11' } }
const none = new Map<string, never>()

export const isolated: Namespace = { name: 'dev', labels: {}, annotations: { 'vrouter.dev/isolation': 'true' } }
const networks = builtInNetworks('k8s', ['10.244.0.0/16', 'fd00:10:244::/48'], [isolated])
export const [standard, dev] = networks as [VirtualNetwork, VirtualNetwork]
export const red: VirtualNetwork = {
  namespace: 'default',
  name: 'red',
  fqName: 'default-domain:k8s-default:red',
  uuid: 'red',
  subnets: [defaultSubnet('10.1.0.0/16')],
  blockSize4: 26,
  blockSize6: 122,
}
export const DEFAULT_SERVICES = 'default-domain:k8s-default:k8s-default-service-network'
export const DEV_SERVICES = 'default-domain:k8s-dev:k8s-dev-service-network'

export function router(name: string, at: number): VirtualRouter {
  const [address, vhostLabel] = [`192.0.2.${at}`, 16]
  return { name, address, encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel, serviceLabel: 100 + at }
}

export function port(name: string, vn: VirtualNetwork, address: string, namespace = 'default'): Port {
  const uuid = interfaceUuid(name, 'eth0')
  return {
    ...{ uuid, containerId: name, ifname: 'eth0', namespace, pod: { name, uid: uuid }, vn: vn.fqName },
    ...{ mac: podMac(uuid), addresses: [address], tap: tapName(name, 'eth0'), ifindex: 10, mtu: 1468, labels: {} },
    createdAt: name,
  }
}

export function remote(
  name: string,
  vn: VirtualNetwork,
  address: string,
  label: number,
  namespace = 'default',
  node = 'n2',
) {
  const uuid = interfaceUuid(`${node} ${name}`, 'eth0')
  const [pod, mac] = [{ name, uid: '' }, podMac(uuid)]
  const common = { uuid, vn: vn.fqName, node, pod, containerId: name, ifname: 'eth0', mac, label }
  return { name, namespace, addresses: [address], ...common } satisfies VirtualMachineInterface
}

export interface ServiceWorld {
  readonly services?: readonly Service[]
  readonly slices?: readonly EndpointSlice[]
  readonly ports?: readonly Port[]
  readonly interfaces?: readonly VirtualMachineInterface[]
  readonly namespaces?: readonly Namespace[]
  readonly more?: Partial<SourceState>
  readonly hostPeers?: readonly string[]
  readonly facts?: NodeFacts
}

export function inputOf({
  services = [],
  slices = [],
  ports = [],
  interfaces = [],
  namespaces = [],
  ...world
}: ServiceWorld): ModelInput {
  const source: SourceState = {
    namespaces: new Map(namespaces.map((one) => [one.name, one])),
    virtualNetworks: new Map([...networks, red].map((vn) => [vn.fqName, vn])),
    ...{ blocks: none, networkRouters: none, pods: none, rejected: [] },
    interfaces: new Map(interfaces.map((one) => [one.uuid, one])),
    routers: new Map([router('n1', 11), router('n2', 12)].map((one) => [one.name, one])),
    services: byName(services),
    slices: byName(slices),
    serviceRanges: ['10.96.0.0/12', 'fd00:96::/108'],
    ...world.more,
  }
  return { source, facts: world.facts ?? facts, ports, hostPeers: world.hostPeers ?? [] }
}

export function modelOf(
  ids = new Ids({ limits }),
  now: () => number = () => 0,
  insideRanges: readonly string[] = ['10.96.0.0/12'],
): Model {
  const options = { node: 'n1', cluster: 'k8s', limits: { routes: 10_000 }, flowsPerVif: 5, snat: true }
  return new Model({ ...options, insideRanges, now }, ids)
}

export function networkOf(tables: Tables, vrf: number | undefined): string {
  return tables.vrfs.find(({ id }) => id === vrf)?.vn ?? (vrf === 0 ? 'underlay' : `no VRF ${vrf}`)
}

function wordsOf(tables: Tables, back: Back): string {
  const { address, port, isHost, vrf, nexthop, label } = back
  const found = tables.nexthops.find(({ id }) => id === nexthop)?.nexthop
  const network = vrf === undefined ? '' : ` in ${networkOf(tables, vrf).split(':').at(-1)}`
  const way =
    found?.type === 'tunnel'
      ? ` by ${found.destination} ${label}`
      : found?.type === 'encap'
        ? ` at ${tables.vifs.find(({ id }) => id === found.vif)?.name}`
        : nexthop === undefined
          ? ''
          : ' nowhere'
  return `${address}:${port}${isHost ? ' host' : ''}${network}${way}`
}

export function setWords(tables: Tables, { backs, whenEmpty }: BackSet): string {
  return backs.length === 0 ? whenEmpty : backs.map((back) => wordsOf(tables, back)).join(', ')
}

/** `kind address[:port/protocol]` → its sets; one text where they are the same. */
export function frontsOf(tables: Tables, of: (front: Front) => boolean = () => true): Record<string, string> {
  return Object.fromEntries(
    tables.fronts!.filter(of).map((front) => {
      const { kind, vrf, address, listener } = front
      const [inside, outside] = [setWords(tables, front.inside), setWords(tables, front.outside)]
      const at = listener === undefined ? address : `${address}:${listener.port}/${listener.protocol}`
      const network = networkOf(tables, vrf).split(':').at(-1)
      return [`${network} ${kind} ${at}`, inside === outside ? inside : `inside ${inside}; outside ${outside}`]
    }),
  )
}

/** Where a packet to an address goes that comes from there. */
export function routeOf(tables: Tables, vn: string, address: string): string {
  const vrf = vn === 'underlay' ? 0 : tables.vrfs.find((one) => one.vn === vn)!.id
  const parsed = mustParseAddress(address)
  const routes = (parsed.family === 4 ? tables.inet : tables.inet6).get(vrf) ?? []
  const entries = routes.map((route) => ({
    route,
    prefix: { ...mustParseAddress(route.address), length: route.prefixLength },
  }))
  const found = longestMatch(entries, parsed)?.route
  const nexthop = tables.nexthops.find(({ id }) => id === found?.nexthop)?.nexthop
  if (nexthop?.type !== 'vrf-translate') return nexthop?.type ?? 'none'
  return nexthop.snat ? 'out' : `${nexthop.service ? 'services of' : 'vrf'} ${networkOf(tables, nexthop.vrf)}`
}
