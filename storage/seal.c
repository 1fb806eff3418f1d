/* Closed logs become SQLite files, a few MiB at a time on the writer's thread. */
#include "storage/store_int.h"

#include "storage/io.h"

#include <errno.h>
#include <stdio.h>

void seal_abandon(struct store *s)
{
	sealer_free(s->sealer);
	s->sealer = NULL;
	s->sealing = NULL;
}

static struct bucket *next_to_seal(struct store *s)
{
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct bucket *b = s->buckets[i];

		if (b->log && s->tables[b->table].open != b)
			return b;
	}
	return NULL;
}

/* A closed log without a row leaves nothing to seal. */
static bool drop_empty(struct store *s, struct bucket *b)
{
	if (b->log->rows > 0 || b->log->records_bad > 0)
		return false;
	pthread_mutex_lock(&s->lock);
	buckets_remove(s, b);
	b->doomed = true;
	pthread_mutex_unlock(&s->lock);
	bucket_put(b);
	return true;
}

/* The sealed files take the log's place. Scans that have the log keep it. */
static void swap_in(struct store *s, struct bucket *b, struct sealed_head *head,
		    uint64_t meta_bytes, uint64_t payload_bytes)
{
	char file[BUCKET_NAME_MAX + 8];
	struct rowlog *log = b->log;
	uint64_t run_ns = b->log->last_run_ns;
	unsigned int errors;

	pthread_mutex_lock(&s->lock);
	s->c.rows_stored -= log->rows - head->rows;
	s->c.rows_damaged += log->rows - head->rows;
	bucket_take_head(b, head);
	b->run_ns = run_ns;
	b->meta_bytes = meta_bytes;
	b->payload_bytes = payload_bytes;
	b->log = NULL;
	pthread_mutex_unlock(&s->lock);
	snprintf(file, sizeof(file), "%s.log", b->name);
	errors = io_sync(s->dirfd) < 0;
	errors += io_unlink(s->dirfd, file) < 0; /* left behind, it goes at the next start */
	errors += catalog_put(s->catalog, b) < 0;
	rowlog_put(log);
	sealed_head_done(head);
	pthread_mutex_lock(&s->lock);
	s->c.write_errors += errors;
	pthread_mutex_unlock(&s->lock);
}

static void seal_failed(struct store *s, int err)
{
	bool full = err == -ENOSPC || err == -EDQUOT;

	seal_abandon(s);
	pthread_mutex_lock(&s->lock);
	s->c.write_errors++;
	if (full) {
		s->c.disk_full = true;
		retain_emergency(s);
	}
	pthread_mutex_unlock(&s->lock);
	s->seal_boot_ns = s->boot_ns + RETRY_NS;
}

void seal_step(struct store *s, size_t budget)
{
	struct sealed_head head = { 0 };
	uint64_t meta_bytes = 0, payload_bytes = 0;
	struct bucket *b = s->sealing;
	int err;

	if (s->boot_ns < s->seal_boot_ns)
		return;
	if (!b) {
		b = next_to_seal(s);
		if (!b || drop_empty(s, b))
			return;
		err = sealer_new(s->dir, s->dirfd, b->name, b->log, &s->sealer);
		if (err < 0) {
			seal_failed(s, err);
			return;
		}
		s->sealing = b;
	}
	err = sealer_step(s->sealer, s->z, s->encoder, budget);
	if (err == 1)
		return;
	if (!err)
		err = sealer_finish(s->sealer, &head, &meta_bytes, &payload_bytes);
	if (err < 0) {
		seal_failed(s, err);
		return;
	}
	seal_abandon(s);
	swap_in(s, b, &head, meta_bytes, payload_bytes);
}
