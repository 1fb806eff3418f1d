#include "agent/red.h"

#include "base/base64.h"
#include "query/sketch.h"

#include <errno.h>

struct red_entry {
	char *texts; /* RED_TEXTS strings, each with its NUL */
	uint64_t requests, errors, client_errors, request_bytes, response_bytes;
	uint64_t answers, total_ns, max_ns; /* of those with a latency */
	struct sketch latency;
};

static const uint16_t text_cols[RED_TEXTS] = { COL_SERVER_NAME, COL_CLIENT_NAME, COL_PROTOCOL,
					       COL_METHOD, COL_RESOURCE };

void red_init(struct red *r)
{
	*r = (struct red){ 0 };
	hash_key_random(&r->key);
}

static void slot_clear(struct red_slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->entries[i].texts);
		sketch_done(&s->entries[i].latency);
	}
	free(s->entries);
	hashmap_done(&s->by_key);
	hashmap_done(&s->by_server);
	*s = (struct red_slot){ 0 };
}

void red_done(struct red *r)
{
	for (size_t i = 0; i < RED_SLOTS; i++)
		slot_clear(&r->slots[i]);
}

static uint64_t key_of(const struct red *r, const struct red_sample *s)
{
	uint64_t h = 0;

	for (size_t i = 0; i < RED_TEXTS; i++)
		h = hash_u64(h ^ hash_bytes(&r->key, s->texts[i]));
	return h;
}

static char *join_texts(const struct red_sample *s)
{
	size_t n = RED_TEXTS, at = 0;
	char *out;

	for (size_t i = 0; i < RED_TEXTS; i++)
		n += s->texts[i].n;
	out = malloc(n);
	for (size_t i = 0; out && i < RED_TEXTS; i++) {
		if (s->texts[i].n)
			memcpy(out + at, s->texts[i].p, s->texts[i].n);
		at += s->texts[i].n;
		out[at++] = 0;
	}
	return out;
}

static struct red_entry *entry_new(struct red *r, struct red_slot *slot, const struct red_sample *s)
{
	struct red_entry *e;

	if (!slot->entries)
		slot->entries = calloc(RED_KEYS_MAX + 1, sizeof(*slot->entries));
	if (!slot->entries)
		return NULL;
	e = &slot->entries[slot->n];
	*e = (struct red_entry){ .texts = join_texts(s) };
	sketch_init(&e->latency);
	if (!e->texts || hashmap_put(&slot->by_key, key_of(r, s), slot->n) < 0) {
		free(e->texts);
		return NULL;
	}
	slot->n++;
	return e;
}

/* The entry of these texts, a new one when there is room. NULL without memory. */
static struct red_entry *entry_for(struct red *r, struct red_slot *slot, const struct red_sample *s)
{
	static const struct slice other = { (const uint8_t *)"(other)", 7 };
	struct red_sample sum = { .texts = { s->texts[0], other } };
	uint64_t server = hash_bytes(&r->key, s->texts[0]), of_server = 0, at;

	if (hashmap_get(&slot->by_key, key_of(r, s), &at))
		return &slot->entries[at];
	(void)hashmap_get(&slot->by_server, server, &of_server);
	if (slot->n >= RED_KEYS_MAX || of_server >= RED_SERVER_KEYS_MAX) {
		if (hashmap_get(&slot->by_key, key_of(r, &sum), &at))
			return &slot->entries[at];
		if (slot->n >= RED_KEYS_MAX)
			sum.texts[0] = other;
		if (hashmap_get(&slot->by_key, key_of(r, &sum), &at))
			return &slot->entries[at];
		s = &sum;
	} else if (hashmap_put(&slot->by_server, server, of_server + 1) < 0) {
		return NULL;
	}
	return entry_new(r, slot, s);
}

void red_add(struct red *r, const struct red_sample *sample)
{
	struct red_sample cut = *sample, *s = &cut;
	uint64_t start = s->end_ns - s->end_ns % RED_SLOT_NS;
	struct red_slot *slot = &r->slots[start / RED_SLOT_NS % RED_SLOTS];
	struct red_entry *e;

	/* Older than what is kept; unless what is kept is of a clock that was far ahead. */
	if (slot->start_ns > start && slot->start_ns - start <= 2 * RED_SLOTS * RED_SLOT_NS)
		return;
	for (size_t i = 0; i < RED_TEXTS; i++)
		s->texts[i] = slice_head(s->texts[i], RED_TEXT_MAX);
	if (slot->start_ns != start) {
		slot_clear(slot);
		hashmap_init(&slot->by_key, RED_KEYS_MAX + 1);
		hashmap_init(&slot->by_server, RED_KEYS_MAX + 1);
		slot->start_ns = start;
	}
	e = entry_for(r, slot, s);
	if (!e)
		return;
	e->requests++;
	e->errors += s->failed;
	e->client_errors += s->client_error;
	e->request_bytes += s->request_bytes;
	e->response_bytes += s->response_bytes;
	if (s->latency_ns < 0)
		return;
	e->answers++;
	e->total_ns += (uint64_t)s->latency_ns;
	e->max_ns = MAX(e->max_ns, (uint64_t)s->latency_ns);
	(void)sketch_add(&e->latency, (double)s->latency_ns, 1);
}

static int put_row(const struct red_slot *slot, const struct red_entry *e, const char *node,
		   struct row_builder *b, struct mem_rows *to)
{
	struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX),
		      text = STRBUF_INIT(2 * SKETCH_BYTES_MAX);
	uint64_t end = slot->start_ns + RED_SLOT_NS - 1;
	const char *t = e->texts;
	int r;

	row_begin(b, TABLE_RED);
	row_int(b, COL_END_TIME, (int64_t)end);
	for (size_t i = 0; i < RED_TEXTS; i++, t += strlen(t) + 1)
		if (*t)
			row_text(b, text_cols[i], slice_str(t));
	row_int(b, COL_REQUESTS, (int64_t)e->requests);
	row_int(b, COL_ERRORS, (int64_t)e->errors);
	row_int(b, COL_CLIENT_ERRORS, (int64_t)e->client_errors);
	row_int(b, COL_REQUEST_BYTES, (int64_t)e->request_bytes);
	row_int(b, COL_RESPONSE_BYTES, (int64_t)e->response_bytes);
	if (e->answers) {
		row_int(b, COL_TOTAL_NS, (int64_t)e->total_ns);
		row_int(b, COL_MAX_NS, (int64_t)e->max_ns);
	}
	row_text(b, COL_NODE, slice_str(node));
	sketch_put(&bytes, &e->latency);
	strbuf_adds(&text, SKETCH_TEXT_PREFIX);
	base64_put(&text, strbuf_slice(&bytes));
	if (!bytes.failed && !text.failed)
		row_text(b, COL_SKETCH, strbuf_slice(&text));
	r = mem_rows_add(to, b, end);
	strbuf_done(&bytes);
	strbuf_done(&text);
	return r;
}

int red_rows(const struct red *r, uint64_t from_ns, uint64_t to_ns, const char *node,
	     struct mem_rows *to)
{
	_cleanup_(freep) struct row_builder *b = malloc(sizeof(*b));
	int err = b ? 0 : -ENOMEM;

	for (size_t i = 0; i < RED_SLOTS && !err; i++) {
		const struct red_slot *slot = &r->slots[i];

		if (!slot->start_ns || slot->start_ns + RED_SLOT_NS <= from_ns ||
		    slot->start_ns > to_ns)
			continue;
		for (size_t k = 0; k < slot->n && !err; k++)
			err = put_row(slot, &slot->entries[k], node, b, to);
	}
	return err;
}
