/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * IPv6 neighbour discovery from workloads and from the host (vRouter reference 2.4): solicitations are answered by the rules of ARP,
 * router solicitations go to the agent, and a workload can't play the router or the neighbour it isn't.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "nd_frame.h"
#include "proxy.h"
#include "trap.h"
#include "vif.h"
#include "vif_address.h"

static __always_inline int ip6_is_link_local(const __u8 *ip)
{
	return ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
}

static __always_inline enum verdict nd_reply(struct __sk_buff *skb, const struct packet *p, const struct nd *solicit,
					     const struct proxy *answer, __u64 direction)
{
	__u32 reason = nd_write_advert(skb, p, (const struct address *)solicit->target, answer);

	if (reason)
		return DROP(p, reason);
	count_vif_tx(p->vif, skb->len);
	if (bpf_redirect(skb->ifindex, direction) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* Discovery from a workload; the packet is keyed. VERDICT_NEXT: a unicast frame for another workload, to be bridged. */
__noinline enum verdict nd_from_workload(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	const struct ethhdr *eth;
	struct proxy answer = {};
	struct nd nd = {};
	int multicast, checked, own_source;
	__u32 reason;

	if (!p || !vif)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	eth = packet_data(skb);
	if ((void *)(eth + 1) > packet_end(skb))
		return DROP(p, DROP_PULL);
	multicast = mac_is_multicast(eth->h_dest);
	checked = !(vif->flags & VIF_NO_SPOOF_CHECK);
	ip6_copy(nd.target, p->key.k6.sip); /* it isn't read yet */
	own_source = ip6_is_link_local(p->key.k6.sip) || vif_has_address(vif, AF_INET6, (const struct address *)nd.target);
	if (checked && !own_source && !ip6_is_zero(p->key.k6.sip))
		return DROP(p, DROP_INVALID_SOURCE);

	switch (p->icmp_type) {
	case ND_ROUTER_SOLICIT:
		return trap(skb, p, AGENT_TRAP_L3_PROTOCOLS, 0, 0);
	case ND_ROUTER_ADVERT:
	case ND_REDIRECT:
		return checked ? DROP(p, DROP_INVALID_SOURCE) : multicast ? VERDICT_FLOOD : VERDICT_NEXT;
	case ND_NEIGHBOUR_ADVERT:
		reason = nd_parse(skb, p, &nd);
		if (reason)
			return DROP(p, reason);
		if (checked && !ip6_is_link_local(nd.target) && !vif_has_address(vif, AF_INET6, (const struct address *)nd.target))
			return DROP(p, DROP_INVALID_SOURCE);
		if (p->bits & PACKET_TO_ROUTER)
			return trap(skb, p, AGENT_TRAP_L3_PROTOCOLS, 0, 0);
		return multicast ? VERDICT_FLOOD : VERDICT_NEXT;
	default:
		break;
	}

	reason = nd_parse(skb, p, &nd);
	if (reason)
		return DROP(p, reason);
	if (ip6_is_zero(p->key.k6.sip)) /* somebody checks whether its address is free: nobody answers that */
		return multicast ? VERDICT_FLOOD : DROP(p, DROP_INVALID_PACKET);
	switch (proxy_decide(vif, AF_INET6, (const struct address *)nd.target, &answer)) {
	case PROXY_ANSWER:
		return nd_reply(skb, p, &nd, &answer, 0);
	case PROXY_FLOOD:
		return multicast || (p->bits & PACKET_TO_ROUTER) ? VERDICT_FLOOD : VERDICT_NEXT;
	default:
		return DROP(p, DROP_INVALID_ARP);
	}
}

/* Discovery from the host. VERDICT_NEXT: to the wire. */
__noinline enum verdict nd_from_host(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	struct proxy answer = {};
	struct nd nd = {};

	if (!p || !vif || p->icmp_type != ND_NEIGHBOUR_SOLICIT || nd_parse(skb, p, &nd) || ip6_is_zero(p->key.k6.sip))
		return VERDICT_NEXT;
	if (proxy_decide(vif, AF_INET6, (const struct address *)nd.target, &answer) != PROXY_ANSWER)
		return VERDICT_NEXT;
	return nd_reply(skb, p, &nd, &answer, BPF_F_INGRESS);
}
