/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Answers from outside to what workloads sent with the node's address (snat.h): to the node, at a port (ICMP: with an id) of the
 * SNAT range, with a flow. Everything else is the host's, whatever its port. The host's own packets cost one comparison of their port.
 * On another device than the underlay's the node's address is the one that SNAT leaves with there (exit.h).
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "exit.h"
#include "flow.h"
#include "nexthop.h"
#include "parse.h"
#include "service_front.h"
#include "translate.h"

static __always_inline int snat_is_port(const struct globals *g, __be16 port)
{
	return (__u16)(bpf_ntohs(port) - g->snat_port) < g->snat_ports;
}

enum snat_look {
	SNAT_HOST = 0,  /* the host's */
	SNAT_FLOW = 1,  /* a whole packet with a port of the range */
	SNAT_CLOSER = 2 /* fragments, ICMP, unusual headers */
};

/* Whether it is worth it to look for a flow. */
static __always_inline enum snat_look snat_may_answer(struct __sk_buff *skb, const struct globals *g)
{
	void *data = packet_data(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct ipv6hdr *ip6 = data + ETH_HLEN;
	const __be16 *ports;

	if ((!SERVES_OUTSIDE && !g->snat_ports) || (void *)(ip + 1) > packet_end(skb))
		return SNAT_HOST;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		ports = (void *)(ip + 1);
		if (likely((ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP) && *(__u8 *)ip == 0x45 &&
			   !(ip->frag_off & bpf_htons(IP_FRAGMENT_BITS))))
			return (void *)(ports + 2) <= packet_end(skb) &&
					       (snat_is_port(g, ports[1]) || service_may_be4(g, eth, ip->daddr, ports[1])) ? SNAT_FLOW : SNAT_HOST;
		if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_ICMP)
			return SNAT_CLOSER;
		return service_may_be4(g, eth, ip->daddr, 0) ? SNAT_CLOSER : SNAT_HOST;
	}
	if (eth->h_proto != bpf_htons(ETH_P_IPV6))
		return SNAT_HOST;
	ports = (void *)(ip6 + 1);
	if ((void *)(ports + 2) > packet_end(skb)) /* not readable yet */
		return skb->len > ETH_HLEN + sizeof(*ip6) ? SNAT_CLOSER : SNAT_HOST;
	if (likely(ip6->nexthdr == IPPROTO_TCP || ip6->nexthdr == IPPROTO_UDP))
		return snat_is_port(g, ports[1]) || service_may_be6(g, eth, &ip6->daddr, ports[1]) ? SNAT_FLOW : SNAT_HOST;
	return SNAT_CLOSER;
}

/* Whether the first fragment of a datagram, which is at hand, can be for a workload: others aren't remembered here. */
static __always_inline int snat_first_fragment(struct __sk_buff *skb, const struct globals *g, __u32 proto, __u32 l4)
{
	__be16 port;

	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP)
		return !bpf_skb_load_bytes(skb, l4 + 2, &port, 2) && (snat_is_port(g, port) || (SERVES_OUTSIDE && node_port_is_used(port)));
	return !bpf_skb_load_bytes(skb, l4 + ICMP_ID, &port, 2) && snat_is_port(g, port);
}

/* The node's address on the device that the packet came by, NULL = none. */
static __always_inline const void *snat_own_address(struct __sk_buff *skb, const struct globals *g, __u32 family)
{
	const struct exit *exit;

	if (!ON_EXITS) /* the underlay's */
		return family == AF_INET ? (const void *)&g->underlay_ip : g->underlay_ip6;
	exit = exit_find(skb->ifindex, family);
	if (!exit)
		return NULL;
	return family == AF_INET ? (const void *)&exit->ip : exit->ip6;
}

/* The closer look, from the IP header on. Whole packets and later fragments to the node always can. */
__noinline int snat_fragment_may_answer(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	struct iphdr ip4;
	struct ipv6hdr ip6;
	const void *own;
	__u8 head[8];
	__u8 version;

	if (!g || bpf_skb_load_bytes(skb, ETH_HLEN, &version, 1))
		return 0;
	own = snat_own_address(skb, g, version >> 4 == 4 ? AF_INET : AF_INET6);
	if (!own)
		return 0;
	if (version >> 4 == 4) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip4, sizeof(ip4)))
			return 0;
		if (ip4.daddr != *(const __be32 *)own)
			return SERVES_OUTSIDE && service_has_address4(ip4.daddr);
		if (!(ip4.frag_off & bpf_htons(IP_FRAGMENT_BITS)) || (ip4.frag_off & bpf_htons(IP_FRAGMENT_OFFSET)))
			return 1;
		return snat_first_fragment(skb, g, ip4.protocol, ETH_HLEN + ip4.ihl * 4);
	}
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip6, sizeof(ip6)))
		return 0;
	if (!ip6_equal(&ip6.daddr, own))
		return SERVES_OUTSIDE && service_has_address6(&ip6.daddr);
	if (ip6.nexthdr != IPPROTO_FRAGMENT) /* behind other extension headers a fragment is rare enough to be remembered in vain */
		return 1;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip6), head, sizeof(head)))
		return 0;
	if (head[2] || (head[3] & 0xf8))
		return 1;
	return snat_first_fragment(skb, g, head[0], ETH_HLEN + sizeof(ip6) + 8);
}

