#include "agent/catalogue.h"

#include "agent/pipeline_int.h"

#include <string.h>

#define DIGEST_MIN 16 /* hexadecimal digits at a name's end that are a digest, not a number */

struct named {
	struct stmt_copy *stmt;
	bool differs; /* another statement was prepared under the name */
};

static void named_free(struct named *n)
{
	free(n->stmt);
	free(n);
}

void catalogue_init(struct catalogue *t)
{
	*t = (struct catalogue){ 0 };
	hash_key_random(&t->key);
	hashmap_init(&t->by_name, CATALOGUE_MAX);
}

void catalogue_done(struct catalogue *t)
{
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&t->by_name, e));)
		named_free((struct named *)(uintptr_t)e->value);
	hashmap_done(&t->by_name);
}

bool catalogue_is_lasting(struct slice name)
{
	size_t hex = 0;

	while (hex < name.n && strchr("0123456789abcdef", name.p[name.n - 1 - hex]) &&
	       name.p[name.n - 1 - hex])
		hex++;
	return name.n > 0 &&
	       (hex >= DIGEST_MIN || name.p[name.n - 1] < '0' || name.p[name.n - 1] > '9');
}

/* A path means one socket within one container: it and the server's control group say which server. */
static bool place_unix(const struct catalogue *t, const struct conn *c, uint64_t id,
		       uint64_t *ret_place)
{
	const struct conn *server = join_owner_is_server(c) ? c : c->peer;
	struct {
		uint64_t name, cgroup, id;
	} k = { .id = id };

	if (!server || !server->cgroup || !server->names->local[0])
		return false;
	k.cgroup = server->cgroup;
	k.name = hash_bytes(&t->key, slice_str(server->names->local));
	*ret_place = hash_bytes(&t->key, slice_of(&k, sizeof(k)));
	return true;
}

/* Where the name of the connection's server stands. False: which server that is, is not certain. */
static bool place(const struct catalogue *t, const struct conn *c, uint64_t id, uint64_t *ret_place)
{
	bool server = join_owner_is_server(c);
	struct {
		uint8_t addr[16];
		uint64_t id;
		uint32_t netns, port;
	} k = { .id = id, .netns = c->netns, .port = server ? c->local_port : c->remote_port };

	if (c->names)
		return place_unix(t, c, id, ret_place);
	memcpy(k.addr, server ? c->local : c->remote, sizeof(k.addr));
	*ret_place = hash_bytes(&t->key, slice_of(&k, sizeof(k)));
	return true;
}

static struct named *named_new(const struct stmt *s)
{
	struct named *n = malloc(sizeof(*n));

	if (!n)
		return NULL;
	*n = (struct named){ .stmt = stmt_copy_new(s) };
	if (n->stmt)
		return n;
	free(n);
	return NULL;
}

void catalogue_put(struct catalogue *t, const struct conn *c, uint64_t id, const struct stmt *s)
{
	uint64_t at, bytes = sizeof(struct named) + stmt_copy_bytes(s);
	struct named *n;

	if (!place(t, c, id, &at))
		return;
	n = hashmap_get_ptr(&t->by_name, at);
	if (n) {
		n->differs |= !slice_eq(stmt_copy_get(n->stmt).statement, s->statement);
		return;
	}
	n = t->full || t->bytes + bytes > CATALOGUE_BYTES_MAX ? NULL : named_new(s);
	if (n && hashmap_put_ptr(&t->by_name, at, n) < 0) {
		named_free(n);
		n = NULL;
	}
	/* From now on, a name that is new may have been prepared before. */
	t->full |= !n;
	t->bytes += n ? bytes : 0;
}

bool catalogue_get(const struct catalogue *t, const struct conn *c, uint64_t id, struct stmt *ret)
{
	uint64_t at;
	const struct named *n = place(t, c, id, &at) ? hashmap_get_ptr(&t->by_name, at) : NULL;

	if (!n || n->differs)
		return false;
	*ret = stmt_copy_get(n->stmt);
	return true;
}
