/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Counts packets per CPU, marks them, and passes or drops them as its constants say. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} lengths SEC(".maps");

const volatile __u32 mark = 1;
const volatile __u8 drop = 0;
const volatile __s64 weight = 1;

SEC("tcx/ingress")
int count(struct __sk_buff *skb)
{
	__u32 key = 0, length = skb->len;
	__u64 one = 1;
	__u64 *packet = bpf_map_lookup_elem(&packets, &key);

	if (packet)
		*packet += weight;
	bpf_map_update_elem(&lengths, &length, &one, BPF_ANY);
	skb->mark = mark;
	skb->cb[0] += 1;
	return drop ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tcx/egress")
int grow(struct __sk_buff *skb)
{
	return bpf_skb_change_head(skb, 14, 0) ? TC_ACT_SHOT : TC_ACT_OK;
}

struct arguments {
	__u32 in;
	__u32 out;
};

SEC("syscall")
int twice(struct arguments *arguments)
{
	arguments->out = arguments->in * 2;
	return 7;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
