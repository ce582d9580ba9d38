/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Everything that the datapath and the daemon share: map keys, map values, numbers and flags.
 *
 * This file is the only definition of these layouts. The TypeScript codecs in daemon/src/maps/structs.ts are generated
 * from its BTF, so a change here is followed by `npm run generate`. Names, numbers and flags are the vRouter's own.
 *
 * Addresses, ports and MACs are in network byte order (__be16, __be32); everything else is in host byte order.
 * Fields of structs are laid out without implicit padding: keys are compared as raw bytes.
 */
#pragma once

#define MAC_LEN 6

/* ---- interfaces (vif) -------------------------------------------------------------------------------------------- */

enum vif_type {
	VIF_HOST = 0,     /* vhost0 */
	VIF_AGENT = 1,    /* pkt0 */
	VIF_PHYSICAL = 2, /* the fabric NIC */
	VIF_VIRTUAL = 3,  /* the tap of a pod */
	VIF_GATEWAY = 5,  /* vgw */
};

enum vif_flags {
	VIF_POLICY_ENABLED = 0x1,
	VIF_TX_CSUM_OFFLOAD = 0x20,
	VIF_L3_ENABLED = 0x40,
	VIF_L2_ENABLED = 0x80,
	VIF_DHCP_ENABLED = 0x100,
	VIF_VHOST_PHYS = 0x200,
	VIF_NO_ARP_PROXY = 0x1000,
	VIF_DROP_NEW_FLOWS = 0x40000,
	VIF_MAC_PROXY = 0x100000,
	VIF_ETREE_ROOT = 0x200000,
	VIF_MORE_ADDRESSES = 0x40000000, /* ours: the workload has addresses beside those in struct vif: map vif_addresses */
	VIF_NO_SPOOF_CHECK = 0x80000000, /* ours: the workload may use any source address */
};

/* Reserved vif ids; pods are numbered from VIF_ID_FIRST_POD. */
enum vif_id { VIF_ID_FABRIC = 0, VIF_ID_VHOST = 1, VIF_ID_AGENT = 2, VIF_ID_FIRST_POD = 3 };

/* Map `vifs`: hash, ifindex (u32) -> struct vif. One lookup per packet, at its ingress. */
struct vif {
	__u32 id;
	__u32 ifindex;
	__u32 flags;
	__u32 vrf;
	__u32 nh_id;     /* nexthop that stands for this vif in flow keys */
	__u32 mtu;       /* L3 MTU of the device, bytes */
	__u32 max_flows; /* flow entries this vif may own; 0 = no limit */
	__u32 label;     /* MPLS label of the workload, 0 = none */
	__u8 type;       /* enum vif_type */
	__u8 pad[3];
	__u8 mac[MAC_LEN];      /* router side MAC, the vRouter's "HWaddr" */
	__u8 peer_mac[MAC_LEN]; /* the workload's own MAC: the only source MAC it may use */
	__be32 ip4;             /* the workload's (vhost0: the node's) IPv4 address, 0 = none */
	__u8 ip6[16];           /* its IPv6 address, all zero = none */
	char name[16];          /* device name, for the tools */
};

/*
 * Map `vif_addresses`: hash, (vif, address) -> 1. Addresses that a workload may use beside the first of each family, which lie in struct
 * vif: it is asked only for vifs with VIF_MORE_ADDRESSES, and only for what the vif itself doesn't have.
 */
struct vif_address_key {
	__u32 vif;
	__u32 family; /* AF_INET, AF_INET6 */
	__u8 ip[16];  /* IPv4: the first four bytes, the others zero */
};

/* Map `vif_stats`: per-CPU array, vif id -> struct vif_stats. */
struct vif_stats {
	__u64 rx_packets, rx_bytes, rx_errors;
	__u64 tx_packets, tx_bytes, tx_errors;
};

/* Map `vif_state`: array, vif id -> struct vif_state. What the datapath itself keeps per vif. */
struct vif_state {
	__u32 flows;        /* flow entries that count against it, both families */
	__u32 flows6;       /* those of them that are IPv6 */
	__u32 trap_tokens;  /* token bucket of packets to the agent */
	__u32 pad;
	__u64 trap_time_ns; /* last refill, bpf_ktime_get_ns() */
};

/* ---- nexthops ---------------------------------------------------------------------------------------------------- */

