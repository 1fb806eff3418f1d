#include "storage/store_int.h"

#include "storage/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define LOCK_FILE    "lock"
#define SEAL_BUDGET  (4 * MIB)		/* copied by one tick */
#define CHECK_NS     NSEC_PER_SEC	/* between looks at ages, bytes and the filesystem */
#define LEDGER_NS    (5 * NSEC_PER_SEC) /* between writings of an unchanged ledger */
#define LOSS_NS	     NSEC_PER_SEC	/* of one whose losses grow */
#define BUCKET_SHARE 16			/* a bucket is at most this part of the budget */
#define BUCKET_BYTES (64 * MIB)
#define BUCKET_LEAST (256 * KIB)

void store_opts_init(struct store_opts *o)
{
	*o = (struct store_opts){
		.retention_bytes = 4096 * MIB,
		.payload_bytes = 1024 * MIB,
		.retention_age_ns = 7 * 86400 * NSEC_PER_SEC,
		.reserve_bytes = STORE_RESERVE_DEFAULT,
		.flush_rows = 8192,
		.flush_bytes = 4 * MIB,
		.open_bytes = 10 * MIB,
		.tick_ns = 900 * NSEC_PER_MSEC,
		.sync_ns = NSEC_PER_SEC,
		.held_bytes = 16 * MIB,
	};
}

void store_damage_add(struct store *s, const char *file, const char *why)
{
	size_t left = sizeof(s->damage) - s->damage_len;
	int n = snprintf(s->damage + s->damage_len, left, "%s: %s\n", file, why);

	if (n > 0 && (size_t)n < left)
		s->damage_len += (size_t)n;
	s->damage[s->damage_len] = 0;
}

static int say(struct store_diag *diag, int err, const char *what, const char *dir,
	       const char *todo)
{
	snprintf(diag->text, sizeof(diag->text), "%s %.160s: %s. %s", what, dir, strerror(-err),
		 todo);
	return err;
}

static int open_dir(struct store *s, struct store_diag *diag)
{
	int err;

	if (mkdir(s->dir, 0770) < 0 && errno != EEXIST)
		return say(diag, -errno, "cannot make the data directory", s->dir,
			   "Make its parent, or choose another with --data-dir");
	s->dirfd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0)
		return say(diag, -errno, "cannot open the data directory", s->dir,
			   "It must be a directory that this user may read and write");
	err = faccessat(s->dirfd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
	if (err < 0)
		return say(diag, err, "cannot write to the data directory", s->dir,
			   "It must be writable for this user");
	return 0;
}

/* An open-file-description lock: it goes with the last copy of the descriptor, whatever forks. */
static int take_lock(struct store *s, struct store_diag *diag)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char owner[128] = "";
	ssize_t n;
	int fd = openat(s->dirfd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);

	if (fd < 0)
		return say(diag, -errno, "cannot lock the data directory", s->dir,
			   "What is in it must belong to the user that the store runs as: "
			   "choose another directory with --data-dir, or change the owner");
	s->lockfd = fd;
	if (fcntl(fd, F_OFD_SETLK, &fl) < 0) {
		n = pread(fd, owner, sizeof(owner) - 1, 0);
		owner[n > 0 ? (size_t)n : 0] = 0;
		owner[strcspn(owner, "\n")] = 0;
		snprintf(diag->text, sizeof(diag->text),
			 "the data directory %.120s is in use by another instance (%s). Stop it, "
			 "or choose "
			 "another directory with --data-dir",
			 s->dir, owner[0] ? owner : "unknown");
		return -EBUSY;
	}
	n = snprintf(owner, sizeof(owner), "pid %d node %.64s\n", (int)getpid(), s->node);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, owner, (size_t)n, 0) != n)
		return 0; /* a full disk: the lock holds without its owner's name */
	return 0;
}

/* Whether rows of this table go into segments. */
static bool is_stored(const struct table_schema *t)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (t->columns[i]->id == COL_SEQ)
			return true;
	return false;
}

static int make_tables(struct store *s)
{
	size_t n;
	const struct table_schema *const *tables = schema_tables(&n);

	for (size_t i = 0; i < n; i++) {
		struct table_store *t = &s->tables[tables[i]->id];

		t->table = tables[i]->id;
		t->next_no = 1;
		if (!is_stored(tables[i]))
			continue;
		t->builder = builder_new(t->table, slice_str(s->node), s->o.epoch, s->o.flush_rows);
		if (!t->builder)
			return -ENOMEM;
	}
	return 0;
}

