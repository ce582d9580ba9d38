/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The service stage: where a destination is replaced by one of its backends, before it is routed, once per flow.
 * No service is programmed yet, so destinations stay as they are.
 */
#pragma once
#include "packet.h"

/* Chooses the destination that the packet becomes: p->to. Returns 0 or a drop reason. */
static __always_inline __u32 service_stage(struct packet *p)
{
	(void)p;
	return 0;
}