enum nh_type {
	NH_DEAD = 0,
	NH_RCV = 1,
	NH_ENCAP = 2,
	NH_TUNNEL = 3,
	NH_RESOLVE = 4,
	NH_DISCARD = 5,
	NH_COMPOSITE = 6,
	NH_VRF_TRANSLATE = 7,
	NH_L2_RCV = 8,
};

enum nh_flags {
	NH_FLAG_VALID = 0x1,
	NH_FLAG_POLICY_ENABLED = 0x2,
	NH_FLAG_MCAST = 0x20, /* of a COMPOSITE: a copy for each of the lists that it has as members */
	NH_FLAG_TUNNEL_UDP_MPLS = 0x40, /* the encapsulation of a TUNNEL (lib/encapsulation.h) */
	NH_FLAG_TUNNEL_VXLAN = 0x80,
	NH_FLAG_RELAXED_POLICY = 0x100,
	NH_FLAG_COMPOSITE_FABRIC = 0x200,
	NH_FLAG_COMPOSITE_ECMP = 0x400,
	NH_FLAG_COMPOSITE_EVPN = 0x1000,
	NH_FLAG_COMPOSITE_ENCAP = 0x2000,
	NH_FLAG_ETREE_ROOT = 0x200000,
	NH_FLAG_SERVICE = 0x40000000, /* ours, of VRF_TRANSLATE: into a service network, whose addresses are fronts (service.h) */
	NH_FLAG_SNAT = 0x80000000, /* ours, of VRF_TRANSLATE: out of the overlay, with the node's address for the workload's */
};

enum nh_id { NH_ID_INVALID = 0, NH_ID_DISCARD = 1 };

/* family of a nexthop: AF_INET = L3, AF_BRIDGE = L2 (numbers of the Linux UAPI) */
#define NH_AF_INET 2
#define NH_AF_BRIDGE 7

/* Map `nexthops`: array, nexthop id -> struct nexthop. */
struct nexthop {
	__u8 type;   /* enum nh_type */
	__u8 family; /* NH_AF_INET or NH_AF_BRIDGE */
	__u8 rewrite_len; /* 14, or 0 where there is no rewrite */
	__u8 pad;
	__u32 flags;
	__u32 vrf;      /* ENCAP: VRF of the vif; VRF_TRANSLATE: target VRF */
	__u32 oif;      /* vif id of the way out */
	__u32 ifindex;  /* its device: where the packet is redirected to */
	__u32 key_nh;   /* ENCAP, RCV: nh_id of that vif, which packets from the fabric are keyed with */
	__u32 mtu;      /* largest inner L3 packet that fits, bytes; 0 = not limited */
	__be32 sip;     /* TUNNEL: outer source */
	__be32 dip;     /* TUNNEL: outer destination */
	__u8 rewrite[14]; /* Ethernet header to write: destination, source, ethertype */
	__u8 oif_type;  /* enum vif_type of oif */
	__u8 pad2;
};

/*
 * Map `composites`: hash, nexthop id (u32) -> struct composite. Members of a COMPOSITE nexthop: of ECMP one for each flow (lib/composite.h),
 * of the others all (lib/fan_out.h).
 */
#define COMPOSITE_MAX 64

/* Bits of composite.hash_fields: which fields of the flow's key are hashed (vRouter reference 1.3). */
#define HASH_PROTO 0x01
#define HASH_SIP 0x02
#define HASH_SPORT 0x04
#define HASH_DIP 0x08
#define HASH_DPORT 0x10
#define HASH_ALL 0x1f
struct composite_member {
	__u32 nh;
	__u32 label; /* LABEL_NONE = none */
};
struct composite {
	__u32 count;
	__u32 hash_fields; /* 0x01 proto, 0x02 source ip, 0x04 source port, 0x08 destination ip, 0x10 destination port; 0 = all five */
	struct composite_member members[COMPOSITE_MAX];
};

/*
 * Map `path_mtus`: LRU hash, underlay address of a peer -> struct path_mtu. What routers of the underlay said about the way there
 * (lib/path_mtu.h); written by the datapath alone, so no daemon is needed and none overwrites it.
 */
struct path_mtu {
	__u64 expires_ns; /* bpf_ktime_get_coarse_ns() */
	__u32 mtu;        /* largest outer L3 packet, bytes */
	__u32 pad;
};

/* ---- routes ------------------------------------------------------------------------------------------------------ */

