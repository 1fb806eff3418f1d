/* Scans of the live store: files, segments that wait for room, and the open builder. */
#include "storage/store_int.h"

#include <errno.h>

/* The builder's rows as encoded segments. Each look encodes only what came since the last one;
 * after a few looks they become one segment again, so that neither side grows. */
static int cut_pieces(struct store *s, struct table_store *t)
{
	uint32_t rows = builder_rows(t->builder);
	struct memseg *m;
	int err;

	t->scanned_boot_ns = s->boot_ns;

	if (t->pieced == rows)
		return 0;
	if (t->n_pieces == PIECES_MAX)
		pieces_drop(t);
	err = builder_encode(t->builder, s->encoder, t->pieced, rows, false, &s->buf);
	if (err < 0)
		return err;
	m = memseg_new(&s->buf, t->open ? t->open->no : t->next_no, t->base_row + t->pieced);
	if (!m)
		return -ENOMEM;
	t->pieces[t->n_pieces++] = m;
	t->pieced = rows;
	return 0;
}

static void widen(struct scan_snapshot *snap, uint64_t tmin, uint64_t tmax)
{
	if (tmin > tmax)
		return;
	snap->oldest_ns = snap->oldest_ns ? MIN(snap->oldest_ns, tmin) : tmin;
	snap->newest_ns = MAX(snap->newest_ns, tmax);
}

static int add_mem(struct scan_snapshot *snap, struct memseg *m)
{
	widen(snap, m->desc.tmin, m->desc.tmax);
	return scan_snapshot_add_mem(snap, m);
}

/* Minis of rows that are in memory too: those are read from there. */
static void hide_minis(struct scan_bucket *sb, uint64_t first_in_memory)
{
	while (sb->n_entries > 0 && sb->entries[sb->n_entries - 1].kind == LOG_MINI &&
	       sb->entries[sb->n_entries - 1].first_row >= first_in_memory)
		sb->n_entries--;
}

static int add_bucket(struct scan_snapshot *snap, const struct scan_plan *plan, struct bucket *b)
{
	uint64_t tmin = b->log ? b->log->tmin : b->tmin, tmax = b->log ? b->log->tmax : b->tmax;

	snap->segments_bad += b->log ? b->log->records_bad : b->records_bad;
	snap->rows_bad += b->log ? b->log->rows_bad : b->rows_bad;
	widen(snap, tmin, tmax);
	if (tmin > tmax || tmin > plan->to_ns || tmax < plan->from_ns) {
		snap->segments_skipped += b->log ? b->log->n_entries : b->n_segs;
		return 0;
	}
	return scan_snapshot_add(snap, b, b->log);
}

static int take_snapshot(struct store *s, struct table_store *t, const struct scan_plan *plan,
			 struct scan_snapshot *snap)
{
	int err = cut_pieces(s, t);

	snap->segments_bad = t->files_bad;
	for (size_t i = 0; i < s->n_buckets && !err; i++) {
		size_t before = snap->n_buckets;

		if (s->buckets[i]->table != t->table)
			continue;
		err = add_bucket(snap, plan, s->buckets[i]);
		if (!err && s->buckets[i] == t->open && snap->n_buckets > before)
			hide_minis(&snap->buckets[before], flush_first_in_memory(t));
	}
	for (size_t i = 0; i < t->n_pending && !err; i++)
		err = add_mem(snap, t->pending[i]);
	for (size_t i = 0; i < t->n_pieces && !err; i++)
		err = add_mem(snap, t->pieces[i]);
	return err;
}

int live_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct store *s = container_of(src, struct store, source);
	struct scan_snapshot snap = { 0 };
	int err = scan_plan_check(plan);

	if (err < 0 || !s->tables[plan->table].builder)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	err = take_snapshot(s, &s->tables[plan->table], plan, &snap);
	pthread_mutex_unlock(&s->lock);
	if (err < 0) {
		scan_snapshot_done(&snap);
		return err;
	}
	return scan_start(plan, &snap, ret);
}
