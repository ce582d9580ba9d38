/**
 * What the outside world says: the objects that a source (Kubernetes, or a directory of manifests) hands to the model.
 * They are already checked: a source sets aside what it can't accept, with a reason.
 */

/** A fully qualified Contrail name, parts joined by ':', such as `default-domain:k8s-default:red`. */
export type FqName = string

/** IPv4 dotted quad or IPv6 in canonical (RFC 5952) text. */
export type Address = string

/** `address/length` with the host bits zero. */
export type Cidr = string

/** Lower case, zero padded, colons. */
export type Mac = string

export interface Namespace {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

export interface Subnet {
  readonly cidr: Cidr
  /** Router address of the VN; default: first host address (.1, ::1). Answers ARP, ND and ping. */
  readonly gateway: Address
  /** DHCP and DNS address of the VN; default: second host address (.2, ::2). */
  readonly service: Address
}

export interface VirtualNetwork {
  /** Kubernetes namespace and name of the object; the built-in networks have them too. */
  readonly namespace: string
  readonly name: string
  readonly fqName: FqName
  readonly uuid: string
  /** At most one IPv4 and one IPv6 subnet serve a pod; several of a family are used in order. Never overlapping inside one VN. */
  readonly subnets: readonly Subnet[]
  /**
   * Prefix length of a node's block: IPv4 (default 26) and IPv6 (default 122). A subnet that wouldn't hold four of them is split in
   * four anyway, so that several nodes get a share.
   */
  readonly blockSize4: number
  readonly blockSize6: number
  /** Pool that its addresses come from; VNs of one pool never share an address. Absent: the VN has a pool of its own. */
  readonly ipam?: string
  /** Labels of the object: what VirtualNetworkRouters select by. Absent: none. */
  readonly labels?: Readonly<Record<string, string>>
  /** Whether its pods leave to addresses outside the cluster with the node's address. Absent: as `snat.enabled` of the configuration says. */
  readonly fabricSnat?: boolean
  /** VXLAN network identifier, once the controller has given one. */
  readonly vni?: number
  /** Its object is gone. It stays in force for the pods that are in it, and takes no new ones. */
  readonly isDeleted?: true
}

/** A pod of this node, as the cluster describes it: what ADD needs, and who was here before us. */
export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly hostNetwork: boolean
  /** `Pending`, `Running`, `Succeeded` or `Failed`. */
  readonly phase: string
  /** status.podIPs. */
  readonly addresses: readonly Address[]
}

/** `matchLabels` and `matchExpressions` of Kubernetes; both empty: selects everything. */
export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>
  readonly matchExpressions: readonly {
    readonly key: string
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
    readonly values: readonly string[]
  }[]
}

/**
 * Leaks routes between VNs of its namespace (kubernetes reference 2.22): `mesh` joins all that it selects with each other, `hub` and
 * `spoke` only join each other. VNs of another VirtualNetworkRouter take part when both import each other.
 */
export interface VirtualNetworkRouter {
  readonly namespace: string
  readonly name: string
  readonly type: 'mesh' | 'hub' | 'spoke'
  readonly labels: Readonly<Record<string, string>>
  /** VNs of its own namespace. */
  readonly networks: LabelSelector
  readonly imports: readonly {
    readonly routers: LabelSelector
    /** Absent: its own namespace only. */
    readonly namespaces?: LabelSelector
  }[]
}

export type ServiceProtocol = 'TCP' | 'UDP' | 'SCTP'

/** A Service that a proxy serves: no headless one, no ExternalName, none that another proxy was named for. */
export interface Service {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer'
  /** One for each family; each is a Service of its own for the datapath. */
  readonly clusterIps: readonly Address[]
  readonly ports: readonly ServicePort[]
  readonly externalIps: readonly Address[]
  /** Which load balancer it is for; absent: the cluster's own. */
  readonly loadBalancerClass?: string
  /** status.loadBalancer.ingress, those of ipMode VIP. */
  readonly loadBalancerIps: readonly Address[]
  /** spec.loadBalancerSourceRanges, canonical. */
  readonly sourceRanges: readonly Cidr[]
  readonly internalTrafficPolicy: 'Cluster' | 'Local'
  readonly externalTrafficPolicy: 'Cluster' | 'Local'
  /** Seconds; absent: no affinity. */
  readonly affinitySeconds?: number
  readonly healthCheckNodePort?: number
}

export interface ServicePort {
  /** Joins it with a port of the slices; '' = the only one. */
  readonly name: string
  readonly protocol: ServiceProtocol
  readonly port: number
  readonly nodePort?: number
}

/** Addresses for Services of type LoadBalancer. */
export interface LoadBalancerPool {
  readonly name: string
  /** Canonical, each of one family; `first` is not behind `last`. */
  readonly ranges: readonly AddressRange[]
  /** Namespaces whose Services may have them; absent: all. */
  readonly namespaces?: LabelSelector
  /** Services that ask for no address get one, too. */
  readonly autoAssign: boolean
  /** Services that name no class get one, too. */
  readonly isDefault: boolean
}

export interface AddressRange {
  readonly first: Address
  readonly last: Address
}

/** An EndpointSlice (discovery.k8s.io/v1) of a Service. */
export interface EndpointSlice {
  readonly namespace: string
  readonly name: string
  /** Of its own namespace. */
  readonly service: string
  readonly family: 4 | 6
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly Endpoint[]
}

export interface SlicePort {
  readonly name: string
  readonly protocol: ServiceProtocol
  readonly port: number
}

