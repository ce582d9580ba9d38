/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What each nexthop does with a packet (vRouter reference 1.3). The workload's ENCAP is inline, because every packet between two
 * pods of a node takes it; tunnels and everything rarer are functions of their own.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "mss.h"
#include "mtu.h"
#include "neighbour.h"
#include "nexthop_kind.h"
#include "stats.h"
#include "trap.h"
#include "ttl.h"
#include "tunnel.h"
#include "vif.h"

/*
 * How a frame reaches a workload. At an ingress hook it is put into the pod's end of the veth at once (no backlog, no second walk
 * through the stack); egress hooks and the agent's frames, whose skb->protocol may not be theirs, go through the tap's transmit.
 */
static __always_inline long deliver(__u32 ifindex)
{
	return DELIVERS_BY_TRANSMIT ? bpf_redirect(ifindex, 0) : bpf_redirect_peer(ifindex, 0);
}

/* One less TTL and new MACs. Returns 0 or a drop reason. */
static __always_inline __u32 rewrite_routed(struct __sk_buff *skb, const struct packet *p, const struct nexthop *nh)
{
	void *data = packet_data(skb);

	if (data + ETH_HLEN + ip_header_length(p) > packet_end(skb))
		return DROP_REWRITE_FAIL;
	if (!ttl_is_kept(p))
		ttl_decrement(p, data + ETH_HLEN);
	macs_write(data, nh->rewrite);
	return 0;
}

/* ENCAP to a workload of this node. */
static __always_inline enum verdict encap_workload(struct __sk_buff *skb, struct packet *p, const struct nexthop *nh)
{
	struct vrf_stats *counters = vrf_counters(p->dvrf);
	__u32 reason;

	if (unlikely(!nh->ifindex))
		return DROP(p, DROP_INVALID_IF);
	if (unlikely(!mtu_fits(skb, p, nh->mtu)))
		return mtu_exceeded(skb, p, nh->mtu);
	if (unlikely(p->tcp_flags & TCPHDR_SYN && nh->mtu)) {
		reason = mss_clamp(skb, p, nh->mtu);
		if (reason)
			return DROP(p, reason);
	}
	if (p->flow_flags & FLOW_L2) {
		if (counters)
			counters->l2_encaps++;
	} else {
		if (unlikely(p->ttl <= 1 && !ttl_is_kept(p)))
			return ttl_expired(skb, p);
		reason = rewrite_routed(skb, p, nh);
		if (unlikely(reason))
			return DROP(p, reason);
		if (counters)
			counters->encaps++;
	}
	count_vif_tx(nh->oif, skb->len);
	if (unlikely(deliver(nh->ifindex) != TC_ACT_REDIRECT)) {
		count_vif_tx_error(nh->oif);
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	}
	return VERDICT_REDIRECT;
}

