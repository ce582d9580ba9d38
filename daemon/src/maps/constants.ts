// Generated from daemon/datapath/lib by `npm run generate`. Do not edit: change the C, and generate again.

/** The datapath's numbers and flags, under their C names; each enum is an object too, for printing and iterating. */

export const MAC_LEN = 6
export const NH_AF_INET = 2
export const NH_AF_BRIDGE = 7
export const COMPOSITE_MAX = 64
export const HASH_PROTO = 1
export const HASH_SIP = 2
export const HASH_SPORT = 4
export const HASH_DIP = 8
export const HASH_DPORT = 16
export const HASH_ALL = 31
export const LABEL_NONE = 0xffffffff
export const LABEL_FIRST = 16
export const PEER_CACHE_SIZE = 1024
export const FLOW_NONE = 0xffffffff
export const ECMP_NONE = 255
export const FLOW_SOURCES = 4096
export const SNAT_SHARES = 0x10000
export const FRAGMENT_SETS = 64
export const FRAGMENT_WAYS = 32
export const FRAGMENT_SHARE = 16
export const HELD_FRAME = 1984
export const DATAPATH_ABI = 1
export const TUNNEL_DSCP_COPY = 255
export const DROP_REASONS = 64
export const MPLS_UDP_OVERHEAD = 32
export const MPLS_LABEL_ECHO = 14
export const MPLS_UDP_PORT = 6635
export const MPLS_UDP_PORT_OLD = 51234
export const VXLAN_UDP_PORT = 4789

/** vhost0 */
export const VIF_HOST = 0
/** pkt0 */
export const VIF_AGENT = 1
/** the fabric NIC */
export const VIF_PHYSICAL = 2
/** the tap of a pod */
export const VIF_VIRTUAL = 3
/** vgw */
export const VIF_GATEWAY = 5

/** enum vif_type */
export const VIF_TYPE = { VIF_HOST, VIF_AGENT, VIF_PHYSICAL, VIF_VIRTUAL, VIF_GATEWAY } as const

export const VIF_POLICY_ENABLED = 0x1
export const VIF_TX_CSUM_OFFLOAD = 0x20
export const VIF_L3_ENABLED = 0x40
export const VIF_L2_ENABLED = 0x80
export const VIF_DHCP_ENABLED = 0x100
export const VIF_VHOST_PHYS = 0x200
export const VIF_NO_ARP_PROXY = 0x1000
export const VIF_DROP_NEW_FLOWS = 0x40000
export const VIF_MAC_PROXY = 0x100000
export const VIF_ETREE_ROOT = 0x200000
/** ours: the workload has addresses beside those in struct vif: map vif_addresses */
export const VIF_MORE_ADDRESSES = 0x40000000
/** ours: the workload may use any source address */
export const VIF_NO_SPOOF_CHECK = 0x80000000

/** enum vif_flags */
export const VIF_FLAGS = {
  VIF_POLICY_ENABLED,
  VIF_TX_CSUM_OFFLOAD,
  VIF_L3_ENABLED,
  VIF_L2_ENABLED,
  VIF_DHCP_ENABLED,
  VIF_VHOST_PHYS,
  VIF_NO_ARP_PROXY,
  VIF_DROP_NEW_FLOWS,
  VIF_MAC_PROXY,
  VIF_ETREE_ROOT,
  VIF_MORE_ADDRESSES,
  VIF_NO_SPOOF_CHECK,
} as const

export const VIF_ID_FABRIC = 0
export const VIF_ID_VHOST = 1
export const VIF_ID_AGENT = 2
export const VIF_ID_FIRST_POD = 3

/** enum vif_id */
export const VIF_ID = { VIF_ID_FABRIC, VIF_ID_VHOST, VIF_ID_AGENT, VIF_ID_FIRST_POD } as const

export const NH_DEAD = 0
export const NH_RCV = 1
export const NH_ENCAP = 2
export const NH_TUNNEL = 3
export const NH_RESOLVE = 4
export const NH_DISCARD = 5
export const NH_COMPOSITE = 6
export const NH_VRF_TRANSLATE = 7
export const NH_L2_RCV = 8

