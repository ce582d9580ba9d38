/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whose source an address is, of the workloads here. The first of each family is in struct vif; the map of further ones is asked where it has any. */
#pragma once
#include "packet.h"
#include "route.h"
#include "vif.h"

/*
 * Of a family in which it has no address, a workload has not the unspecified one either. `address` holds 16 bytes: those behind an IPv4
 * address are zero.
 */
__noinline int vif_has_address(const struct vif *vif, __u32 family, const struct address *address)
{
	struct vif_address_key key = { .family = family };

	if (!vif || !address)
		return 0;
	if (family == AF_INET ? vif->ip4 && *(const __be32 *)address->bytes == vif->ip4 :
				!ip6_is_zero(vif->ip6) && ip6_equal(address->bytes, vif->ip6))
		return 1;
	if (!(vif->flags & VIF_MORE_ADDRESSES))
		return 0;
	key.vif = vif->id;
	ip6_copy(key.ip, address->bytes);
	return bpf_map_lookup_elem(&vif_addresses, &key) != NULL;
}
