/**
 * Which VN a pod is attached to: pod annotation, then namespace annotation, then the isolated namespace's own VN, then the
 * default pod VN (kubernetes reference 2.4, 2.5, 2.24). On one object `vrouter.dev/network` beats the two old spellings.
 */
import { canonicalAddress, familyOf } from './address.ts'
import { type ModelError, modelError } from './errors.ts'
import type { NetworkFrom } from './facts.ts'
import { defaultPodNetwork, HOME_NAMESPACE, isolatedPodNetwork, networkFqName } from './names.ts'
import type { Address, FqName, Mac, Namespace, SourceState, VirtualNetwork } from './objects.ts'

/** Annotations that name a network, best first. All take the same values. */
export const NETWORK_ANNOTATIONS = [
  'vrouter.dev/network',
  'opencontrail.org/network',
  'net.juniper.contrail.podnetwork',
] as const

/** Annotations that ask for certain addresses, best first: `10.1.0.7` or `10.1.0.7,fd00:1::7`. */
export const ADDRESS_ANNOTATIONS = ['vrouter.dev/addresses', 'net.juniper.contrail.podnetwork.ip'] as const

/** Annotations that ask for a certain MAC address, best first; the second holds JSON, of which `mac` is read. */
export const MAC_ANNOTATIONS = ['vrouter.dev/mac', 'net.juniper.contrail.podnetwork.cni-args'] as const

const ISOLATION_KEYS = [
  'vrouter.dev/isolation',
  'opencontrail.org/isolation',
  'opencontrail.kubernetes.isolated',
  'core.juniper.net/isolated-namespace',
] as const

/** Annotations of a namespace that say whether its own network has SNAT, best first: `"true"` or `"false"`. */
export const SNAT_ANNOTATIONS = ['vrouter.dev/snat', 'opencontrail.org/ip_fabric_snat'] as const

/** CN2's annotation for the same: `fabric-snat`. */
export const FORWARDING_MODE = 'core.juniper.net/forwarding-mode'

type Annotations = Readonly<Record<string, string>>

/** Whether the namespace has networks of its own: by annotation (Contrail) or label (CN2), `"true"` in any case. */
export function isIsolated(namespace: Namespace): boolean {
  return ISOLATION_KEYS.some((key) => isTrue(namespace.annotations[key]) || isTrue(namespace.labels[key]))
}

function isTrue(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === 'true'
}

/** Whether pods of the namespace's own network leave with the node's address; undefined: it doesn't say. */
export function snatOfNamespace({ annotations }: Namespace): boolean | undefined {
  for (const key of SNAT_ANNOTATIONS) {
    const value = annotations[key]?.trim().toLowerCase()
    if (value === 'true' || value === 'false') return value === 'true'
  }
  return annotations[FORWARDING_MODE]?.trim().toLowerCase() === 'fabric-snat' ? true : undefined
}

export type NetworkOfPod =
  | { readonly ok: true; readonly vn: VirtualNetwork; readonly from: NetworkFrom }
  | { readonly ok: false; readonly error: ModelError }

export interface PodRef {
  readonly namespace: string
  readonly name: string
  readonly annotations?: Annotations
}

/** Namespaces that exist without an object. */
const IMPLIED_NAMESPACE: Namespace = { name: HOME_NAMESPACE, labels: {}, annotations: {} }

export function networkOfPod(
  pod: PodRef,
  state: Pick<SourceState, 'namespaces' | 'virtualNetworks'>,
  cluster: string,
): NetworkOfPod {
  const namespace =
    state.namespaces.get(pod.namespace) ?? (pod.namespace === HOME_NAMESPACE ? IMPLIED_NAMESPACE : undefined)
  if (namespace === undefined) {
    return failed('NAMESPACE_MISSING', `pod ${pod.namespace}/${pod.name}: namespace ${pod.namespace} doesn't exist`)
  }
  const asked = networkAsked(pod.annotations ?? {}) ?? networkAsked(namespace.annotations)
  if (asked !== undefined) {
    const isPods = networkAsked(pod.annotations ?? {}) !== undefined
    const owner = isPods ? `pod ${pod.namespace}/${pod.name}` : `namespace ${namespace.name}`
    const names = parseNetworkName(asked.value, namespace.name, cluster)
    if (names === undefined) {
      return failed('NETWORK_ANNOTATION', `${owner}: annotation ${asked.key} is not a network name: ${asked.value}`)
    }
    for (const name of names) {
      const vn = networkNamed(name, state)
      if (vn !== undefined) return { ok: true, vn, from: isPods ? 'pod' : 'namespace' }
    }
    const why = names.some((name) => state.virtualNetworks.has(name)) ? 'was deleted' : "doesn't exist"
    return failed('NETWORK_MISSING', `${owner}: annotation ${asked.key} names ${names[0]}, which ${why}`)
  }
  if (isIsolated(namespace)) {
    const name = isolatedPodNetwork(cluster, namespace.name)
    const vn = networkNamed(name, state)
    if (vn !== undefined) return { ok: true, vn, from: 'isolation' }
    // The default namespace's own network is the default one already.
    if (namespace.name !== HOME_NAMESPACE) {
      return failed('NETWORK_MISSING', `namespace ${namespace.name} is isolated, but its network ${name} doesn't exist`)
    }
  }
  const vn = networkNamed(defaultPodNetwork(cluster), state)
  if (vn !== undefined) return { ok: true, vn, from: 'default' }
  return failed(
    'NO_DEFAULT_NETWORK',
    `pod ${pod.namespace}/${pod.name}: no network is named, and there is no default pod network`,
  )
}

