/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The least that vhost0 needs to carry a node, for tests of the migration alone: what the host sends on it goes out of the NIC, what the NIC
 * receives goes to the host. NIC and VHOST are ifindexes, given on the command line of the compiler.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("classifier/vhost")
int vhost(struct __sk_buff *skb)
{
	return bpf_redirect(NIC, 0);
}

SEC("classifier/nic")
int nic(struct __sk_buff *skb)
{
	return bpf_redirect(VHOST, BPF_F_INGRESS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
