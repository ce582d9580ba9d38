/**
 * Names, uuids and addresses that follow from other names. Everything here is deterministic, so every node prints the same
 * name and uuid for the same thing (kubernetes reference 2.2, design 4).
 */
import { createHash } from 'node:crypto'
import type { Address, Cidr, FqName, Mac } from './objects.ts'

export const DOMAIN = 'default-domain'
/** VN of the underlay; its two VRFs are 0 (forwarding) and 1 (policy). */
export const FABRIC_VN: FqName = 'default-domain:default-project:ip-fabric'
export const FABRIC_VRF: FqName = `${FABRIC_VN}:__default__`
export const FABRIC_POLICY_VRF: FqName = `${FABRIC_VN}:ip-fabric`

/** Router side MAC of every tap and of pkt0: the VRRP MAC that the vRouter has always used. */
export const ROUTER_MAC: Mac = '00:00:5e:00:01:00'
/** The daemon's own MAC behind pkt0. */
export const AGENT_MAC: Mac = '00:00:00:00:00:01'
export const ZERO_MAC: Mac = '00:00:00:00:00:00'

/**
 * Next hop of the host's routes to single pods: one neighbour for all of them. The datapath answers for it; nothing has it, for
 * 169.254.0.1 would be the metadata address of vif 1, vhost0, and the other is made of the router's MAC.
 */
export const NODE_GATEWAY = { 4: '169.254.0.1', 6: 'fe80::200:5eff:fe00:100' } as const

/** Kubernetes namespace of cluster-wide networks. */
export const HOME_NAMESPACE = 'default'

/** Project of a namespace: `k8s-<namespace>`. */
export function projectOfNamespace(cluster: string, namespace: string): string {
  return `${cluster}-${namespace}`
}

/** FQ name of a VirtualNetwork object: `default-domain:<project>:<name>`. */
export function networkFqName(cluster: string, namespace: string, name: string): FqName {
  return `${DOMAIN}:${projectOfNamespace(cluster, namespace)}:${name}`
}

/** Name (last part) of the pod network of a namespace: `k8s-default-pod-network`. */
export function podNetworkName(cluster: string, namespace: string): string {
  return `${projectOfNamespace(cluster, namespace)}-pod-network`
}

export function defaultPodNetwork(cluster: string): FqName {
  return networkFqName(cluster, HOME_NAMESPACE, podNetworkName(cluster, HOME_NAMESPACE))
}

/** VN of the pods of an isolated namespace. */
export function isolatedPodNetwork(cluster: string, namespace: string): FqName {
  return networkFqName(cluster, namespace, podNetworkName(cluster, namespace))
}

/** Network that the addresses of Services are in; that of an isolated namespace is its own. */
export function serviceNetwork(cluster: string, namespace: string): FqName {
  return networkFqName(cluster, namespace, `${projectOfNamespace(cluster, namespace)}-service-network`)
}

/** The service network of the namespace whose pod network has that name. */
export function serviceNetworkOf(podNetwork: FqName): FqName {
  return podNetwork.replace(/-pod-network$/, '-service-network')
}

export function defaultServiceNetwork(cluster: string): FqName {
  return serviceNetwork(cluster, HOME_NAMESPACE)
}

/** IPAM that the default pod VN and the isolated ones draw from: their addresses are unique in the cluster. */
export function podIpam(cluster: string): string {
  return `${cluster}-pod-ipam`
}

export function lastPart(name: FqName): string {
  return name.slice(name.lastIndexOf(':') + 1)
}

/** VRF of a VN: `<vn fq>:<vn>`. */
export function vrfOfNetwork(vn: FqName): FqName {
  return `${vn}:${lastPart(vn)}`
}

/** Name of the VM (pod): `<cluster>__<namespace>__<pod>`. */
export function virtualMachineName(cluster: string, namespace: string, pod: string): string {
  return `${cluster}__${namespace}__${pod}`
}

