/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a program does, by the place where it is attached: constants, so that the compiler takes out what isn't done there. Each *.bpf.c
 * says its ROLE before it includes anything.
 */
#pragma once

#define ROLE_TAP 1
#define ROLE_FABRIC 2
#define ROLE_OUTSIDE 3
#define ROLE_VHOST 4
#define ROLE_AGENT 5
#define ROLE_AGEING 6
#define ROLE_IMPORT 7
#define ROLE_ENDPOINTS 8

/* Flows to the outside begin here: workloads send, or the host calls a service whose endpoint is another host. */
#define TRANSLATES_SOURCE (ROLE == ROLE_TAP || ROLE == ROLE_VHOST)
/* Who calls a service calls it from here. */
#define SERVES (ROLE == ROLE_TAP || ROLE == ROLE_VHOST)
/* Who calls a service of the node's from elsewhere comes in here, untranslated (service_outside.h). */
#define SERVES_OUTSIDE (ROLE == ROLE_FABRIC)
/* A flow whose way back is taken gets another source port here. */
#define PICKS_PORTS (SERVES || SERVES_OUTSIDE)
/* Only this one sees what tunnels bring. */
#define TAKES_TUNNELS (ROLE == ROLE_FABRIC)
/* Devices other than the underlay's, each with an address of the node of its own (exit.h). */
#define ON_EXITS (ROLE == ROLE_OUTSIDE)
/* Egress hooks, and the agent's frames, whose skb->protocol may not be theirs. */
#define DELIVERS_BY_TRANSMIT (ROLE == ROLE_VHOST || ROLE == ROLE_AGENT)