#define LABEL_NONE 0xffffffff

enum route_flags {
	ROUTE_LABEL_VALID = 0x01, /* L */
	ROUTE_ARP_PROXY = 0x02,   /* P */
	ROUTE_ARP_TRAP = 0x04,    /* T */
	ROUTE_ARP_FLOOD = 0x08,   /* F */
	ROUTE_MAC_IP_LEARNT = 0x10, /* Ml */
	ROUTE_HAS_MAC = 0x80,     /* ours: `mac` holds a stitched MAC */
};

/* Maps `route4_host` (hash), `route6_host` (hash): exact /32 and /128 routes. */
struct route4_key {
	__u32 vrf;
	__be32 ip;
};
struct route6_key {
	__u32 vrf;
	__u8 ip[16];
};
/* Maps `route4_lpm`, `route6_lpm` (LPM tries): shorter prefixes. prefixlen counts the 32 bits of vrf too; vrf is in network order here. */
struct route4_lpm_key {
	__u32 prefixlen;
	__be32 vrf_be;
	__be32 ip;
};
struct route6_lpm_key {
	__u32 prefixlen;
	__be32 vrf_be;
	__u8 ip[16];
};
struct route {
	__u32 nh;
	__u32 label; /* LABEL_NONE = none */
	__u32 mac_index; /* bridge index of the stitched MAC, LABEL_NONE = none */
	__u8 mac[MAC_LEN]; /* stitched MAC, valid with ROUTE_HAS_MAC */
	__u8 flags;  /* enum route_flags */
	__u8 plen;   /* prefix length of the programmed route */
};

/* Map `bridge`: hash, (mac, vrf) -> struct bridge_entry. */
enum bridge_flags {
	BRIDGE_VALID = 0x01,
	BRIDGE_LABEL_VALID = 0x02,
	BRIDGE_FLOOD_DHCP = 0x04,
};
struct bridge_key {
	__u8 mac[MAC_LEN];
	__u16 vrf;
};
struct bridge_entry {
	__u32 nh;
	__u32 label;
	__u32 flags;
	__u32 index;   /* position in the table, for the tools */
	__u64 packets;
};

/* Map `mpls`: array, label -> nexthop id; 0 = no such label. Labels are given out from LABEL_FIRST. */
#define LABEL_FIRST 16

/* ---- VRFs -------------------------------------------------------------------------------------------------------- */

/* Map `vrfs`: array, vrf id -> struct vrf. */
enum vrf_flags {
	VRF_VALID = 0x1,
	VRF_TAKES_OUTSIDE = 0x2, /* ours: other nodes may forward into it what comes from outside the cluster */
};
struct vrf {
	__u32 flags;
	__u32 label; /* VRF label (VRF_TRANSLATE nexthop), 0 = none */
	__u32 nh;    /* its VRF_TRANSLATE nexthop, 0 = none */
	__u32 forwarding_vrf; /* VRF whose routes are used (itself, or 0 for the fabric policy VRF) */
};

/* Map `vrf_stats`: per-CPU array, vrf id -> struct vrf_stats; the last element counts packets whose VRF is out of range (-1). */
struct vrf_stats {
	__u64 discards, resolves, receives, l2_receives, vrf_translates, unknown_unicast_floods;
	__u64 ecmp_composites, l2_mcast_composites, fabric_composites, encap_composites, evpn_composites;
	__u64 udp_tunnels, udp_mpls_tunnels, gre_mpls_tunnels, vxlan_tunnels, pbb_tunnels, mpls_over_mpls_tunnels;
	__u64 l2_encaps, encaps;
	__u64 gros, diags;
	__u64 arp_virtual_proxys, arp_virtual_stitchs, arp_virtual_floods;
	__u64 arp_physical_stitchs, arp_tor_proxys, arp_physical_floods;
};

/* ---- the underlay ------------------------------------------------------------------------------------------------ */

/*
 * Maps `peers4`, `peers6`: hash, address in the underlay -> whose it is. Tunnels are taken from the addresses of peers4 alone. Not in
 * them: this node's own addresses.
 */
struct peer4_key {
	__be32 ip;
};
struct peer6_key {
	__u8 ip[16];
};
struct peer {
	__be32 node; /* where that node's tunnels come from */
	__u32 nh;    /* the tunnel to it; 0 = none */
};

#define PEER_CACHE_SIZE 1024 /* a power of two */

