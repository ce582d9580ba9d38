/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The least that a same-node datapath can do: every packet goes to one fixed pod; nothing is looked up. The bound that ours is measured against. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* ifindex of the host side of the other pod's veth, set before loading */
const volatile __u32 target;

SEC("tcx/ingress")
int redirect(struct __sk_buff *skb)
{
	return bpf_redirect_peer(target, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
