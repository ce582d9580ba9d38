/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Types of every kind for the BTF reader's test. Recorded with:
 * clang -O2 -g -target bpf -c layout.bpf.c -o - | xxd -p > layout.hex
 */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u32 __be32;

enum verdict { PASS, DROP = 5, LAST = 0x7fffffff };
enum offset { BEHIND = -2, AHEAD = 2 };
enum wide { WIDE = 0x100000000ULL, NARROW = 1 };

struct inner {
	__u16 port;
	_Bool on;
};

struct layout {
	__be32 address;
	const __u8 mac[6];
	__u16 padding;
	union {
		__u64 whole;
		struct {
			__u32 low;
			__u32 high;
		};
	};
	struct inner pair[2];
	enum verdict verdict;
	enum offset offset;
	__u32 label : 20, class : 3, last : 1;
	enum wide wide;
	volatile struct layout *next;
	double ratio;
};

const volatile __u32 limit = 7;
const volatile __u8 enabled = 1;

__attribute__((section("tc"), used)) int prog(struct layout *l)
{
	return l->label + limit + enabled;
}
