/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the host sends: tcx egress of vhost0. Packets to workloads of this node or through a tunnel are ours; everything else goes
 * to the NIC unchanged, because the host has resolved it already. The host never loses its own traffic here.
 */
#define ROLE ROLE_VHOST
#include "packet.h"
#include "arp.h"
#include "drop.h"
#include "flow.h"
#include "nd.h"
#include "nexthop.h"
#include "parse.h"
#include "stats.h"
#include "translate.h"
#include "vif.h"

static __always_inline enum verdict to_wire(struct __sk_buff *skb, struct packet *p, const struct globals *g)
{
	if (!g->fabric_ifindex)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	count_vif_tx(VIF_ID_FABRIC, skb->len);
	if (bpf_redirect(g->fabric_ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/*
 * What the host forwards for somebody else with its own address, which is then the host's NAT at work, or stolen. IPv4 that was stolen
 * the kernel refuses itself; IPv6 it doesn't, and only what came by the NIC has been looked at (fabric.bpf.c). Nor can anybody make
 * the host speak to other nodes' tunnels. Returns 0 or a drop reason.
 */
__noinline __u32 forwarded_as_own(struct __sk_buff *skb, struct packet *p)
{
	const struct globals *g = node_globals();
	const struct nexthop *nh;
	const struct flow *flow;

	if (!p || !g)
		return DROP_MISC;
	if (p->proto == IPPROTO_UDP && tunnel_has_port(p->family == AF_INET ? p->key.k4.dport : p->key.k6.dport, g))
		return DROP_FLOW_INVALID_PROTOCOL;
	if (p->family == AF_INET || skb->ingress_ifindex == g->vhost_ifindex || p->bits & PACKET_ICMP_ERROR)
		return 0;
	ends_keep(p);
	flow = flow_find(p);
	if (flow)
		p->nh = flow->nh;
	else if (resolve_route(p, p->vrf))
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	return nh && nexthop_is_overlay(nh) ? DROP_INVALID_SOURCE : 0;
}

/* VERDICT_NEXT or VERDICT_PASS: not ours, to the wire. */
static __always_inline enum verdict vhost_walk(struct __sk_buff *skb, struct packet *p, const struct vif *vif, const struct globals *g)
{
	struct ethhdr *eth = packet_data(skb);
	const struct nexthop *nh;
	enum verdict verdict;
	__u32 reason;

	if ((void *)(eth + 1) > packet_end(skb) || skb->vlan_present)
		return VERDICT_NEXT;
	if (eth->h_proto == bpf_htons(ETH_P_ARP))
		return arp_from_host(skb, p);
	p->key.k4.nh_id = vif->nh_id;
	p->bits |= PACKET_FROM_HOST;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		if (mac_is_multicast(eth->h_dest))
			return VERDICT_NEXT;
		reason = PARSE(parse_ip4, skb, p, 0);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		reason = PARSE(parse_ip6, skb, p, 0);
		if (!reason && (p->bits & PACKET_ND))
			return nd_from_host(skb, p);
	} else {
		return VERDICT_NEXT;
	}
	if (reason) { /* it can't be a flow: only where it would be ours is that a loss */
		ends_keep(p);
		if (reason != DROP_FRAGMENTS || resolve_route(p, p->vrf))
			return VERDICT_NEXT;
		nh = bpf_map_lookup_elem(&nexthops, &p->nh);
		return nh && nexthop_is_overlay(nh) ? DROP(p, reason) : VERDICT_NEXT;
	}
	if (unlikely(skb->ingress_ifindex && source_is_own(p, g))) {
		reason = forwarded_as_own(skb, p);
		if (reason)
			return DROP(p, reason);
	}
	verdict = flow_stage(skb, p, g, skb->len);
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (unlikely(p->flow_flags & FLOW_INBOUND)) /* to who called a service whose endpoint is the host: it has resolved the way there */
		return translate_stage(skb, p);
	nh = bpf_map_lookup_elem(&nexthops, &p->nh);
	if (!(p->flow_flags & FLOW_TRANSLATED) && (!nh || !nexthop_is_overlay(nh)))
		return VERDICT_NEXT;
	verdict = translate_stage(skb, p);
	return verdict == VERDICT_NEXT ? nexthop_output(skb, p) : verdict;
}

SEC("tcx/egress")
int vhost(struct __sk_buff *skb)
{
	const struct globals *g = node_globals();
	const struct vif *vif = vif_of(skb);
	enum verdict verdict;
	struct packet p;

	packet_init(&p);
	if (unlikely(!g))
		return verdict_to_tc(drop_count(VIF_UNKNOWN, DROP_INVALID_IF));
	if (unlikely(!vif)) {
		p.vif = VIF_ID_VHOST;
		return verdict_to_tc(to_wire(skb, &p, g));
	}
	vif_enter(&p, vif, skb->len);
	verdict = vhost_walk(skb, &p, vif, g);
	if (verdict == VERDICT_NEXT || verdict == VERDICT_PASS)
		verdict = to_wire(skb, &p, g);
	return verdict_to_tc(verdict);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
