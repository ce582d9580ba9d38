/** From one document to one object of the model, with every check that needs no other object. Pure. */

import {
  canonicalAddress,
  contains,
  formatCidr,
  mustParseAddress,
  mustParseCidr,
  overlaps,
} from '../../model/address.ts'
import { BLOCK_SIZE_4, BLOCK_SIZE_6, defaultSubnet } from '../../model/built-in-networks.ts'
import { reservedAddresses } from '../../model/ipam.ts'
import { HOME_NAMESPACE, networkFqName, uuidOf } from '../../model/names.ts'
import type {
  Encapsulation,
  EndpointSlice,
  IpamBlock,
  LoadBalancerPool,
  Namespace,
  Service,
  Subnet,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualNetworkRouter,
  VirtualRouter,
} from '../../model/objects.ts'
import { prefixOf } from '../../model/prefix-of.ts'
import { longestSubnet, Schema, type SchemaIssue, shorten } from '../../schema/check.ts'
import { suggestion } from '../../schema/suggestion.ts'
import { decodeSlice, type SliceManifest } from './endpoint-slice.ts'
import { intern } from './intern.ts'
import { decodePool } from './load-balancer-pool.ts'
import endpointSliceSchema from './schemas/endpoint-slice.json' with { type: 'json' }
import ipamBlockSchema from './schemas/ipam-block.json' with { type: 'json' }
import poolSchema from './schemas/load-balancer-pool.json' with { type: 'json' }
import namespaceSchema from './schemas/namespace.json' with { type: 'json' }
import serviceSchema from './schemas/service.json' with { type: 'json' }
import serviceRangeSchema from './schemas/service-cidr.json' with { type: 'json' }
import interfaceSchema from './schemas/virtual-machine-interface.json' with { type: 'json' }
import networkSchema from './schemas/virtual-network.json' with { type: 'json' }
import networkRouterSchema from './schemas/virtual-network-router.json' with { type: 'json' }
import routerSchema from './schemas/virtual-router.json' with { type: 'json' }
import { decodeSelector, type SelectorSpec } from './selector.ts'
import { decodeService, decodeServiceRange, type ServiceManifest, type ServiceRange } from './service.ts'

export type Item =
  | { readonly kind: 'Namespace'; readonly object: Namespace }
  | { readonly kind: 'VirtualNetwork'; readonly object: VirtualNetwork }
  | { readonly kind: 'VirtualNetworkRouter'; readonly object: VirtualNetworkRouter }
  | { readonly kind: 'IPAMBlock'; readonly object: IpamBlock }
  | { readonly kind: 'VirtualMachineInterface'; readonly object: VirtualMachineInterface }
  | { readonly kind: 'VirtualRouter'; readonly object: KnownRouter }
  | { readonly kind: 'Service'; readonly object: Service }
  | { readonly kind: 'EndpointSlice'; readonly object: EndpointSlice }
  | { readonly kind: 'ServiceCIDR'; readonly object: ServiceRange }
  | { readonly kind: 'LoadBalancerPool'; readonly object: LoadBalancerPool }

/** What a node says of itself, and what the controller says of the node: of two that are in each other's way, one that is ready counts. */
export interface KnownRouter extends VirtualRouter {
  /** Condition Ready. Absent: nobody says so (a directory has no controller), and it counts as ready. */
  readonly isReady?: boolean
}

export type Kind = Item['kind']

/** The label of objects that show a built-in network (the controller makes them): they add to it, and define nothing. */
export const BUILT_IN_LABEL = 'vrouter.dev/built-in'

const NAMESPACED: ReadonlySet<Kind> = new Set([
  'VirtualNetwork',
  'VirtualNetworkRouter',
  'VirtualMachineInterface',
  'Service',
  'EndpointSlice',
])

/** What people call it: `VirtualNetwork default/red`. Made when it is needed: there are thousands of items. */
export function idOf({ kind, object }: Item): string {
  return idOfName(kind, object.name, 'namespace' in object ? object.namespace : undefined)
}

function idOfName(kind: Kind, name: string, namespace = HOME_NAMESPACE): string {
  return NAMESPACED.has(kind) ? `${kind} ${namespace}/${name}` : `${kind} ${name}`
}

