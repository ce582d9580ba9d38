/**
 * What this node is: facts that the dataplane reads from its kernel and the port API from its records. Input of the model, beside
 * the source's objects.
 */
import type { Address, FqName, Mac } from './objects.ts'

export interface NodeFacts {
  readonly node: string
  readonly underlay: {
    /** Fabric NIC: vif 0. */
    readonly name: string
    readonly ifindex: number
    readonly mac: Mac
    /** L3 MTU, bytes. */
    readonly mtu: number
    /** The node's address on it, now on vhost0. */
    readonly address: Address
    readonly prefixLength: number
    readonly gateway?: Address
    /** The node's IPv6 address, for pods of the default network. The underlay itself is IPv4. */
    readonly address6?: Address
  }
  readonly vhost: { readonly name: string; readonly ifindex: number }
  readonly agent: { readonly name: string; readonly ifindex: number }
  /** The kernel's routes through vhost0: what VRF 0 follows. IPv4. */
  readonly fabricRoutes: readonly FabricRoute[]
  /** Where the kernel's routes lead by other devices, default routes apart: a management network, container bridges. IPv4. */
  readonly otherRoutes: readonly FabricRoute[]
  /** Devices that the node has addresses on beside the underlay's, by ifindex. */
  readonly otherDevices?: readonly OtherDevice[]
  /** Underlay neighbours whose MAC the kernel knows (REACHABLE, STALE, DELAY, PROBE, PERMANENT…). */
  readonly neighbours: ReadonlyMap<Address, Mac>
}

/** An Ethernet device that is up, part of no other, and has an address of the world. */
export interface OtherDevice {
  readonly name: string
  readonly ifindex: number
  /** L3 MTU, bytes. */
  readonly mtu: number
  /** 'vlan', 'bond', 'bridge', 'veth'…; absent for hardware. */
  readonly kind?: string
  readonly address?: Address
  readonly address6?: Address
}

export interface FabricRoute {
  readonly destination: Address
  readonly prefixLength: number
  /** Absent: directly connected. */
  readonly gateway?: Address
}

/** One local attachment, from ADD to DEL: what the port API's record holds. Keyed by (containerId, ifname). */
export interface Port {
  readonly uuid: string
  readonly containerId: string
  readonly ifname: string
  readonly namespace: string
  readonly pod: { readonly name: string; readonly uid: string }
  readonly vn: FqName
  readonly mac: Mac
  readonly addresses: readonly Address[]
  /** Tap device on the host side: `tap` + 12 hex digits. */
  readonly tap: string
  /** ifindex of the tap; absent until the CNI binary registered it (or when the device is gone). */
  readonly ifindex?: number
  readonly mtu: number
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: string
  /** What named its network when it was attached. Absent: recorded before this was known. */
  readonly networkFrom?: NetworkFrom
  /** Beside the pod's first interface: it has the ways to its own network, and neither default routes nor the pod's annotations. */
  readonly isSecondary?: true
  /** Ports of this node that lead to it. Absent: none, or another plugin of the chain serves them. */
  readonly hostPorts?: readonly HostPort[]
}

/** A port of the node that leads to one of a pod (`hostPort`). */
export interface HostPort {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** An address of this node; 0.0.0.0 or :: all that it has of that family. Absent: all. */
  readonly hostIp?: Address
}

/** `attachment`: whoever attached the pod named the network of this one interface. */
export type NetworkFrom = 'attachment' | 'pod' | 'namespace' | 'isolation' | 'default'