static void settle_options(struct store *s)
{
	struct store_opts *o = &s->o;

	snprintf(s->dir, sizeof(s->dir), "%s", o->dir);
	snprintf(s->node, sizeof(s->node), "%s", o->node ? o->node : "");
	o->dir = s->dir;
	o->node = s->node;
	o->flush_rows = MIN(MAX(o->flush_rows, 1u), (uint32_t)STORE_FLUSH_ROWS_MAX);
	if (!o->bucket_bytes)
		o->bucket_bytes = MIN(BUCKET_BYTES,
				      MAX(o->retention_bytes / BUCKET_SHARE, BUCKET_LEAST));
	if (!o->floor_bytes)
		o->floor_bytes = o->retention_bytes / 8;
}

/* The ledgers of earlier runs, and this run's own when its store process was restarted. */
static int load_epochs(struct store *s, struct store_diag *diag)
{
	struct epochs *e = &s->earlier;
	int err = epochs_read(s->dirfd, true, e);

	if (err < 0)
		return say(diag, err, "cannot read the ledgers in", s->dir, "");
	epoch_init(&s->epoch, s->node, s->o.epoch, s->o.epoch);
	for (size_t i = 0; i < e->n; i++) {
		if (e->v[i].epoch != s->o.epoch)
			continue;
		s->epoch = e->v[i];
		s->epoch.ended = false;
		memmove(&e->v[i], &e->v[i + 1], (e->n - i - 1) * sizeof(*e->v));
		e->n--;
	}
	return 0;
}

static int open_store(struct store *s, struct store_diag *diag)
{
	int err;

	s->z = squeezer_new();
	s->encoder = encoder_new(s->z);
	if (!s->encoder || !s->z || make_tables(s) < 0)
		return say(diag, -ENOMEM, "cannot open the store in", s->dir, "");
	encoder_between(s->encoder, s->o.between, s->o.between_ctx);
	err = open_dir(s, diag);
	if (!err)
		err = take_lock(s, diag);
	if (!err)
		err = recover_check(s, diag);
	if (!err)
		err = recover_load(s, diag);
	if (!err)
		err = load_epochs(s, diag);
	return err;
}