/* RCV: to the host's stack, by way of vhost0. The host takes only frames for its own MAC. */
__noinline enum verdict receive_output(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	struct ethhdr *eth;

	if (!p || !g)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP(p, DROP_INVALID_NH);
	COUNT_VRF(p->dvrf, receives);
	if (nh->family != NH_AF_INET)
		return DROP(p, DROP_INVALID_PROTOCOL);
	if (!g->vhost_ifindex)
		return DROP(p, DROP_TRAP_NO_IF);
	if (p->ttl <= 1 && !ttl_is_kept(p))
		return ttl_expired(skb, p);
	eth = packet_data(skb);
	if ((void *)(eth + 1) + ip_header_length(p) > packet_end(skb))
		return DROP(p, DROP_REWRITE_FAIL);
	if (!ttl_is_kept(p))
		ttl_decrement(p, eth + 1);
	__builtin_memcpy(eth->h_dest, g->vhost_mac, MAC_LEN);
	count_vif_tx(VIF_ID_VHOST, skb->len);
	if (bpf_redirect(g->vhost_ifindex, BPF_F_INGRESS) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* ENCAP to the underlay: a neighbour or gateway whose MAC is known. */
__noinline enum verdict encap_underlay(struct __sk_buff *skb, struct packet *p)
{
	const struct nexthop *nh;
	__u32 reason;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh)
		return DROP(p, DROP_INVALID_NH);
	if (!nh->ifindex)
		return DROP(p, DROP_INVALID_IF);
	if (p->ttl <= 1 && !ttl_is_kept(p))
		return ttl_expired(skb, p);
	if (!mtu_fits(skb, p, nh->mtu))
		return mtu_exceeded(skb, p, nh->mtu);
	if (p->family == AF_INET && neighbour_is_due(p, p->nh))
		neighbour_refresh(skb, p->nh, p->flow_flags & FLOW_TRANSLATED ? p->to.dip[0] : p->key.k4.dip);
	reason = rewrite_routed(skb, p, nh);
	if (reason)
		return DROP(p, reason);
	COUNT_VRF(p->dvrf, encaps);
	count_vif_tx(nh->oif, skb->len);
	if (bpf_redirect(nh->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* VRF_TRANSLATE out of the overlay, by the device that source NAT has chosen: the kernel finds the neighbour. */
static __always_inline enum verdict outside_output(struct __sk_buff *skb, struct packet *p)
{
	void *data = packet_data(skb);

	if (data + ETH_HLEN + ip_header_length(p) > packet_end(skb))
		return DROP(p, DROP_REWRITE_FAIL);
	ttl_decrement(p, data + ETH_HLEN);
	COUNT_VRF(p->dvrf, encaps);
	if (bpf_redirect_neigh(p->out, NULL, 0, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* Every nexthop that isn't a workload or a tunnel. */
__noinline enum verdict nexthop_rare(struct __sk_buff *skb, struct packet *p)
{
	const struct nexthop *nh;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh || !(nh->flags & NH_FLAG_VALID))
		return DROP(p, DROP_INVALID_NH);
	if (ROLE == ROLE_VHOST && p->out && (nh->type != NH_ENCAP || p->out != skb->ifindex)) /* the host's, to another host */
		return outside_output(skb, p);
	switch (nh->type) {
	case NH_DISCARD:
		COUNT_VRF(p->dvrf, discards);
		return DROP(p, DROP_DISCARD);
	case NH_RESOLVE:
		COUNT_VRF(p->dvrf, resolves);
		return trap(skb, p, AGENT_TRAP_RESOLVE, 0, 0);
	case NH_RCV: /* an answer to who came in by the host's context leaves the node, by the kernel's routes */
		return (ROLE == ROLE_TAP || ROLE == ROLE_FABRIC) && p->out ? outside_output(skb, p) : receive_output(skb, p);
	case NH_ENCAP:
		if (nh->oif_type != VIF_AGENT)
			return encap_underlay(skb, p);
		COUNT_VRF(p->dvrf, encaps);
		return trap(skb, p, AGENT_TRAP_NEXTHOP, 0, 0);
	case NH_VRF_TRANSLATE: /* out of the overlay: for packets of workloads with a flow that says what becomes of their source */
		if (TRANSLATES_SOURCE && p->out)
			return outside_output(skb, p);
		COUNT_VRF(p->dvrf, discards);
		return DROP(p, DROP_DISCARD);
	default:
		return DROP(p, DROP_INVALID_NH);
	}
}

/* Acts on the nexthop p->nh. Costs one array lookup. */
static __always_inline enum verdict nexthop_output(struct __sk_buff *skb, struct packet *p)
{
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &p->nh);

	if (unlikely(!nh || !(nh->flags & NH_FLAG_VALID)))
		return DROP(p, DROP_INVALID_NH);
	if (likely(nexthop_is_workload(nh)))
		return encap_workload(skb, p, nh);
	if (nh->type == NH_TUNNEL)
		return tunnel_output(skb, p);
	return nexthop_rare(skb, p);
}
