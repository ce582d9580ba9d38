/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counters of vifs and VRFs. Per CPU, so plain additions: a program is never interrupted by another packet on its CPU.
 * Cost per use: one array lookup, which the verifier inlines.
 */
#pragma once
#include "packet.h"

static __always_inline void count_vif_rx(__u32 vif, __u32 bytes)
{
	struct vif_stats *stats = bpf_map_lookup_elem(&vif_stats, &vif);

	if (stats) {
		stats->rx_packets++;
		stats->rx_bytes += bytes;
	}
}

static __always_inline void count_vif_rx_error(__u32 vif)
{
	struct vif_stats *stats = bpf_map_lookup_elem(&vif_stats, &vif);

	if (stats)
		stats->rx_errors++;
}

static __always_inline void count_vif_tx(__u32 vif, __u32 bytes)
{
	struct vif_stats *stats = bpf_map_lookup_elem(&vif_stats, &vif);

	if (stats) {
		stats->tx_packets++;
		stats->tx_bytes += bytes;
	}
}

static __always_inline void count_vif_tx_error(__u32 vif)
{
	struct vif_stats *stats = bpf_map_lookup_elem(&vif_stats, &vif);

	if (stats)
		stats->tx_errors++;
}

/* The counters of a VRF; ids out of range share the last element ("VRF -1"). */
static __always_inline struct vrf_stats *vrf_counters(__u32 vrf)
{
	struct vrf_stats *stats;
	const struct globals *g;
	__u32 key = vrf; /* one for all three: the stack is short */

	stats = bpf_map_lookup_elem(&vrf_stats, &key);
	if (likely(stats != NULL))
		return stats;
	key = 0;
	g = bpf_map_lookup_elem(&globals, &key);
	if (!g)
		return NULL;
	key = g->max_vrfs;
	return bpf_map_lookup_elem(&vrf_stats, &key);
}

#define COUNT_VRF(vrf_, field_) \
	do { \
		struct vrf_stats *counters_ = vrf_counters(vrf_); \
		if (counters_) \
			counters_->field_++; \
	} while (0)
