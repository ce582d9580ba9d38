/**
 * What the model computes: the tables that the dataplane writes into the kernel and that introspect shows. Ids are stable over
 * restarts (ids.ts). All lists are sorted by id, or by prefix (address, then shorter prefix first).
 */
import type { SpokenEncapsulation } from './encapsulations.ts'
import type { Address, Cidr, FqName, Mac, ServiceProtocol } from './objects.ts'

export interface Tables {
  readonly vrfs: readonly Vrf[]
  readonly vifs: readonly Vif[]
  readonly nexthops: readonly NumberedNexthop[]
  readonly labels: readonly LabelEntry[]
  /** By VRF id. */
  readonly inet: ReadonlyMap<number, readonly Route[]>
  readonly inet6: ReadonlyMap<number, readonly Route[]>
  /** What distinguishes lists of routes of these and earlier tables. Absent: not known. */
  readonly routeLog?: RouteLog
  readonly bridge: ReadonlyMap<number, readonly BridgeRoute[]>
  /** Underlay addresses whose MAC is needed: kept as managed neighbours on vhost0. */
  readonly neighbours: readonly Address[]
  /** The other nodes, and gateways of the configuration, by their addresses in the underlay: from nobody else are tunnels taken. */
  readonly peers: readonly TunnelPeer[]
  /** Routes that lead the host's own packets to vhost0, whatever its other routes say. */
  readonly hostRoutes: readonly HostRoute[]
  /** Fronts of Services, by VRF, address, protocol and port. Absent: what Services there are isn't known, and those in the kernel stay. */
  readonly fronts?: readonly Front[]
  /** Of this node: under it other nodes hand connections to Services over. */
  readonly serviceLabel?: number
  /** Ports and objects that could not be turned into table entries, and why. */
  readonly problems: readonly Problem[]
}

/** What a problem is about, for those who decide by it. Texts are for people and decide nothing. */
export type Subject =
  /** An attachment, by Port.uuid. */
  | { readonly kind: 'port'; readonly uuid: string }
  /** A virtual network of which this node has pods. */
  | { readonly kind: 'network'; readonly vn: FqName }
  | { readonly kind: 'vif'; readonly id: number; readonly part?: 'addresses' }
  /** What the datapath knows of a device: its vif, by the device's ifindex. */
  | { readonly kind: 'device'; readonly ifindex: number }
  | { readonly kind: 'nexthop'; readonly id: number; readonly part?: 'members' }
  | { readonly kind: 'label'; readonly label: number }
  | { readonly kind: 'vrf'; readonly id: number }
  | { readonly kind: 'route'; readonly vrf: number; readonly address: Address; readonly prefixLength: number }
  | { readonly kind: 'bridge'; readonly vrf: number; readonly mac: Mac }
  /** Another node or a gateway, from which tunnels are taken, by an address of it in the underlay. */
  | { readonly kind: 'peer'; readonly address: Address }
  /** A port of a Service, or a host port of a pod. */
  | {
      readonly kind: 'service'
      readonly namespace: string
      readonly name: string
      readonly port: string
      readonly family: 4 | 6
      readonly isPod?: true
    }
  /** An address of a service network; protocol (as a number) and port 0: the address itself. */
  | {
      readonly kind: 'front'
      readonly vrf: number
      readonly address: Address
      readonly protocol: number
      readonly port: number
    }
  | { readonly kind: 'back'; readonly index: number }
  | { readonly kind: 'node-ports' }
  /** The sources that may come to a service port, by its number. */
  | { readonly kind: 'range'; readonly service: number }
  /** What concerns the node's own network: no pod waits for it. */
  | { readonly kind: 'node' }

export interface TunnelPeer {
  /** Where its tunnels come from. IPv4. */
  readonly address: Address
  readonly address6?: Address
  /** Nexthop of the tunnel to it; absent: there is none. */
  readonly nexthop?: number
}

export interface Problem {
  /** In words. */
  readonly object: string
  readonly message: string
  readonly subject?: Subject
  /** The subject's pod works all the same, but not as people expect. */
  readonly isWorking?: true
  /** The pod's people are to be told, by an Event of this reason. */
  readonly event?: 'NodeCannotReachPod'
  /** The table that has no room left, as metrics name it: `vif`, `vrf`, `nexthop`, `label`, `bridge`, `route4`, `route6`. */
  readonly table?: string
}