export interface Endpoint {
  /** addresses[0]: the only one that counts. */
  readonly address: Address
  readonly isReady: boolean
  readonly isServing: boolean
  readonly isTerminating: boolean
  readonly node?: string
  readonly zone?: string
  readonly hintedZones?: readonly string[]
  readonly hintedNodes?: readonly string[]
  /** The pod behind it, of the slice's namespace; absent: resolved by its address in the Service's network, then in the underlay. */
  readonly pod?: string
}

/** A node's share of a VN's subnet: addresses inside it are given out by that node alone. */
export interface IpamBlock {
  readonly name: string
  readonly vn: FqName
  readonly cidr: Cidr
  readonly node: string
}

/** One attachment of a pod to a VN, as its node publishes it. */
export interface VirtualMachineInterface {
  readonly name: string
  readonly namespace: string
  readonly uuid: string
  readonly vn: FqName
  readonly node: string
  /** A uid is known of this node's own; so is the container. */
  readonly pod: { readonly name: string; readonly uid: string }
  readonly containerId: string
  readonly ifname: string
  readonly mac: Mac
  readonly addresses: readonly Address[]
  /** MPLS label on its node; packets with it go straight to the pod. */
  readonly label: number
}

/** One per node: where it is on the underlay and which labels stand for its VRFs. */
export interface VirtualRouter {
  readonly name: string
  readonly address: Address
  /** For pods of the default network; the tunnels go to `address`. */
  readonly address6?: Address
  readonly encapsulations: readonly Encapsulation[]
  /** Label of each VN's VRF on that node. */
  readonly vrfLabels: Readonly<Record<FqName, number>>
  /** Label that delivers to that node itself (its vhost0), from any VRF. */
  readonly vhostLabel: number
  /** Label under which it takes connections to Services from other nodes; absent: it takes none. */
  readonly serviceLabel?: number
}

export type Encapsulation = 'MPLSoUDP' | 'VXLAN'

export interface SourceState {
  readonly namespaces: ReadonlyMap<string, Namespace>
  /** By FQ name. */
  readonly virtualNetworks: ReadonlyMap<FqName, VirtualNetwork>
  readonly blocks: ReadonlyMap<string, IpamBlock>
  /** By uuid. */
  readonly interfaces: ReadonlyMap<string, VirtualMachineInterface>
  /** By node name. */
  readonly routers: ReadonlyMap<string, VirtualRouter>
  /** By `<namespace>/<name>`. */
  readonly networkRouters: ReadonlyMap<string, VirtualNetworkRouter>
  /** By `<namespace>/<name>`. Absent, as the next three: the source doesn't know all of them (yet), and what is in the kernel stays. */
  readonly services?: ReadonlyMap<string, Service>
  /** By `<namespace>/<name>`. */
  readonly slices?: ReadonlyMap<string, EndpointSlice>
  /** ServiceCIDRs of the cluster. */
  readonly serviceRanges?: readonly Cidr[]
  /** Pools of load balancer addresses, by name. */
  readonly pools?: ReadonlyMap<string, LoadBalancerPool>
  /** Zone of this node: label topology.kubernetes.io/zone of its Node object. */
  readonly zone?: string
  /** Pods of this node by uid; empty where the source knows no pods (a directory). */
  readonly pods: ReadonlyMap<string, Pod>
  /** Objects that were set aside, and why; shown in introspect and once in the log. */
  readonly rejected: readonly Rejection[]
}

export interface Rejection {
  /** `VirtualNetwork default/red`, or the file where not even that is known. */
  readonly object: string
  readonly file?: string
  readonly field?: string
  readonly value?: string
  readonly message: string
  /** It is about a part of the source that can't be followed at present (a server, a kind, a folder): what was last known of that counts. */
  readonly isStale?: true
}

/** What a daemon writes back for other nodes to read. */
export type Published =
  | { readonly kind: 'IPAMBlock'; readonly object: IpamBlock }
  | { readonly kind: 'VirtualMachineInterface'; readonly object: VirtualMachineInterface }
  | { readonly kind: 'VirtualRouter'; readonly object: VirtualRouter }

/** What operators should learn about an object that isn't the source's own: an Event in Kubernetes, nothing elsewhere. */
export interface Report {
  readonly object:
    | { readonly kind: 'Pod'; readonly namespace: string; readonly name: string; readonly uid: string }
    | { readonly kind: 'Node'; readonly name: string }
  readonly type: 'Normal' | 'Warning'
  /** CamelCase, stable: `NetworkMissing`. */
  readonly reason: string
  /** The same words that ADD fails with. */
  readonly message: string
  /** The pod has its network all the same: nothing to be told as its condition. */
  readonly isWorking?: boolean
}

/** Both sources implement this. `onChange` is called (coalesced) after `state` has changed, never before the first full read. */
export interface Source extends AsyncDisposable {
  /** Whether it knows this node's pods: then a pod that it can't find doesn't exist. */
  readonly knowsPods: boolean
  start(onChange: () => void): Promise<void>
  state(): SourceState
  /** Creates or replaces. For an IPAMBlock `create: true` fails with code BLOCK_TAKEN when another node has it: that is the arbitration. */
  publish(published: Published, options?: { readonly create?: boolean }): Promise<void>
  withdraw(kind: Published['kind'], name: string): Promise<void>
  /**
   * The pod that a runtime asks a network for. A source that knows pods waits a bounded time for one that it hasn't seen yet; undefined: it
   * knows no pods, or that one doesn't exist (any more).
   */
  findPod(pod: { readonly namespace: string; readonly name: string; readonly uid: string }): Promise<Pod | undefined>
  /** Addresses of the source itself, such as the API servers': no pod may draw the node's traffic to them to itself. */
  hostPeers(): readonly Address[]
  /** Never fails and never makes anybody wait. Repeated reports are gathered. */
  report(report: Report): void
}
