/* Names of addresses, from the DNS answers that processes on this node got: what an address was asked
 * by, by whom, and for how long the answer holds. A table of fixed size; where it is full, the answer
 * that ends first goes.
 */
#ifndef AGENT_DNS_NAMES_H
#define AGENT_DNS_NAMES_H

#include "base/slice.h"
#include "base/util.h"

#define DNS_NAME_KEPT  128 /* bytes; longer names are not remembered */
#define DNS_NAMES_SETS 1024
#define DNS_NAMES_WAYS 4
#define DNS_NAMES_GRACE                                                                            \
	(5 * NSEC_PER_SEC) /* an answer holds so long at least: it is used at once */
#define DNS_NAMES_MOST (86400 * NSEC_PER_SEC)

struct dns_name {
	uint64_t key;
	uint64_t from_ns, until_ns; /* boot time */
	uint8_t n;
	bool ambiguous; /* more than one name for the address in that time */
	char text[DNS_NAME_KEPT];
};

struct dns_names {
	struct dns_name *table; /* sets of ways; NULL until the first answer */
};

/* Who asked: a process, and the network namespace that it is in. */
struct dns_asker {
	uint32_t netns, tgid;
};

void dns_names_done(struct dns_names *d);
/* name: in lower case. ttl_s: how long the answer holds from at_ns on. */
void dns_names_learn(struct dns_names *d, const struct dns_asker *who, const uint8_t addr[16],
		     struct slice name, uint32_t ttl_s, uint64_t at_ns);
/* The name that the process knew the address by at that time. Where it asked for none itself, the one
 * that somebody in its network namespace asked for, and *ret_shared is set. Empty: none, or more than
 * one. Valid until the next answer. */
struct slice dns_names_find(const struct dns_names *d, const struct dns_asker *who,
			    const uint8_t addr[16], uint64_t at_ns, bool *ret_shared);

#endif
