/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Multicast and broadcast frames of workloads, but for ARP: neighbour discovery is answered, DHCP and router solicitations go to the
 * agent, everything else is flooded (VERDICT_FLOOD).
 */
#pragma once
#include "packet.h"
#include "nd.h"
#include "parse.h"

#define DHCP_CLIENT bpf_htons(68)
#define DHCP6_CLIENT bpf_htons(546)

/* VERDICT_NEXT: neighbour discovery (nd.h). */
__noinline enum verdict multicast_from_workload(struct __sk_buff *skb, struct packet *p)
{
	const struct vif *vif = vif_of(skb);
	__u32 reason;

	if (!p || !vif)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	if (p->ethertype != bpf_htons(ETH_P_IP) && p->ethertype != bpf_htons(ETH_P_IPV6))
		return VERDICT_FLOOD;
	reason = p->ethertype == bpf_htons(ETH_P_IP) ? PARSE(parse_ip4, skb, p, 0) : PARSE(parse_ip6, skb, p, 0);
	if (reason)
		return DROP(p, reason);
	if (p->bits & PACKET_ND)
		return VERDICT_NEXT;
	if ((vif->flags & VIF_DHCP_ENABLED) && p->proto == IPPROTO_UDP && !(p->bits & PACKET_LATER_FRAGMENT) &&
	    (p->family == AF_INET ? p->key.k4.sport == DHCP_CLIENT : p->key.k6.sport == DHCP6_CLIENT))
		return trap(skb, p, AGENT_TRAP_L3_PROTOCOLS, 0, 0);
	return VERDICT_FLOOD;
}
