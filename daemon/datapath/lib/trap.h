/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packets for the agent: the whole frame from its L2 start, behind a 14-byte Ethernet header and the 30-byte agent header
 * (vRouter reference 2.10), sent out of pkt0. Each vif has a budget (globals.trap_rate, trap_burst), so that no pod can
 * keep the daemon busy for the others.
 */
#pragma once
#include "packet.h"
#include "drop.h"
#include "stats.h"
#include "vif.h"

#define TRAP_TRUNCATED 190 /* bytes kept of a packet that is only quoted */
#define TRAP_HEADER (ETH_HLEN + (int)sizeof(struct agent_hdr))
#define NSEC_PER_SEC 1000000000ULL

/*
 * Takes a token from the vif's bucket, unless no more than `kept` are there. Two CPUs may lose an update to each other: it is a budget, not
 * an account.
 */
static __always_inline int trap_token(__u32 vif, const struct globals *g, __u32 kept)
{
	struct vif_state *state = bpf_map_lookup_elem(&vif_state, &vif);
	__u64 now, elapsed, tokens;

	if (!state || !g->trap_rate)
		return 1;
	now = bpf_ktime_get_ns();
	elapsed = now - state->trap_time_ns;
	if (elapsed > NSEC_PER_SEC * 60 || !state->trap_time_ns)
		tokens = g->trap_burst;
	else
		tokens = state->trap_tokens + elapsed * g->trap_rate / NSEC_PER_SEC;
	if (tokens > g->trap_burst)
		tokens = g->trap_burst;
	if (tokens != state->trap_tokens || !state->trap_time_ns)
		state->trap_time_ns = now;
	if (tokens <= kept) {
		state->trap_tokens = tokens;
		return 0;
	}
	state->trap_tokens = tokens - 1;
	return 1;
}

/* Sends the frame to the agent. `cmd` is an enum agent_cmd, `param` and `param_1` are in host order. */
__noinline enum verdict trap(struct __sk_buff *skb, const struct packet *p, __u32 cmd, __u32 param, __u32 param_1)
{
	const struct globals *g = node_globals();
	struct agent_hdr *header;
	struct ethhdr *eth;
	__u32 agent_vif = VIF_ID_AGENT;
	int quoted;

	if (!p)
		return drop_count(VIF_UNKNOWN, DROP_MISC);
	if (!g || !g->agent_ifindex)
		return DROP(p, DROP_TRAP_NO_IF);
	if (!trap_token(p->vif, g, 0))
		return DROP(p, DROP_TRAP_LIMIT);

	/* A super-packet can't go as one frame, and of a packet that earns an ICMP error the agent needs the headers only. */
	quoted = cmd == AGENT_TRAP_HANDLE_DF || cmd == AGENT_TRAP_ZERO_TTL || skb->gso_size;
	if (quoted && skb->len > TRAP_TRUNCATED && bpf_skb_change_tail(skb, TRAP_TRUNCATED, 0))
		return DROP(p, DROP_NO_MEMORY);
	if (bpf_skb_change_head(skb, TRAP_HEADER, 0))
		return DROP(p, DROP_PUSH);

	eth = packet_data(skb);
	header = (void *)(eth + 1);
	if ((void *)(header + 1) > packet_end(skb))
		return DROP(p, DROP_PULL);
	__builtin_memcpy(eth->h_dest, g->agent_mac, MAC_LEN);
	__builtin_memcpy(eth->h_source, g->router_mac, MAC_LEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	header->ifindex = bpf_htons(p->vif);
	header->vrf = bpf_htons(p->dvrf);
	header->cmd = bpf_htons(cmd);
	header->param = bpf_htonl(param);
	header->param_1 = bpf_htonl(param_1);
	header->param_2 = 0;
	header->param_3 = 0;
	header->param_4 = 0;
	header->param_5 = 0;
	__builtin_memset(header->pad, 0, sizeof(header->pad));

	count_vif_tx(agent_vif, skb->len);
	if (bpf_redirect(g->agent_ifindex, 0) != TC_ACT_REDIRECT) {
		count_vif_tx_error(agent_vif);
		return DROP(p, DROP_TRAP_NO_IF);
	}
	return VERDICT_REDIRECT;
}
