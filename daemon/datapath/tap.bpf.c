/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a workload sends: tcx ingress of its tap (vRouter reference 2.1 to 2.3).
 * A packet of an established flow costs one vif, one flow and one nexthop lookup, and the counters.
 */
#define ROLE ROLE_TAP
#include "packet.h"
#include "arp.h"
#include "drop.h"
#include "flood.h"
#include "flow.h"
#include "fragment_hold.h"
#include "multicast.h"
#include "nd.h"
#include "nexthop.h"
#include "parse.h"
#include "snat.h"
#include "stats.h"
#include "translate.h"
#include "vif.h"
#include "vif_address.h"

/* Workloads have no VLANs: a tagged frame would pass by the flow table and what it guards. */
static __always_inline int frame_is_tagged(struct __sk_buff *skb, const struct packet *p)
{
	return skb->vlan_present || p->ethertype == bpf_htons(ETH_P_8021Q) || p->ethertype == bpf_htons(ETH_P_8021AD);
}

/* A unicast frame that no flow stands for: bridged by its MAC, or not at all. */
static __always_inline enum verdict bridge_frame(struct __sk_buff *skb, struct packet *p)
{
	__u32 reason;

	p->flow_flags = 0;
	if (p->bits & PACKET_TO_ROUTER)
		return DROP(p, p->bits & PACKET_ND ? DROP_INVALID_PACKET : DROP_INVALID_PROTOCOL);
	p->family = 0; /* whatever it carries, it isn't routed */
	reason = resolve_bridge(skb, p);
	return reason ? DROP(p, reason) : nexthop_output(skb, p);
}

/* The source of an ICMP error is whoever sends it, not what its flow key says: it has a check of its own. */
__noinline int icmp_error_is_own(struct __sk_buff *skb, const struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	struct address source = {};

	if (!vif || !p)
		return 0;
	if (vif->flags & VIF_NO_SPOOF_CHECK)
		return 1;
	if (p->family == AF_INET)
		return !bpf_skb_load_bytes(skb, ETH_HLEN + 12, source.bytes, 4) && vif_has_address(vif, AF_INET, &source);
	return !bpf_skb_load_bytes(skb, ETH_HLEN + 8, source.bytes, 16) && vif_has_address(vif, AF_INET6, &source);
}

static __always_inline enum verdict tap_ip(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	enum verdict verdict;

	if (unlikely(p->bits & (PACKET_ND | PACKET_ICMP_ERROR))) {
		if (p->bits & PACKET_ND) {
			verdict = nd_from_workload(skb, p);
			return verdict == VERDICT_NEXT ? bridge_frame(skb, p) : verdict;
		}
		if (!icmp_error_is_own(skb, p))
			return DROP(p, DROP_INVALID_SOURCE);
	}
	verdict = flow_stage(skb, p, g, skb->len);
	if (verdict == VERDICT_NEXT)
		verdict = translate_stage(skb, p);
	return verdict == VERDICT_NEXT ? nexthop_output(skb, p) : verdict;
}

static __always_inline enum verdict tap_walk(struct __sk_buff *skb, struct packet *p, const struct vif *vif, const struct globals *g)
{
	struct ethhdr *eth = packet_data(skb);
	enum verdict verdict;
	__u32 reason;

	if (unlikely((void *)(eth + 1) > packet_end(skb))) {
		count_vif_rx_error(p->vif);
		return DROP(p, DROP_INTERFACE_DROP);
	}
	if (unlikely(!mac_equal(eth->h_source, vif->peer_mac) && !(vif->flags & VIF_NO_SPOOF_CHECK)))
		return DROP(p, DROP_INVALID_SOURCE);
	p->ethertype = eth->h_proto;
	if (unlikely(mac_is_multicast(eth->h_dest))) {
		if (frame_is_tagged(skb, p))
			return DROP(p, DROP_L2_NO_ROUTE);
		if (p->ethertype == bpf_htons(ETH_P_ARP))
			return arp_from_workload(skb, p);
		verdict = multicast_from_workload(skb, p);
		return verdict == VERDICT_NEXT ? nd_from_workload(skb, p) : verdict;
	}
	if (mac_equal(eth->h_dest, vif->mac))
		p->bits |= PACKET_TO_ROUTER;
	if (unlikely(frame_is_tagged(skb, p)))
		return DROP(p, DROP_INVALID_PROTOCOL);

	p->key.k4.nh_id = vif->nh_id;
	if (likely(eth->h_proto == bpf_htons(ETH_P_IP)))
		reason = PARSE(parse_ip4, skb, p, 0);
	else if (likely(eth->h_proto == bpf_htons(ETH_P_IPV6)))
		reason = PARSE(parse_ip6, skb, p, 0);
	else if (eth->h_proto == bpf_htons(ETH_P_ARP)) {
		verdict = arp_from_workload(skb, p);
		return verdict == VERDICT_NEXT ? bridge_frame(skb, p) : verdict;
	} else
		return bridge_frame(skb, p);
	if (unlikely(reason || p->bits & PACKET_FRAGMENT)) {
		verdict = fragment_stage(skb, p, reason);
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	if (likely(p->bits & PACKET_TO_ROUTER))
		COUNT_VRF(p->vrf, l2_receives);
	return tap_ip(skb, p, g);
}

SEC("tcx/ingress")
int tap(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	const struct vif *vif = vif_of(skb);
	enum verdict verdict;
	struct packet p;

	if (unlikely(!vif || !g)) /* a workload whose vif isn't programmed sends nothing */
		return verdict_to_tc(drop_count(VIF_UNKNOWN, DROP_INVALID_IF));
	packet_init(&p);
	vif_enter(&p, vif, skb->len);
	verdict = tap_walk(skb, &p, vif, g);
	return verdict_to_tc(unlikely(verdict == VERDICT_FLOOD) ? flood(skb, &p) : verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
