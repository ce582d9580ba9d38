/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * MPLS over UDP (RFC 7510; vRouter reference 2.6, 2.7): Ethernet | IPv4 | UDP | one label | IP packet.
 * Encapsulation keeps GSO packets whole: bpf_skb_adjust_room tells the kernel about the headers, which are then written.
 */
#pragma once
#include <linux/udp.h>
#include "packet.h"
#include "ecn.h"
#include "mss.h"
#include "mtu.h"
#include "neighbour.h"
#include "parse.h"
#include "path_mtu.h"
#include "stats.h"
#include "ttl.h"
#include "vif.h"

struct tunnel_header {
	struct iphdr ip;
	struct udphdr udp;
	__be32 mpls; /* label << 12 | traffic class << 9 | bottom of stack << 8 | TTL */
} __attribute__((packed));

#define TUNNEL_OVERHEAD ((__u32)sizeof(struct tunnel_header)) /* 32 bytes of L3 */
_Static_assert(sizeof(struct tunnel_header) == PARSE_TUNNEL, "an inner packet lies behind the tunnel headers");
#define TUNNEL_TTL 64
#define MPLS_BOTTOM 0x100
#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_FRAGMENTS 0x2000
#define MPLS_LABEL_MAX 0xfffff

static __always_inline __u16 ip4_checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* `length`: of the packet with these headers, from the outer IP header on. */
static __always_inline void tunnel_header_write(struct tunnel_header *outer, const struct packet *p, const struct nexthop *nh,
						const struct globals *g, __u32 length, __be16 id, __u8 tos)
{
	*(__u16 *)&outer->ip = bpf_htons(0x4500 | tos);
	outer->ip.tot_len = bpf_htons(length);
	outer->ip.id = id;
	outer->ip.frag_off = bpf_htons(IP_DONT_FRAGMENT); /* a peer's fragments would reach nobody: what is too large for the path is told to its sender */
	outer->ip.ttl = TUNNEL_TTL;
	outer->ip.protocol = IPPROTO_UDP;
	outer->ip.check = 0;
	outer->ip.saddr = nh->sip;
	outer->ip.daddr = nh->dip;
	outer->ip.check = ip4_checksum(&outer->ip);
	outer->udp.source = bpf_htons(p->entropy ? p->entropy : entropy_port(hash_packet(p, g->hash_seed, 0)));
	outer->udp.dest = bpf_htons(MPLS_UDP_PORT);
	outer->udp.len = bpf_htons(length - sizeof(struct iphdr));
	outer->udp.check = 0;
	outer->mpls = bpf_htonl(p->label << 12 | MPLS_BOTTOM | (__u8)(p->ttl - 1));
}

