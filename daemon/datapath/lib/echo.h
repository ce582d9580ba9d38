/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * "Are you there?": a tunnel packet with the label 14 (OAM alert, RFC 3429) from a known node goes back where it came from, as it is. The datapath
 * answers, so a node whose daemon is away is there, and one whose datapath is away isn't.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "mpls_udp.h"
#include "stats.h"

#define ECHO_LONGEST 128 /* bytes of a frame */

/* Swaps both ends; checksums stay right. What comes from a tunnel's own port isn't answered: two nodes would never end. */
__noinline enum verdict echo_answer(struct __sk_buff *skb, struct packet *p)
{
	struct mpls_udp_header *outer;
	struct ethhdr *eth;
	__u8 mac[MAC_LEN];
	__be32 ip;
	__be16 port;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	eth = packet_data(skb);
	outer = (void *)(eth + 1);
	if ((void *)(outer + 1) > packet_end(skb) || skb->len > ECHO_LONGEST)
		return DROP(p, DROP_INVALID_PACKET);
	port = outer->udp.source;
	if (port == bpf_htons(MPLS_UDP_PORT) || port == bpf_htons(MPLS_UDP_PORT_OLD) || mac_is_multicast(eth->h_source))
		return DROP(p, DROP_INVALID_LABEL);
	outer->udp.source = outer->udp.dest;
	outer->udp.dest = port;
	ip = outer->ip.saddr;
	outer->ip.saddr = outer->ip.daddr;
	outer->ip.daddr = ip;
	mac_copy(mac, eth->h_source);
	mac_copy(eth->h_source, eth->h_dest);
	mac_copy(eth->h_dest, mac);
	count_vif_tx(p->vif, skb->len);
	if (bpf_redirect(skb->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}
