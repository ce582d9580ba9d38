/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * ECN through tunnels (RFC 6040, normal mode): the outer header starts with the inner packet's mark, and what routers made of it on
 * the way is put into the inner packet where it leaves the tunnel. DSCP is copied outwards or set; nobody copies it back.
 */
#pragma once
#include "packet.h"

#define ECN_MASK 3
#define ECN_NOT_ECT 0
#define ECN_ECT1 1
#define ECN_ECT0 2
#define ECN_CE 3

/* TOS or traffic class of the IP header at `ip`, whose first two bytes are readable. */
static __always_inline __u8 tos_of(const struct packet *p, const void *ip)
{
	const __u8 *bytes = ip;

	return p->family == AF_INET ? bytes[1] : (__u8)(bytes[0] << 4 | bytes[1] >> 4);
}

/* The outer TOS for a packet with `inner`. */
static __always_inline __u8 tos_outer(__u8 inner, __u8 dscp)
{
	return dscp == TUNNEL_DSCP_COPY ? inner : (__u8)(dscp << 2 | (inner & ECN_MASK));
}

/* Gives the header at `ip`, whose fixed part is readable, another ECN mark. */
static __always_inline void ecn_set(const struct packet *p, void *ip, __u8 ecn)
{
	__u8 *bytes = ip;

	if (p->family == AF_INET) {
		struct iphdr *ip4 = ip;
		__u16 old = *(__u16 *)bytes;
		__u32 sum;

		bytes[1] = (bytes[1] & ~ECN_MASK) | ecn;
		sum = (__u16)~ip4->check + (__u16)~old + *(__u16 *)bytes; /* RFC 1624 */
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		ip4->check = ~sum;
	} else {
		bytes[1] = (bytes[1] & ~(ECN_MASK << 4)) | ecn << 4;
	}
}

/*
 * Puts the mark that the packet has outside (`outer`: its TOS) into the packet inside, whose header is at `ip`. Returns 0 or DROP_ECN:
 * it was marked as congested instead of being dropped, and its receiver wouldn't understand.
 */
static __always_inline __u32 ecn_leave_tunnel(const struct packet *p, void *ip, __u8 outer)
{
	__u8 inner = tos_of(p, ip) & ECN_MASK;

	outer &= ECN_MASK;
	if (likely(outer == ECN_NOT_ECT || outer == inner))
		return 0;
	if (outer == ECN_CE) {
		if (inner == ECN_NOT_ECT)
			return DROP_ECN;
		ecn_set(p, ip, ECN_CE);
	} else if (outer == ECN_ECT1 && inner == ECN_ECT0) {
		ecn_set(p, ip, ECN_ECT1);
	}
	return 0;
}
