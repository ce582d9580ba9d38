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
