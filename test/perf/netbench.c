/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Client and server for latency figures over TCP, IPv4 or IPv6.
 *
 *   netbench server PORT SECONDS           answers each byte with a byte; ends after SECONDS
 *   netbench rr ADDRESS PORT SECONDS       request and response over one connection
 *   netbench crr ADDRESS PORT SECONDS [RATE]  connect, request, response, close, again and again; at most RATE a second
 *
 * A client prints one line of JSON: transactions, seconds, and percentiles of a transaction in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Buckets of a tenth of a microsecond, up to 100 ms; the last one holds all that took longer. */
#define BUCKETS 1000000
static uint32_t histogram[BUCKETS];

static void fail(const char *what)
{
	fprintf(stderr, "netbench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int serve(int port, int seconds)
{
	int on = 1, off = 0;
	int listener = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any };

	if (listener < 0)
		fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 128) < 0)
		fail("listen");
	puts("ready");
	fflush(stdout);
	alarm(seconds);
	for (;;) {
		char byte;
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		no_delay(fd);
		while (read(fd, &byte, 1) == 1)
			if (write(fd, &byte, 1) != 1)
				break;
		close(fd);
	}
}

static int dial(const struct addrinfo *server)
{
	int fd = socket(server->ai_family, SOCK_STREAM, 0);
	if (fd < 0)
		fail("socket");
	no_delay(fd);
	if (connect(fd, server->ai_addr, server->ai_addrlen) < 0)
		fail("connect");
	return fd;
}

static void exchange(int fd)
{
	char byte = 'x';
	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		fail("exchange");
}

static double percentile(uint64_t transactions, double part)
{
	uint64_t wanted = transactions * part, seen = 0;
	for (int bucket = 0; bucket < BUCKETS; bucket++) {
		seen += histogram[bucket];
		if (seen > wanted)
			return bucket / 10.0;
	}
	return BUCKETS / 10.0;
}

/* Until it is time for so many transactions at that rate; at once when they are late. */
static void pace(uint64_t start, uint64_t transactions, double rate)
{
	uint64_t due = start + transactions / rate * 1e9, now = now_ns();
	struct timespec wait = { .tv_sec = (due - now) / 1000000000, .tv_nsec = (due - now) % 1000000000 };
	if (due > now)
		nanosleep(&wait, NULL);
}

static int drive(int is_crr, const char *host, const char *port, int seconds, double rate)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *server;
	if (getaddrinfo(host, port, &hints, &server) != 0)
		fail("address");
	int fd = is_crr ? -1 : dial(server);
	uint64_t start = now_ns(), end = start + (uint64_t)seconds * 1000000000, before = start, transactions = 0;
	while (before < end) {
		if (rate > 0) {
			pace(start, transactions, rate);
			before = now_ns();
		}
		if (is_crr)
			fd = dial(server);
		exchange(fd);
		if (is_crr)
			close(fd);
		uint64_t after = now_ns();
		uint64_t bucket = (after - before) / 100;
		histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
		transactions++;
		before = after;
	}
	printf("{\"transactions\":%llu,\"seconds\":%.6f,\"p50Us\":%.1f,\"p99Us\":%.1f}\n", (unsigned long long)transactions,
	       (before - start) / 1e9, percentile(transactions, 0.5), percentile(transactions, 0.99));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "server") == 0)
		return serve(atoi(argv[2]), atoi(argv[3]));
	if ((argc == 5 || argc == 6) && (strcmp(argv[1], "rr") == 0 || strcmp(argv[1], "crr") == 0))
		return drive(strcmp(argv[1], "crr") == 0, argv[2], argv[3], atoi(argv[4]), argc == 6 ? atof(argv[5]) : 0);
	fprintf(stderr, "usage: netbench server PORT SECONDS | netbench rr|crr ADDRESS PORT SECONDS [RATE]\n");
	return 2;
}
