/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * By which device the kernel's own routes lead to a destination. It looks routes up for devices that forward only: pkt0 is one for
 * this purpose alone, since the host's own may not forward.
 */
#pragma once
#include "packet.h"
#include "vif.h"

#define FIB_SKIP_NEIGHBOUR (1U << 2) /* Debian 12's linux/bpf.h doesn't have it yet */

/* The kernel couldn't be asked. */
#define KERNEL_ROUTE_UNKNOWN 0
/* It has no way there: no route, an unreachable or blackhole one, or an address of the host itself. */
#define KERNEL_ROUTE_NONE 0xffffffff

/* ifindex of the way out to the packet's destination, for what the node sends with its own address; or one of the above. */
__noinline __u32 kernel_route(struct __sk_buff *skb, const struct packet *p)
{
	const struct globals *g = node_globals();
	struct bpf_fib_lookup fib = {};
	long result;

	if (!p || !g || !g->agent_ifindex)
		return KERNEL_ROUTE_UNKNOWN;
	fib.family = p->family;
	fib.ifindex = g->agent_ifindex;
	if (p->family == AF_INET) {
		fib.ipv4_src = g->underlay_ip;
		fib.ipv4_dst = p->to.dip[0];
	} else {
		ip6_copy(fib.ipv6_src, g->underlay_ip6);
		ip6_copy(fib.ipv6_dst, p->to.dip);
	}
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), FIB_SKIP_NEIGHBOUR);
	if (result >= BPF_FIB_LKUP_RET_BLACKHOLE && result <= BPF_FIB_LKUP_RET_NOT_FWDED)
		return KERNEL_ROUTE_NONE;
	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH ? fib.ifindex : KERNEL_ROUTE_UNKNOWN;
}
