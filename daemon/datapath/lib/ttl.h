/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TTL of IPv4 and hop limit of IPv6: one less at each routing, also for IPv6 (the vRouter left that out; a routing loop must end).
 * A packet that would reach 0 goes to the agent as it came, which answers with "time exceeded".
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "trap.h"

static __always_inline int ttl_is_kept(const struct packet *p)
{
	return p->flow_flags & (FLOW_L2 | FLOW_TTL_KEEP);
}

static __always_inline enum verdict ttl_expired(struct __sk_buff *skb, const struct packet *p)
{
	return p->ttl ? trap(skb, p, AGENT_TRAP_ZERO_TTL, 0, 0) : DROP(p, DROP_TTL_EXCEEDED);
}

/* Decrements in place. `ip` points to the IP header, whose fixed part is readable. */
static __always_inline void ttl_decrement(const struct packet *p, void *ip)
{
	if (p->family == AF_INET) {
		struct iphdr *ip4 = ip;
		__u32 check = (__u32)ip4->check + bpf_htons(0x0100); /* RFC 1624: one less in the upper byte of a word */

		ip4->check = check + (check >= 0xffff);
		ip4->ttl--;
	} else {
		((struct ipv6hdr *)ip)->hop_limit--;
	}
}

static __always_inline __u32 ip_header_length(const struct packet *p)
{
	return p->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}