/* Map `underlay_stats`: per-CPU array of one struct underlay_stats. */
struct underlay_stats {
	__u64 foreign_tunnels; /* packets to a tunnel port from no known node: given to the host */
};

/* ---- flows ------------------------------------------------------------------------------------------------------- */

/* Why a flow's packets are dropped, as the original numbers it (vRouter reference 1.5); 0 = user space says so. */
enum flow_drop_reason { FLOW_DROP_NO_SOURCE_ROUTE = 4, FLOW_DROP_NO_DESTINATION_ROUTE = 5 };
enum flow_action { FLOW_ACTION_DROP = 0, FLOW_ACTION_HOLD = 1, FLOW_ACTION_FORWARD = 2, FLOW_ACTION_NAT = 3 };

enum flow_flags {
	FLOW_ACTIVE = 0x1,
	FLOW_SNAT = 0x2,
	FLOW_SPAT = 0x4,
	FLOW_DNAT = 0x8,
	FLOW_DPAT = 0x10,
	FLOW_NEW = 0x200,
	FLOW_EVICT_CANDIDATE = 0x400,
	FLOW_EVICTED = 0x800,
	FLOW_RFLOW_VALID = 0x1000,
	FLOW_VRFT = 0x4000,
	FLOW_LINK_LOCAL = 0x8000,
	FLOW_L2 = 0x10000,      /* ours: the packet is bridged: no TTL, on this node no rewrite */
	FLOW_TTL_KEEP = 0x20000, /* ours: TTL isn't decremented (gateway nexthop) */
	FLOW_VRF_TRANSLATED = 0x40000, /* ours: the route led through a VRF_TRANSLATE nexthop */
	FLOW_TO_HOST = 0x80000, /* ours: answers what the host brought, and goes back through the host, wherever its route leads */
	FLOW_SERVICE = 0x200000, /* ours: a service leads there, not the client's routes */
	FLOW_INBOUND = 0x400000, /* ours: of a connection that came to the node from outside, to a service; the answers leave as they were asked for */
	FLOW_HANDED = 0x800000, /* ours: goes to another node as it is, which knows the endpoint (handover.h) */
	FLOW_PEER_KNOWN = 0x100000, /* ours: the destination, on another node, has or had a route of its own */
};

enum flow_tcp_flags {
	TCP_FIN = 0x1,
	TCP_HALF_CLOSE = 0x2,
	TCP_FIN_R = 0x4,
	TCP_SYN = 0x8,
	TCP_SYN_R = 0x10,
	TCP_ESTABLISHED = 0x20,
	TCP_ESTABLISHED_R = 0x40,
	TCP_RST = 0x80,
	TCP_DEAD = 0x8000,
};

/* Maps `flow4`, `flow6`: hash, key -> struct flow. The key has no VRF: nh_id stands for the ingress context (vRouter reference 1.5). */
struct flow4_key {
	__u32 nh_id;
	__be32 sip;
	__be32 dip;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 context[3]; /* of what another node hands over: the label of its way back there (handover.h); else zero */
};
struct flow6_key {
	__u32 nh_id;
	__u8 sip[16];
	__u8 dip[16];
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 context[3];
};

#define FLOW_NONE 0xffffffff
#define ECMP_NONE 0xff

struct flow {
	__u64 packets;
	__u64 bytes;
	__u64 last_seen_ns; /* bpf_ktime_get_coarse_ns(); written at most once per tick */
	__u32 index;        /* handle, an index of `flow_slots` */
	__u32 rindex;       /* handle of the reverse flow, FLOW_NONE = none */
	__u32 key_nh;       /* nh_id of the entry's key: tells a reader whose packets the memory belongs to by now (flow_is_of) */
	__u32 flags;        /* enum flow_flags */
	__u32 epoch;        /* globals.epoch when nh and label were looked up; another value = look up again */
	__u32 nh;           /* resolved nexthop: what an established packet uses */
	__u32 label;        /* label for a TUNNEL nexthop, LABEL_NONE = none */
	__u32 vrf;
	__u32 dvrf;
	__u32 src_nh;       /* nexthop of the way back (RPF) */
	__u32 src_info;     /* from the fabric: outer source IP (network order); from a vif: vif id */
	__u32 vif;          /* vif whose limit this entry counts against */
	__u32 tcp_seq;
	__u32 tcp_ack;
	__u16 tcp_flags;    /* enum flow_tcp_flags */
	__u16 udp_src_port; /* entropy port of the tunnel, host order; 0 = none */
	__u8 action;        /* enum flow_action */
	__u8 gen;
	__u8 drop_reason;   /* enum flow_drop_reason, of a flow that is dropped */
	__u8 ecmp;          /* composite member, ECMP_NONE = none */
	__u32 out;          /* with FLOW_SNAT: device that it leaves the node by, and whose address it leaves with */
	__u8 rgen;          /* gen of the reverse flow: tells whether slot `rindex` still is its */
	__u8 pad[3];
};

