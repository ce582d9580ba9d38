/**
 * Which VN an interface of a pod is attached to: pod annotation, then namespace annotation, then the isolated namespace's own VN, then the
 * default pod VN (kubernetes reference 2.4, 2.5, 2.24). On one object what names a network for this one interface comes first
 * (`vrouter.dev/networks`), and `vrouter.dev/network` beats the two old spellings.
 */
import { canonicalAddress, familyOf } from './address.ts'
import {
  ADDRESS_ANNOTATIONS,
  ALLOWED_ADDRESSES_ANNOTATION,
  FORWARDING_MODE,
  ISOLATION_KEYS,
  MAC_ANNOTATIONS,
  NETWORK_ANNOTATIONS,
  NETWORKS_ANNOTATION,
  type Slip,
  SNAT_ANNOTATIONS,
  slipsOf,
  type Texts,
  truthOf,
} from './annotations.ts'
import { type ModelError, modelError } from './errors.ts'
import type { NetworkFrom } from './facts.ts'
import { parseInterfaceNetworks } from './interface-networks.ts'
import { defaultPodNetwork, HOME_NAMESPACE, isolatedPodNetwork, networkFqName } from './names.ts'
import type { Address, FqName, Mac, Namespace, SourceState, VirtualNetwork } from './objects.ts'

/** Whether the namespace has networks of its own: by annotation (Contrail) or label (CN2). What may have been meant so counts as well. */
export function isIsolated(namespace: Namespace): boolean {
  return isClearlyIsolated(namespace) || slipsOf('namespace', namespace).some(({ meaning }) => meaning === 'isolation')
}

function isClearlyIsolated({ annotations, labels }: Namespace): boolean {
  return ISOLATION_KEYS.some((key) => truthOf(annotations[key] ?? '') === true || truthOf(labels[key] ?? '') === true)
}

/** Whether pods of the namespace's own network leave with the node's address; undefined: it doesn't say. Not where it says so unclearly. */
export function snatOfNamespace(namespace: Namespace): boolean | undefined {
  const { annotations } = namespace
  for (const key of SNAT_ANNOTATIONS) {
    const value = annotations[key]
    if (value !== undefined) return truthOf(value) === true
  }
  if (slipsOf('namespace', namespace).some(({ meaning }) => meaning === 'snat')) return false
  return annotations[FORWARDING_MODE]?.trim().toLowerCase() === 'fabric-snat' ? true : undefined
}

export type NetworkOfPod =
  | { readonly ok: true; readonly vn: VirtualNetwork; readonly from: NetworkFrom }
  | { readonly ok: false; readonly error: ModelError }

