#include "agent/stmts.h"

#include "agent/pipeline_int.h"

#include <string.h>

struct stmts {
	struct hashmap by_id; /* id -> struct stmt_copy */
};

struct stmt_copy {
	const char *verb;
	uint32_t statement_n, fingerprint_n;
	uint8_t text[];
};

size_t stmt_copy_bytes(const struct stmt *s)
{
	return sizeof(struct stmt_copy) + s->statement.n + s->fingerprint.n;
}

struct stmt_copy *stmt_copy_new(const struct stmt *s)
{
	struct stmt_copy *k = malloc(stmt_copy_bytes(s));

	if (!k)
		return NULL;
	*k = (struct stmt_copy){ s->verb, (uint32_t)s->statement.n, (uint32_t)s->fingerprint.n };
	memcpy(k->text, s->statement.p, s->statement.n);
	memcpy(k->text + s->statement.n, s->fingerprint.p, s->fingerprint.n);
	return k;
}

struct stmt stmt_copy_get(const struct stmt_copy *k)
{
	return (struct stmt){ k->verb, slice_of(k->text, k->statement_n),
			      slice_of(k->text + k->statement_n, k->fingerprint_n) };
}

static void kept_free(struct pipeline *p, struct stmt_copy *k)
{
	const struct stmt s = stmt_copy_get(k);

	p->stmt_bytes -= stmt_copy_bytes(&s);
	free(k);
}

static struct stmt_copy *kept_new(struct pipeline *p, const struct stmt *s)
{
	size_t n = stmt_copy_bytes(s);
	struct stmt_copy *k = p->stmt_bytes + n > STMTS_BYTES_MAX ? NULL : stmt_copy_new(s);

	p->stmt_bytes += k ? n : 0;
	return k;
}

void stmts_put(struct pipeline *p, struct conn *c, uint64_t id, const struct stmt *s)
{
	struct stmt_copy *k;

	stmts_del(p, c, id);
	if (!c->stmts) {
		c->stmts = calloc(1, sizeof(*c->stmts));
		if (!c->stmts)
			return;
		hashmap_init(&c->stmts->by_id, STMTS_MAX);
	}
	k = kept_new(p, s);
	if (k && hashmap_put_ptr(&c->stmts->by_id, id, k) < 0)
		kept_free(p, k);
}

bool stmts_get(const struct conn *c, uint64_t id, struct stmt *ret)
{
	const struct stmt_copy *k = c->stmts ? hashmap_get_ptr(&c->stmts->by_id, id) : NULL;

	if (!k)
		return false;
	*ret = stmt_copy_get(k);
	return true;
}

void stmts_del(struct pipeline *p, struct conn *c, uint64_t id)
{
	struct stmt_copy *k = c->stmts ? hashmap_get_ptr(&c->stmts->by_id, id) : NULL;

	if (!k)
		return;
	(void)hashmap_del(&c->stmts->by_id, id);
	kept_free(p, k);
}

void stmts_clear(struct pipeline *p, struct conn *c)
{
	if (!c->stmts)
		return;
	for (struct hashmap_entry *e = NULL; (e = hashmap_next(&c->stmts->by_id, e));)
		kept_free(p, (struct stmt_copy *)(uintptr_t)e->value);
	hashmap_done(&c->stmts->by_id);
	free(c->stmts);
	c->stmts = NULL;
}