/** enum nh_type */
export const NH_TYPE = {
  NH_DEAD,
  NH_RCV,
  NH_ENCAP,
  NH_TUNNEL,
  NH_RESOLVE,
  NH_DISCARD,
  NH_COMPOSITE,
  NH_VRF_TRANSLATE,
  NH_L2_RCV,
} as const

export const NH_FLAG_VALID = 0x1
export const NH_FLAG_POLICY_ENABLED = 0x2
/** of a COMPOSITE: a copy for each of the lists that it has as members */
export const NH_FLAG_MCAST = 0x20
/** the encapsulation of a TUNNEL (lib/encapsulation.h) */
export const NH_FLAG_TUNNEL_UDP_MPLS = 0x40
export const NH_FLAG_TUNNEL_VXLAN = 0x80
export const NH_FLAG_RELAXED_POLICY = 0x100
export const NH_FLAG_COMPOSITE_FABRIC = 0x200
export const NH_FLAG_COMPOSITE_ECMP = 0x400
export const NH_FLAG_COMPOSITE_EVPN = 0x1000
export const NH_FLAG_COMPOSITE_ENCAP = 0x2000
export const NH_FLAG_ETREE_ROOT = 0x200000
/** ours, of VRF_TRANSLATE: into a service network, whose addresses are fronts (service.h) */
export const NH_FLAG_SERVICE = 0x40000000
/** ours, of VRF_TRANSLATE: out of the overlay, with the node's address for the workload's */
export const NH_FLAG_SNAT = 0x80000000

/** enum nh_flags */
export const NH_FLAGS = {
  NH_FLAG_VALID,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_MCAST,
  NH_FLAG_TUNNEL_UDP_MPLS,
  NH_FLAG_TUNNEL_VXLAN,
  NH_FLAG_RELAXED_POLICY,
  NH_FLAG_COMPOSITE_FABRIC,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_COMPOSITE_EVPN,
  NH_FLAG_COMPOSITE_ENCAP,
  NH_FLAG_ETREE_ROOT,
  NH_FLAG_SERVICE,
  NH_FLAG_SNAT,
} as const

export const NH_ID_INVALID = 0
export const NH_ID_DISCARD = 1

/** enum nh_id */
export const NH_ID = { NH_ID_INVALID, NH_ID_DISCARD } as const

/** L */
export const ROUTE_LABEL_VALID = 0x1
/** P */
export const ROUTE_ARP_PROXY = 0x2
/** T */
export const ROUTE_ARP_TRAP = 0x4
/** F */
export const ROUTE_ARP_FLOOD = 0x8
/** Ml */
export const ROUTE_MAC_IP_LEARNT = 0x10
/** ours: `mac` holds a stitched MAC */
export const ROUTE_HAS_MAC = 0x80

/** enum route_flags */
export const ROUTE_FLAGS = {
  ROUTE_LABEL_VALID,
  ROUTE_ARP_PROXY,
  ROUTE_ARP_TRAP,
  ROUTE_ARP_FLOOD,
  ROUTE_MAC_IP_LEARNT,
  ROUTE_HAS_MAC,
} as const

export const BRIDGE_VALID = 0x1
export const BRIDGE_LABEL_VALID = 0x2
export const BRIDGE_FLOOD_DHCP = 0x4

/** enum bridge_flags */
export const BRIDGE_FLAGS = { BRIDGE_VALID, BRIDGE_LABEL_VALID, BRIDGE_FLOOD_DHCP } as const

export const VRF_VALID = 0x1
/** ours: other nodes may forward into it what comes from outside the cluster */
export const VRF_TAKES_OUTSIDE = 0x2

/** enum vrf_flags */
export const VRF_FLAGS = { VRF_VALID, VRF_TAKES_OUTSIDE } as const

export const FLOW_DROP_NO_SOURCE_ROUTE = 4
export const FLOW_DROP_NO_DESTINATION_ROUTE = 5

/** enum flow_drop_reason */
export const FLOW_DROP_REASON = { FLOW_DROP_NO_SOURCE_ROUTE, FLOW_DROP_NO_DESTINATION_ROUTE } as const

export const FLOW_ACTION_DROP = 0
export const FLOW_ACTION_HOLD = 1
export const FLOW_ACTION_FORWARD = 2
export const FLOW_ACTION_NAT = 3

