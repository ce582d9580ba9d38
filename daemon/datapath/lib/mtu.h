/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Path MTU. What doesn't fit goes to the agent (HANDLE_DF), which answers with "fragmentation needed" or "packet too big".
 * That holds for IPv4 without DF too: a pod's own MTU already leaves room for the tunnel, so only a pod that raised its MTU gets here.
 */
#pragma once
#include "packet.h"
#include "trap.h"

/* Whether the packet fits into `mtu` bytes of L3, or will after it was segmented. */
static __always_inline int mtu_fits(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	__u32 headers;
	__u8 words;

	if (likely(!mtu || p->l3_len <= mtu))
		return 1;
	if (!skb->gso_size)
		return 0;
	headers = p->l4_off - p->l3_off;
	if (p->proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, p->l4_off + 12, &words, 1))
			return 0;
		headers += (words >> 4) * 4;
	} else {
		headers += 8;
	}
	return skb->gso_size + headers <= mtu;
}

static __always_inline enum verdict mtu_exceeded(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	return trap(skb, p, AGENT_TRAP_HANDLE_DF, mtu, p->flow_index);
}