/* Sends the packet through the TUNNEL nexthop p->nh under p->label. */
__noinline enum verdict tunnel_output(struct __sk_buff *skb, struct packet *p)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |
			    BPF_F_ADJ_ROOM_ENCAP_L2(4);
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct tunnel_header *outer;
	__u32 length, reason, mtu;
	__be16 id;
	__u8 tos;
	void *data;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh || !(nh->flags & NH_FLAG_TUNNEL_UDP_MPLS) || (p->flow_flags & FLOW_L2))
		return DROP(p, DROP_INVALID_NH);
	COUNT_VRF(p->dvrf, udp_mpls_tunnels);
	if (p->label > MPLS_LABEL_MAX)
		return DROP(p, DROP_INVALID_LABEL);
	if (p->outer_sip && p->outer_sip == nh->dip)
		return DROP(p, DROP_PKT_LOOP);
	if (!nh->ifindex)
		return DROP(p, DROP_INVALID_IF);
	if (unlikely(neighbour_is_due(p, p->nh)))
		neighbour_refresh(skb, p->nh, nh->dip);
	if (p->ttl <= 1)
		return ttl_expired(skb, p);
	mtu = nh->mtu;
	if (p->l3_len > PATH_MTU_INNER_MIN || p->tcp_flags & TCPHDR_SYN)
		mtu = path_mtu_inner(nh->dip, mtu);
	if (!mtu_fits(skb, p, mtu))
		return mtu_exceeded(skb, p, mtu);
	if (p->tcp_flags & TCPHDR_SYN) {
		reason = mss_clamp(skb, p, mtu);
		if (reason)
			return DROP(p, reason);
	}

	data = packet_data(skb);
	if (data + ETH_HLEN + sizeof(struct ipv6hdr) > packet_end(skb)) {
		if (p->family != AF_INET || data + ETH_HLEN + sizeof(struct iphdr) > packet_end(skb))
			return DROP(p, DROP_PULL);
	}
	tos = tos_outer(tos_of(p, data + ETH_HLEN), g->tunnel_dscp);
	if (p->family == AF_INET) {
		id = ((struct iphdr *)(data + ETH_HLEN))->id;
		ttl_decrement(p, data + ETH_HLEN);
	} else {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) > packet_end(skb))
			return DROP(p, DROP_PULL);
		id = bpf_get_prandom_u32();
		((struct ipv6hdr *)(data + ETH_HLEN))->hop_limit--;
	}

	/* What came in by a tunnel and goes back into one (a NodePort's backend may be anywhere) is still marked as encapsulated, with its inner
	   headers where they were: the kernel refuses to mark it again, and needn't. */
	if (bpf_skb_adjust_room(skb, TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, flags) &&
	    bpf_skb_adjust_room(skb, TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return DROP(p, DROP_PUSH);
	data = packet_data(skb);
	outer = data + ETH_HLEN;
	if ((void *)(outer + 1) > packet_end(skb))
		return DROP(p, DROP_PULL);
	length = skb->len - ETH_HLEN;
	if (length > 0xffff)
		return DROP(p, DROP_PUSH); /* a super-packet so long that the outer header can't say it */
	macs_write(data, nh->rewrite);
	((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IP);
	tunnel_header_write(outer, p, nh, g, length, id, tos);
	count_vif_tx(nh->oif, skb->len);
	if (bpf_redirect(nh->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

static __always_inline int tunnel_is_mpls(__be16 port, const struct globals *g)
{
	return port == bpf_htons(MPLS_UDP_PORT) ||
	       (unlikely(port == bpf_htons(MPLS_UDP_PORT_OLD)) && (g->options & OPTION_MPLS_PORT_OLD));
}

/* Whether a node may take what comes to this port for a tunnel. Nothing that isn't one may leave with a node's address. */
static __always_inline int tunnel_has_port(__be16 port, const struct globals *g)
{
	return tunnel_is_mpls(port, g) || port == bpf_htons(VXLAN_UDP_PORT);
}

/*
 * Whether tunnels are taken from this address. What peers4 said is remembered while the epoch lasts, which every change of peers4 raises
 * afterwards: a hash lookup for each packet costs 20 ns more.
 */
static __always_inline int tunnel_has_peer(__be32 outer_sip, const struct globals *g)
{
	struct peer4_key key = { .ip = outer_sip };
	__u64 known = (__u64)outer_sip << 32 | epoch_before(g);
	__u32 zero = 0, slot = bpf_ntohl(outer_sip);
	struct underlay_stats *stats;
	__u64 *cached;

	slot = (slot ^ slot >> 10 ^ slot >> 20) % PEER_CACHE_SIZE;
	cached = bpf_map_lookup_elem(&peer_cache, &slot);
	if (likely(cached && *(volatile __u64 *)cached == known && outer_sip)) /* an unused slot knows nobody */
		return 1;
	if (bpf_map_lookup_elem(&peers4, &key)) {
		if (cached)
			*(volatile __u64 *)cached = known;
		return 1;
	}
	stats = bpf_map_lookup_elem(&underlay_stats, &zero);
	if (stats)
		stats->foreign_tunnels++;
	return 0;
}

/*
 * Whether the frame is a tunnel of ours: IPv4 from a known node to this one's address, UDP to a port of MPLS, not a fragment.
 * Anything else is the host's.
 */
static __always_inline int tunnel_is_ours(struct __sk_buff *skb, const struct globals *g)
{
	void *data = packet_data(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > packet_end(skb))
		return 0;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP || ip->daddr != g->underlay_ip || !ip->daddr)
		return 0;
	if (ip->version != 4 || ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return 0;
	return tunnel_is_mpls(udp->dest, g) && tunnel_has_peer(ip->saddr, g);
}

/*
 * The first fragment of a tunnel packet, from a gateway that doesn't set DF. It can't be decapsulated, and the host has nobody for it.
 * Later ones have no port and may be the host's, which forgets them.
 */
static __always_inline int tunnel_is_fragment(struct __sk_buff *skb, const struct globals *g)
{
	const struct ethhdr *eth = packet_data(skb);
	const struct iphdr *ip = (const void *)(eth + 1);
	const struct udphdr *udp = (const void *)(ip + 1);

	return (void *)(udp + 1) <= packet_end(skb) && eth->h_proto == bpf_htons(ETH_P_IP) &&
	       (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)) == bpf_htons(IP_MORE_FRAGMENTS) && ip->protocol == IPPROTO_UDP &&
	       *(const __u8 *)ip == 0x45 && ip->daddr == g->underlay_ip && tunnel_is_mpls(udp->dest, g) && tunnel_has_peer(ip->saddr, g);
}

/* Reads the outer headers of a tunnelled frame: p->outer_sip and p->label. Returns 0 or a drop reason. */
static __always_inline __u32 tunnel_parse(struct __sk_buff *skb, struct packet *p)
{
	void *data = packet_data(skb);
	struct tunnel_header *outer = data + ETH_HLEN;
	__u32 length, mpls;

	if ((void *)(outer + 1) > packet_end(skb))
		return DROP_PULL;
	length = bpf_ntohs(outer->ip.tot_len);
	if (length < TUNNEL_OVERHEAD || length > skb->len - ETH_HLEN)
		return DROP_INVALID_PACKET;
	if (bpf_ntohs(outer->udp.len) > length - sizeof(struct iphdr) || bpf_ntohs(outer->udp.len) < sizeof(struct udphdr) + 4)
		return DROP_INVALID_PACKET;
	mpls = bpf_ntohl(outer->mpls);
	p->label = mpls >> 12;
	p->outer_sip = outer->ip.saddr;
	p->bits |= PACKET_FROM_TUNNEL;
	if (!(mpls & MPLS_BOTTOM))
		return DROP_INVALID_LABEL;
	if (!(mpls & 0xff)) /* 1 may still come in: who sent it has counted this hop, in both headers (RFC 3443, uniform model) */
		return DROP_TTL_EXCEEDED;
	return 0;
}

/*
 * Takes the outer headers off; the frame then is Ethernet (with the outer MACs) and the inner packet, with the ECN mark of both.
 * Returns 0 or a drop reason.
 */
static __always_inline __u32 tunnel_strip(struct __sk_buff *skb, struct packet *p)
{
	const __u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO | (p->family == AF_INET ? ADJ_ROOM_DECAP_L3_IPV4 : ADJ_ROOM_DECAP_L3_IPV6);
	struct tunnel_header *outer = packet_data(skb) + ETH_HLEN;
	struct ethhdr *eth;
	__u32 reason;

	if ((void *)(outer + 1) + sizeof(struct iphdr) > packet_end(skb))
		return DROP_PULL;
	if (unlikely(outer->ip.tos & ECN_MASK)) {
		reason = ecn_leave_tunnel(p, outer + 1, outer->ip.tos);
		if (reason)
			return reason;
	}
	if (bpf_skb_adjust_room(skb, -(__s32)TUNNEL_OVERHEAD, BPF_ADJ_ROOM_MAC, flags))
		return DROP_PULL;
	eth = packet_data(skb);
	if ((void *)(eth + 1) > packet_end(skb))
		return DROP_PULL;
	eth->h_proto = p->ethertype;
	p->l3_off -= TUNNEL_OVERHEAD;
	p->l4_off -= TUNNEL_OVERHEAD;
	return 0;
}
