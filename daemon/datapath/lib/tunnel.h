/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Tunnels between nodes, whatever their encapsulation (encapsulation.h): what goes into one, and from whom one is taken.
 * Encapsulation keeps GSO packets whole: bpf_skb_adjust_room tells the kernel about the headers, which are then written.
 */
#pragma once
#include "packet.h"
#include "ecn.h"
#include "encapsulation.h"
#include "handover.h"
#include "mss.h"
#include "mtu.h"
#include "neighbour.h"
#include "parse.h"
#include "path_mtu.h"
#include "stats.h"
#include "ttl.h"
#include "vif.h"

/* Sends the packet through the TUNNEL nexthop p->nh under p->label. */
__noinline enum verdict tunnel_output(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	__u32 encapsulation, reason, mtu, bridged;
	__be16 id;
	__u8 tos;
	void *data;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	encapsulation = nh ? encapsulation_of(nh) : ENCAPSULATION_NONE;
	if (!nh || !encapsulation)
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
	if (unlikely(p->flow_flags & FLOW_HANDED)) {
		p->back_label = handover_return_label(skb);
		if (p->back_label > MPLS_LABEL_MAX)
			return DROP(p, DROP_INVALID_LABEL);
		encapsulation |= ENCAPSULATION_STACKED;
	}
	bridged = p->flow_flags & FLOW_L2;
	if (p->ttl <= 1 && !bridged)
		return ttl_expired(skb, p);
	mtu = nh->mtu;
	if (mtu) /* that of the nexthop is for one label */
		mtu -= encapsulation_overhead(encapsulation) - encapsulation_overhead(encapsulation_of(nh));
	if (p->l3_len > PATH_MTU_INNER_MIN || p->tcp_flags & TCPHDR_SYN)
		mtu = path_mtu_inner(nh->dip, mtu, encapsulation_overhead(encapsulation));
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
		if (likely(!bridged))
			ttl_decrement(p, data + ETH_HLEN);
	} else {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) > packet_end(skb))
			return DROP(p, DROP_PULL);
		id = bpf_get_prandom_u32();
		if (likely(!bridged))
			((struct ipv6hdr *)(data + ETH_HLEN))->hop_limit--;
	}

	reason = encapsulation_push(skb, encapsulation);
	if (reason)
		return DROP(p, reason);
	data = packet_data(skb);
	if (data + ETH_HLEN > packet_end(skb))
		return DROP(p, DROP_PULL);
	macs_write(data, nh->rewrite);
	((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IP);
	reason = encapsulation_write(skb, p, nh, g, encapsulation, id, tos);
	if (reason)
		return DROP(p, reason);
	count_vif_tx(nh->oif, skb->len);
	if (bpf_redirect(nh->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/*
 * Whether a node may take what comes to this port for a tunnel; other vRouters take VXLAN, too. Nothing that isn't one may leave with a
 * node's address.
 */
static __always_inline int tunnel_has_port(__be16 port, const struct globals *g)
{
	return encapsulation_taken_at(port, g) || port == bpf_htons(VXLAN_UDP_PORT);
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
 * The encapsulation of the frame, if it is a tunnel of ours: IPv4 from a known node to this one's address, UDP to a port of tunnels, not
 * a fragment. Anything else (0) is the host's.
 */
static __always_inline __u32 tunnel_of(struct __sk_buff *skb, const struct globals *g)
{
	void *data = packet_data(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__u32 encapsulation;

	if ((void *)(udp + 1) > packet_end(skb))
		return 0;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP || ip->daddr != g->underlay_ip || !ip->daddr)
		return 0;
	if (ip->version != 4 || ip->ihl != 5 || (ip->frag_off & bpf_htons(IP_FRAGMENT_BITS)))
		return 0;
	encapsulation = encapsulation_taken_at(udp->dest, g);
	return encapsulation && tunnel_has_peer(ip->saddr, g) ? encapsulation : ENCAPSULATION_NONE;
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
	       *(const __u8 *)ip == 0x45 && ip->daddr == g->underlay_ip && encapsulation_taken_at(udp->dest, g) && tunnel_has_peer(ip->saddr, g);
}
