/** A Service, as a proxy reads it; and a ServiceCIDR. Pure. */
import { contains, familyOf, mustParseAddress, mustParseCidr } from '../../model/address.ts'
import { HOME_NAMESPACE } from '../../model/names.ts'
import type { Address, Cidr, Service, ServicePort, ServiceProtocol } from '../../model/objects.ts'
import { type SchemaIssue, shorten } from '../../schema/check.ts'
import { sloppyAddress, sloppyCidr } from './sloppy-address.ts'

/** Whoever carries one of these isn't served: an API server can leave them out. */
export const NOT_SERVED_LABELS = ['service.kubernetes.io/service-proxy-name', 'service.kubernetes.io/headless'] as const

/** Seconds, where the API server set none. */
const DEFAULT_AFFINITY_SECONDS = 10_800

export interface ServiceRange {
  readonly name: string
  readonly cidrs: readonly Cidr[]
}

interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly labels?: Readonly<Record<string, string>> | null
}

interface ServiceSpec {
  readonly type?: Service['type'] | 'ExternalName'
  readonly clusterIP?: string
  readonly clusterIPs?: readonly string[] | null
  readonly ports?: readonly {
    readonly name?: string
    readonly protocol?: ServiceProtocol
    readonly port: number
    readonly nodePort?: number
  }[]
  readonly externalIPs?: readonly string[] | null
  readonly loadBalancerClass?: string | null
  readonly loadBalancerSourceRanges?: readonly string[] | null
  readonly internalTrafficPolicy?: 'Cluster' | 'Local'
  readonly externalTrafficPolicy?: 'Cluster' | 'Local' | ''
  readonly healthCheckNodePort?: number
  readonly sessionAffinity?: 'None' | 'ClientIP' | ''
  readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } | null } | null
}

interface ServiceStatus {
  readonly loadBalancer?: {
    readonly ingress?: readonly { readonly ip?: string; readonly ipMode?: string }[] | null
  }
}

export interface ServiceManifest {
  readonly metadata: Metadata
  readonly spec: ServiceSpec
  readonly status?: ServiceStatus
}

export type DecodedService =
  | { readonly service: Service }
  | { readonly issues: readonly SchemaIssue[] }
  /** In order, and nothing that we serve. */
  | undefined

export function isServed(labels: Readonly<Record<string, string>> | null | undefined): boolean {
  return labels == null || NOT_SERVED_LABELS.every((label) => !Object.hasOwn(labels, label))
}

/** Of a document that its schema accepts. */
export function decodeService({ metadata, spec, status }: ServiceManifest): DecodedService {
  const { type = 'ClusterIP', clusterIP = '' } = spec
  const given = spec.clusterIPs == null || spec.clusterIPs.length === 0 ? [clusterIP] : spec.clusterIPs
  if (type === 'ExternalName' || clusterIP === 'None' || given[0] === 'None' || !isServed(metadata.labels))
    return undefined
  const issues: SchemaIssue[] = []
  const clusterIps = decodeClusterIps(given, issues)
  const ports = decodePorts(spec.ports ?? [], type, issues)
  const externalIps = addresses(spec.externalIPs ?? [], 'spec.externalIPs', issues)
  const ingress = type === 'LoadBalancer' ? (status?.loadBalancer?.ingress ?? []) : []
  const loadBalancerIps = addresses(
    ingress.flatMap(({ ip = '', ipMode = 'VIP' }) => (ip !== '' && ipMode === 'VIP' ? ip : [])),
    'status.loadBalancer.ingress',
    issues,
  )
  const sourceRanges = cidrs(spec.loadBalancerSourceRanges ?? [], 'spec.loadBalancerSourceRanges', issues)
  if (issues.length > 0) return { issues }
  const affinitySeconds =
    spec.sessionAffinity === 'ClientIP'
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS)
      : undefined
  const { healthCheckNodePort = 0 } = spec
  return {
    service: {
      namespace: metadata.namespace ?? HOME_NAMESPACE,
      name: metadata.name,
      uid: metadata.uid ?? '',
      type,
      clusterIps,
      ports,
      externalIps,
      loadBalancerIps,
      sourceRanges,
      internalTrafficPolicy: spec.internalTrafficPolicy ?? 'Cluster',
      externalTrafficPolicy: spec.externalTrafficPolicy || 'Cluster',
      ...(type === 'LoadBalancer' && spec.loadBalancerClass != null && { loadBalancerClass: spec.loadBalancerClass }),
      ...(affinitySeconds !== undefined && { affinitySeconds }),
      ...(healthCheckNodePort !== 0 && { healthCheckNodePort }),
    },
  }
}

