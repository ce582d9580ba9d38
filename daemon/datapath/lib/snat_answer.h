/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a device of the node brings from outside and may be an answer to a workload: fragments wait for their first one (fragment_hold.h). */
#pragma once
#include "packet.h"
#include "fragment_hold.h"
#include "snat_return.h"

/* What may be an answer to a workload. Whose a later fragment is isn't known before its first one: the host gets it, and it waits, too. */
static __always_inline enum verdict answer_to_workload(struct __sk_buff *skb, struct packet *p, enum snat_look look)
{
	enum verdict verdict;
	__u32 reason;

	if (look == SNAT_CLOSER && !snat_fragment_may_answer(skb))
		return VERDICT_NEXT;
	reason = snat_parse(skb, p);
	if (unlikely(reason == DROP_PULL && packet_has_more(skb)))
		reason = parse_pulled(skb, p, 0);
	if (unlikely(p->bits & PACKET_FRAGMENT)) {
		if (reason == DROP_FRAGMENTS)
			reason = fragment_hold(skb, p, 1);
		else if (!reason && !(p->bits & (PACKET_LATER_FRAGMENT | PACKET_ICMP_ERROR)) && snat_is_answer(p)) {
			verdict = fragment_release(skb, p);
			if (verdict != VERDICT_NEXT)
				return verdict;
		}
	}
	return reason ? VERDICT_NEXT : snat_return(skb, p);
}
