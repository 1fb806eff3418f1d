/* What a directory holds when its new writer comes. */
#include "storage/store_int.h"

#include "base/util.h"
#include "storage/dirlist.h"
#include "storage/io.h"

#include <errno.h>
#include <stdio.h>

static void rename_bad(struct store *s, const char *name, const char *suffix)
{
	char from[BUCKET_NAME_MAX + 16], to[BUCKET_NAME_MAX + 24];

	snprintf(from, sizeof(from), "%s.%s", name, suffix);
	snprintf(to, sizeof(to), "%s.bad", from);
	(void)io_rename(s->dirfd, from, to);
}

void recover_set_aside(struct store *s, struct bucket *b, const char *why)
{
	char file[BUCKET_NAME_MAX + 16];
	const char *suffix = b->log ? "log" : "meta.db";

	snprintf(file, sizeof(file), "%s.%s", b->name, suffix);
	store_damage_add(s, file, why);
	rename_bad(s, b->name, suffix);
	if (b->payload_bytes)
		rename_bad(s, b->name, "payload.db");
	s->c.files_bad++;
	s->tables[b->table].files_bad++;
	s->bytes_bad += b->meta_bytes + b->payload_bytes;
}

/* Set aside before there is a bucket for it. */
static void set_aside_file(struct store *s, const struct dir_bucket *d, const char *suffix,
			   uint64_t bytes, const char *why)
{
	char file[BUCKET_NAME_MAX + 16];

	snprintf(file, sizeof(file), "%s.%s", d->name, suffix);
	store_damage_add(s, file, why);
	rename_bad(s, d->name, suffix);
	s->c.files_bad++;
	s->tables[d->table].files_bad++;
	s->bytes_bad += bytes;
}

int recover_check(struct store *s, struct store_diag *diag)
{
	struct dirlist list;
	const struct dir_bucket *newer;
	int err = dirlist_read(s->dirfd, false, &list);

	if (err < 0) {
		snprintf(diag->text, sizeof(diag->text), "cannot read the directory %.200s: %s",
			 s->dir, strerror(-err));
		return err;
	}
	newer = dirlist_newer(&list, s->dir, s->dirfd);
	if (newer)
		snprintf(
			diag->text, sizeof(diag->text),
			"%.160s/%s was written by a newer version of Kelpie, whose format this one "
			"does "
			"not know; nothing was touched. Use the newer version or another directory",
			s->dir, newer->name);
	dirlist_done(&list);
	return newer ? -EPROTONOSUPPORT : 0;
}

static void remove_file(struct store *s, const char *name, const char *suffix)
{
	char file[BUCKET_NAME_MAX + 16];

	snprintf(file, sizeof(file), "%s.%s", name, suffix);
	(void)io_unlink(s->dirfd, file);
}

/* The sealed files of a bucket. 0, or -EBADMSG after they were set aside. */
static int load_sealed(struct store *s, struct dir_bucket *d, struct bucket *b)
{
	struct sealed_head head = { 0 };
	char file[BUCKET_NAME_MAX + 16];
	int err;

	snprintf(file, sizeof(file), "%s.meta.db", d->name);
	err = sealed_head_read(s->dir, file, &head);
	if (!err && (head.class != CLASS_META || head.table != d->table || head.bucket_no != d->no))
		err = -EBADMSG;
	if (err == -ENOMEM || err == -EACCES || err == -EMFILE)
		return err;
	if (err < 0) {
		sealed_head_done(&head);
		set_aside_file(s, d, "meta.db", d->meta_bytes, strerror(-err));
		d->meta = false;
		return -EBADMSG;
	}
	bucket_take_head(b, &head);
	sealed_head_done(&head);
	b->meta_bytes = d->meta_bytes;
	b->payload_bytes = d->payload ? d->payload_bytes : 0;
	b->has_payload = d->payload;
	s->c.rows_damaged += b->rows_bad;
	s->c.segments_bad += b->records_bad;
	return 0;
}

