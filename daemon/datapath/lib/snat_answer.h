/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a device of the node brings from outside, and may be an answer to a workload, or a connection to a service: fragments wait for their
 * first one (fragment_hold.h).
 */
#pragma once
#include "packet.h"
#include "fragment_hold.h"
#include "service_outside.h"
#include "snat_return.h"

/* Whether a first fragment is one of a packet that the host doesn't get: those that waited for it come again behind it. */
static __always_inline int arrival_is_ours(struct packet *p)
{
	return snat_is_answer(p) || (SERVES_OUTSIDE && outside_is_ours(p));
}

/* What may be for a workload. Whose a later fragment is isn't known before its first one: the host gets it, and it waits, too. */
static __always_inline enum verdict answer_to_workload(struct __sk_buff *skb, struct packet *p, enum snat_look look)
{
	enum verdict verdict;
	__u32 reason;
	int ours;

	if (look == SNAT_CLOSER && !snat_fragment_may_answer(skb))
		return VERDICT_NEXT;
	reason = snat_parse(skb, p);
	if (unlikely(reason == DROP_PULL && packet_has_more(skb)))
		reason = parse_pulled(skb, p, 0);
	ours = SERVES_OUTSIDE && outside_is_services(p);
	if (unlikely(p->bits & PACKET_FRAGMENT)) {
		if (reason == DROP_FRAGMENTS) {
			reason = fragment_hold(skb, p, !ours);
			if (reason == FRAGMENT_KEPT && ours)
				return VERDICT_DROP;
		} else if (!reason && !(p->bits & (PACKET_LATER_FRAGMENT | PACKET_ICMP_ERROR)) && arrival_is_ours(p)) {
			verdict = fragment_release(skb, p);
			if (verdict != VERDICT_NEXT)
				return verdict;
		}
	}
	if (unlikely(reason))
		return ours ? DROP(p, reason) : VERDICT_NEXT;
	verdict = snat_return(skb, p);
	return SERVES_OUTSIDE && verdict == VERDICT_NEXT ? outside_to_service(skb, p) : verdict;
}