export interface Vrf {
  readonly id: number
  /** VRF FQ name `<vn fq>:<vn>`. */
  readonly name: FqName
  readonly uuid: string
  /** FQ name of its VN; absent for VRF 0. */
  readonly vn?: FqName
  /** VRF label and its VRF_TRANSLATE nexthop; absent for the fabric VRFs. */
  readonly label?: number
  readonly nexthop?: number
  /** Whose routes are used: itself, or 0 for the fabric policy VRF. */
  readonly forwardingVrf: number
  /** Other nodes may forward into it what comes from outside the cluster: the underlay, and the default pod network. */
  readonly takesOutside?: true
}

export type VifType = 'physical' | 'host' | 'agent' | 'virtual'

export interface Vif {
  readonly id: number
  readonly type: VifType
  readonly name: string
  readonly ifindex: number
  readonly vrf: number
  /** Nexthop that stands for this vif in flow keys; 0 = none. */
  readonly flowNexthop: number
  readonly mtu: number
  /** Router side MAC, the vRouter's HWaddr. */
  readonly mac: Mac
  /** The workload's own MAC. */
  readonly peerMac?: Mac
  readonly ip4?: Address
  readonly ip6?: Address
  /** What the workload may use besides. */
  readonly moreAddresses?: readonly Address[]
  readonly label?: number
  /** `enum vif_flags` of the datapath's types.h. */
  readonly flags: number
  readonly maxFlows: number
  /** The attachment behind a virtual vif (Port.uuid). */
  readonly port?: string
  /** Metadata address 169.254/16 + vif id, of virtual vifs. */
  readonly metadata?: Address
}

/** Numbers follow the vRouter's NH types (vRouter reference 1.3). `policy` = flow lookup is wanted. */
export type Nexthop =
  | { readonly type: 'discard' }
  | { readonly type: 'receive'; readonly vif: number; readonly vrf: number; readonly policy: boolean }
  | { readonly type: 'resolve'; readonly vif: number }
  | {
      readonly type: 'encap'
      readonly family: 'inet' | 'bridge'
      readonly vif: number
      readonly vrf: number
      readonly dstMac: Mac
      readonly srcMac: Mac
      readonly policy: boolean
      /** What introspect calls it: a pod's or pkt0's interface nexthop, or an underlay neighbour. */
      readonly role: 'interface' | 'arp'
      /** Neighbour's address, of role arp. */
      readonly address?: Address
    }
  | {
      readonly type: 'tunnel'
      readonly encapsulation: SpokenEncapsulation
      readonly source: Address
      readonly destination: Address
      /** Underlay next hop towards the destination, and its MAC; without a MAC the nexthop isn't valid yet. */
      readonly via: Address
      readonly dstMac?: Mac
      readonly srcMac: Mac
      readonly mtu: number
    }
  | {
      readonly type: 'vrf-translate'
      readonly vrf: number
      /** What leaves by the NIC after the lookup there gets the node's address as its source; nothing else may pass. */
      readonly snat?: true
      /** Into a service network: its addresses are fronts, and no route of its own counts. */
      readonly service?: true
    }
  | { readonly type: 'l2-receive' }
  | {
      readonly type: 'composite'
      readonly kind: CompositeKind
      readonly vrf: number
      readonly members: readonly CompositeMember[]
    }

/**
 * `ecmp`: one member for each flow. The others fan out: `l2-multicast` hands a copy to each of its lists, `l2-interface` lists workloads of this node,
 * `evpn` tunnels to the other nodes (not for what came by one).
 */
export type CompositeKind = 'ecmp' | 'l2-multicast' | 'l2-interface' | 'evpn'

export interface CompositeMember {
  readonly nexthop: number
  readonly label?: number
}

export interface NumberedNexthop {
  readonly id: number
  readonly nexthop: Nexthop
  readonly isValid: boolean
  /** Number of table entries that name it (references.ts). */
  readonly references: number
}

export interface LabelEntry {
  readonly label: number
  readonly nexthop: number
}

/** Where a path comes from (introspect reference 3.2). Remote pods and blocks: the publishing node's underlay address. */
export type Peer =
  | 'LocalVmPort'
  | 'Local'
  | 'Local_Vm'
  | 'LinkLocal'
  | 'EVPN'
  | 'Ecmp'
  | { readonly node: string; readonly address: Address }

export interface Path {
  readonly peer: Peer
  readonly nexthop: number
  readonly label?: number
  /** Preference: 200 for a live local pod, 100 otherwise. */
  readonly preference: number
  readonly vn: FqName
  /** Of the fabric default route: indirect through this gateway. */
  readonly gateway?: Address
}

