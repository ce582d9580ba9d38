/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TCP MSS clamping: the MSS option of a SYN is lowered to what fits the path, never raised (vRouter reference 2.2.10). */
#pragma once
#include "packet.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTIONS_MAX 40


struct mss_search {
	__u32 at;     /* offset of the option that is looked at */
	__u32 length; /* of all options, bytes */
	__u32 found;
	__u8 options[TCP_OPTIONS_MAX];
};

/* One step of the search: bpf_loop's callback, so that the verifier sees it once. Returns 1 to stop. */
static long mss_step(__u32 index, void *context)
{
	struct mss_search *search = context;
	__u32 at = search->at;
	__u8 kind, length;

	if (at > TCP_OPTIONS_MAX - 4 || at + 4 > search->length)
		return 1;
	(void)index;
	kind = search->options[at];
	length = search->options[at + 1];
	if (kind == TCP_OPTION_NOP) {
		search->at = at + 1;
		return 0;
	}
	if (kind == TCP_OPTION_MSS && length == 4)
		search->found = 1;
	if (kind == TCP_OPTION_MSS || kind == TCP_OPTION_END || length < 2)
		return 1;
	search->at = at + length;
	return 0;
}

/* Lowers the MSS option of a SYN to `mtu` (bytes of L3) less the headers. Returns 0 or a drop reason. */
__noinline __u32 mss_clamp(struct __sk_buff *skb, const struct packet *p, __u32 mtu)
{
	struct mss_search search = {};
	__u32 offset, headers, at;
	__be16 old, new;
	__u8 words;

	if (!p)
		return DROP_MISC;
	headers = (p->family == AF_INET ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + 20;
	if (!mtu || mtu <= headers + 8 || (p->bits & (PACKET_ICMP_ERROR | PACKET_LATER_FRAGMENT)))
		return 0;
	offset = p->l4_off;
	if (bpf_skb_load_bytes(skb, offset + 12, &words, 1))
		return DROP_PULL;
	search.length = (words >> 4) * 4;
	if (search.length < 24)
		return 0; /* no room for the option */
	search.length -= 20;
	/* Newer compilers (clang 19) see that it is never 0 and drop the check that tells the verifier: make them forget. */
	asm volatile("" : "+r"(search.length));
	if (search.length < 4 || search.length > TCP_OPTIONS_MAX || bpf_skb_load_bytes(skb, offset + 20, search.options, search.length))
		return 0; /* cut off: for the receiver to judge */
	bpf_loop(TCP_OPTIONS_MAX, mss_step, &search, 0);
	at = search.at;
	if (!search.found || at > TCP_OPTIONS_MAX - 4)
		return 0;
	__builtin_memcpy(&old, &search.options[at + 2], 2);
	if (bpf_ntohs(old) <= mtu - headers)
		return 0;
	new = bpf_htons(mtu - headers);
	/* the sum counts 16-bit words: where the option lies at an odd offset, its bytes have changed places */
	if (bpf_l4_csum_replace(skb, offset + 16, at & 1 ? __builtin_bswap16(old) : old, at & 1 ? __builtin_bswap16(new) : new, 2))
		return DROP_PULL;
	return bpf_skb_store_bytes(skb, offset + 20 + at + 2, &new, 2, 0) ? DROP_PULL : 0;
}
