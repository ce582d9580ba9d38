/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * MACs of the underlay, kept fresh without the daemon (decision 12). The kernel resolves the neighbours of vhost0 and keeps them so,
 * whoever lives; four times a second the first packet of a nexthop asks it for the way and takes over the MAC, if it is another one.
 * The kernel decides whom to believe: nothing is learnt from packets here. While it knows none, the old one stays.
 */
#pragma once
#include "packet.h"
#include "vif.h"

#define NEIGHBOUR_TICK_SHIFT 28 /* 2^28 ns = 268 ms */

static __always_inline int neighbour_is_due(const struct packet *p, __u32 nh_id)
{
	__u32 *checked, now;

	if (!(p->bits & PACKET_NEW_TICK))
		return 0;
	now = bpf_ktime_get_coarse_ns() >> NEIGHBOUR_TICK_SHIFT;
	checked = bpf_map_lookup_elem(&nexthop_checks, &nh_id);
	if (likely(!checked || *checked == now))
		return 0;
	*checked = now;
	return 1;
}

/*
 * Asks the kernel for the next hop towards `destination`. It looks routes up for devices that forward only: pkt0 is one for this
 * purpose alone, since the host's own may not forward.
 */
__noinline int neighbour_refresh(struct __sk_buff *skb, __u32 nh_id, __be32 destination)
{
	const struct globals *g = node_globals();
	struct bpf_fib_lookup fib = {};
	struct nexthop *nh;
	__u32 *mac;

	if (!g)
		return 0;
	fib.family = AF_INET;
	fib.ifindex = g->agent_ifindex ? g->agent_ifindex : g->vhost_ifindex;
	fib.ipv4_src = g->underlay_ip;
	fib.ipv4_dst = destination;
	if (bpf_fib_lookup(skb, &fib, sizeof(fib), 0) || fib.ifindex != g->vhost_ifindex)
		return 0;
	nh = bpf_map_lookup_elem(&nexthops, &nh_id);
	if (!nh || mac_equal(nh->rewrite, fib.dmac))
		return 0;
	mac = (__u32 *)nh->rewrite;
	__builtin_memcpy(mac, fib.dmac, 4);
	__builtin_memcpy(mac + 1, fib.dmac + 4, 2);
	return 1;
}
