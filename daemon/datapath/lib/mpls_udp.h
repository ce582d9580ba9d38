/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * MPLS over UDP (RFC 7510; vRouter reference 2.6, 2.7): Ethernet | IPv4 | UDP | one label | IP packet. An encapsulation
 * (encapsulation.h). What is handed over to another node has two labels (handover.h): its service label, and below it that of the way back.
 */
#pragma once
#include <linux/udp.h>
#include "packet.h"
#include "ecn.h"
#include "hash.h"
#include "outer_ip.h"

struct mpls_udp_header {
	struct iphdr ip;
	struct udphdr udp;
	__be32 mpls; /* label << 12 | traffic class << 9 | bottom of stack << 8 | TTL */
} __attribute__((packed));
_Static_assert(sizeof(struct mpls_udp_header) == MPLS_UDP_OVERHEAD, "the model and the datapath agree about MTUs");

#define ENCAPSULATION_STACKED 0x1 /* beside the number of an encapsulation: with a second label */
#define MPLS_BOTTOM 0x100
#define MPLS_LABEL_MAX 0xfffff
#define MPLS_ENTRY 4 /* bytes of a label */
#define MPLS_UDP_ROOM (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(MPLS_ENTRY))
#define MPLS_UDP_ROOM_STACKED \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(2 * MPLS_ENTRY))

static __always_inline int mpls_udp_is_port(__be16 port, const struct globals *g)
{
	return port == bpf_htons(MPLS_UDP_PORT) ||
	       (unlikely(port == bpf_htons(MPLS_UDP_PORT_OLD)) && (g->options & OPTION_MPLS_PORT_OLD));
}

/* Writes the headers behind the Ethernet header, where there is room for them; `stacked`: p->back_label below p->label. Returns 0 or a drop reason. */
static __always_inline __u32 mpls_udp_write(struct __sk_buff *skb, const struct packet *p, const struct nexthop *nh,
					    const struct globals *g, __be16 id, __u8 tos, __u32 stacked)
{
	struct mpls_udp_header *outer = packet_data(skb) + ETH_HLEN;
	__be32 *under = (void *)(outer + 1);
	__u32 ttl, length = skb->len - ETH_HLEN;

	if ((void *)(under + 1) > packet_end(skb)) /* an IP packet follows, whose first bytes can be read */
		return DROP_PULL;
	if (length > 0xffff)
		return DROP_PUSH; /* a super-packet so long that the outer header can't say it */
	outer_ip_write(&outer->ip, nh, IPPROTO_UDP, length, id, tos);
	outer->udp.source = bpf_htons(p->entropy ? p->entropy : entropy_port(hash_packet(p, g->hash_seed, 0)));
	outer->udp.dest = bpf_htons(MPLS_UDP_PORT);
	outer->udp.len = bpf_htons(length - sizeof(struct iphdr));
	outer->udp.check = 0;
	ttl = p->flow_flags & FLOW_L2 ? TUNNEL_TTL : (__u8)(p->ttl - 1);
	outer->mpls = bpf_htonl(p->label << 12 | (stacked ? 0 : MPLS_BOTTOM) | ttl);
	if (stacked)
		*under = bpf_htonl(p->back_label << 12 | MPLS_BOTTOM | ttl);
	return 0;
}

/* Reads the headers of a frame: p->outer_sip, p->label, and p->back_label where there is a second one. Returns 0 or a drop reason. */
static __always_inline __u32 mpls_udp_parse(struct __sk_buff *skb, struct packet *p)
{
	void *data = packet_data(skb);
	struct mpls_udp_header *outer = data + ETH_HLEN;
	__u32 length, mpls;

	if ((void *)(outer + 1) > packet_end(skb))
		return DROP_PULL;
	length = bpf_ntohs(outer->ip.tot_len);
	if (length < MPLS_UDP_OVERHEAD || length > skb->len - ETH_HLEN)
		return DROP_INVALID_PACKET;
	if (bpf_ntohs(outer->udp.len) > length - sizeof(struct iphdr) || bpf_ntohs(outer->udp.len) < sizeof(struct udphdr) + 4)
		return DROP_INVALID_PACKET;
	mpls = bpf_ntohl(outer->mpls);
	p->label = mpls >> 12;
	p->outer_sip = outer->ip.saddr;
	p->bits |= PACKET_FROM_TUNNEL;
	if (unlikely(!(mpls & MPLS_BOTTOM))) {
		const __be32 *under = (void *)(outer + 1);

		if ((void *)(under + 1) > packet_end(skb))
			return DROP_PULL;
		if (length < MPLS_UDP_OVERHEAD + MPLS_ENTRY || !(*under & bpf_htonl(MPLS_BOTTOM)))
			return DROP_INVALID_LABEL;
		p->back_label = bpf_ntohl(*under) >> 12;
		p->handed = ENCAPSULATION_STACKED;
	}
	if (!(mpls & 0xff)) /* 1 may still come in: who sent it has counted this hop, in both headers (RFC 3443, uniform model) */
		return DROP_TTL_EXCEEDED;
	return 0;
}

/* Takes over into the packet inside what the outer headers have met on their way. Returns 0 or a drop reason. */
static __always_inline __u32 mpls_udp_leave(struct __sk_buff *skb, const struct packet *p, __u32 stacked)
{
	struct mpls_udp_header *outer = packet_data(skb) + ETH_HLEN;
	struct iphdr *inner = (void *)(outer + 1);

	if ((void *)(inner + 1) > packet_end(skb))
		return DROP_PULL;
	if (likely(!(outer->ip.tos & ECN_MASK)))
		return 0;
	if (!stacked)
		return ecn_leave_tunnel(p, inner, outer->ip.tos);
	if ((void *)(inner + 1) + MPLS_ENTRY > packet_end(skb))
		return DROP_PULL;
	return ecn_leave_tunnel(p, (void *)inner + MPLS_ENTRY, outer->ip.tos);
}
