/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose source an address is, of the workloads here. The first of each family is in struct vif; the map of further ones is asked where it has any. */
#pragma once
#include "packet.h"
#include "route.h"
#include "vif.h"

/* Whether the source that the packet is keyed with is one of the further addresses of its vif. */
__noinline int vif_has_more_source(const struct packet *p)
{
	struct vif_address_key key = {};

	if (!p)
		return 0;
	key.vif = p->vif;
	key.family = p->family;
	if (p->family == AF_INET)
		__builtin_memcpy(key.ip, &p->key.k4.sip, 4);
	else
		ip6_copy(key.ip, p->key.k6.sip);
	return bpf_map_lookup_elem(&vif_addresses, &key) != NULL;
}

__noinline int vif_has_more_address(__u32 vif, __u32 family, const struct address *address)
{
	struct vif_address_key key = { .vif = vif, .family = family };

	if (!address)
		return 0;
	ip6_copy(key.ip, address->bytes);
	return bpf_map_lookup_elem(&vif_addresses, &key) != NULL;
}

/* `address` holds 16 bytes: those behind an IPv4 address are zero. */
static __always_inline int vif_has_address(const struct vif *vif, __u32 family, const struct address *address)
{
	if (family == AF_INET ? *(const __be32 *)address->bytes == vif->ip4 : ip6_equal(address->bytes, vif->ip6))
		return 1;
	return vif->flags & VIF_MORE_ADDRESSES && vif_has_more_address(vif->id, family, address);
}
