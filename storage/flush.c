/* Rows on their way from the builder to the bucket's log. */
#include "storage/store_int.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>

#define LOG_GARBAGE 4 /* a log may grow to so many times its bucket's limit with replaced minis */
#define SEGS_MAX    (SEALED_SEGS_MAX / 2)
#define QUIET_HOURS 4
#define QUIET_BYTES (4 * MIB)
#define HOUR_NS	    (3600 * NSEC_PER_SEC)

void pieces_drop(struct table_store *t)
{
	for (size_t i = 0; i < t->n_pieces; i++)
		memseg_put(t->pieces[i]);
	t->n_pieces = 0;
	t->pieced = 0;
}

uint64_t flush_first_in_memory(const struct table_store *t)
{
	return t->n_pending ? t->pending[0]->desc.first_row : t->base_row;
}

/* Notes how a write went; a failed one is not tried again for a while. */
static int wrote(struct store *s, int err)
{
	s->c.disk_full = err == -ENOSPC || err == -EDQUOT;
	if (err < 0) {
		s->c.write_errors++;
		s->retry_boot_ns = s->boot_ns + RETRY_NS;
	}
	return err;
}

static int create_bucket(struct store *s, struct table_store *t)
{
	struct bucket *b = bucket_new(s->dir, s->dirfd, t->table, t->next_no, s->now_ns);
	struct rowlog head = { .table = t->table,
			       .bucket_no = t->next_no,
			       .start_ns = s->now_ns,
			       .run_ns = s->run_ns };
	char file[BUCKET_NAME_MAX + 8];
	struct hash_key random;
	int err;

	if (!b)
		return -ENOMEM;
	hash_key_random(&random);
	head.uid = random.k0;
	snprintf(file, sizeof(file), "%s.log", b->name);
	err = rowlog_create(s->dirfd, file, &head, &b->log);
	if (!err)
		err = buckets_add(s, b);
	if (err < 0) {
		b->doomed = true;
		bucket_put(b);
		return err;
	}
	b->uid = head.uid;
	b->run_ns = head.run_ns;
	t->open = b;
	return 0;
}

static int append_once(struct store *s, struct table_store *t, enum log_kind kind,
		       const struct seg_desc *desc, struct slice data)
{
	struct rowlog *log;
	uint64_t before;
	int err = 0;

	if (!t->open)
		err = create_bucket(s, t);
	if (err < 0)
		return err;
	log = t->open->log;
	if (desc->first_row > log->next_row)
		err = rowlog_append_gap(log, desc->first_row - log->next_row, s->run_ns);
	before = log->rows;
	if (!err)
		err = rowlog_append(log, kind, desc, data, s->run_ns, s->z);
	if (err < 0)
		return err;
	s->c.rows_written += log->rows - before;
	s->c.rows_stored += log->rows - before;
	return 0;
}

/* Appends a segment; a full disk gives up its oldest bucket once. */
static int append(struct store *s, struct table_store *t, enum log_kind kind,
		  const struct seg_desc *desc, struct slice data)
{
	int err = append_once(s, t, kind, desc, data);

	if ((err == -ENOSPC || err == -EDQUOT) && retain_emergency(s))
		err = append_once(s, t, kind, desc, data);
	return wrote(s, err);
}

/* Holds a segment for later, within the memory limit: the oldest held rows are lost for it. */
static void hold(struct store *s, struct table_store *t, struct memseg *m)
{
	struct memseg **grown = realloc(t->pending, (t->n_pending + 1) * sizeof(struct memseg *));

	if (!grown) {
		s->c.rows_lost += m->desc.rows - m->rows_logged;
		memseg_put(m);
		return;
	}
	t->pending = grown;
	t->pending[t->n_pending++] = m;
	s->c.bytes_held += memseg_bytes(m);
	while (s->c.bytes_held > s->o.held_bytes && t->n_pending > 0) {
		struct memseg *oldest = t->pending[0];

		s->c.bytes_held -= memseg_bytes(oldest);
		s->c.rows_lost += oldest->desc.rows - oldest->rows_logged;
		memmove(t->pending, t->pending + 1, --t->n_pending * sizeof(struct memseg *));
		memseg_put(oldest);
	}
}

int flush_pending(struct store *s, struct table_store *t)
{
	while (t->n_pending > 0) {
		struct memseg *m = t->pending[0];
		int err = append(s, t, LOG_FULL, &m->desc, strbuf_slice(&m->data));

		if (err < 0)
			return err;
		s->c.bytes_held -= memseg_bytes(m);
		memmove(t->pending, t->pending + 1, --t->n_pending * sizeof(struct memseg *));
		memseg_put(m);
	}
	return 0;
}

