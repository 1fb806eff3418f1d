#include "agent/stmts.h"

#include "agent/pipeline_int.h"

#include <string.h>

struct stmts {
	struct hashmap by_id; /* id -> struct kept */
};

struct kept {
	const char *verb;
	uint32_t statement_n, fingerprint_n;
	uint8_t text[];
};

static size_t text_bytes(const struct kept *k)
{
	return (size_t)k->statement_n + k->fingerprint_n;
}

static void kept_free(struct pipeline *p, struct kept *k)
{
	p->stmt_bytes -= sizeof(*k) + text_bytes(k);
	free(k);
}

static struct kept *kept_new(struct pipeline *p, const struct stmt *s)
{
	size_t n = s->statement.n + s->fingerprint.n;
	struct kept *k;

	if (p->stmt_bytes + sizeof(*k) + n > STMTS_BYTES_MAX)
		return NULL;
	k = malloc(sizeof(*k) + n);
	if (!k)
		return NULL;
	*k = (struct kept){ s->verb, (uint32_t)s->statement.n, (uint32_t)s->fingerprint.n };
	memcpy(k->text, s->statement.p, s->statement.n);
	memcpy(k->text + s->statement.n, s->fingerprint.p, s->fingerprint.n);
	p->stmt_bytes += sizeof(*k) + n;
	return k;
}

void stmts_put(struct pipeline *p, struct conn *c, uint64_t id, const struct stmt *s)
{
	struct kept *k;

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
	const struct kept *k = c->stmts ? hashmap_get_ptr(&c->stmts->by_id, id) : NULL;

	if (!k)
		return false;
	ret->verb = k->verb;
	ret->statement = slice_of(k->text, k->statement_n);
	ret->fingerprint = slice_of(k->text + k->statement_n, k->fingerprint_n);
	return true;
}

void stmts_del(struct pipeline *p, struct conn *c, uint64_t id)
{
	struct kept *k = c->stmts ? hashmap_get_ptr(&c->stmts->by_id, id) : NULL;

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
		kept_free(p, (struct kept *)(uintptr_t)e->value);
	hashmap_done(&c->stmts->by_id);
	free(c->stmts);
	c->stmts = NULL;
}