export const API_VERSIONS: Readonly<Record<Kind, string>> = {
  Namespace: 'v1',
  VirtualNetwork: 'vrouter.dev/v1alpha1',
  VirtualNetworkRouter: 'vrouter.dev/v1alpha1',
  IPAMBlock: 'vrouter.dev/v1alpha1',
  VirtualMachineInterface: 'vrouter.dev/v1alpha1',
  VirtualRouter: 'vrouter.dev/v1alpha1',
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  ServiceCIDR: 'networking.k8s.io/v1',
  LoadBalancerPool: 'vrouter.dev/v1alpha1',
}

export const KINDS = Object.keys(API_VERSIONS) as Kind[]

export const SCHEMAS: Readonly<Record<Kind, Schema>> = {
  Namespace: new Schema(namespaceSchema),
  VirtualNetwork: new Schema(networkSchema),
  VirtualNetworkRouter: new Schema(networkRouterSchema),
  IPAMBlock: new Schema(ipamBlockSchema),
  VirtualMachineInterface: new Schema(interfaceSchema),
  VirtualRouter: new Schema(routerSchema),
  Service: new Schema(serviceSchema),
  EndpointSlice: new Schema(endpointSliceSchema),
  ServiceCIDR: new Schema(serviceRangeSchema),
  LoadBalancerPool: new Schema(poolSchema),
}

export type Decoded =
  | { readonly ok: true; readonly item: Item }
  /** `id`: what the document would be, such as `VirtualNetwork default/red`; `document` where not even that is known. */
  | { readonly ok: false; readonly id: string; readonly issues: readonly SchemaIssue[]; readonly isIgnored?: false }
  /** In order, and nothing that concerns us, such as a headless Service. */
  | { readonly ok: false; readonly id: string; readonly issues: readonly []; readonly isIgnored: true }

interface Manifest {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly deletionTimestamp?: string | null
  }
  readonly spec: never
  readonly status?: unknown
}

export function decode(document: unknown, cluster: string): Decoded {
  const { kind, id } = identify(document)
  if (kind === undefined) return { ok: false, id, issues: [kindIssue(document)] }
  const issues = SCHEMAS[kind].check(document)
  if (issues.length > 0) return { ok: false, id, issues }
  const manifest = document as Manifest
  switch (kind) {
    case 'Namespace': {
      const { name, labels = {}, annotations = {} } = manifest.metadata
      return { ok: true, item: { kind, object: { name, labels, annotations } } }
    }
    case 'VirtualNetwork':
      return decodeNetwork(manifest, id, cluster)
    case 'VirtualNetworkRouter':
      return decodeNetworkRouter(manifest, id)
    case 'IPAMBlock': {
      const { network, cidr, node } = manifest.spec as { network: string; cidr: string; node: string }
      const object = {
        name: manifest.metadata.name,
        vn: intern(network),
        cidr: formatCidr(mustParseCidr(cidr)),
        node: intern(node),
      }
      return { ok: true, item: { kind, object } }
    }
    case 'VirtualMachineInterface':
      return { ok: true, item: { kind, object: decodeInterface(manifest) } }
    case 'VirtualRouter':
      return decodeRouter(manifest, id)
    case 'Service': {
      const decoded = decodeService(document as ServiceManifest)
      if (decoded === undefined) return { ok: false, id, issues: [], isIgnored: true }
      return 'issues' in decoded
        ? { ok: false, id, issues: decoded.issues }
        : { ok: true, item: { kind, object: decoded.service } }
    }
    case 'EndpointSlice': {
      const decoded = decodeSlice(document as SliceManifest)
      if (decoded === undefined) return { ok: false, id, issues: [], isIgnored: true }
      return 'issues' in decoded
        ? { ok: false, id, issues: decoded.issues }
        : { ok: true, item: { kind, object: decoded.slice } }
    }
    case 'ServiceCIDR': {
      const decoded = decodeServiceRange(manifest)
      return 'issues' in decoded
        ? { ok: false, id, issues: decoded.issues }
        : { ok: true, item: { kind, object: decoded.range } }
    }
    case 'LoadBalancerPool': {
      const decoded = decodePool(manifest)
      return 'issues' in decoded
        ? { ok: false, id, issues: decoded.issues }
        : { ok: true, item: { kind, object: decoded.pool } }
    }
    default:
      return kind satisfies never
  }
}

