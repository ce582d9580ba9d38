/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The policy stage: what may become a flow. It sees the packet with its source, destination and nexthop known, once per flow.
 * No policy is programmed yet, so everything may.
 */
#pragma once
#include "packet.h"

/* Returns the enum flow_action of the new flow. */
static __always_inline enum flow_action policy_decide(const struct packet *p)
{
	(void)p;
	return FLOW_ACTION_FORWARD;
}
