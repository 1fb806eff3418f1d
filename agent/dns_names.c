#include "agent/dns_names.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

void dns_names_done(struct dns_names *d)
{
	free(d->table);
	d->table = NULL;
}

/* tgid 0: anybody in the namespace. */
static uint64_t key_of(uint32_t netns, uint32_t tgid, const uint8_t addr[16])
{
	static const struct hash_key fixed = { 0x6b656c706965, 0x646e73 };
	uint8_t bytes[24];
	uint64_t h;

	put_le(bytes, netns, 4);
	put_le(bytes + 4, tgid, 4);
	memcpy(bytes + 8, addr, 16);
	h = hash_bytes(&fixed, slice_of(bytes, sizeof(bytes)));
	return h ? h : 1;
}

static struct dns_name *set_of(const struct dns_names *d, uint64_t key)
{
	return &d->table[(key & (DNS_NAMES_SETS - 1)) * DNS_NAMES_WAYS];
}

static struct dns_name *find(const struct dns_names *d, uint64_t key)
{
	struct dns_name *set = set_of(d, key);

	for (size_t i = 0; i < DNS_NAMES_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static struct dns_name *find_or_make(const struct dns_names *d, uint64_t key)
{
	struct dns_name *set = set_of(d, key), *e = find(d, key);

	if (e)
		return e;
	e = set;
	for (size_t i = 1; i < DNS_NAMES_WAYS; i++)
		if (set[i].until_ns < e->until_ns)
			e = &set[i];
	*e = (struct dns_name){ .key = key };
	return e;
}

static void note(const struct dns_names *d, uint64_t key, struct slice name, uint64_t from_ns,
		 uint64_t until_ns)
{
	struct dns_name *e = find_or_make(d, key);
	bool holds = e->n && e->until_ns >= from_ns;

	if (holds && !slice_eq(slice_of(e->text, e->n), name)) {
		e->ambiguous = true;
		e->until_ns = MAX(e->until_ns, until_ns);
		return;
	}
	if (!holds) {
		e->ambiguous = false;
		e->from_ns = from_ns;
		e->n = (uint8_t)name.n;
		memcpy(e->text, name.p, name.n);
	}
	e->until_ns = MAX(e->until_ns, until_ns);
}

void dns_names_learn(struct dns_names *d, const struct dns_asker *who, const uint8_t addr[16],
		     struct slice name, uint32_t ttl_s, uint64_t at_ns)
{
	uint64_t holds = MIN(MAX(ttl_s * NSEC_PER_SEC, DNS_NAMES_GRACE), DNS_NAMES_MOST);

	if (!name.n || name.n > DNS_NAME_KEPT)
		return;
	if (!d->table)
		d->table = calloc((size_t)DNS_NAMES_SETS * DNS_NAMES_WAYS, sizeof(*d->table));
	if (!d->table)
		return;
	if (who->tgid)
		note(d, key_of(who->netns, who->tgid, addr), name, at_ns, at_ns + holds);
	note(d, key_of(who->netns, 0, addr), name, at_ns, at_ns + holds);
}

struct slice dns_names_find(const struct dns_names *d, const struct dns_asker *who,
			    const uint8_t addr[16], uint64_t at_ns, bool *ret_shared)
{
	struct slice none = { 0 };

	for (int shared = 0; shared < 2 && d->table; shared++) {
		uint32_t tgid = shared ? 0 : who->tgid;
		const struct dns_name *e = find(d, key_of(who->netns, tgid, addr));

		if (!e || at_ns < e->from_ns || at_ns > e->until_ns)
			continue;
		*ret_shared = shared;
		return e->ambiguous ? none : slice_of(e->text, e->n);
	}
	return none;
}
