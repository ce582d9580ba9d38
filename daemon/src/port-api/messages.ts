/**
 * The words that the CNI binary and the daemon exchange on `cni.sock`: one JSON object per line, one request and one reply per
 * connection turn (a connection may carry several turns: ADD sends `allocate`, then `register`). Types only: the CNI binary imports this file,
 * and nothing else of the daemon.
 */

export interface AllocateRequest {
  readonly op: 'allocate'
  readonly containerId: string
  readonly ifname: string
  /** Path of the pod's network namespace, for the record. */
  readonly netns: string
  /** `name` of the CNI network that asks: GC asks for the attachments of one network. */
  readonly network?: string
  /**
   * The virtual network of this interface, where the caller names one: `name` (of the pod's namespace), `namespace/name`, or an FQ name. It counts before
   * annotations. A second interface of a pod needs it: the pod's own network is that of its first.
   */
  readonly virtualNetwork?: string
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
  /** Pod labels and annotations, where the caller knows them (hack/lab); a Kubernetes source has its own. */
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  /** uuid of the interface, where an orchestrator has given it one; the daemon makes one otherwise. */
  readonly uuid?: string
  /** The pod's MAC address, where the caller wants a certain one: lower-case hex with colons. */
  readonly mac?: string
  /** The pod's addresses, where the caller wants certain ones; they count before an annotation. */
  readonly addresses?: readonly string[]
  /** Ports of the node that lead to the pod; absent where another plugin of the chain serves them. */
  readonly portMappings?: readonly PortMapping[]
  /** Recorded with the port. */
  readonly bandwidth?: Bandwidth
}

/** A port of the node that leads to one of the pod (capability portMappings). */
export interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** An address of the node; 0.0.0.0 or :: all of that family. Absent: all. */
  readonly hostIp?: string
}

/** Rates in bits per second, bursts in bits (capability bandwidth); `ingress` is what goes to the pod. Absent: no limit. */
export interface Bandwidth {
  readonly ingressRate?: number
  readonly ingressBurst?: number
  readonly egressRate?: number
  readonly egressBurst?: number
}

export interface AllocateReply {
  readonly ok: true
  readonly uuid: string
  /** Host side device to make; its alias is `<namespace>/<pod>/<ifname>`. */
  readonly tap: string
  readonly tapMac: string
  readonly mac: string
  readonly mtu: number
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number; readonly gateway: string }[]
  readonly routes: readonly { readonly destination: string; readonly gateway: string }[]
  readonly dns: {
    readonly nameservers: readonly string[]
    readonly domain?: string
    readonly search?: readonly string[]
  }
  /** True when this attachment existed already (ADD repeated): the caller replaces what is there. */
  readonly existed: boolean
  /** True when it existed and was complete: its tap had been registered. */
  readonly registered: boolean
}

export interface RegisterRequest {
  readonly op: 'register'
  readonly containerId: string
  readonly ifname: string
  readonly ifindex: number
  /** Path of the pod's network namespace, when it isn't the one of the allocation (ADD repeated in a new one). */
  readonly netns?: string
}

/** Sent when the datapath is programmed for the pod. */
export interface RegisterReply {
  readonly ok: true
  readonly vif: number
  readonly vrf: number
}

/** Idempotent: releasing what doesn't exist is fine. */
export interface ReleaseRequest {
  readonly op: 'release'
  readonly containerId: string
  readonly ifname: string
}

/** CHECK: what should be there. Answered by a GetReply when the attachment is complete, by an error otherwise. */
export interface GetRequest {
  readonly op: 'get'
  readonly containerId: string
  readonly ifname: string
}

/** What should be there, and what the daemon found in the datapath. */
export interface GetReply extends AllocateReply {
  /** What the daemon looked at and found as it should be, such as `program tap on tap4b6d1c9e52aa`. */
  readonly verified: readonly string[]
  /** What isn't as it should be, in words. */
  readonly mismatches: readonly string[]
}

/** GC: which attachments there are of a CNI network. */
export interface ListRequest {
  readonly op: 'list'
  readonly network: string
}

export interface ListReply {
  readonly ok: true
  readonly attachments: readonly { readonly containerId: string; readonly ifname: string }[]
}

/** STATUS: `{ok: true}` when ADD can be served. Code DATAPATH_BROKEN: pods that exist may lack connectivity too. */
export interface StatusRequest {
  readonly op: 'status'
}

/** A call that failed in the binary, for the daemon's log. */
export interface ReportRequest {
  readonly op: 'report'
  readonly message: string
  readonly fields: Readonly<Record<string, string | number>>
}

export interface ErrorReply {
  readonly ok: false
  /** Stable code of the daemon's errors table, such as `SUBNET_EXHAUSTED`. */
  readonly code: string
  readonly message: string
  readonly details?: string
  /** True: the runtime should try again later (CNI error 11). */
  readonly retry: boolean
}

export type Request =
  | AllocateRequest
  | RegisterRequest
  | ReleaseRequest
  | GetRequest
  | ListRequest
  | StatusRequest
  | ReportRequest
export type Reply = AllocateReply | GetReply | RegisterReply | ListReply | ErrorReply | { readonly ok: true }