function identify(document: unknown): { readonly kind: Kind | undefined; readonly id: string } {
  const { kind, metadata } = (document ?? {}) as { readonly kind?: unknown; readonly metadata?: Manifest['metadata'] }
  const known = KINDS.find((candidate) => candidate === kind)
  const name = typeof metadata?.name === 'string' ? metadata.name : undefined
  if (known === undefined || name === undefined) return { kind: known, id: known ?? 'document' }
  return { kind: known, id: idOfName(known, name, metadata?.namespace) }
}

function kindIssue(document: unknown): SchemaIssue {
  if (typeof document !== 'object' || document === null) {
    return {
      field: '',
      value: shorten(document),
      message: 'is not a manifest: it needs apiVersion, kind and metadata',
    }
  }
  const { kind } = document as { readonly kind?: unknown }
  if (typeof kind !== 'string') return { field: 'kind', message: `is required: one of ${KINDS.join(', ')}` }
  const near = suggestion(kind, KINDS)
  const hint = near === undefined ? `known are ${KINDS.join(', ')}` : `did you mean ${near}?`
  return { field: 'kind', value: shorten(kind), message: `unknown kind; ${hint}` }
}

interface NetworkSpec {
  readonly subnets: readonly { readonly cidr: string; readonly gateway?: string; readonly service?: string }[]
  readonly blockSize4?: number
  readonly blockSize6?: number
  readonly fqName?: string
  readonly fabricSNAT?: boolean
  readonly virtualNetworkNetworkID?: number
}

function decodeNetwork({ metadata, spec, status }: Manifest, id: string, cluster: string): Decoded {
  const { subnets: asked, blockSize4, blockSize6, fqName: givenName, fabricSNAT: fabricSnat } = spec as NetworkSpec
  // The one in use stands in the status; before the controller has seen the object, the one that is wished for.
  const { virtualNetworkNetworkID: vni = (spec as NetworkSpec).virtualNetworkNetworkID } = (status ?? {}) as NetworkSpec
  const issues: SchemaIssue[] = []
  const subnets: Subnet[] = []
  for (const [index, { cidr, gateway, service }] of asked.entries()) {
    const field = `spec.subnets[${index}]`
    const prefix = mustParseCidr(cidr)
    const longest = longestSubnet(prefix.family)
    if (prefix.length > longest) {
      issues.push({ field: `${field}.cidr`, value: cidr, message: `is too small for pods: at most /${longest}` })
      continue
    }
    const subnet = defaultSubnet(cidr, canonical(gateway), canonical(service))
    issues.push(...subnetIssues(subnet, field))
    const clash = subnets.findIndex((other) => overlaps(prefixOf(other), prefix))
    if (clash >= 0) {
      const message = `overlaps spec.subnets[${clash}] (${subnets[clash]!.cidr}): subnets of one network must not`
      issues.push({ field: `${field}.cidr`, value: cidr, message })
    }
    subnets.push(subnet)
  }
  if (issues.length > 0) return { ok: false, id, issues }
  const namespace = metadata.namespace ?? HOME_NAMESPACE
  const fqName = intern(givenName ?? networkFqName(cluster, namespace, metadata.name))
  const object: VirtualNetwork = {
    namespace,
    name: metadata.name,
    fqName,
    uuid: uuidOf('vn', fqName),
    subnets,
    blockSize4: blockSize4 ?? BLOCK_SIZE_4,
    blockSize6: blockSize6 ?? BLOCK_SIZE_6,
    ...(metadata.labels !== undefined && Object.keys(metadata.labels).length > 0 && { labels: metadata.labels }),
    ...(fabricSnat !== undefined && { fabricSnat }),
    ...(vni !== undefined && { vni }),
    // A finalizer keeps it while pods use it.
    ...(typeof metadata.deletionTimestamp === 'string' && { isDeleted: true }),
  }
  return { ok: true, item: { kind: 'VirtualNetwork', object } }
}

interface NetworkRouterSpec {
  readonly type: VirtualNetworkRouter['type']
  readonly virtualNetworkSelector: SelectorSpec
  readonly import?: {
    readonly virtualNetworkRouters?: readonly {
      readonly virtualNetworkRouterSelector: SelectorSpec
      readonly namespaceSelector?: SelectorSpec
    }[]
  }
}