/** enum flow_action */
export const FLOW_ACTION = { FLOW_ACTION_DROP, FLOW_ACTION_HOLD, FLOW_ACTION_FORWARD, FLOW_ACTION_NAT } as const

export const FLOW_ACTIVE = 0x1
export const FLOW_SNAT = 0x2
export const FLOW_SPAT = 0x4
export const FLOW_DNAT = 0x8
export const FLOW_DPAT = 0x10
export const FLOW_NEW = 0x200
export const FLOW_EVICT_CANDIDATE = 0x400
export const FLOW_EVICTED = 0x800
export const FLOW_RFLOW_VALID = 0x1000
export const FLOW_VRFT = 0x4000
export const FLOW_LINK_LOCAL = 0x8000
/** ours: the packet is bridged: no TTL, on this node no rewrite */
export const FLOW_L2 = 0x10000
/** ours: TTL isn't decremented (gateway nexthop) */
export const FLOW_TTL_KEEP = 0x20000
/** ours: the route led through a VRF_TRANSLATE nexthop */
export const FLOW_VRF_TRANSLATED = 0x40000
/** ours: answers what the host brought, and goes back through the host, wherever its route leads */
export const FLOW_TO_HOST = 0x80000
/** ours: a service leads there, not the client's routes */
export const FLOW_SERVICE = 0x200000
/** ours: of a connection that came to the node from outside, to a service; the answers leave as they were asked for */
export const FLOW_INBOUND = 0x400000
/** ours: goes to another node as it is, which knows the endpoint (handover.h) */
export const FLOW_HANDED = 0x800000
/** ours: the destination, on another node, has or had a route of its own */
export const FLOW_PEER_KNOWN = 0x100000

/** enum flow_flags */
export const FLOW_FLAGS = {
  FLOW_ACTIVE,
  FLOW_SNAT,
  FLOW_SPAT,
  FLOW_DNAT,
  FLOW_DPAT,
  FLOW_NEW,
  FLOW_EVICT_CANDIDATE,
  FLOW_EVICTED,
  FLOW_RFLOW_VALID,
  FLOW_VRFT,
  FLOW_LINK_LOCAL,
  FLOW_L2,
  FLOW_TTL_KEEP,
  FLOW_VRF_TRANSLATED,
  FLOW_TO_HOST,
  FLOW_SERVICE,
  FLOW_INBOUND,
  FLOW_HANDED,
  FLOW_PEER_KNOWN,
} as const

export const TCP_FIN = 0x1
export const TCP_HALF_CLOSE = 0x2
export const TCP_FIN_R = 0x4
export const TCP_SYN = 0x8
export const TCP_SYN_R = 0x10
export const TCP_ESTABLISHED = 0x20
export const TCP_ESTABLISHED_R = 0x40
export const TCP_RST = 0x80
export const TCP_DEAD = 0x8000

/** enum flow_tcp_flags */
export const FLOW_TCP_FLAGS = {
  TCP_FIN,
  TCP_HALF_CLOSE,
  TCP_FIN_R,
  TCP_SYN,
  TCP_SYN_R,
  TCP_ESTABLISHED,
  TCP_ESTABLISHED_R,
  TCP_RST,
  TCP_DEAD,
} as const

/** the connection is over: it counts against no share any more, and goes when room is needed */
export const FLOW_SLOT_CLOSED = 1
/** the way back of a SNAT flow: it holds a port */
export const FLOW_SLOT_SNAT_PORT = 4
export const FLOW_SLOT_STATE = 5

/** enum flow_slot_bits */
export const FLOW_SLOT_BITS = { FLOW_SLOT_CLOSED, FLOW_SLOT_SNAT_PORT, FLOW_SLOT_STATE } as const

/** an empty set is silence, not a refusal: for those inside, and for what comes from outside */
export const FRONT_DROP_INSIDE = 0x1
export const FRONT_DROP_OUTSIDE = 0x2
/** only sources in map `service_ranges` */
export const FRONT_SOURCE_RANGES = 0x4
/** a NodePort that leads to the same endpoints at each node (externalTrafficPolicy Cluster) */
export const FRONT_EVERY_NODE = 0x8

