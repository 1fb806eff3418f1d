#include "storage/bucket.h"

#include "base/text.h"
#include "protocols/schema.h"
#include "storage/io.h"

#include <stdio.h>

struct bucket *bucket_new(const char *dir, int dirfd, uint16_t table, uint32_t no,
			  uint64_t start_ns)
{
	struct bucket *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->refs = 1;
	b->dir = dir;
	b->dirfd = dirfd;
	b->table = table;
	b->no = no;
	b->start_ns = start_ns;
	b->tmin = UINT64_MAX;
	snprintf(b->name, sizeof(b->name), "%s-%08u-%010llu", schema_table(table)->name, no,
		 (unsigned long long)(start_ns / NSEC_PER_SEC));
	return b;
}

struct bucket *bucket_get(struct bucket *b)
{
	atomic_fetch_add(&b->refs, 1);
	return b;
}

static void remove_file(struct bucket *b, const char *suffix)
{
	char file[BUCKET_NAME_MAX + 16];

	snprintf(file, sizeof(file), "%s.%s", b->name, suffix);
	(void)io_unlink(b->dirfd, file);
}

void bucket_put(struct bucket *b)
{
	if (!b || atomic_fetch_sub(&b->refs, 1) > 1)
		return;
	if (b->doomed) {
		/* Without the meta file the payload means nothing: it goes last. */
		remove_file(b, "meta.db");
		remove_file(b, "log");
		remove_file(b, "payload.db");
	}
	rowlog_put(b->log);
	free(b);
}

void bucket_take_head(struct bucket *b, const struct sealed_head *h)
{
	b->start_ns = h->start_ns;
	b->run_ns = h->run_ns;
	b->uid = h->uid;
	b->rows = h->rows;
	b->rows_bad = h->rows_bad;
	b->records_bad = h->records_bad;
	b->tmin = h->tmin;
	b->tmax = h->tmax;
	b->n_segs = h->n_segs;
	b->has_payload = h->has_payload;
}

/* TABLE-NUMBER-SECOND at the front of a file's name; *ret_rest is what follows. */
static bool parse_name(const char *file, char *ret_name, uint16_t *ret_table, uint32_t *ret_no,
		       uint64_t *ret_start_s, const char **ret_rest)
{
	const char *dot = strchr(file, '.');
	struct slice whole = slice_of(file, dot ? (size_t)(dot - file) : 0), rest;
	char table[32];
	uint64_t no, start;
	size_t at;

	at = slice_find(whole, '-');
	if (whole.n == 0 || whole.n >= BUCKET_NAME_MAX || at == 0 || at >= sizeof(table))
		return false;
	memcpy(table, whole.p, at);
	table[at] = 0;
	rest = slice_from(whole, at + 1);
	at = slice_find(rest, '-');
	if (!schema_table_by_name(table) || parse_u64(slice_head(rest, at), &no) < 0 ||
	    parse_u64(slice_from(rest, at + 1), &start) < 0 || no > UINT32_MAX - 1)
		return false;
	memcpy(ret_name, whole.p, whole.n);
	ret_name[whole.n] = 0;
	*ret_table = schema_table_by_name(table)->id;
	*ret_no = (uint32_t)no;
	*ret_start_s = start;
	*ret_rest = dot;
	return true;
}

enum bucket_file bucket_file_of(const char *file, char *ret_name, uint16_t *ret_table,
				uint32_t *ret_no, uint64_t *ret_start_s)
{
	static const struct {
		const char *suffix;
		enum bucket_file kind;
	} kinds[] = {
		{ ".log", FILE_LOG },
		{ ".meta.db", FILE_META },
		{ ".payload.db", FILE_PAYLOAD },
		{ ".meta.db.tmp", FILE_TMP },
		{ ".payload.db.tmp", FILE_TMP },
		{ ".log.bad", FILE_BAD },
		{ ".meta.db.bad", FILE_BAD },
		{ ".payload.db.bad", FILE_BAD },
	};
	const char *rest;

	if (!parse_name(file, ret_name, ret_table, ret_no, ret_start_s, &rest))
		return FILE_OTHER;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(rest, kinds[i].suffix) == 0)
			return kinds[i].kind;
	return FILE_OTHER;
}
