/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Addresses of load balancers on the underlay: one node at a time has them in its map `announced`, and answers ARP requests and neighbour
 * solicitations for them with the MAC of its NIC. Answers are no longer than questions, and go to one who asked.
 */
#pragma once
#include "packet.h"
#include "arp_frame.h"
#include "drop.h"
#include "nd_frame.h"
#include "stats.h"
#include "vif.h"

#define ND_SOLICIT_OFFSET (ETH_HLEN + sizeof(struct ipv6hdr))

static __always_inline enum verdict announced_sent(struct __sk_buff *skb, struct packet *p)
{
	count_vif_tx(p->vif, skb->len);
	if (bpf_redirect(skb->ifindex, 0) != TC_ACT_REDIRECT)
		return DROP(p, DROP_INTERFACE_TX_DISCARD);
	return VERDICT_REDIRECT;
}

/* VERDICT_NEXT: not a request for an address that is announced here. */
__noinline enum verdict announced_arp(struct __sk_buff *skb, struct packet *p)
{
	struct announced_key key = { .family = AF_INET };
	const struct vif *vif = vif_of(skb);
	struct announced *entry;
	struct proxy answer = {};
	struct arp arp;
	__u32 reason;

	if (!p || !vif || arp_parse(skb, &arp) || arp.op != bpf_htons(ARPOP_REQUEST) || mac_is_multicast(arp.sha))
		return VERDICT_NEXT;
	/* who announces an address is not asking; who probes whether it is free (RFC 5227) has to hear that it isn't */
	if (arp_address(arp.spa) == arp_address(arp.tpa))
		return VERDICT_NEXT;
	__builtin_memcpy(key.ip, arp.tpa, 4);
	entry = bpf_map_lookup_elem(&announced, &key);
	if (!entry)
		return VERDICT_NEXT;
	__sync_fetch_and_add(&entry->answers, 1);
	mac_copy(answer.mac, vif->mac);
	reason = arp_write_reply(skb, &arp, &answer);
	return reason ? DROP(p, reason) : announced_sent(skb, p);
}

/* Whether the packet may be a solicitation: all others of IPv6 pay for this comparison alone. */
static __always_inline int nd_may_ask(struct __sk_buff *skb)
{
	const struct ipv6hdr *ip6 = packet_data(skb) + ETH_HLEN;

	return (void *)(ip6 + 1) <= packet_end(skb) && ip6->nexthdr == IPPROTO_ICMPV6 && ip6->hop_limit == 255 &&
	       skb->len >= ND_SOLICIT_OFFSET + ND_SHORT;
}

/* VERDICT_NEXT: not a solicitation of an address that is announced here, or nobody to answer to. Small: what it calls needs much of the stack. */
__noinline enum verdict announced_nd(struct __sk_buff *skb, struct packet *p)
{
	union {
		struct nd_start start;
		struct announced_key key;
	} asked = {};
	struct proxy answer = {};
	const struct vif *vif;
	struct announced *entry;
	__u32 reason;

	if (!p || !nd_may_ask(skb) || bpf_skb_load_bytes(skb, ND_SOLICIT_OFFSET, &asked.start, sizeof(asked.start)))
		return VERDICT_NEXT;
	if (asked.start.type != ND_NEIGHBOUR_SOLICIT || asked.start.code)
		return VERDICT_NEXT;
	asked.key.family = AF_INET6;
	if (bpf_skb_load_bytes(skb, ND_SOLICIT_OFFSET + __builtin_offsetof(struct nd, target), asked.key.ip, 16) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr), p->key.k6.sip, 16))
		return VERDICT_NEXT;
	if (ip6_is_zero(p->key.k6.sip) || p->key.k6.sip[0] == 0xff)
		return VERDICT_NEXT;
	entry = bpf_map_lookup_elem(&announced, &asked.key);
	if (!entry)
		return VERDICT_NEXT;
	__sync_fetch_and_add(&entry->answers, 1);
	vif = vif_of(skb);
	if (!vif)
		return VERDICT_NEXT;
	mac_copy(answer.mac, vif->mac);
	reason = nd_write_advert(skb, p, (const struct address *)asked.key.ip, &answer);
	return reason ? DROP(p, reason) : announced_sent(skb, p);
}

/* VERDICT_NEXT: the host's. */
static __always_inline enum verdict announced_answer(struct __sk_buff *skb, struct packet *p)
{
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return announced_arp(skb, p);
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? announced_nd(skb, p) : VERDICT_NEXT;
}