/** enum front_flags */
export const FRONT_FLAGS = { FRONT_DROP_INSIDE, FRONT_DROP_OUTSIDE, FRONT_SOURCE_RANGES, FRONT_EVERY_NODE } as const

/** an address of the underlay, none of a network: a node's own, or another host's */
export const BACK_HOST = 0x1
/** of another network than the default one: tunnels of VRF 0 don't lead there, whatever has its address */
export const BACK_TENANT = 0x4
/** clients whose own routes don't lead there hand it over to its node: `nh`, `label` */
export const BACK_HANDED = 0x2

/** enum back_flags */
export const BACK_FLAGS = { BACK_HOST, BACK_TENANT, BACK_HANDED } as const

/** tunnels are taken at the port of the first MPLSoUDP drafts, too */
export const OPTION_MPLS_PORT_OLD = 1
/** pods reach link-local services, such as a cloud's metadata, with the node's address */
export const OPTION_SNAT_LINK_LOCAL = 2

/** enum options */
export const OPTIONS = { OPTION_MPLS_PORT_OLD, OPTION_SNAT_LINK_LOCAL } as const

export const DROP_DISCARD = 1
export const DROP_PULL = 2
export const DROP_INVALID_IF = 3
export const DROP_INVALID_ARP = 4
export const DROP_TRAP_NO_IF = 5
export const DROP_NOWHERE_TO_GO = 6
export const DROP_FLOW_QUEUE_LIMIT_EXCEEDED = 7
export const DROP_FLOW_NO_MEMORY = 8
export const DROP_FLOW_INVALID_PROTOCOL = 9
export const DROP_FLOW_NAT_NO_RFLOW = 10
export const DROP_FLOW_ACTION_DROP = 11
export const DROP_FLOW_ACTION_INVALID = 12
export const DROP_FLOW_UNUSABLE = 13
export const DROP_FLOW_TABLE_FULL = 14
export const DROP_INTERFACE_TX_DISCARD = 15
export const DROP_INTERFACE_DROP = 16
export const DROP_DUPLICATED = 17
export const DROP_PUSH = 18
export const DROP_TTL_EXCEEDED = 19
export const DROP_INVALID_NH = 20
export const DROP_INVALID_LABEL = 21
export const DROP_INVALID_PROTOCOL = 22
export const DROP_INTERFACE_RX_DISCARD = 23
export const DROP_INVALID_MCAST_SOURCE = 24
export const DROP_HEAD_ALLOC_FAIL = 25
export const DROP_PCOW_FAIL = 26
export const DROP_MCAST_DF_BIT = 27
export const DROP_MCAST_CLONE_FAIL = 28
export const DROP_NO_MEMORY = 29
export const DROP_REWRITE_FAIL = 30
export const DROP_MISC = 31
export const DROP_INVALID_PACKET = 32
export const DROP_CKSUM_ERR = 33
export const DROP_NO_FMD = 34
export const DROP_CLONED_ORIGINAL = 35
export const DROP_INVALID_VNID = 36
export const DROP_FRAGMENTS = 37
export const DROP_INVALID_SOURCE = 38
export const DROP_L2_NO_ROUTE = 39
export const DROP_FRAGMENT_QUEUE_FAIL = 40
export const DROP_VLAN_FWD_TX = 41
export const DROP_VLAN_FWD_ENQ = 42
export const DROP_NEW_FLOWS = 43
export const DROP_FLOW_EVICT = 44
export const DROP_TRAP_ORIGINAL = 45
export const DROP_LEAF_TO_LEAF = 46
export const DROP_BMAC_ISID_MISMATCH = 47
export const DROP_PKT_LOOP = 48
export const DROP_NO_CRYPT_PATH = 49
export const DROP_INVALID_HBS_PKT = 50
export const DROP_NO_FRAG_ENTRY = 51
export const DROP_ICMP_ERROR = 52
export const DROP_CLONE_FAIL = 53
export const DROP_INVALID_UNDERLAY_ECMP = 54
/** ours: the vif's budget of packets to the agent is spent */
export const DROP_TRAP_LIMIT = 56
/** ours: congestion was marked on the way of a packet whose ends don't know of marks (RFC 6040) */
export const DROP_ECN = 60
/** ours: the kernel's route to what is outside leads through a device that is neither the underlay's nor an exit */
export const DROP_OTHER_NIC = 61