/*
 * Map `flow_slots`: array, flow index -> the entry's key. Gives flows the handles that tools name, and the ageing timer something to walk.
 * The first four bytes change as one word: who takes `family` to 0 (compare and swap) owns the deletion of the entry. User space
 * deletes a flow by setting FLOW_EVICT_CANDIDATE in it: its next packet begins anew, and without one ageing removes it. An entry removed
 * from flow4/flow6 alone is noticed too and its index given back.
 */
struct flow_slot {
	__u8 family; /* 0 = free, 2 = flow4, 10 = flow6, and enum flow_slot_bits */
	__u8 gen;    /* generation of this slot, kept while free */
	__u16 vif;   /* vif whose share the entry counts against */
	union {
		struct flow4_key k4;
		struct flow6_key k6;
	};
	__u32 group; /* what else it counts against: the VRF of that vif, for VIF_ID_FABRIC an index of `flow_sources` */
};
enum flow_slot_bits {
	FLOW_SLOT_CLOSED = 0x1,    /* the connection is over: it counts against no share any more, and goes when room is needed */
	FLOW_SLOT_SNAT_PORT = 0x4, /* the way back of a SNAT flow: it holds a port */
	FLOW_SLOT_STATE = 0x5,
};

/* Entries that count against one share. Maps `vrf_flows`: array, VRF id; `flow_sources`: array, hash of a source address. */
struct flow_count {
	__u32 flows;  /* both families */
	__u32 flows6;
};
#define FLOW_SOURCES 4096

/*
 * Map `exits`: hash, ifindex (u32) -> struct exit. Devices other than the underlay's by which SNAT leaves the node, too: those on which
 * the program `outside` takes the answers. Written by the daemon.
 */
struct exit {
	__be32 ip;    /* the node's addresses there, which packets leave with; 0 = none */
	__u32 mtu;    /* L3 MTU, bytes */
	__u8 ip6[16]; /* all zero = none */
};

/*
 * Map `announced`: hash, struct announced_key -> struct announced. Addresses of load balancers that this node answers ARP requests and neighbour
 * solicitations for on the underlay. Written by the daemon; the answers are counted here.
 */
struct announced_key {
	__u32 family; /* AF_INET or AF_INET6 */
	__u8 ip[16];  /* IPv4 in the first four, the others zero */
};

struct announced {
	__u64 answers;
};

/* Map `snat_shares`: array of u32, ports in use. An index is a hash of a destination, or of a destination and a vif. */
#define SNAT_SHARES 65536

/*
 * Map `flow_free`: queue of u32, flow indices given back. Map `flow_closed`: queue of u32, an index of each pair that is over, oldest
 * first; one that was used again since is told by its slot. Map `flow_alloc`: array of one struct flow_alloc.
 */
struct flow_family {
	__u32 size;    /* entries of flow4 or flow6, set by the daemon */
	__u32 entries; /* in use or promised */
	__u32 live;    /* of these, not over */
	__u32 pad;
};
struct flow_alloc {
	__u32 next; /* first index never used */
	__u32 size; /* number of slots, set by the daemon */
	__u64 created, added, deleted, changed; /* as `flow -l` prints them */
	__u64 evicted, aged;
	__u32 cursor; /* where the ageing timer goes on */
	__u32 pad;
	struct flow_family ip4, ip6;
};

/* Whose fragments of one packet these are. */
struct frag_key {
	__u8 sip[16]; /* IPv4 in the first four bytes, rest zero */
	__u8 dip[16];
	__u32 id;
	__u32 vrf;
	__u8 proto;
	__u8 family;
	__u16 vif; /* ingress: nobody's fragments follow those of another sender */
};