static void free_store(struct store *s)
{
	seal_abandon(s);
	for (size_t i = 0; i < _TABLE_MAX; i++) {
		struct table_store *t = &s->tables[i];

		pieces_drop(t);
		for (size_t k = 0; k < t->n_pending; k++)
			memseg_put(t->pending[k]);
		free(t->pending);
		builder_free(t->builder);
	}
	for (size_t i = 0; i < s->n_buckets; i++)
		bucket_put(s->buckets[i]);
	free(s->buckets);
	catalog_close(s->catalog);
	epoch_done(&s->epoch);
	epochs_done(&s->earlier);
	segbuf_done(&s->buf);
	encoder_free(s->encoder);
	squeezer_free(s->z);
	syms_done(&s->syms);
	closep(&s->lockfd);
	closep(&s->dirfd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int store_open(const struct store_opts *o, uint64_t now_ns, uint64_t boot_ns, struct store **ret,
	       struct store_diag *diag)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	diag->text[0] = 0;
	if (!s)
		return say(diag, -ENOMEM, "cannot open the store in", o->dir, "");
	s->o = *o;
	s->dirfd = s->lockfd = -1;
	s->source.open = live_open;
	s->now_ns = now_ns;
	s->boot_ns = boot_ns;
	s->run_ns = 1;
	s->written_before = io_written;
	pthread_mutex_init(&s->lock, NULL);
	syms_init(&s->syms);
	segbuf_init(&s->buf);
	settle_options(s);
	if (strlen(o->dir) + BUCKET_NAME_MAX + 32 > sizeof(s->dir))
		err = say(diag, -ENAMETOOLONG, "cannot use the data directory", o->dir, "");
	else
		err = open_store(s, diag);
	if (err < 0) {
		free_store(s);
		return err;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	s->retry_boot_ns = 0;
	(void)store_flush(s);
	free_store(s);
}

int store_sym(struct store *s, uint32_t sym, struct slice text)
{
	bool known = syms_has(&s->syms, sym);
	int err = syms_put(&s->syms, sym, text);

	if (err && known) {
		for (size_t i = 0; i < _TABLE_MAX; i++)
			if (s->tables[i].builder)
				builder_forget_sym(s->tables[i].builder, sym);
	}
	return MIN(err, 0);
}

struct slice store_sym_text(const struct store *s, uint32_t sym)
{
	return syms_has(&s->syms, sym) ? syms_text(&s->syms, sym) : slice_of(NULL, 0);
}

void store_sym_reset(struct store *s)
{
	syms_reset(&s->syms);
	for (size_t i = 0; i < _TABLE_MAX; i++)
		if (s->tables[i].builder)
			builder_forget_syms(s->tables[i].builder);
}

int store_append(struct store *s, const struct row *r)
{
	struct table_store *t = r->hdr->table < _TABLE_MAX ? &s->tables[r->hdr->table] : NULL;
	int err;

	pthread_mutex_lock(&s->lock);
	s->c.rows_in++;
	s->c.bytes_in += r->hdr->len;
	err = t && t->builder ? builder_append(t->builder, r, &s->syms) : -EINVAL;
	if (err == -EINVAL) {
		s->c.rows_rejected++;
	} else if (err < 0) {
		s->c.rows_lost++;
		err = 0;
	} else if (builder_rows(t->builder) == s->o.flush_rows ||
		   builder_bytes(t->builder) >= s->o.flush_bytes) {
		(void)flush_table(s, t);
		if (flush_roll_due(s, t))
			(void)flush_roll(s, t);
	}
	if (!err)
		flush_for_memory(s, t);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static void follow_clock(struct store *s, uint64_t now_ns, uint64_t boot_ns)
{
	uint64_t boot_step = boot_ns - MIN(boot_ns, s->boot_ns);
	int64_t jump = (int64_t)(now_ns - s->now_ns - boot_step);

	if (jump > (int64_t)CLOCK_JUMP_NS || jump < -(int64_t)CLOCK_JUMP_NS) {
		s->c.clock_jumps++;
		for (size_t i = 0; i < _TABLE_MAX; i++)
			if (s->tables[i].open)
				(void)flush_roll(s, &s->tables[i]);
	}
	s->now_ns = now_ns;
	s->boot_ns = MAX(s->boot_ns, boot_ns);
	s->run_ns += boot_step;
}

static void tick_table(struct store *s, struct table_store *t)
{
	if (!t->builder)
		return;
	if (s->boot_ns - t->logged_boot_ns >= s->o.tick_ns || s->o.tick_ns == 0) {
		if (flush_minis(s, t) == 0)
			t->logged_boot_ns = s->boot_ns;
	}
	if (flush_roll_due(s, t))
		(void)flush_roll(s, t);
	if (s->boot_ns - t->scanned_boot_ns >= PIECES_NS)
		pieces_drop(t);
}

/* Files that scans found to be useless leave the list. */
static void drop_unreadable(struct store *s)
{
	for (size_t i = s->n_buckets; i-- > 0;) {
		struct bucket *b = s->buckets[i];

		if (!b->unreadable || b->log)
			continue;
		s->c.rows_stored -= b->rows;
		s->c.rows_damaged += b->rows;
		recover_set_aside(s, b, "found damaged by a query");
		buckets_remove(s, b);
		(void)catalog_del(s->catalog, b->name);
		bucket_put(b);
	}
}

static int sync_logs(struct store *s)
{
	int first = 0;

	for (size_t i = 0; i < s->n_buckets; i++) {
		int err = s->buckets[i]->log ? rowlog_sync(s->buckets[i]->log) : 0;

		if (err < 0) {
			s->c.write_errors++;
			first = first ? first : err;
		}
	}
	return first;
}

void store_tick(struct store *s, uint64_t now_ns, uint64_t boot_ns)
{
	pthread_mutex_lock(&s->lock);
	follow_clock(s, now_ns, boot_ns);
	for (size_t i = 0; i < _TABLE_MAX; i++)
		tick_table(s, &s->tables[i]);
	if (s->boot_ns - s->checked_boot_ns >= CHECK_NS) {
		s->checked_boot_ns = s->boot_ns;
		drop_unreadable(s);
		retain_pass(s);
	}
	pthread_mutex_unlock(&s->lock);
	seal_step(s, SEAL_BUDGET);
	if (s->o.sync_ns && s->boot_ns - s->synced_boot_ns >= s->o.sync_ns) {
		s->synced_boot_ns = s->boot_ns;
		(void)sync_logs(s);
	}
}

int store_flush(struct store *s)
{
	int first = 0, err;

	pthread_mutex_lock(&s->lock);
	s->retry_boot_ns = 0;
	for (size_t i = 0; i < _TABLE_MAX; i++) {
		if (!s->tables[i].builder)
			continue;
		err = flush_table(s, &s->tables[i]);
		first = first ? first : err;
	}
	pthread_mutex_unlock(&s->lock);
	err = sync_logs(s);
	return first ? first : err;
}

int store_purge(struct store *s)
{
	int err = store_flush(s);

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < _TABLE_MAX; i++) {
		struct table_store *t = &s->tables[i];

		if (!t->builder)
			continue;
		if (err < 0)
			flush_drop(s, t);
		if (t->open)
			t->next_no = t->open->no + 1;
		t->open = NULL;
		t->base_row = 0;
	}
	retain_all(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_ledger(struct store *s, const struct epoch_line *lines, size_t n, uint64_t now_ns,
		 bool last)
{
	uint64_t age_ns = s->boot_ns - MIN(s->boot_ns, s->ledger_boot_ns);
	int err, grew = epoch_count(&s->epoch, lines, n, now_ns);

	if (grew < 0)
		return grew;
	s->ledger_grew |= grew;
	s->epoch.ended = last;
	if (!last && s->ledger_boot_ns && age_ns < (s->ledger_grew ? LOSS_NS : LEDGER_NS))
		return 0;
	s->ledger_boot_ns = s->boot_ns;
	err = epoch_write(s->dirfd, &s->epoch);
	s->ledger_grew &= err < 0;
	return err;
}

const struct epochs *store_earlier(const struct store *s)
{
	return &s->earlier;
}

static void count_rows(struct store *s, struct store_counters *c)
{
	c->oldest_ns = c->newest_ns = 0;
	c->segments = 0;
	for (size_t i = 0; i < s->n_buckets; i++) {
		const struct bucket *b = s->buckets[i];
		uint64_t tmin = b->log ? b->log->tmin : b->tmin,
			 tmax = b->log ? b->log->tmax : b->tmax;

		c->segments += b->log ? b->log->n_entries : b->n_segs;
		c->files += b->payload_bytes ? 2u : 1u;
		if (tmin > tmax)
			continue;
		c->oldest_ns = c->oldest_ns ? MIN(c->oldest_ns, tmin) : tmin;
		c->newest_ns = MAX(c->newest_ns, tmax);
	}
	for (size_t i = 0; i < _TABLE_MAX; i++) {
		const struct table_store *t = &s->tables[i];

		if (!t->builder)
			continue;
		c->rows_held += builder_rows(t->builder) - t->logged;
		for (size_t k = 0; k < t->n_pieces; k++)
			c->bytes_pieces += memseg_bytes(t->pieces[k]);
		for (size_t k = 0; k < t->n_pending; k++)
			c->rows_held += t->pending[k]->desc.rows - t->pending[k]->rows_logged;
	}
}

void store_counters(struct store *s, struct store_counters *ret)
{
	pthread_mutex_lock(&s->lock);
	*ret = s->c;
	ret->rows_held = ret->bytes_pieces = 0;
	ret->files = 2; /* lock, catalogue */
	ret->buckets = s->n_buckets;
	ret->bytes_disk = retain_bytes(s, &ret->bytes_payload);
	ret->bytes_open = s->open_bytes;
	ret->bytes_appended = io_written - s->written_before;
	count_rows(s, ret);
	pthread_mutex_unlock(&s->lock);
}

size_t store_damage(struct store *s, char *out, size_t cap)
{
	int n;

	if (cap == 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	n = snprintf(out, cap, "%s", s->damage);
	pthread_mutex_unlock(&s->lock);
	return MIN((size_t)n, cap - 1);
}

struct scan_source *store_source(struct store *s)
{
	return &s->source;
}