export interface PodRef {
  readonly namespace: string
  readonly name: string
  /** The interface that a network is asked for; absent: one that no list names. */
  readonly ifname?: string
  readonly annotations?: Texts
  readonly labels?: Texts
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
  const here = { namespace: namespace.name, state, cluster }
  const listed = networkListed(pod.annotations, pod.ifname, `pod ${pod.namespace}/${pod.name}`, 'pod', here)
  if (listed !== undefined) return listed
  const asked = networkAsked(pod.annotations ?? {})
  if (asked !== undefined) return networkNamedBy(asked, `pod ${pod.namespace}/${pod.name}`, 'pod', here)
  const owner = `namespace ${namespace.name}`
  const listedBelow = networkListed(namespace.annotations, pod.ifname, owner, 'namespace', here)
  const askedBelow = networkAsked(namespace.annotations)
  const unclear = unclearOf(pod, namespace, askedBelow !== undefined || listedBelow?.ok === true)
  if (unclear !== undefined) return failed('ANNOTATION_UNCLEAR', unclear)
  if (listedBelow !== undefined) return listedBelow
  if (askedBelow !== undefined) return networkNamedBy(askedBelow, owner, 'namespace', here)
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

/** The network that whoever attaches the pod names for this one interface; it counts before what pod and namespace say. */
export function networkOfAttachment(
  { namespace, name, ifname }: { readonly namespace: string; readonly name: string; readonly ifname: string },
  asked: string,
  state: Pick<SourceState, 'virtualNetworks'>,
  cluster: string,
): NetworkOfPod {
  const owner = `pod ${namespace}/${name}: network of interface ${ifname}`
  return networkByName(asked.trim(), owner, 'attachment', namespace, state, cluster)
}

/** Where names are read. */
interface Here {
  readonly namespace: string
  readonly state: Pick<SourceState, 'virtualNetworks'>
  readonly cluster: string
}

interface Asked {
  readonly key: string
  readonly value: string
}

/**
 * What the annotation `vrouter.dev/networks` decides: undefined where it says nothing of this interface. One that can't be read decides, too: nobody knows
 * which interface it was meant to put elsewhere.
 */
function networkListed(
  annotations: Texts | undefined,
  ifname: string | undefined,
  owner: string,
  from: NetworkFrom,
  here: Here,
): NetworkOfPod | undefined {
  const text = annotations?.[NETWORKS_ANNOTATION]
  // One that is empty is a slip, told as one.
  if (text === undefined || text.trim() === '') return undefined
  const listed = parseInterfaceNetworks(text)
  if (!listed.ok) return failed('NETWORKS_ANNOTATION', `${owner}: annotation ${NETWORKS_ANNOTATION} ${listed.message}`)
  const found = listed.interfaces.find((one) => one.ifname === ifname)
  return found && networkNamedBy({ key: NETWORKS_ANNOTATION, value: found.network }, owner, from, here)
}

function networkNamedBy({ key, value }: Asked, owner: string, from: NetworkFrom, here: Here): NetworkOfPod {
  return networkByName(value, `${owner}: annotation ${key}`, from, here.namespace, here.state, here.cluster)
}

/** Whether pod or namespace names a network for this interface by its name. */
export function isListed(ifname: string, ...annotations: readonly (Texts | undefined)[]): boolean {
  return annotations.some((texts) => {
    const listed = parseInterfaceNetworks(texts?.[NETWORKS_ANNOTATION] ?? '')
    return listed.ok && listed.interfaces.some((one) => one.ifname === ifname)
  })
}

/** `said`: who names it, and where. */
function networkByName(
  text: string,
  said: string,
  from: NetworkFrom,
  namespace: string,
  state: Pick<SourceState, 'virtualNetworks'>,
  cluster: string,
): NetworkOfPod {
  const names = parseNetworkName(text, namespace, cluster)
  if (names === undefined) return failed('NETWORK_ANNOTATION', `${said} is not a network name: ${text}`)
  for (const name of names) {
    const vn = networkNamed(name, state)
    if (vn !== undefined) return { ok: true, vn, from }
  }
  const why = names.some((name) => state.virtualNetworks.has(name)) ? 'was deleted' : "doesn't exist"
  return failed('NETWORK_MISSING', `${said} names ${names[0]}, which ${why}`)
}

/**
 * What may have been meant to put a pod that names no network elsewhere than where it would get without it. A network that is named nearer to the
 * pod, or isolation that is clear, settles it.
 */
function unclearOf(pod: PodRef, namespace: Namespace, isSettledByNamespace: boolean): string | undefined {
  const isAlone = isClearlyIsolated(namespace)
  const counts = ({ meaning }: Slip) => meaning === 'network' || (meaning === 'isolation' && !isAlone)
  const ofPod = slipsOf('pod', pod).find(counts)
  if (ofPod !== undefined) return `pod ${pod.namespace}/${pod.name}: ${ofPod.message}`
  if (isSettledByNamespace) return undefined
  // The default namespace's own network is the default one, isolated or not.
  const ofNamespace = slipsOf('namespace', namespace).find(
    (slip) => counts(slip) && (slip.meaning === 'network' || namespace.name !== HOME_NAMESPACE),
  )
  return ofNamespace && `namespace ${namespace.name}: ${ofNamespace.message}`
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

function networkAsked(annotations: Texts): Asked | undefined {
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

/** The most addresses that a pod may have beside the first of each family: an interface object holds sixteen. */
export const MORE_ADDRESSES = 14

/** Addresses that the pod may use beside those of its interface, by annotation; canonical, none twice. */
export function allowedAddressesOfPod(pod: PodRef): AddressesOfPod {
  const text = pod.annotations?.[ALLOWED_ADDRESSES_ANNOTATION]?.trim()
  if (text === undefined || text === '') return { ok: true, addresses: [] }
  const fail = (what: string): AddressesOfPod => {
    const message = `pod ${pod.namespace}/${pod.name}: annotation ${ALLOWED_ADDRESSES_ANNOTATION} ${what}`
    return { ok: false, error: modelError('ALLOWED_ADDRESSES', message) }
  }
  const addresses: Address[] = []
  for (const part of text.split(',').map((one) => one.trim())) {
    const address = canonicalAddress(part)
    if (address === undefined) return fail(`holds "${part.slice(0, 80)}", which is no address`)
    if (addresses.includes(address)) return fail(`holds ${address} twice`)
    addresses.push(address)
  }
  if (addresses.length > MORE_ADDRESSES) return fail(`holds ${addresses.length} addresses; ${MORE_ADDRESSES} at most`)
  return { ok: true, addresses }
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
