/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sends packets of ever new flows from a raw socket, as fast as the machine allows, at most RATE a second.
 *
 *   flood KIND SOURCE DESTINATION PORT SECONDS RATE LEAST
 *
 * It goes on for so many seconds, and longer where the machine is too busy to have sent LEAST packets by then.
 *
 * KIND: `udp`, `syn`, `ack` (bare ACKs) or `ack-rst` (each followed by a RST whose TTL is 1). Source ports change with every flow,
 * destination ports, too, when PORT is 0. A SOURCE with `/` stands for that many addresses from there on: 10.0.0.1/200.
 * Prints how many packets were sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Writes the transport header; returns its length. Its checksum is wrong (TCP) or none: whoever gets it answers nothing. */
static int transport(uint8_t *at, int is_tcp, int flags, uint16_t sport, uint16_t dport)
{
	struct tcphdr *tcp = (void *)at;
	struct udphdr *udp = (void *)at;

	memset(at, 0, sizeof(*tcp));
	if (!is_tcp) {
		udp->source = htons(sport);
		udp->dest = htons(dport);
		udp->len = htons(sizeof(*udp));
		return sizeof(*udp);
	}
	tcp->source = htons(sport);
	tcp->dest = htons(dport);
	tcp->seq = htonl(1000);
	tcp->ack_seq = htonl(2000);
	tcp->doff = 5;
	at[13] = flags;
	return sizeof(*tcp);
}

int main(int argc, char **argv)
{
	char *slash = argc == 8 ? strchr(argv[2], '/') : NULL;
	int six, fd, is_tcp, flags, is_pair, size, count = slash ? atoi(slash + 1) : 1, fixed;
	uint8_t packet[128], source[16], destination[16];
	double end, start, rate;
	unsigned long sent = 0, flow = 0, least;
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in to4 = { .sin_family = AF_INET };

	if (argc != 8)
		return 2;
	if (slash)
		*slash = 0;
	six = !!strchr(argv[3], ':');
	if (inet_pton(six ? AF_INET6 : AF_INET, argv[2], source) != 1 || inet_pton(six ? AF_INET6 : AF_INET, argv[3], destination) != 1)
		return 2;
	is_tcp = strcmp(argv[1], "udp");
	is_pair = !strcmp(argv[1], "ack-rst");
	flags = !strcmp(argv[1], "syn") ? 0x02 : 0x10;
	fixed = atoi(argv[4]);
	rate = atof(argv[6]);
	least = atol(argv[7]);
	fd = socket(six ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0) {
		perror("socket");
		return 1;
	}
	memcpy(&to4.sin_addr, destination, 4);
	memcpy(&to6.sin6_addr, destination, 16);
	start = now();
	end = start + atof(argv[5]);
	while (now() < end || sent < least) {
		if (sent > (now() - start) * rate) {
			usleep(1000);
			continue;
		}
		for (int i = 0; i < 64; i++, flow++) {
			uint16_t sport = 1024 + flow % 60000, dport = fixed ? fixed : 1 + flow / 60000 % 60000;

			for (int part = 0; part <= is_pair; part++) {
				int ttl = part ? 1 : 64;

				memset(packet, 0, sizeof(packet));
				if (six) {
					struct ip6_hdr *ip = (void *)packet;

					size = transport(packet + sizeof(*ip), is_tcp, part ? 0x04 : flags, sport, dport);
					ip->ip6_vfc = 0x60;
					ip->ip6_plen = htons(size);
					ip->ip6_nxt = is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
					ip->ip6_hlim = ttl;
					memcpy(&ip->ip6_src, source, 16);
					memcpy(&ip->ip6_dst, destination, 16);
					size += sizeof(*ip);
					sendto(fd, packet, size, 0, (void *)&to6, sizeof(to6));
				} else {
					struct iphdr *ip = (void *)packet;

					size = transport(packet + sizeof(*ip), is_tcp, part ? 0x04 : flags, sport, dport);
					ip->version = 4;
					ip->ihl = 5;
					ip->ttl = ttl;
					ip->protocol = is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
					memcpy(&ip->saddr, source, 4);
					ip->saddr = htonl(ntohl(ip->saddr) + (uint32_t)(flow % count));
					memcpy(&ip->daddr, destination, 4);
					size += sizeof(*ip);
					ip->tot_len = htons(size);
					sendto(fd, packet, size, 0, (void *)&to4, sizeof(to4));
				}
				sent++;
			}
		}
	}
	printf("%lu\n", sent);
	return 0;
}