static int load_log(struct store *s, struct dir_bucket *d, struct bucket *b)
{
	char file[BUCKET_NAME_MAX + 16];
	int err;

	snprintf(file, sizeof(file), "%s.log", d->name);
	if (d->log_bytes < LOG_HEAD) { /* its writer died while it made the file */
		(void)io_unlink(s->dirfd, file);
		return -EBADMSG;
	}
	err = rowlog_open(s->dirfd, file, true, &b->log);
	if (!err && (b->log->table != d->table || b->log->bucket_no != d->no)) {
		rowlog_put(b->log);
		b->log = NULL;
		err = -EBADMSG;
	}
	if (err == -EBADMSG)
		set_aside_file(s, d, "log", d->log_bytes, "damaged header");
	if (err < 0)
		return err;
	b->uid = b->log->uid;
	b->start_ns = b->log->start_ns;
	s->c.rows_damaged += b->log->rows_bad;
	s->c.segments_bad += b->log->records_bad;
	if (b->log->records_bad)
		store_damage_add(s, file, "damaged records");
	return 0;
}

/* One bucket's files become a bucket of the store. */
static int load_bucket(struct store *s, struct dir_bucket *d)
{
	struct bucket *b = bucket_new(s->dir, s->dirfd, d->table, d->no, d->start_s * NSEC_PER_SEC);
	int err = -EBADMSG;

	if (!b)
		return -ENOMEM;
	if (d->meta)
		err = load_sealed(s, d, b);
	if (!err && d->log)
		remove_file(s, d->name,
			    "log"); /* sealed, but its writer died before it could do this */
	if (err == -EBADMSG && d->log) {
		err = load_log(s, d, b);
		if (!err && d->payload && !d->meta)
			remove_file(s, d->name, "payload.db"); /* it will be sealed again */
	} else if (err == -EBADMSG && d->payload) {
		if (s->c.files_bad)
			rename_bad(s, d->name, "payload.db");
		else
			remove_file(s, d->name, "payload.db"); /* expired, but for this */
	}
	if (!err)
		err = buckets_add(s, b);
	if (err < 0) {
		bucket_put(b);
		return err == -EBADMSG ? 0 : err;
	}
	s->run_ns = MAX(s->run_ns, b->log ? b->log->last_run_ns : b->run_ns);
	s->c.rows_stored += bucket_rows(b);
	return 0;
}

/* The newest log of each table is written on; the others wait to be sealed. */
static void choose_open(struct store *s, const struct dirlist *list)
{
	for (size_t i = 0; i < _TABLE_MAX; i++) {
		struct table_store *t = &s->tables[i];
		struct bucket *newest = NULL;

		t->files_bad += list->files_bad[i];
		t->next_no = list->top_no[i] + 1;
		for (size_t k = 0; k < s->n_buckets; k++)
			if (s->buckets[k]->table == i)
				newest = s->buckets[k];
		if (!t->builder || !newest || !newest->log || newest->no != list->top_no[i])
			continue;
		t->open = newest;
		if (flush_roll_due(s, t)) {
			t->open = NULL;
			continue;
		}
		t->base_row = newest->log->next_row;
	}
}

static void note_missing(void *ctx, const char *name)
{
	struct store *s = ctx;

	for (size_t i = 0; i < s->n_buckets; i++)
		if (strcmp(s->buckets[i]->name, name) == 0)
			return;
	s->c.files_missing++;
	store_damage_add(s, name, "known to the catalogue, not in the directory");
	(void)catalog_del(s->catalog, name);
}

int recover_load(struct store *s, struct store_diag *diag)
{
	struct dirlist list;
	int err = dirlist_read(s->dirfd, true, &list);

	for (size_t i = 0; !err && i < list.n; i++)
		err = load_bucket(s, &list.v[i]);
	if (err < 0) {
		snprintf(diag->text, sizeof(diag->text), "cannot read the store in %.200s: %s",
			 s->dir, strerror(-err));
		dirlist_done(&list);
		return err;
	}
	s->bytes_bad += list.bytes_bad;
	choose_open(s, &list);
	dirlist_done(&list);
	s->c.rows_found = s->c.rows_stored + s->c.rows_damaged;
	s->catalog = catalog_open(s->dir);
	catalog_begin(s->catalog);
	catalog_each(s->catalog, note_missing, s);
	for (size_t i = 0; i < s->n_buckets; i++)
		if (!s->buckets[i]->log)
			(void)catalog_put(s->catalog, s->buckets[i]);
	catalog_commit(s->catalog);
	return 0;
}