/** Root of all our v5 uuids. */
const UUID_NAMESPACE = Buffer.from('8f2c1d5a6b3e4f7091a2c4d5e6f70819', 'hex')

/** RFC 9562 section 5.5 uuid of `kind` and `name`: the same on every node. */
export function uuidOf(kind: 'vn' | 'vrf' | 'vmi' | 'project' | 'vm' | 'sg' | 'acl', name: string): string {
  const hash = createHash('sha1').update(UUID_NAMESPACE).update(`${kind}:${name}`).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex', 0, 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** uuid of the VMI of one attachment; attachments are known by (container id, interface name), never by the pod's name. */
export function interfaceUuid(containerId: string, ifname: string): string {
  return uuidOf('vmi', `${containerId}/${ifname}`)
}

/** The uuid by which a pod's interfaces are known to belong together: its own, or one of its name where the runtime knows none. */
export function virtualMachineUuid(
  cluster: string,
  { namespace, pod }: { readonly namespace: string; readonly pod: { readonly name: string; readonly uid: string } },
): string {
  return pod.uid === '' ? uuidOf('vm', virtualMachineName(cluster, namespace, pod.name)) : pod.uid
}

/** MAC of a pod's interface: `02:` and the first five bytes of its uuid. */
export function podMac(uuid: string): Mac {
  const hex = uuid.replaceAll('-', '').toLowerCase()
  if (!/^[0-9a-f]{32}$/.test(hex)) throw new TypeError(`not a uuid: ${uuid}`)
  return `02:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}`
}

/** Host side device of an attachment: `tap` and 12 hex digits, 15 characters (the longest that Linux allows). */
export function tapName(containerId: string, ifname: string): string {
  return `tap${createHash('sha256').update(`${containerId}/${ifname}`).digest('hex').slice(0, 12)}`
}

/** Metadata address of a pod: 169.254/16 + vif id. */
export function metadataAddress(vif: number): Address {
  if (!Number.isInteger(vif) || vif < 0 || vif > 0xffff) throw new RangeError(`vif ${vif} has no metadata address`)
  return `169.254.${vif >> 8}.${vif & 0xff}`
}

/** DNS label made of `text`: itself where it is one, else a readable head and a hash of all of it. */
function dnsLabel(text: string): string {
  if (/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) return text
  const head = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 10)
  return head === '' ? `x${hash}` : `${head.slice(0, 50).replace(/-+$/, '')}-${hash}`
}

/**
 * Name of the IPAMBlock of `cidr` in an address pool (an IPAM's name, or a VN's FQ name): whoever creates the object of this
 * name owns the block. Its parts are DNS labels joined by dots, so different blocks never share a name.
 */
export function blockName(pool: string, cidr: Cidr): string {
  const slash = cidr.lastIndexOf('/')
  const address = cidr
    .slice(0, slash)
    .replaceAll('.', '-')
    .replaceAll('::', '-x-')
    .replaceAll(':', '-')
    .replaceAll(/^-+|-+$/g, '')
  const parts = pool.split(':').filter((part, index) => !(index === 0 && part === DOMAIN))
  return [dnsLabel(`${address}-${cidr.slice(slash + 1)}`), ...parts.reverse().map(dnsLabel)].join('.')
}

/** Parts of DNS names (RFC 1123) joined by dots: what names of objects are made of. */
const DNS_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/

/**
 * Name of the VirtualMachineInterface object of an attachment: the pod's name and the hash that makes the name of a tap. Pods without
 * Kubernetes may be called anything (`my_web`): what can't be the name of an object is left out of it, the object's `spec.pod` has it all.
 * Two attachments never share a name: the hash is that of container and interface.
 */
export function interfaceObjectName(pod: string, containerId: string, ifname: string): string {
  const hash = tapName(containerId, ifname).replace(/^tap/, '')
  if (pod.length <= 200 && DNS_NAME.test(pod)) return `${pod}-${hash}`
  const head = pod
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 200)
    .replaceAll(/^-+|-+$/g, '')
  return `${head === '' ? 'pod' : head}-${hash}`
}