/* Map `fragments`: LRU hash, struct frag_place -> struct frag_entry. Ports of the first fragment, for those that follow (fragment.h). */
struct frag_place {
	__u32 sender;
	__u32 place; /* among those of the sender */
};
struct frag_entry {
	__be16 sport;
	__be16 dport;
	__u32 check; /* tells which packet it is */
	__u64 time_ns;
};

/*
 * Map `held_fragments`: array of FRAGMENT_SETS * FRAGMENT_WAYS struct held_fragment: later fragments that wait for their first one
 * (fragment_hold.h). Map `held_counts`: array, set -> how many wait in it.
 */
#define FRAGMENT_SETS 64
#define FRAGMENT_WAYS 32
#define FRAGMENT_SHARE 16 /* slots of a set that one sender may have */
#define HELD_FRAME 1984   /* bytes of a frame that can be kept */
struct held_fragment {
	__u32 state; /* enum held_state */
	__u32 owner;
	__u64 time_ns;
	struct frag_key key;
	__u16 length;
	__u16 copy; /* the packet itself went to the host */
	__u8 frame[HELD_FRAME];
};

/* ---- services ---------------------------------------------------------------------------------------------------- */

/*
 * Map `service_fronts`: hash, struct front_key -> struct front. An address of a service network, with a port and protocol that it has.
 * Protocol and port 0: the address itself, which says that everything else at it is refused.
 */
struct front_key {
	__u32 vrf; /* of the service network; 0 = the underlay: NodePorts, and addresses that load balancers bring */
	__be16 port;
	__u8 proto;
	__u8 family; /* AF_INET, AF_INET6 */
	__u8 ip[16]; /* IPv4: the first four bytes, the others zero */
};
/* Backs that one may be chosen of: a block of the map `service_backs`. */
struct back_set {
	__u32 first;
	__u32 count;
};
enum front_flags {
	FRONT_DROP_INSIDE = 0x1,  /* an empty set is silence, not a refusal: for those inside, and for what comes from outside */
	FRONT_DROP_OUTSIDE = 0x2,
	FRONT_SOURCE_RANGES = 0x4, /* only sources in map `service_ranges` */
	FRONT_EVERY_NODE = 0x8, /* a NodePort that leads to the same endpoints at each node (externalTrafficPolicy Cluster) */
};
struct front {
	__u32 service;   /* id of the service port: what affinity, source ranges and counters are kept under */
	__u32 flags;     /* enum front_flags */
	struct back_set inside;  /* for pods of this node, and its host */
	struct back_set outside; /* for what comes from elsewhere */
	struct back_set local;   /* those of this node: for what other nodes hand over */
	__u32 affinity_s; /* 0 = none; idle time of a client's affinity */
	__u32 pad;
};

/*
 * Map `node_ports`: array of one struct node_ports. Ports that a front of the underlay's VRF at one of the node's own addresses has, whatever its
 * protocol: for any other port of the node nobody looks for a front (service_front.h).
 */
struct node_ports {
	__u8 bits[8192]; /* bit n & 7 of byte n >> 3 is port n */
};

/* Map `service_backs`: array, index -> struct back. */
enum back_flags {
	BACK_HOST = 0x1, /* an address of the underlay, none of a network: a node's own, or another host's */
	BACK_TENANT = 0x4, /* of another network than the default one: tunnels of VRF 0 don't lead there, whatever has its address */
	BACK_HANDED = 0x2, /* clients whose own routes don't lead there hand it over to its node: `nh`, `label` */
};
struct back {
	__u8 ip[16];
	__be16 port;
	__u16 flags; /* enum back_flags */
	__u32 vrf;   /* of the endpoint's network on this node, LABEL_NONE = it has none here */
	__u32 nh;    /* where the endpoint is, for clients whose own routes don't lead there: its interface here, or a tunnel; 0 = by route */
	__u32 label; /* with a tunnel: the service label of that node */
};

/* Map `service_affinity`: LRU hash, struct affinity_key -> struct affinity. */
struct affinity_key {
	__u32 service;
	__u32 vrf; /* of the client: addresses of networks overlap */
	__u8 ip[16];
};
struct affinity {
	__u8 ip[16]; /* the endpoint's */
	__be16 port;
	__u16 pad;
	__u32 place; /* where it was in its set: looked at first */
	__u64 expires_ns; /* bpf_ktime_get_coarse_ns() */
};

