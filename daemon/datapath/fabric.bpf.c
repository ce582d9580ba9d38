/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the underlay delivers: tcx ingress of the fabric NIC (vRouter reference 2.7). Tunnels to this node are opened and their
 * packets go to workloads or to the host; answers to what workloads sent with the node's address go to them; everything else is
 * the host's and reaches it through vhost0. Frames of a VLAN are of another network: the kernel's devices on the NIC have them.
 */
#define ROLE ROLE_FABRIC
#include "packet.h"
#include "announce.h"
#include "drop.h"
#include "echo.h"
#include "flow.h"
#include "handover.h"
#include "nexthop.h"
#include "parse.h"
#include "resolve.h"
#include "snat_answer.h"
#include "stats.h"
#include "translate.h"
#include "tunnel.h"
#include "vif.h"

/* Hands the frame to the host as it is. Without vhost0 the NIC still is the host's own. */
static __always_inline enum verdict to_host(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	if (!g->vhost_ifindex)
		return VERDICT_PASS;
	count_vif_tx(VIF_ID_VHOST, skb->len);
	if (bpf_redirect(g->vhost_ifindex, BPF_F_INGRESS) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

#define LABEL_OF_VRF 0xffff0020 /* the packet is routed in p->dvrf first */
#define LABEL_OF_SERVICES 0xffff0021 /* another node hands it over (handover.h) */

/*
 * From the label to the nexthop, by way of the VRF's routes where the label stands for a VRF. Leaves the key's nh_id as the
 * vRouter has it: that of the destination's vif, else the nexthop's own id. Returns 0, LABEL_OF_VRF, LABEL_OF_SERVICES or a drop reason.
 */
static __always_inline __u32 label_lookup(struct packet *p)
{
	const struct nexthop *nh;
	__u32 *nh_id, label;

	if (!p)
		return DROP_MISC;
	label = p->label;
	p->label = LABEL_NONE;
	nh_id = bpf_map_lookup_elem(&mpls, &label);
	if (!nh_id || !*nh_id)
		return DROP_INVALID_LABEL;
	p->nh = *nh_id;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!nh || !(nh->flags & NH_FLAG_VALID) || nh->family != NH_AF_INET)
		return DROP_INVALID_NH;
	p->dvrf = nh->vrf;
	switch (nh->type) {
	case NH_VRF_TRANSLATE:
		return nh->flags & NH_FLAG_SERVICE ? LABEL_OF_SERVICES : LABEL_OF_VRF;
	case NH_ENCAP:
	case NH_RCV:
	case NH_COMPOSITE:
	case NH_DISCARD:
		return 0;
	default:
		return DROP_INVALID_NH;
	}
}

/* Whoever gets the SYN answers in segments that fit into the tunnel back: with two labels where it was handed over. Returns 0 or a drop reason. */
__noinline __u32 tunnelled_mss(struct __sk_buff *skb, const struct packet *p, __u32 encapsulation)
{
	const struct globals *g = node_globals();
	__u32 overhead;

	if (!p || !g)
		return DROP_MISC;
	overhead = encapsulation_overhead(encapsulation | (p->flow_flags & FLOW_SERVICE ? ENCAPSULATION_STACKED : 0));
	return g->underlay_mtu > overhead ? mss_clamp(skb, p, path_mtu_inner(p->outer_sip, g->underlay_mtu - overhead, overhead)) : 0;
}

/* The packet inside the tunnel is parsed; p->nh says where it goes. */
static __always_inline enum verdict tunnelled_output(struct __sk_buff *skb, struct packet *p, const struct globals *g,
						     __u32 encapsulation)
{
	const struct nexthop *nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	enum verdict verdict;
	__u32 reason;

	if (!nh || !(nh->flags & NH_FLAG_VALID))
		return DROP(p, DROP_INVALID_NH);
	if (!packet_is_handed(p))
		p->key.k4.nh_id = nh->type == NH_ENCAP || nh->type == NH_RCV ? nh->key_nh : p->nh;
	if (nh->type == NH_RCV)
		node_port_follow(p);
	if (nh->type == NH_TUNNEL && !packet_is_handed(p)) { /* on to another node: routed once more, so the TTL counts */
		if (nh->dip == p->outer_sip) {
			COUNT_VRF(p->dvrf, udp_mpls_tunnels);
			return DROP(p, DROP_PKT_LOOP);
		}
		reason = source_check(p);
		if (reason)
			return DROP(p, reason);
		p->flow_flags = 0;
		p->bits |= PACKET_NEW_TICK;
	} else if (nexthop_makes_flow(nh) || nh->type == NH_COMPOSITE || packet_is_handed(p)) {
		verdict = flow_stage(skb, p, g, skb->len - encapsulation_overhead(encapsulation | p->handed));
		if (verdict != VERDICT_NEXT)
			return verdict;
		p->flow_flags = FLOW_TTL_KEEP | (p->flow_flags & (FLOW_TRANSLATED | FLOW_SERVICE)); /* whoever made the flow: the sending node has routed the packet already */
	} else { /* dropped, or shown to the agent with its tunnel headers */
		if (nh->type == NH_ENCAP) {
			reason = source_check(p);
			if (reason)
				return DROP(p, reason);
		}
		return nexthop_rare(skb, p);
	}

	reason = encapsulation_strip(skb, p, encapsulation | p->handed);
	if (reason)
		return DROP(p, reason);
	verdict = translate_stage(skb, p);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (unlikely(p->tcp_flags & TCPHDR_SYN)) {
		reason = tunnelled_mss(skb, p, encapsulation);
		if (reason)
			return DROP(p, reason);
	}
	return nexthop_output(skb, p);
}

static __always_inline int is_icmp_for_node(struct __sk_buff *skb, const struct globals *g)
{
	const struct ethhdr *eth = packet_data(skb);
	const struct iphdr *ip = (const void *)(eth + 1);

	return (void *)(ip + 1) <= packet_end(skb) && eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_ICMP &&
	       *(const __u8 *)ip == 0x45 && ip->daddr == g->underlay_ip;
}

/* Nobody but this node speaks with its addresses. Neighbour discovery does: a host that claims one of them has to be heard. */
static __always_inline int source_is_stolen(struct __sk_buff *skb, const struct globals *g)
{
	void *data = packet_data(skb);
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct ipv6hdr *ip6 = data + ETH_HLEN;
	__u8 type;

	if (eth + 1 > (struct ethhdr *)packet_end(skb))
		return 0;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return (void *)(ip + 1) <= packet_end(skb) && ip->saddr == g->underlay_ip && ip->saddr;
	if (eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)&ip6->daddr > packet_end(skb))
		return 0;
	if (likely(!ip6_equal(&ip6->saddr, g->underlay_ip6)) || ip6_is_zero(g->underlay_ip6))
		return 0;
	return ip6->nexthdr != IPPROTO_ICMPV6 || bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(*ip6), &type, 1) ||
	       (type != ND_NEIGHBOUR_SOLICIT && type != ND_NEIGHBOUR_ADVERT);
}

