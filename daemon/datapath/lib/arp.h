/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* ARP from workloads and from the host (vRouter reference 2.4). Replies are made in the frame that asked, which goes back where it came from. */
#pragma once
#include "packet.h"
#include "arp_frame.h"
#include "drop.h"
#include "proxy.h"
#include "trap.h"
#include "vif.h"
#include "vif_address.h"

/* ARP from a workload. VERDICT_NEXT: a unicast frame for another workload, to be bridged. */
__noinline enum verdict arp_from_workload(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	struct address target = {};
	const struct ethhdr *eth;
	const struct route *route;
	struct proxy answer = {};
	struct arp arp;
	int multicast;
	__u32 reason;

	if (!p || !vif)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	eth = packet_data(skb);
	if ((void *)(eth + 1) > packet_end(skb))
		return DROP(p, DROP_INVALID_ARP);
	multicast = mac_is_multicast(eth->h_dest);
	if (p->bits & PACKET_TO_ROUTER)
		COUNT_VRF(p->vrf, l2_receives);
	reason = arp_parse(skb, &arp);
	if (reason)
		return DROP(p, reason);
	/* a workload speaks for its own addresses only */
	if (!(vif->flags & VIF_NO_SPOOF_CHECK)) {
		__builtin_memcpy(target.bytes, arp.spa, 4);
		if (!mac_equal(arp.sha, vif->peer_mac) || (arp_address(arp.spa) && !vif_has_address(vif, AF_INET, &target)))
			return DROP(p, DROP_INVALID_SOURCE);
	}

	if (arp.op == bpf_htons(ARPOP_REPLY)) {
		if (p->bits & PACKET_TO_ROUTER)
			return trap(skb, p, AGENT_TRAP_ARP, 0, 0);
		return multicast ? VERDICT_FLOOD : VERDICT_NEXT;
	}
	__builtin_memcpy(target.bytes, arp.tpa, 4);
	if (arp_is_gratuitous(&arp)) {
		if (vif->flags & VIF_MAC_PROXY)
			return DROP(p, DROP_INVALID_ARP);
		route = route_lookup(p->vrf, AF_INET, &target);
		if (route && route->flags & ROUTE_ARP_TRAP)
			return trap(skb, p, AGENT_TRAP_ARP, 0, 0);
		return multicast ? VERDICT_FLOOD : p->bits & PACKET_TO_ROUTER ? DROP(p, DROP_INVALID_ARP) : VERDICT_NEXT;
	}
	switch (proxy_decide(vif, AF_INET, &target, &answer)) {
	case PROXY_ANSWER:
		break;
	case PROXY_FLOOD:
		return multicast || (p->bits & PACKET_TO_ROUTER) ? VERDICT_FLOOD : VERDICT_NEXT;
	default:
		return DROP(p, DROP_INVALID_ARP);
	}
	reason = arp_write_reply(skb, &arp, &answer);
	if (reason)
		return DROP(p, reason);
	count_vif_tx(p->vif, skb->len);
	if (bpf_redirect(skb->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* ARP from the host: link-local addresses and workloads are answered here, the rest goes to the wire. VERDICT_NEXT: to the wire. */
__noinline enum verdict arp_from_host(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	struct address target = {};
	struct proxy answer = {};
	struct arp arp;

	if (!p || !vif)
		return VERDICT_NEXT;
	if (arp_parse(skb, &arp) || arp.op != bpf_htons(ARPOP_REQUEST) || arp_is_gratuitous(&arp))
		return VERDICT_NEXT;
	__builtin_memcpy(target.bytes, arp.tpa, 4);
	mac_copy(answer.mac, vif->mac);
	if (!(arp.tpa[0] == 169 && arp.tpa[1] == 254) && proxy_decide(vif, AF_INET, &target, &answer) != PROXY_ANSWER)
		return VERDICT_NEXT;
	if (arp_write_reply(skb, &arp, &answer))
		return DROP(p, DROP_PUSH);
	count_vif_tx(p->vif, skb->len);
	if (bpf_redirect(skb->ifindex, BPF_F_INGRESS) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}