static void builder_start_again(struct table_store *t)
{
	t->base_row += builder_rows(t->builder);
	builder_reset(t->builder);
	pieces_drop(t);
	t->logged = 0;
}

void flush_drop(struct store *s, struct table_store *t)
{
	s->c.rows_lost += builder_rows(t->builder) - t->logged;
	builder_start_again(t);
	while (t->n_pending > 0) {
		struct memseg *m = t->pending[--t->n_pending];

		s->c.bytes_held -= memseg_bytes(m);
		s->c.rows_lost += m->desc.rows - m->rows_logged;
		memseg_put(m);
	}
}

/* The encoded segment of s->buf moves to memory, waiting for room. */
static void hold_encoded(struct store *s, struct table_store *t)
{
	uint32_t no = t->open ? t->open->no : t->next_no;
	uint32_t rows = builder_rows(t->builder);
	struct memseg *m = memseg_new(&s->buf, no, t->base_row);

	if (m) {
		m->rows_logged = t->logged;
		hold(s, t, m);
	} else {
		s->c.rows_lost += rows - t->logged;
	}
}

int flush_table(struct store *s, struct table_store *t)
{
	uint32_t rows = builder_rows(t->builder);
	int err;

	if (rows == 0)
		return flush_pending(s, t);
	err = builder_encode(t->builder, s->encoder, 0, rows, true, &s->buf);
	if (err < 0) {
		s->c.rows_lost += rows - t->logged;
		builder_start_again(t);
		return err;
	}
	s->buf.desc->first_row = t->base_row;
	err = s->boot_ns < s->retry_boot_ns ? -EAGAIN : flush_pending(s, t);
	if (!err)
		err = append(s, t, LOG_FULL, s->buf.desc, strbuf_slice(&s->buf.data));
	if (err < 0)
		hold_encoded(s, t);
	builder_start_again(t);
	return err;
}

int flush_minis(struct store *s, struct table_store *t)
{
	uint32_t rows = builder_rows(t->builder);
	int err;

	if (rows == t->logged && t->n_pending == 0)
		return 0;
	if (s->boot_ns < s->retry_boot_ns)
		return -EAGAIN;
	err = flush_pending(s, t);
	if (err < 0 || rows == t->logged)
		return err;
	err = builder_encode(t->builder, s->encoder, t->logged, rows, false, &s->buf);
	if (err < 0)
		return err;
	s->buf.desc->first_row = t->base_row + t->logged;
	err = append(s, t, LOG_MINI, s->buf.desc, strbuf_slice(&s->buf.data));
	if (!err)
		t->logged = rows;
	return err;
}

static void count_memory(struct store *s, struct table_store *t)
{
	size_t now = builder_memory(t->builder);

	s->open_bytes += now - t->memory;
	t->memory = now;
}

static struct table_store *largest(struct store *s)
{
	struct table_store *most = NULL;

	for (size_t i = 0; i < _TABLE_MAX; i++) {
		struct table_store *t = &s->tables[i];

		if (t->memory && (!most || t->memory > most->memory))
			most = t;
	}
	return most;
}

void flush_for_memory(struct store *s, struct table_store *t)
{
	count_memory(s, t);
	while (s->open_bytes > s->o.open_bytes && (t = largest(s))) {
		(void)flush_table(s, t);
		builder_give_back(t->builder);
		count_memory(s, t);
	}
}

bool flush_roll_due(const struct store *s, const struct table_store *t)
{
	const struct rowlog *log = t->open ? t->open->log : NULL;
	uint64_t age;

	if (!log)
		return false;
	age = s->run_ns - MIN(s->run_ns, log->run_ns);
	if (log->bytes_live >= s->o.bucket_bytes || log->size >= LOG_GARBAGE * s->o.bucket_bytes ||
	    log->n_entries >= SEGS_MAX)
		return true;
	if (s->o.bucket_ns)
		return age >= s->o.bucket_ns;
	if (s->o.retention_age_ns && age >= s->o.retention_age_ns / 8)
		return true;
	return age >= HOUR_NS * (log->bytes_live >= QUIET_BYTES ? 1 : QUIET_HOURS);
}

int flush_roll(struct store *s, struct table_store *t)
{
	int err = flush_table(s, t);

	if (err < 0)
		return err;
	if (t->open)
		t->next_no = t->open->no + 1;
	t->open = NULL;
	t->base_row = 0;
	return 0;
}