/** enum drop_reason */
export const DROP_REASON = {
  DROP_DISCARD,
  DROP_PULL,
  DROP_INVALID_IF,
  DROP_INVALID_ARP,
  DROP_TRAP_NO_IF,
  DROP_NOWHERE_TO_GO,
  DROP_FLOW_QUEUE_LIMIT_EXCEEDED,
  DROP_FLOW_NO_MEMORY,
  DROP_FLOW_INVALID_PROTOCOL,
  DROP_FLOW_NAT_NO_RFLOW,
  DROP_FLOW_ACTION_DROP,
  DROP_FLOW_ACTION_INVALID,
  DROP_FLOW_UNUSABLE,
  DROP_FLOW_TABLE_FULL,
  DROP_INTERFACE_TX_DISCARD,
  DROP_INTERFACE_DROP,
  DROP_DUPLICATED,
  DROP_PUSH,
  DROP_TTL_EXCEEDED,
  DROP_INVALID_NH,
  DROP_INVALID_LABEL,
  DROP_INVALID_PROTOCOL,
  DROP_INTERFACE_RX_DISCARD,
  DROP_INVALID_MCAST_SOURCE,
  DROP_HEAD_ALLOC_FAIL,
  DROP_PCOW_FAIL,
  DROP_MCAST_DF_BIT,
  DROP_MCAST_CLONE_FAIL,
  DROP_NO_MEMORY,
  DROP_REWRITE_FAIL,
  DROP_MISC,
  DROP_INVALID_PACKET,
  DROP_CKSUM_ERR,
  DROP_NO_FMD,
  DROP_CLONED_ORIGINAL,
  DROP_INVALID_VNID,
  DROP_FRAGMENTS,
  DROP_INVALID_SOURCE,
  DROP_L2_NO_ROUTE,
  DROP_FRAGMENT_QUEUE_FAIL,
  DROP_VLAN_FWD_TX,
  DROP_VLAN_FWD_ENQ,
  DROP_NEW_FLOWS,
  DROP_FLOW_EVICT,
  DROP_TRAP_ORIGINAL,
  DROP_LEAF_TO_LEAF,
  DROP_BMAC_ISID_MISMATCH,
  DROP_PKT_LOOP,
  DROP_NO_CRYPT_PATH,
  DROP_INVALID_HBS_PKT,
  DROP_NO_FRAG_ENTRY,
  DROP_ICMP_ERROR,
  DROP_CLONE_FAIL,
  DROP_INVALID_UNDERLAY_ECMP,
  DROP_TRAP_LIMIT,
  DROP_ECN,
  DROP_OTHER_NIC,
} as const

export const AGENT_SWITCH = 0
export const AGENT_ROUTE = 1
export const AGENT_TRAP_ARP = 2
export const AGENT_TRAP_L2_PROTOCOLS = 3
export const AGENT_TRAP_NEXTHOP = 4
export const AGENT_TRAP_RESOLVE = 5
export const AGENT_TRAP_FLOW_MISS = 6
export const AGENT_TRAP_L3_PROTOCOLS = 7
export const AGENT_TRAP_DIAG = 8
export const AGENT_TRAP_ECMP_RESOLVE = 9
export const AGENT_TRAP_SOURCE_MISMATCH = 10
export const AGENT_TRAP_HANDLE_DF = 11
export const AGENT_TRAP_ZERO_TTL = 12
export const AGENT_TRAP_ICMP_ERROR = 13

/** enum agent_cmd */
export const AGENT_CMD = {
  AGENT_SWITCH,
  AGENT_ROUTE,
  AGENT_TRAP_ARP,
  AGENT_TRAP_L2_PROTOCOLS,
  AGENT_TRAP_NEXTHOP,
  AGENT_TRAP_RESOLVE,
  AGENT_TRAP_FLOW_MISS,
  AGENT_TRAP_L3_PROTOCOLS,
  AGENT_TRAP_DIAG,
  AGENT_TRAP_ECMP_RESOLVE,
  AGENT_TRAP_SOURCE_MISMATCH,
  AGENT_TRAP_HANDLE_DF,
  AGENT_TRAP_ZERO_TTL,
  AGENT_TRAP_ICMP_ERROR,
} as const