/* Whether the workload's network still leads to the sender by way of SNAT. */
static __always_inline int snat_still_leads(const struct packet *p, __u32 vrf)
{
	struct address sender = {};
	const struct nexthop *nh;
	struct route route;

	packet_source(p, &sender);
	if (!route_find(vrf, p->family, &sender, &route))
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &route.nh);
	return nh && (nh->flags & NH_FLAG_VALID) && nexthop_is_snat(nh);
}

/*
 * To the workload. Nothing was encapsulated and nothing will be, so a packet as large as the NIC takes reaches it, whatever its own
 * MTU says about what it sends.
 */
static __always_inline enum verdict snat_deliver(struct __sk_buff *skb, struct packet *p)
{
	const struct nexthop *nh;
	__u32 reason;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (nh && nh->flags & NH_FLAG_VALID && nh->type == NH_RCV) /* the host had called a service */
		return receive_output(skb, p);
	if (!nh || !(nh->flags & NH_FLAG_VALID) || !nexthop_is_workload(nh))
		return DROP(p, DROP_INVALID_NH);
	if (!nh->ifindex)
		return DROP(p, DROP_INVALID_IF);
	reason = rewrite_routed(skb, p, nh);
	if (reason)
		return DROP(p, reason);
	COUNT_VRF(p->dvrf, encaps);
	count_vif_tx(nh->oif, skb->len);
	if (deliver(nh->ifindex) != TC_ACT_REDIRECT) {
		count_vif_tx_error(nh->oif);
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	}
	return VERDICT_REDIRECT;
}

/* Reads a packet of the underlay that isn't SNAT_HOST. Returns 0; DROP_FRAGMENTS: what it is isn't known yet; else it is the host's. */
__noinline __u32 snat_parse(struct __sk_buff *skb, struct packet *p)
{
	return p ? parse_version(skb, p, ETH_HLEN) : DROP_MISC;
}

/* The flow that the packet is an answer of, or NULL. */
static __always_inline struct flow *snat_flow(struct packet *p, const struct globals *g)
{
	struct flow *flow;
	__be16 port;

	if (p->family == AF_INET)
		port = proto_has_ports(p->key.k4.proto) ? p->key.k4.dport : p->key.k4.sport;
	else
		port = proto_has_ports(p->key.k6.proto) ? p->key.k6.dport : p->key.k6.sport;
	p->key.k4.nh_id = g->host_nh;
	if (!snat_is_port(g, port))
		return NULL;
	flow = flow_find(p);
	return flow && flow->flags & FLOW_DNAT && !(flow->flags & FLOW_INBOUND) && flow->action == FLOW_ACTION_NAT ? flow : NULL;
}

/* Whether the packet at hand is an answer. */
__noinline int snat_is_answer(struct packet *p)
{
	const struct globals *g = node_globals();

	return p && g && snat_flow(p, g);
}

#define SNAT_TRACK 0xffff0030 /* of an arrival: the state of its TCP connection is to be looked at */

/*
 * What a device of the node brings takes what its flow says, which may be used. Returns 0 or SNAT_TRACK: p->to says what it becomes; or a
 * drop reason.
 */
static __always_inline __u32 arrival_take(struct packet *p, struct flow *flow, __u32 bytes)
{
	__u32 reason, track;

	if (p->ttl <= 1)
		return DROP_TTL_EXCEEDED;
	flow_use(p, flow, bytes);
	track = tcp_needs_tracking(p, flow);
	if (!track && p->proto == IPPROTO_TCP && flow->tcp_ack != p->tcp_ack)
		flow->tcp_ack = p->tcp_ack;
	reason = flow->flags & FLOW_TRANSLATED ? translation_load(p, flow->rindex, flow->rgen) : 0;
	if (reason)
		flow_end_own(p, flow);
	if (!flow_is_of(flow, p))
		return DROP_FLOW_EVICT;
	return reason || !track ? reason : SNAT_TRACK;
}

/*
 * What snat_parse has read, and whether its flow still leads to who sends it. Returns 0 or SNAT_TRACK: an answer, p->to says whose;
 * FLOW_PASSES: it is the host's, untouched; or a drop reason.
 */
__noinline __u32 snat_admit(struct packet *p, __u32 bytes)
{
	const struct globals *g = node_globals();
	struct flow *flow;
	__u32 epoch;

	if (!p || !g)
		return FLOW_PASSES;
	flow = snat_flow(p, g);
	if (!flow)
		return FLOW_PASSES;
	epoch = epoch_before(g);
	if (flow->flags & FLOW_EVICT_CANDIDATE || (flow->epoch != epoch && !(flow->flags & FLOW_TO_HOST) && !snat_still_leads(p, flow->dvrf))) {
		flow_end_own(p, flow);
		return DROP_FLOW_EVICT;
	}
	if (flow->epoch != epoch)
		flow->epoch = epoch;
	return arrival_take(p, flow, bytes);
}

/* The answer goes to its workload. VERDICT_NEXT: it is the host's, untouched. */
static __always_inline enum verdict snat_return(struct __sk_buff *skb, struct packet *p)
{
	__u32 reason = snat_admit(p, skb->len);

	if (reason == FLOW_PASSES)
		return VERDICT_NEXT;
	if (reason == SNAT_TRACK) {
		tcp_track(skb, p);
		reason = 0;
	}
	if (!reason)
		reason = translate_packet(skb, p);
	return reason ? DROP(p, reason) : snat_deliver(skb, p);
}