function decodeNetworkRouter({ metadata, spec }: Manifest, id: string): Decoded {
  const { type, virtualNetworkSelector, import: imported } = spec as NetworkRouterSpec
  const issues: SchemaIssue[] = []
  const networks = decodeSelector(virtualNetworkSelector, 'spec.virtualNetworkSelector', issues)
  const imports = (imported?.virtualNetworkRouters ?? []).map((one, index) => {
    const field = `spec.import.virtualNetworkRouters[${index}]`
    const routers = decodeSelector(one.virtualNetworkRouterSelector, `${field}.virtualNetworkRouterSelector`, issues)
    if (one.namespaceSelector === undefined) return { routers }
    return { routers, namespaces: decodeSelector(one.namespaceSelector, `${field}.namespaceSelector`, issues) }
  })
  if (issues.length > 0) return { ok: false, id, issues }
  const { name, namespace = HOME_NAMESPACE, labels = {} } = metadata
  const object: VirtualNetworkRouter = { namespace, name, type, labels, networks, imports }
  return { ok: true, item: { kind: 'VirtualNetworkRouter', object } }
}

function subnetIssues(subnet: Subnet, field: string): SchemaIssue[] {
  const prefix = prefixOf(subnet)
  const unusable = reservedAddresses({ ...subnet, gateway: '', service: '' })
  const issues: SchemaIssue[] = []
  for (const key of ['gateway', 'service'] as const) {
    const value = subnet[key]
    if (!contains(prefix, mustParseAddress(value))) {
      issues.push({
        field: `${field}.${key}`,
        value,
        message: `lies outside the subnet ${subnet.cidr}: choose an address inside it`,
      })
    } else if (unusable.has(value)) {
      issues.push({
        field: `${field}.${key}`,
        value,
        message: `is the network or broadcast address of ${subnet.cidr}: choose another`,
      })
    }
  }
  if (subnet.gateway === subnet.service) {
    const message = `is the gateway's address too: give the service address another`
    issues.push({ field: `${field}.service`, value: subnet.service, message })
  }
  return issues
}

function canonical(address: string | undefined): string | undefined {
  return address === undefined ? undefined : canonicalAddress(address)
}

interface InterfaceSpec {
  readonly uuid: string
  readonly network: string
  readonly node: string
  readonly pod: { readonly name: string; readonly uid: string }
  readonly containerId: string
  readonly interface: string
  readonly mac: string
  readonly addresses: readonly string[]
  readonly label: number
}

function decodeInterface({ metadata, spec }: Manifest): VirtualMachineInterface {
  const given = spec as InterfaceSpec
  return {
    name: metadata.name,
    namespace: intern(metadata.namespace!),
    uuid: given.uuid,
    vn: intern(given.network),
    node: intern(given.node),
    pod: { name: given.pod.name, uid: given.pod.uid },
    containerId: given.containerId,
    ifname: intern(given.interface),
    mac: given.mac,
    addresses: given.addresses.map((address) => canonicalAddress(address)!),
    label: given.label,
  }
}

function decodeRouter({ metadata, spec }: Manifest, id: string): Decoded {
  const { address, address6, encapsulations, vrfLabels, vhostLabel, serviceLabel } = spec as {
    readonly address: string
    readonly address6?: string
    readonly encapsulations: readonly Encapsulation[]
    readonly vrfLabels: Readonly<Record<string, number>>
    readonly vhostLabel: number
    readonly serviceLabel?: number
  }
  if (mustParseAddress(address).family !== 4) {
    const message = 'must be IPv4: the underlay is IPv4'
    return { ok: false, id, issues: [{ field: 'spec.address', value: address, message }] }
  }
  if (address6 !== undefined && mustParseAddress(address6).family !== 6) {
    return { ok: false, id, issues: [{ field: 'spec.address6', value: address6, message: 'must be IPv6' }] }
  }
  const labels = Object.fromEntries(Object.entries(vrfLabels).map(([vn, label]) => [intern(vn), label]))
  const object: VirtualRouter = {
    name: intern(metadata.name),
    address,
    ...(address6 !== undefined && { address6: canonicalAddress(address6)! }),
    encapsulations,
    vrfLabels: labels,
    vhostLabel,
    ...(serviceLabel !== undefined && { serviceLabel }),
  }
  return { ok: true, item: { kind: 'VirtualRouter', object } }
}
