/* What is deleted, and when: by age, by bytes, and when the disk is full. The unit is a whole file.
 */
#include "storage/store_int.h"

#include "storage/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Each table keeps an eighth of the budget, divided by the number of tables. */
#define FLOOR_SHARE 8

uint64_t bucket_rows(const struct bucket *b)
{
	return b->log ? b->log->rows : b->rows;
}

static uint64_t bucket_bytes(const struct bucket *b)
{
	return (b->log ? b->log->size : b->meta_bytes) + b->payload_bytes;
}

static uint64_t bucket_run(const struct bucket *b)
{
	return b->log ? b->log->last_run_ns : b->run_ns;
}

int buckets_add(struct store *s, struct bucket *b)
{
	if (s->n_buckets == s->cap_buckets) {
		size_t cap = MAX(s->cap_buckets * 2, (size_t)64);
		struct bucket **p = realloc(s->buckets, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		s->buckets = p;
		s->cap_buckets = cap;
	}
	s->buckets[s->n_buckets++] = b;
	return 0;
}

void buckets_remove(struct store *s, struct bucket *b)
{
	if (s->sealing == b)
		seal_abandon(s);
	for (size_t i = 0; i < s->n_buckets; i++) {
		if (s->buckets[i] != b)
			continue;
		memmove(s->buckets + i, s->buckets + i + 1,
			(--s->n_buckets - i) * sizeof(struct bucket *));
		return;
	}
}

uint64_t retain_bytes(const struct store *s, uint64_t *ret_payload)
{
	uint64_t total = s->bytes_bad + s->earlier.bytes, payload = 0;

	for (size_t i = 0; i < s->n_buckets; i++) {
		total += bucket_bytes(s->buckets[i]);
		payload += s->buckets[i]->payload_bytes;
	}
	if (ret_payload)
		*ret_payload = payload;
	return total;
}

static bool is_open(const struct store *s, const struct bucket *b)
{
	return s->tables[b->table].open == b;
}

static void expire(struct store *s, struct bucket *b, bool now)
{
	char file[BUCKET_NAME_MAX + 8];

	s->c.rows_expired += bucket_rows(b);
	s->c.rows_stored -= bucket_rows(b);
	buckets_remove(s, b);
	(void)catalog_del(s->catalog, b->name);
	b->doomed = true;
	if (now) { /* a scan that has it gets an error: the disk is full */
		snprintf(file, sizeof(file), "%s.%s", b->name, b->log ? "log" : "meta.db");
		(void)io_unlink(s->dirfd, file);
	}
	bucket_put(b);
}

static void expire_payload(struct store *s, struct bucket *b)
{
	char file[BUCKET_NAME_MAX + 16];

	b->payload_bytes = 0;
	b->has_payload = false;
	s->c.payload_expired++;
	snprintf(file, sizeof(file), "%s.payload.db", b->name);
	(void)io_unlink(s->dirfd, file);
}

static struct bucket *oldest_payload(const struct store *s)
{
	struct bucket *oldest = NULL;

	for (size_t i = 0; i < s->n_buckets; i++) {
		struct bucket *b = s->buckets[i];

		if (b->payload_bytes && !b->log && (!oldest || b->run_ns < oldest->run_ns))
			oldest = b;
	}
	return oldest;
}

/* The oldest closed bucket among tables that hold more than their floor. */
static struct bucket *oldest_bucket(const struct store *s, uint64_t budget)
{
	uint64_t bytes[_TABLE_MAX] = { 0 }, floor;
	struct bucket *oldest = NULL;
	size_t tables = 0;

	for (size_t i = 0; i < s->n_buckets; i++)
		bytes[s->buckets[i]->table] += bucket_bytes(s->buckets[i]);
	for (size_t t = 0; t < _TABLE_MAX; t++)
		tables += bytes[t] > 0;
	floor = tables > 1 ? budget / FLOOR_SHARE / tables : 0;
	for (size_t i = 0; i < s->n_buckets; i++) {
		struct bucket *b = s->buckets[i];

		if (!is_open(s, b) && bytes[b->table] > floor &&
		    (!oldest || bucket_run(b) < bucket_run(oldest)))
			oldest = b;
	}
	return oldest;
}

/* Damaged files are kept for whoever wants to look at them, but they go first. */
static void remove_bad(struct store *s)
{
	char name[BUCKET_NAME_MAX];
	struct dirent *e;
	uint64_t start;
	uint16_t table;
	uint32_t no;
	DIR *d = opendir(s->dir);

	while (d && (e = readdir(d)))
		if (bucket_file_of(e->d_name, name, &table, &no, &start) == FILE_BAD)
			(void)io_unlink(s->dirfd, e->d_name);
	if (d)
		closedir(d);
	s->bytes_bad = 0;
	for (size_t t = 0; t < _TABLE_MAX; t++)
		s->tables[t].files_bad = 0;
}

/* Deletes one thing, the least missed first. Whether there was any. */
static bool expire_one(struct store *s, uint64_t budget, bool now)
{
	struct bucket *b;

	if (s->bytes_bad) {
		remove_bad(s);
		return true;
	}
	b = oldest_payload(s);
	if (b) {
		expire_payload(s, b);
		return true;
	}
	b = oldest_bucket(s, budget);
	if (!b)
		return false;
	expire(s, b, now);
	return true;
}

bool retain_emergency(struct store *s)
{
	uint64_t before = s->c.rows_expired;
	bool any;

	if (retain_bytes(s, NULL) <= s->o.floor_bytes)
		return false;
	any = expire_one(s, s->o.floor_bytes, true);
	s->c.rows_expired_full += s->c.rows_expired - before;
	return any;
}

/* The budget of this moment: less than the configured one while the filesystem is short of room,
 * but never below the floor. */
static uint64_t budget_now(const struct store *s)
{
	uint64_t reserve = s->o.reserve_bytes, free_bytes, total;
	struct statvfs v;

	if (fstatvfs(s->dirfd, &v) < 0)
		return s->o.retention_bytes;
	if (reserve == STORE_RESERVE_DEFAULT)
		reserve = MIN(v.f_blocks * v.f_frsize / 20, (uint64_t)(1024 * MIB));
	free_bytes = v.f_bavail * v.f_frsize;
	if (free_bytes >= reserve)
		return s->o.retention_bytes;
	total = retain_bytes(s, NULL);
	total -= MIN(total, reserve - free_bytes);
	return MIN(s->o.retention_bytes, MAX(total, s->o.floor_bytes));
}

static void expire_by_age(struct store *s)
{
	for (size_t i = s->n_buckets; i-- > 0 && s->o.retention_age_ns;) {
		struct bucket *b = s->buckets[i];

		if (!is_open(s, b) && s->run_ns > bucket_run(b) &&
		    s->run_ns - bucket_run(b) > s->o.retention_age_ns)
			expire(s, b, false);
	}
}

/* Everything closed is gone and it is still too much: the largest open bucket has to end. */
static bool roll_largest(struct store *s)
{
	struct table_store *largest = NULL;

	for (size_t i = 0; i < _TABLE_MAX; i++) {
		struct table_store *t = &s->tables[i];

		if (t->open && t->open->log->rows &&
		    (!largest || t->open->log->size > largest->open->log->size))
			largest = t;
	}
	return largest && flush_roll(s, largest) == 0;
}

void retain_pass(struct store *s)
{
	uint64_t budget = budget_now(s), payload, total;

	expire_by_age(s);
	for (;;) {
		struct bucket *b;

		(void)retain_bytes(s, &payload);
		if (payload <= s->o.payload_bytes)
			break;
		b = oldest_payload(s);
		if (!b)
			break;
		expire_payload(s, b);
	}
	while ((total = retain_bytes(s, NULL)) > budget) {
		uint64_t before = s->c.rows_expired;
		bool any = expire_one(s, budget, false);

		if (budget < s->o.retention_bytes)
			s->c.rows_expired_full += s->c.rows_expired - before;
		if (!any && !(total > s->o.retention_bytes && roll_largest(s)))
			break;
	}
}

void retain_all(struct store *s)
{
	while (s->n_buckets > 0)
		expire(s, s->buckets[s->n_buckets - 1], false);
	remove_bad(s);
}