/* For a workload that has spoken to the outside with the node's address, or for the host. */
static __always_inline enum verdict not_tunnelled(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	enum snat_look look = snat_may_answer(skb, g);
	enum verdict verdict;

	if (unlikely(source_is_stolen(skb, g)))
		return DROP(p, DROP_INVALID_SOURCE);
	verdict = announced_answer(skb, p);
	if (unlikely(verdict != VERDICT_NEXT))
		return verdict;
	if (unlikely(is_icmp_for_node(skb, g)))
		path_mtu_learn(skb, g->underlay_ip);
	else if (unlikely(tunnel_is_fragment(skb, g)))
		return DROP(p, DROP_FRAGMENTS);
	if (unlikely(look != SNAT_HOST)) {
		verdict = answer_to_workload(skb, p, look);
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	return to_host(skb, p, g);
}

static __always_inline enum verdict fabric_walk(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	__u32 encapsulation, reason, label;
	enum verdict verdict;

	if (unlikely(skb->pkt_type == 3 /* PACKET_OTHERHOST */))
		return DROP(p, DROP_INTERFACE_DROP);
	encapsulation = tunnel_of(skb, g);
	if (!encapsulation)
		return not_tunnelled(skb, p, g);
	reason = encapsulation_parse(skb, p, encapsulation);
	if (reason)
		return DROP(p, reason);
	if (unlikely(p->label == MPLS_LABEL_ECHO))
		return echo_answer(skb, p);
	label = label_lookup(p);
	if (label && label != LABEL_OF_VRF && label != LABEL_OF_SERVICES)
		return DROP(p, label);
	if (unlikely((label == LABEL_OF_SERVICES) != packet_is_handed(p)))
		return DROP(p, DROP_INVALID_LABEL);
	reason = PARSE(parse_version, skb, p, encapsulation_overhead(encapsulation | p->handed));
	if (unlikely(reason || p->bits & PACKET_FRAGMENT)) {
		verdict = fragment_stage(skb, p, reason);
		if (verdict != VERDICT_NEXT)
			return verdict;
	}
	if (unlikely(packet_is_handed(p))) {
		reason = handover_key(p);
		if (reason)
			return DROP(p, reason);
	}
	if (label == LABEL_OF_VRF) {
		COUNT_VRF(p->dvrf, vrf_translates);
		ends_keep(p);
		reason = resolve_route(p, p->dvrf);
		if (reason)
			return DROP(p, reason);
	}
	return tunnelled_output(skb, p, g, encapsulation);
}

SEC("tcx/ingress")
int fabric(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	const struct vif *vif = vif_of(skb);
	struct packet p;

	if (unlikely(!vif || !g || skb->vlan_present)) /* not programmed: the NIC is the host's; and so are the VLANs on it */
		return TC_ACT_OK;
	packet_init(&p);
	vif_enter(&p, vif, skb->len);
	packet_pull(skb, ETH_HLEN + ENCAPSULATION_MAX);
	return verdict_to_tc(fabric_walk(skb, &p, g));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