/** One that takes new pods. */
function networkNamed(
  name: FqName,
  { virtualNetworks }: Pick<SourceState, 'virtualNetworks'>,
): VirtualNetwork | undefined {
  const vn = virtualNetworks.get(name)
  return vn?.isDeleted === true ? undefined : vn
}

function failed(...args: Parameters<typeof modelError>): NetworkOfPod {
  return { ok: false, error: modelError(...args) }
}

function networkAsked(annotations: Annotations): { key: string; value: string } | undefined {
  for (const key of NETWORK_ANNOTATIONS) {
    const value = annotations[key]
    if (value !== undefined && value.trim() !== '') return { key, value: value.trim() }
  }
  return undefined
}

/**
 * FQ names that the text may mean, best first: `name`, `namespace/name`, `domain:project:name`, or the JSON object of the old
 * annotations. Those were read as Python literals, so single quotes are accepted. A project may be given without the cluster's
 * prefix. Undefined: not a network name.
 */
export function parseNetworkName(text: string, namespace: string, cluster: string): FqName[] | undefined {
  if (text.startsWith('{')) {
    const object = parseObject(text)
    if (object === undefined || !isName(object['name'])) return undefined
    const project = object['project'] ?? `${cluster}-${namespace}`
    const domain = object['domain'] ?? 'default-domain'
    if (!isName(project) || !isName(domain)) return undefined
    return withPrefix(domain, project, object['name'], cluster)
  }
  if (text.includes(':')) {
    const parts = text.split(':')
    return parts.length === 3 && parts.every(isName) ? withPrefix(parts[0]!, parts[1]!, parts[2]!, cluster) : undefined
  }
  const parts = text.split('/')
  if (parts.length > 2 || !parts.every(isName)) return undefined
  return [parts.length === 2 ? networkFqName(cluster, parts[0]!, parts[1]!) : networkFqName(cluster, namespace, text)]
}

function withPrefix(domain: string, project: string, name: string, cluster: string): FqName[] {
  return [`${domain}:${project}:${name}`, `${domain}:${cluster}-${project}:${name}`]
}

function isName(text: unknown): text is string {
  return typeof text === 'string' && /^[\w.-]+$/.test(text)
}

function parseObject(text: string): Record<string, unknown> | undefined {
  for (const candidate of [text, text.replaceAll("'", '"')]) {
    try {
      const value: unknown = JSON.parse(candidate)
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
    } catch {
      // Not JSON in this reading.
    }
  }
  return undefined
}

export type AddressesOfPod =
  | { readonly ok: true; readonly addresses: readonly Address[] }
  | { readonly ok: false; readonly error: ModelError }

/** Addresses that the pod asks for by annotation, canonical, at most one of a family; none asked = empty. */
export function addressesOfPod(pod: PodRef): AddressesOfPod {
  for (const key of ADDRESS_ANNOTATIONS) {
    const text = pod.annotations?.[key]?.trim()
    if (text === undefined || text === '') continue
    const addresses = text.split(',').map((part) => canonicalAddress(part.trim()))
    const isValid = addresses.every((address) => address !== undefined)
    if (!isValid || new Set(addresses.map((address) => familyOf(address!))).size < addresses.length) {
      const message = `pod ${pod.namespace}/${pod.name}: annotation ${key} isn't one address per family: ${text}`
      return { ok: false, error: modelError('ADDRESS_ANNOTATION', message) }
    }
    return { ok: true, addresses: addresses as Address[] }
  }
  return { ok: true, addresses: [] }
}

export type MacOfPod = { readonly ok: true; readonly mac?: Mac } | { readonly ok: false; readonly error: ModelError }

/** The MAC address that the pod asks for by annotation, lower case with colons; none asked: absent. Whether a pod may have it is another question. */
export function macOfPod(pod: PodRef): MacOfPod {
  for (const key of MAC_ANNOTATIONS) {
    const text = pod.annotations?.[key]?.trim()
    if (text === undefined || text === '') continue
    const asked = text.startsWith('{') ? parseObject(text)?.['mac'] : text
    if (asked === undefined) continue
    const mac = String(asked).toLowerCase().replaceAll('-', ':')
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) {
      const message = `pod ${pod.namespace}/${pod.name}: annotation ${key} isn't a MAC address: ${text}`
      return { ok: false, error: modelError('MAC_ANNOTATION', message) }
    }
    return { ok: true, mac }
  }
  return { ok: true }
}
