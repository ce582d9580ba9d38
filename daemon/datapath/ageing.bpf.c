/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The timer that ages flows. `start_ageing`, run once by the loader (BPF_PROG_TEST_RUN), starts it; then it lives in the map
 * `ageing`, as long as that is pinned, with nobody in user space. Starting it again is harmless, and gives it newer code.
 */
#define ROLE ROLE_AGEING
#include "packet.h"
#include "ageing.h"

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

struct ageing {
	struct bpf_timer timer;
	__u64 rounds; /* times the timer fired */
};

MAP(ageing, BPF_MAP_TYPE_ARRAY, __u32, struct ageing, 1, 0);

static int ageing_tick(void *map, __u32 *key, struct ageing *state)
{
	(void)map;
	(void)key;
	state->rounds++;
	ageing_slice();
	bpf_timer_start(&state->timer, AGEING_PERIOD_NS, 0);
	return 0;
}

/* Returns 0 or a negative error of the timer helpers. */
SEC("syscall")
int start_ageing(void *context)
{
	struct ageing *state;
	__u32 zero = 0;
	long error;

	(void)context;
	state = bpf_map_lookup_elem(&ageing, &zero);
	if (!state)
		return -2;
	error = bpf_timer_init(&state->timer, &ageing, CLOCK_MONOTONIC);
	if (error && error != -16 /* EBUSY: it is there already */)
		return error;
	error = bpf_timer_set_callback(&state->timer, ageing_tick);
	return error ? error : bpf_timer_start(&state->timer, AGEING_PERIOD_NS, 0);
}

/* The same walk, run by hand: tests age flows without waiting for the timer. */
SEC("syscall")
int age_now(void *context)
{
	(void)context;
	ageing_slice();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