export function decodeServiceRange({
  metadata: { name },
  spec,
}: {
  readonly metadata: Metadata
  readonly spec: { readonly cidrs: readonly string[] }
}): { readonly range: ServiceRange } | { readonly issues: readonly SchemaIssue[] } {
  const issues: SchemaIssue[] = []
  const range = { name, cidrs: cidrs(spec.cidrs, 'spec.cidrs', issues) }
  return issues.length > 0 ? { issues } : { range }
}

function decodeClusterIps(given: readonly string[], issues: SchemaIssue[]): Address[] {
  if (given[0] === '') {
    const message = 'is required: an address of a ServiceCIDR, or None for a Service without one'
    issues.push({ field: 'spec.clusterIP', message })
    return []
  }
  const found: Address[] = []
  for (const [index, text] of given.entries()) {
    const field = `spec.clusterIPs[${index}]`
    const address = sloppyAddress(text)
    if (address === undefined) issues.push(notAnAddress(field, text))
    else if (found.some((other) => familyOf(other) === familyOf(address))) {
      const message = `is of the family of ${found[0]}: a Service has one address of each family`
      issues.push({ field, value: shorten(text), message })
    } else found.push(address)
  }
  return found
}

function decodePorts(
  given: NonNullable<ServiceSpec['ports']>,
  type: ServiceSpec['type'],
  issues: SchemaIssue[],
): ServicePort[] {
  const ports: ServicePort[] = []
  for (const [index, { name = '', protocol = 'TCP', port, nodePort = 0 }] of given.entries()) {
    const field = `spec.ports[${index}]`
    if (name === '' && given.length > 1)
      issues.push({ field: `${field}.name`, message: 'is required where there are several ports' })
    const sameName = ports.findIndex((other) => other.name === name && name !== '')
    if (sameName >= 0) {
      const message = `is the name of spec.ports[${sameName}] too: give each port a name of its own`
      issues.push({ field: `${field}.name`, value: shorten(name), message })
    }
    const same = ports.findIndex((other) => other.port === port && other.protocol === protocol)
    if (same >= 0) {
      const message = `is the ${protocol} port of spec.ports[${same}] too: remove one of them`
      issues.push({ field: `${field}.port`, value: shorten(port), message })
    }
    ports.push({ name, protocol, port, ...(nodePort !== 0 && type !== 'ClusterIP' && { nodePort }) })
  }
  return ports
}

/** Of thousands of Services: shared. */
const NONE: readonly never[] = []

function addresses(given: readonly string[], field: string, issues: SchemaIssue[]): readonly Address[] {
  if (given.length === 0) return NONE
  const found = new Set<Address>()
  for (const [index, text] of given.entries()) {
    const address = sloppyAddress(text)
    const issue =
      address === undefined
        ? notAnAddress(`${field}[${index}]`, text)
        : specialAddressIssue(`${field}[${index}]`, address)
    if (issue !== undefined) issues.push(issue)
    else found.add(address!)
  }
  return [...found]
}

function cidrs(given: readonly string[], field: string, issues: SchemaIssue[]): readonly Cidr[] {
  if (given.length === 0) return NONE
  const found = new Set<Cidr>()
  for (const [index, text] of given.entries()) {
    const cidr = sloppyCidr(text)
    if (cidr !== undefined) found.add(cidr)
    else {
      const message = 'is not a CIDR such as 10.1.0.0/16 or fd00:1::/64'
      issues.push({ field: `${field}[${index}]`, value: shorten(text), message })
    }
  }
  return [...found]
}

export function notAnAddress(field: string, text: string): SchemaIssue {
  return { field, value: shorten(text), message: 'is not an IPv4 or IPv6 address' }
}

/** Nobody but the machine itself, or everybody on a wire, is behind these: traffic led there would reach what isn't meant for it. */
export const SPECIAL = (
  [
    ['0.0.0.0/8', 'an address of no host'],
    ['::/128', 'an address of no host'],
    ['127.0.0.0/8', 'a loopback address'],
    ['::1/128', 'a loopback address'],
    ['169.254.0.0/16', 'a link-local address'],
    ['fe80::/10', 'a link-local address'],
    ['224.0.0.0/4', 'a multicast address'],
    ['ff00::/8', 'a multicast address'],
    ['255.255.255.255/32', 'the broadcast address'],
  ] as const
).map(([cidr, what]) => ({ prefix: mustParseCidr(cidr), what }))

/** As the API server refuses them, for whoever got them past it. */
export function specialAddressIssue(field: string, address: Address): SchemaIssue | undefined {
  const parsed = mustParseAddress(address)
  const special = SPECIAL.find(({ prefix }) => contains(prefix, parsed))
  if (special === undefined) return undefined
  return { field, value: shorten(address), message: `is ${special.what}: give one that others can be reached at` }
}
