/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reads a packet without looking at its end: the verifier refuses it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int refused(struct __sk_buff *skb)
{
	char *packet = (char *)(long)skb->data;

	return packet[0];
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
