/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is answered to who asks for the MAC of an address. */
#pragma once
#include "packet.h"

struct proxy {
	__u8 mac[MAC_LEN];
	__u8 own;  /* the answer is the vif's own MAC: we are the router */
	__u8 trap; /* the route asks for gratuitous ARP to be trapped */
};
