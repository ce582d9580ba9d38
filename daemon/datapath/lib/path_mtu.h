/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The path MTU between nodes (RFC 1191). Outer packets have DF set, so a router with a smaller MTU says "fragmentation needed" to this
 * node. That lowers what fits through the tunnel to that peer, for as long as Linux believes such news; senders then learn it as they
 * learn the tunnel's own MTU. It works without the daemon, and nothing that the daemon writes touches it.
 *
 * Only what quotes a tunnel packet to a known node counts. Whoever can send as a router of the underlay can make packets smaller by
 * this, never smaller than PATH_MTU_INNER_MIN inside the tunnel: every IPv6 link carries as much. Packets up to that size need no lookup.
 */
#pragma once
#include <linux/udp.h>
#include "packet.h"
#include "encapsulation.h"
#include "icmp.h"

#define PATH_MTU_INNER_MIN 1280
#define PATH_MTU_LIFETIME_NS (600 * 1000000000ULL)
#define ICMP_FRAG_NEEDED 4

/* What fits into the tunnel to `peer`: `mtu`, or less if a router on the way has said so. `overhead`: bytes of the outer headers. */
static __always_inline __u32 path_mtu_inner(__be32 peer, __u32 mtu, __u32 overhead)
{
	const struct path_mtu *path = bpf_map_lookup_elem(&path_mtus, &peer);
	__u32 inner;

	if (likely(!path) || bpf_ktime_get_coarse_ns() > path->expires_ns)
		return mtu;
	inner = path->mtu > PATH_MTU_INNER_MIN + overhead ? path->mtu - overhead : PATH_MTU_INNER_MIN;
	return !mtu || inner < mtu ? inner : mtu;
}

/* Up to the quoted UDP header, which is all that a router has to quote. */
struct frag_needed {
	struct icmp_head icmp; /* the MTU is in `sequence` */
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

/*
 * An ICMP packet to the node. If it says that a tunnel packet of ours was too large, the path to that peer has this MTU from now on.
 * It says nothing about packets that would have fitted, and only lowers what holds already. The host gets the packet all the same.
 */
__noinline int path_mtu_learn(struct __sk_buff *skb, __be32 own)
{
	struct frag_needed said;
	struct path_mtu path = {};
	const struct path_mtu *known;
	struct peer4_key node;
	__u32 encapsulation, least;
	__be32 peer;
	__u64 now;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(struct iphdr), &said, sizeof(said)))
		return 0;
	if (said.icmp.type != ICMP_DEST_UNREACH || said.icmp.code != ICMP_FRAG_NEEDED)
		return 0;
	if (*(__u8 *)&said.ip != 0x45 || said.ip.protocol != IPPROTO_UDP || said.ip.saddr != own ||
	    said.ip.frag_off & bpf_htons(0x1fff))
		return 0;
	encapsulation = encapsulation_sent_to(said.udp.dest);
	if (!encapsulation)
		return 0;
	path.mtu = bpf_ntohs(said.icmp.sequence);
	if (path.mtu >= bpf_ntohs(said.ip.tot_len))
		return 0;
	least = PATH_MTU_INNER_MIN + encapsulation_overhead(encapsulation);
	if (path.mtu < least)
		path.mtu = least;
	peer = said.ip.daddr;
	node.ip = peer;
	if (!bpf_map_lookup_elem(&peers4, &node))
		return 0;
	now = bpf_ktime_get_coarse_ns();
	known = bpf_map_lookup_elem(&path_mtus, &peer);
	if (known && known->expires_ns > now && known->mtu < path.mtu)
		return 0;
	path.expires_ns = now + PATH_MTU_LIFETIME_NS;
	bpf_map_update_elem(&path_mtus, &peer, &path, BPF_ANY);
	return 1;
}