/* Map `service_ranges`: LPM trie, struct range_key -> 1. prefixlen counts the 64 bits of service and family, too. */
struct range_key {
	__u32 prefixlen;
	__be32 service_be;
	__be32 family_be;
	__u8 ip[16];
};

/* Of flows whose endpoint is gone (endpoints.bpf.c): where they were sent, and what has answered them. The same twice: they were not translated. */
struct gone_key {
	__u8 front[16];
	__u8 back[16];
	__be16 front_port;
	__be16 back_port;
	__u8 family; /* AF_INET, AF_INET6 */
	__u8 proto;
	__u16 pad;
};

/* Map `service_stats`: per-CPU array, service id -> struct service_stats. */
struct service_stats {
	__u64 connections; /* flows that were given a back */
	__u64 refused;     /* answered that there is none */
	__u64 dropped;
};

/* ---- globals ----------------------------------------------------------------------------------------------------- */

enum options {
	OPTION_MPLS_PORT_OLD = 0x1,    /* tunnels are taken at the port of the first MPLSoUDP drafts, too */
	OPTION_SNAT_LINK_LOCAL = 0x2, /* pods reach link-local services, such as a cloud's metadata, with the node's address */
};

/* Map `globals`: array of one struct globals, written by the daemon. */
struct globals {
	__u32 abi;          /* DATAPATH_ABI */
	__u32 epoch;        /* raised after any change of a route, so that flows look up their nexthop again */
	__be32 underlay_ip; /* the node's IPv4 address, network order */
	__u32 underlay_mtu; /* L3 MTU of the fabric NIC */
	__u32 fabric_ifindex;
	__u32 vhost_ifindex;
	__u32 agent_ifindex; /* pkt0; 0 = traps are dropped with TRAP_NO_IF */
	__u32 hash_seed;     /* of entropy ports and ECMP */
	__u32 trap_rate;     /* packets per second and vif that may go to the agent */
	__u32 trap_burst;
	__u32 max_vifs;
	__u32 max_vrfs;
	__u32 max_labels;
	__u32 max_nexthops;
	__u32 age_tcp_s;      /* idle time of established TCP */
	__u32 age_other_s;    /* of everything else */
	__u8 router_mac[MAC_LEN]; /* 00:00:5e:00:01:00 */
	__u8 vhost_mac[MAC_LEN];  /* MAC of vhost0 = MAC of the NIC */
	__u8 agent_mac[MAC_LEN];  /* 00:00:00:00:00:01 */
	__u8 tunnel_dscp; /* DSCP of outer headers, 0 to 63; TUNNEL_DSCP_COPY: that of the packet inside */
	__u8 pad;
	__u64 daemon_seen_ns; /* CLOCK_MONOTONIC, raised by the daemon while it lives; for the tools */
	__u8 underlay_ip6[16]; /* the node's IPv6 address, all zero = none */
	__u16 snat_port;  /* first source port of SNAT, host order */
	__u16 snat_ports; /* how many from there on; 0 = no SNAT */
	__u32 host_nh;    /* nh_id of vhost0: the ingress context of what the underlay sends to the node */
	__u32 options;    /* enum options */
	__u64 nat_from_ns; /* CLOCK_MONOTONIC: an upgrade carries flows over, and no new translation begins before */
};
#define DATAPATH_ABI 1
#define TUNNEL_DSCP_COPY 0xff

/* ---- drop reasons (dropstats) ------------------------------------------------------------------------------------- */

/* Map `drop_stats`: per-CPU array of one struct drop_stats. Map `vif_drop_stats`: per-CPU array, vif id -> struct drop_stats. */
#define DROP_REASONS 64
struct drop_stats {
	__u64 reasons[DROP_REASONS];
};