export interface Route {
  readonly address: Address
  readonly prefixLength: number
  /** Best first; the first is what the datapath uses. */
  readonly paths: readonly Path[]
  readonly nexthop: number
  readonly label?: number
  readonly flags: RouteFlags
  readonly stitchedMac?: Mac
  /** Bridge index of the stitched MAC. */
  readonly bridgeIndex?: number
  readonly kind:
    | 'subnet'
    | 'gateway'
    | 'service'
    | 'pod'
    | 'remote-pod'
    | 'remote-block'
    | 'fabric'
    | 'neighbour'
    | 'metadata'
    | 'receive'
    | 'ecmp'
    | 'node'
    | 'snat'
    /** Into a service network's VRF, or to what is public. */
    | 'service-network'
}

/** A prefix whose route came, went, or is another one. */
export interface RouteChange {
  readonly before: Route | undefined
  readonly after: Route | undefined
}

export interface RouteLog {
  /** Each prefix once at most; undefined: not known. `before` is the older one. */
  changesBetween(
    vrf: number,
    family: 4 | 6,
    before: readonly Route[],
    after: readonly Route[],
  ): readonly RouteChange[] | undefined
}

/** An address that ARP and neighbour discovery answer with another MAC than before: the pod's that has it now, or the router's. */
export interface MovedAddress {
  readonly vrf: number
  readonly address: Address
  /** Absent: the router's. */
  readonly mac?: Mac
}

export interface RouteFlags {
  readonly arpProxy: boolean
  readonly arpFlood: boolean
  readonly arpTrap: boolean
}

/** A route of the kernel's main table through vhost0. `gateway` is answered by the datapath, so that the host keeps one neighbour for all. */
export interface HostRoute {
  readonly destination: Address
  readonly prefixLength: number
  readonly gateway: Address
  readonly source: Address
}

/** An address at which a Service, or a pod by its host port, is reached (`struct front`). */
export interface Front {
  /** Of the service network; 0: the underlay. */
  readonly vrf: number
  readonly address: Address
  /** Absent: the address itself, at which everything but its ports is refused. */
  readonly listener?: { readonly protocol: ServiceProtocol; readonly port: number }
  readonly kind: 'cluster-ip' | 'node-port' | 'host-port' | 'load-balancer' | 'external-ip'
  readonly service: ServicePortName
  /** Number of the service port: its fronts share it. */
  readonly id: number
  /** For pods of this node and its host, and for what comes from elsewhere. Equal sets of a service port are the same object, for as long as they are equal. */
  readonly inside: BackSet
  readonly outside: BackSet
  /** Endpoints of this node, for what other nodes hand over. */
  readonly local: BackSet
  /** A NodePort that leads to the same endpoints whichever node is asked: of externalTrafficPolicy Cluster. */
  readonly isAtEveryNode?: true
  /**
   * Endpoints that flows may go on with, whether new ones go there or not: of UDP those that serve, of others all that there are. Absent: those of both
   * sets. Equal lists of a service port are the same object.
   */
  readonly alive?: readonly EndpointAddress[]
  readonly affinitySeconds?: number
  /** Sources that may come; absent: all. */
  readonly sourceRanges?: readonly Cidr[]
}

export interface ServicePortName {
  readonly namespace: string
  readonly name: string
  /** Name of the port; '' = the only one. */
  readonly port: string
  readonly family: 4 | 6
  /** Of a host port: `name` is the pod's, and `port` the number. */
  readonly isPod?: true
}

export interface BackSet {
  readonly backs: readonly Back[]
  readonly whenEmpty: 'reject' | 'drop'
}

export type EndpointAddress = Pick<Back, 'address' | 'port'>

/** An endpoint, as one of a front's may be chosen (`struct back`). */
export interface Back {
  readonly address: Address
  readonly port: number
  /** An address of the underlay: a node's own, or another host's. */
  readonly isHost?: true
  /** VRF of its network on this node; absent: that network has none here. */
  readonly vrf?: number
  /** A pod of another node in another network than the default one: tunnels of VRF 0 lead to who has its address in the default network. */
  readonly isTenant?: true
  /** Where it is, for clients whose own routes don't lead there: its interface's nexthop here, or a tunnel. */
  readonly nexthop?: number
  /** With a tunnel: service label of its node, to which connections are handed over; absent: that node takes none. */
  readonly label?: number
}

export interface BridgeRoute {
  readonly mac: Mac
  /** Position in the table, for the tools. Those of other nodes' pods are made of the MAC (remote-macs.ts). */
  readonly index: number
  readonly nexthop: number
  readonly label?: number
  readonly floodDhcp: boolean
  readonly peer: Peer
  readonly address?: Address
}
