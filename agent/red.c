#include "agent/red.h"

#include "base/base64.h"
#include "query/sketch.h"

#include <errno.h>

/* The texts of a key, shared by the slots that have it. */
struct red_names {
	uint64_t hash;
	uint32_t slots; /* that have it */
	uint32_t bytes; /* of all this */
	char texts[];	/* RED_TEXTS strings, each with its NUL */
};

/* The sketch, or once the slot is packed what sketch_put() makes of it. */
struct red_entry {
	struct red_names *names;
	uint64_t requests, errors, client_errors, request_bytes, response_bytes;
	uint64_t answers, total_ns, max_ns; /* of those with a latency */
	struct sketch *latency;
	uint8_t *packed;
	size_t packed_n;
};

static const uint16_t text_cols[RED_TEXTS] = { COL_SERVER_NAME, COL_CLIENT_NAME, COL_PROTOCOL,
					       COL_METHOD, COL_RESOURCE };

void red_init(struct red *r)
{
	*r = (struct red){ 0 };
	hash_key_random(&r->key);
	hashmap_init(&r->names, (size_t)RED_SLOTS * (RED_KEYS_MAX + 1));
}

/* ---- names ---- */

static uint64_t key_of(const struct red *r, const struct red_sample *s)
{
	uint64_t h = 0;

	for (size_t i = 0; i < RED_TEXTS; i++)
		h = hash_u64(h ^ hash_bytes(&r->key, s->texts[i]));
	return h;
}

static size_t names_size(const struct red_sample *s)
{
	size_t n = sizeof(struct red_names) + RED_TEXTS;

	for (size_t i = 0; i < RED_TEXTS; i++)
		n += s->texts[i].n;
	return n;
}

/* Whether there is room for the names, or they are here. */
static bool names_fit(const struct red *r, const struct red_sample *s)
{
	return r->names_bytes + names_size(s) <= RED_NAMES_BYTES_MAX ||
	       hashmap_get_ptr(&r->names, key_of(r, s));
}

/* For one slot more. NULL without memory. */
static struct red_names *names_take(struct red *r, const struct red_sample *s)
{
	uint64_t hash = key_of(r, s);
	struct red_names *names = hashmap_get_ptr(&r->names, hash);
	char *at;

	if (names) {
		names->slots++;
		return names;
	}
	names = malloc(names_size(s));
	if (!names || hashmap_put_ptr(&r->names, hash, names) < 0) {
		free(names);
		return NULL;
	}
	*names = (struct red_names){ hash, 1, (uint32_t)names_size(s) };
	r->names_bytes += names->bytes;
	at = names->texts;
	for (size_t i = 0; i < RED_TEXTS; i++) {
		if (s->texts[i].n)
			memcpy(at, s->texts[i].p, s->texts[i].n);
		at += s->texts[i].n;
		*at++ = 0;
	}
	return names;
}

static void names_put(struct red *r, struct red_names *names)
{
	if (--names->slots)
		return;
	hashmap_del(&r->names, names->hash);
	r->names_bytes -= names->bytes;
	free(names);
}

static uint64_t server_of(const struct red *r, const struct red_names *names)
{
	return hash_bytes(&r->key, slice_str(names->texts));
}

/* ---- slots ---- */

static void entry_forget_sketch(struct red_entry *e)
{
	if (e->latency)
		sketch_done(e->latency);
	free(e->latency);
	free(e->packed);
	e->latency = NULL;
	e->packed = NULL;
}

static void slot_clear(struct red *r, struct red_slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		names_put(r, s->entries[i].names);
		entry_forget_sketch(&s->entries[i]);
	}
	free(s->entries);
	hashmap_done(&s->by_key);
	hashmap_done(&s->by_server);
	*s = (struct red_slot){ 0 };
}

static void slot_begin(struct red *r, struct red_slot *s, uint64_t start_ns)
{
	slot_clear(r, s);
	hashmap_init(&s->by_key, RED_KEYS_MAX + 1);
	hashmap_init(&s->by_server, RED_KEYS_MAX + 1);
	s->start_ns = start_ns;
}

void red_done(struct red *r)
{
	for (size_t i = 0; i < RED_SLOTS; i++)
		slot_clear(r, &r->slots[i]);
	hashmap_done(&r->names);
}

/* Without memory it stays as it is. */
static void entry_pack(struct red_entry *e)
{
	struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX);

	if (!e->latency)
		return;
	sketch_put(&bytes, e->latency);
	if (!bytes.failed) {
		uint8_t *packed = malloc(bytes.len + 1);

		if (packed) {
			memcpy(packed, bytes.p, bytes.len);
			entry_forget_sketch(e);
			e->packed = packed;
			e->packed_n = bytes.len;
		}
	}
	strbuf_done(&bytes);
}

/* The entry's sketch, to be added to. NULL without memory. */
static struct sketch *entry_sketch(struct red_entry *e)
{
	struct sketch *s;

	if (e->latency)
		return e->latency;
	s = malloc(sizeof(*s));
	if (!s)
		return NULL;
	sketch_init(s);
	if (e->packed && sketch_get(slice_of(e->packed, e->packed_n), s) < 0) {
		free(s);
		return NULL;
	}
	free(e->packed);
	e->packed = NULL;
	return e->latency = s;
}