enum drop_reason {
	DROP_DISCARD = 1,
	DROP_PULL = 2,
	DROP_INVALID_IF = 3,
	DROP_INVALID_ARP = 4,
	DROP_TRAP_NO_IF = 5,
	DROP_NOWHERE_TO_GO = 6,
	DROP_FLOW_QUEUE_LIMIT_EXCEEDED = 7,
	DROP_FLOW_NO_MEMORY = 8,
	DROP_FLOW_INVALID_PROTOCOL = 9,
	DROP_FLOW_NAT_NO_RFLOW = 10,
	DROP_FLOW_ACTION_DROP = 11,
	DROP_FLOW_ACTION_INVALID = 12,
	DROP_FLOW_UNUSABLE = 13,
	DROP_FLOW_TABLE_FULL = 14,
	DROP_INTERFACE_TX_DISCARD = 15,
	DROP_INTERFACE_DROP = 16,
	DROP_DUPLICATED = 17,
	DROP_PUSH = 18,
	DROP_TTL_EXCEEDED = 19,
	DROP_INVALID_NH = 20,
	DROP_INVALID_LABEL = 21,
	DROP_INVALID_PROTOCOL = 22,
	DROP_INTERFACE_RX_DISCARD = 23,
	DROP_INVALID_MCAST_SOURCE = 24,
	DROP_HEAD_ALLOC_FAIL = 25,
	DROP_PCOW_FAIL = 26,
	DROP_MCAST_DF_BIT = 27,
	DROP_MCAST_CLONE_FAIL = 28,
	DROP_NO_MEMORY = 29,
	DROP_REWRITE_FAIL = 30,
	DROP_MISC = 31,
	DROP_INVALID_PACKET = 32,
	DROP_CKSUM_ERR = 33,
	DROP_NO_FMD = 34,
	DROP_CLONED_ORIGINAL = 35,
	DROP_INVALID_VNID = 36,
	DROP_FRAGMENTS = 37,
	DROP_INVALID_SOURCE = 38,
	DROP_L2_NO_ROUTE = 39,
	DROP_FRAGMENT_QUEUE_FAIL = 40,
	DROP_VLAN_FWD_TX = 41,
	DROP_VLAN_FWD_ENQ = 42,
	DROP_NEW_FLOWS = 43,
	DROP_FLOW_EVICT = 44,
	DROP_TRAP_ORIGINAL = 45,
	DROP_LEAF_TO_LEAF = 46,
	DROP_BMAC_ISID_MISMATCH = 47,
	DROP_PKT_LOOP = 48,
	DROP_NO_CRYPT_PATH = 49,
	DROP_INVALID_HBS_PKT = 50,
	DROP_NO_FRAG_ENTRY = 51,
	DROP_ICMP_ERROR = 52,
	DROP_CLONE_FAIL = 53,
	DROP_INVALID_UNDERLAY_ECMP = 54,
	DROP_TRAP_LIMIT = 56, /* ours: the vif's budget of packets to the agent is spent */
	DROP_ECN = 60,        /* ours: congestion was marked on the way of a packet whose ends don't know of marks (RFC 6040) */
	DROP_OTHER_NIC = 61,  /* ours: the kernel's route to what is outside leads through a device that is neither the underlay's nor an exit */
};

/* ---- the agent header (pkt0) --------------------------------------------------------------------------------------- */

enum agent_cmd {
	AGENT_SWITCH = 0,
	AGENT_ROUTE = 1,
	AGENT_TRAP_ARP = 2,
	AGENT_TRAP_L2_PROTOCOLS = 3,
	AGENT_TRAP_NEXTHOP = 4,
	AGENT_TRAP_RESOLVE = 5,
	AGENT_TRAP_FLOW_MISS = 6,
	AGENT_TRAP_L3_PROTOCOLS = 7,
	AGENT_TRAP_DIAG = 8,
	AGENT_TRAP_ECMP_RESOLVE = 9,
	AGENT_TRAP_SOURCE_MISMATCH = 10,
	AGENT_TRAP_HANDLE_DF = 11,
	AGENT_TRAP_ZERO_TTL = 12,
	AGENT_TRAP_ICMP_ERROR = 13,
};

/* 30 bytes, network order, between a 14-byte Ethernet header and the original frame (vRouter reference 2.10). */
struct agent_hdr {
	__be16 ifindex; /* vif id */
	__be16 vrf;
	__be16 cmd;
	__be32 param;
	__be32 param_1;
	__be32 param_2;
	__be32 param_3;
	__be32 param_4;
	__u8 param_5;
	__u8 pad[3];
} __attribute__((packed));

/* Encapsulations (lib/encapsulation.h): bytes of outer headers, the outer IPv4 header among them, and ports. */
#define MPLS_UDP_OVERHEAD 32
/* The label of what asks whether a node is there: lib/echo.h. It is no nexthop's (OAM alert, RFC 3429). */
#define MPLS_LABEL_ECHO 14
#define MPLS_UDP_PORT 6635
#define MPLS_UDP_PORT_OLD 51234
#define VXLAN_UDP_PORT 4789
