/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The only way to drop a packet: it counts the reason for the node and for the vif by which the packet came in
 * (vRouter reference 4.1), and yields VERDICT_DROP.
 */
#pragma once
#include "packet.h"

#define VIF_UNKNOWN 0xffffffff

__noinline enum verdict drop_count(__u32 vif, __u32 reason)
{
	struct drop_stats *stats;
	__u32 zero = 0;

	reason &= DROP_REASONS - 1;
	stats = bpf_map_lookup_elem(&drop_stats, &zero);
	if (stats)
		stats->reasons[reason]++;
	stats = bpf_map_lookup_elem(&vif_drop_stats, &vif);
	if (stats)
		stats->reasons[reason]++;
	return VERDICT_DROP;
}

#define DROP(p_, reason_) drop_count((p_)->vif, reason_)
