/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How packets travel between nodes: what an encapsulation is. Each has a file of its own, and a line in every function here: its
 * overhead, how it is told from other packets, and how its headers are made room for, written, read and taken off. Whoever sends or
 * receives tunnel packets (tunnel.h, path_mtu.h, fabric.bpf.c) asks here, and knows no header but the outer IPv4 one.
 *
 * Numbers are the flags of TUNNEL nexthops, so a nexthop says which one it is of. 0: none.
 */
#pragma once
#include "mpls_udp.h"

#define ENCAPSULATION_NONE 0
#define ENCAPSULATION_MAX (MPLS_UDP_OVERHEAD + MPLS_ENTRY) /* of all, the longest outer headers in bytes */

static __always_inline int is_mpls_udp(__u32 encapsulation)
{
	return !!(encapsulation & NH_FLAG_TUNNEL_UDP_MPLS);
}

/* Of a nexthop; 0: it isn't a tunnel, or one that this datapath can't make. */
static __always_inline __u32 encapsulation_of(const struct nexthop *nh)
{
	return nh->flags & NH_FLAG_TUNNEL_UDP_MPLS;
}

/* Bytes from the outer IPv4 header to the packet inside. */
static __always_inline __u32 encapsulation_overhead(__u32 encapsulation)
{
	if (!is_mpls_udp(encapsulation))
		return 0;
	return encapsulation & ENCAPSULATION_STACKED ? MPLS_UDP_OVERHEAD + MPLS_ENTRY : MPLS_UDP_OVERHEAD;
}

/* What nodes send to this UDP port. */
static __always_inline __u32 encapsulation_sent_to(__be16 port)
{
	return port == bpf_htons(MPLS_UDP_PORT) ? NH_FLAG_TUNNEL_UDP_MPLS : ENCAPSULATION_NONE;
}

/* What this node takes at this UDP port. */
static __always_inline __u32 encapsulation_taken_at(__be16 port, const struct globals *g)
{
	return mpls_udp_is_port(port, g) ? NH_FLAG_TUNNEL_UDP_MPLS : ENCAPSULATION_NONE;
}

/*
 * Makes room for the outer headers between the Ethernet header and the packet, which stays whole if it is a GSO packet. Invalidates
 * pointers into the packet. Returns 0 or a drop reason.
 */
static __always_inline __u32 encapsulation_push(struct __sk_buff *skb, __u32 encapsulation)
{
	__u64 flags = !is_mpls_udp(encapsulation) ? 0 : encapsulation & ENCAPSULATION_STACKED ? MPLS_UDP_ROOM_STACKED : MPLS_UDP_ROOM;
	__u32 overhead = encapsulation_overhead(encapsulation);

	/* What came in by a tunnel and goes back into one (a NodePort's backend may be anywhere) is still marked as encapsulated, with its
	   inner headers where they were: the kernel refuses to mark it again, and needn't. */
	if (bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, flags) &&
	    bpf_skb_adjust_room(skb, overhead, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return DROP_PUSH;
	return 0;
}

/* Writes the outer headers into that room. Returns 0 or a drop reason. */
static __always_inline __u32 encapsulation_write(struct __sk_buff *skb, const struct packet *p, const struct nexthop *nh,
						 const struct globals *g, __u32 encapsulation, __be16 id, __u8 tos)
{
	return is_mpls_udp(encapsulation) ? mpls_udp_write(skb, p, nh, g, id, tos, encapsulation & ENCAPSULATION_STACKED) : DROP_INVALID_PROTOCOL;
}

/* Reads the outer headers: p->outer_sip, p->label, and p->back_label where there is a second one. Returns 0 or a drop reason. */
static __always_inline __u32 encapsulation_parse(struct __sk_buff *skb, struct packet *p, __u32 encapsulation)
{
	return is_mpls_udp(encapsulation) ? mpls_udp_parse(skb, p) : DROP_INVALID_PROTOCOL;
}

/*
 * Takes the outer headers off a packet that is parsed; the frame then is Ethernet (with the outer MACs) and the inner packet, with the
 * ECN mark of both. Invalidates pointers into the packet. Returns 0 or a drop reason.
 */
static __always_inline __u32 encapsulation_strip(struct __sk_buff *skb, struct packet *p, __u32 encapsulation)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | (p->family == AF_INET ? ADJ_ROOM_DECAP_L3_IPV4 : ADJ_ROOM_DECAP_L3_IPV6);
	__u32 overhead = encapsulation_overhead(encapsulation);
	struct ethhdr *eth;
	__u32 reason;

	reason = is_mpls_udp(encapsulation) ? mpls_udp_leave(skb, p, encapsulation & ENCAPSULATION_STACKED) : DROP_INVALID_PROTOCOL;
	if (reason)
		return reason;
	if (bpf_skb_adjust_room(skb, -(__s32)overhead, BPF_ADJ_ROOM_MAC, flags))
		return DROP_PULL;
	eth = packet_data(skb);
	if ((void *)(eth + 1) > packet_end(skb))
		return DROP_PULL;
	eth->h_proto = p->ethertype;
	p->l3_off -= overhead;
	p->l4_off -= overhead;
	return 0;
}
