/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where a service is reached: its front, and at which ports the node itself has some. */
#pragma once
#include "packet.h"

/* Whether a front of the underlay's VRF may be at that port of the node (network order). Its entry says what it is. */
static __always_inline int node_port_is_used(__be16 port_be)
{
	__u32 zero = 0, port = bpf_ntohs(port_be);
	const struct node_ports *ports = bpf_map_lookup_elem(&node_ports, &zero);

	return ports && (ports->bits[(port >> 3) & 8191] >> (port & 7)) & 1;
}

/* Whether the address is one of services alone: of a load balancer, or an external IP. All that comes to it is for them. */
__noinline int service_has_address4(__be32 ip)
{
	struct front_key key = { .family = AF_INET };

	*(__be32 *)key.ip = ip;
	return !!bpf_map_lookup_elem(&service_fronts, &key);
}

__noinline int service_has_address6(const struct in6_addr *ip)
{
	struct front_key key = { .family = AF_INET6 };

	if (!ip)
		return 0;
	ip6_copy(key.ip, ip);
	return !!bpf_map_lookup_elem(&service_fronts, &key);
}

/* Whether it is worth it to look for a front: for what comes to the node one bit says it. Nobody serves groups. */
static __always_inline int service_may_be4(const struct globals *g, const struct ethhdr *eth, __be32 dip, __be16 port)
{
	if (!SERVES_OUTSIDE)
		return 0;
	if (likely(dip == g->underlay_ip))
		return node_port_is_used(port);
	return !mac_is_multicast(eth->h_dest) && service_has_address4(dip);
}

static __always_inline int service_may_be6(const struct globals *g, const struct ethhdr *eth, const void *dip, __be16 port)
{
	struct in6_addr ip;

	if (!SERVES_OUTSIDE)
		return 0;
	if (likely(ip6_equal(dip, g->underlay_ip6)))
		return node_port_is_used(port);
	if (mac_is_multicast(eth->h_dest))
		return 0;
	ip6_copy(&ip, dip);
	return service_has_address6(&ip);
}