static void slot_pack(struct red_slot *s)
{
	struct red_entry *entries;

	hashmap_done(&s->by_key);
	hashmap_done(&s->by_server);
	for (size_t i = 0; i < s->n; i++)
		entry_pack(&s->entries[i]);
	entries = realloc(s->entries, (s->n + 1) * sizeof(*entries));
	if (entries) {
		s->entries = entries;
		s->cap = s->n + 1;
	}
	s->packed = true;
}

/* A row comes late: its slot is found by names again. False without memory; then it stays packed. */
static bool slot_unpack(const struct red *r, struct red_slot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct red_names *names = s->entries[i].names;
		uint64_t server = server_of(r, names), of_server = 0;

		(void)hashmap_get(&s->by_server, server, &of_server);
		if (hashmap_put(&s->by_key, names->hash, i) < 0 ||
		    hashmap_put(&s->by_server, server, of_server + 1) < 0) {
			hashmap_done(&s->by_key);
			hashmap_done(&s->by_server);
			return false;
		}
	}
	s->packed = false;
	return true;
}

/* A slot begins: those that are over are packed, and those of a clock that was ahead. */
static void pack_others(struct red *r, uint64_t start_ns)
{
	for (size_t i = 0; i < RED_SLOTS; i++) {
		struct red_slot *s = &r->slots[i];

		if (s->start_ns && !s->packed &&
		    start_ns - s->start_ns > RED_OPEN_SLOTS * RED_SLOT_NS)
			slot_pack(s);
	}
}

static struct red_entry *entry_new(struct red *r, struct red_slot *slot, const struct red_sample *s)
{
	struct red_entry *e;

	if (slot->n == slot->cap) {
		size_t cap = MIN(MAX(slot->cap * 2, (size_t)16), (size_t)RED_KEYS_MAX + 1);

		e = realloc(slot->entries, cap * sizeof(*e));
		if (!e)
			return NULL;
		slot->entries = e;
		slot->cap = cap;
	}
	e = &slot->entries[slot->n];
	*e = (struct red_entry){ .names = names_take(r, s) };
	if (!e->names)
		return NULL;
	if (hashmap_put(&slot->by_key, e->names->hash, slot->n) < 0) {
		names_put(r, e->names);
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
	bool full = slot->n >= RED_KEYS_MAX || !names_fit(r, s);

	if (hashmap_get(&slot->by_key, key_of(r, s), &at))
		return &slot->entries[at];
	(void)hashmap_get(&slot->by_server, server, &of_server);
	if (full || of_server >= RED_SERVER_KEYS_MAX) {
		if (hashmap_get(&slot->by_key, key_of(r, &sum), &at))
			return &slot->entries[at];
		if (full)
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
	struct sketch *latency;

	/* Older than what is kept; unless what is kept is of a clock that was far ahead. */
	if (slot->start_ns > start && slot->start_ns - start <= 2 * RED_SLOTS * RED_SLOT_NS)
		return;
	for (size_t i = 0; i < RED_TEXTS; i++)
		s->texts[i] = slice_head(s->texts[i], RED_TEXT_MAX);
	if (slot->start_ns != start) {
		slot_begin(r, slot, start);
		pack_others(r, start);
	} else if (slot->packed && !slot_unpack(r, slot)) {
		return;
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
	latency = entry_sketch(e);
	if (latency)
		(void)sketch_add(latency, (double)s->latency_ns, 1);
}

static size_t map_bytes(const struct hashmap *m)
{
	return m->cap * sizeof(*m->slots);
}

size_t red_bytes(const struct red *r)
{
	size_t n = sizeof(*r) + r->names_bytes + map_bytes(&r->names);

	for (size_t i = 0; i < RED_SLOTS; i++) {
		const struct red_slot *s = &r->slots[i];

		n += s->cap * sizeof(*s->entries) + map_bytes(&s->by_key) +
		     map_bytes(&s->by_server);
		for (size_t k = 0; k < s->n; k++) {
			const struct red_entry *e = &s->entries[k];

			n += e->packed ? e->packed_n : 0;
			n += e->latency ? sizeof(*e->latency) + (e->latency->positive.cap +
								 e->latency->negative.cap) *
									sizeof(uint64_t)
					: 0;
		}
	}
	return n;
}

/* ---- rows ---- */

/* Of an entry without a latency: the empty one. */
static void put_sketch(struct row_builder *b, const struct red_entry *e)
{
	struct strbuf bytes = STRBUF_INIT(SKETCH_BYTES_MAX),
		      text = STRBUF_INIT(2 * SKETCH_BYTES_MAX);
	struct sketch empty;

	if (e->packed) {
		strbuf_add(&bytes, e->packed, e->packed_n);
	} else {
		sketch_init(&empty);
		sketch_put(&bytes, e->latency ? e->latency : &empty);
	}
	strbuf_adds(&text, SKETCH_TEXT_PREFIX);
	base64_put(&text, strbuf_slice(&bytes));
	if (!bytes.failed && !text.failed)
		row_text(b, COL_SKETCH, strbuf_slice(&text));
	strbuf_done(&bytes);
	strbuf_done(&text);
}

static int put_row(const struct red_slot *slot, const struct red_entry *e, const char *node,
		   struct row_builder *b, struct mem_rows *to)
{
	uint64_t end = slot->start_ns + RED_SLOT_NS - 1;
	const char *t = e->names->texts;

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
	put_sketch(b, e);
	return mem_rows_add(to, b, end);
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
