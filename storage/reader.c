/* A directory without its writer: listed anew for each scan, nothing locked. */
#include "storage/dirlist.h"
#include "storage/epochs.h"
#include "storage/memscan.h"
#include "storage/scan_int.h"
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define LISTINGS_MAX 5 /* a log may become a sealed file between listing and opening */

struct store_reader {
	struct scan_source source;
	char *dir;
	int dirfd;
};

static void widen(struct scan_snapshot *snap, uint64_t tmin, uint64_t tmax)
{
	if (tmin > tmax)
		return;
	snap->oldest_ns = snap->oldest_ns ? MIN(snap->oldest_ns, tmin) : tmin;
	snap->newest_ns = MAX(snap->newest_ns, tmax);
}

/* A file that cannot be read is damage that the answer reports. -EAGAIN: it is gone, list again. */
static int unreadable(struct scan_snapshot *snap, int err)
{
	if (err == -ENOENT)
		return -EAGAIN;
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EPROTONOSUPPORT)
		return err;
	snap->segments_bad++;
	return 0;
}

static int load(struct store_reader *r, const struct dir_bucket *d, struct bucket *b)
{
	struct sealed_head head = { 0 };
	char file[BUCKET_NAME_MAX + 16];
	int err;

	if (d->meta) {
		snprintf(file, sizeof(file), "%s.meta.db", d->name);
		err = sealed_head_read(r->dir, file, &head);
		if (!err &&
		    (head.class != CLASS_META || head.table != d->table || head.bucket_no != d->no))
			err = -EBADMSG;
		if (!err)
			bucket_take_head(b, &head);
		sealed_head_done(&head);
		if (err != -EBADMSG || !d->log)
			return err;
	}
	snprintf(file, sizeof(file), "%s.log", d->name);
	err = rowlog_open(r->dirfd, file, false, &b->log);
	if (!err && (b->log->table != d->table || b->log->bucket_no != d->no))
		err = -EBADMSG;
	return err;
}

static int add_bucket(struct store_reader *r, const struct scan_plan *plan,
		      const struct dir_bucket *d, struct scan_snapshot *snap)
{
	struct bucket *b;
	uint64_t tmin, tmax;
	int err;

	if (!d->meta && d->log_bytes < LOG_HEAD)
		return 0;
	b = bucket_new(r->dir, r->dirfd, d->table, d->no, d->start_s * NSEC_PER_SEC);
	if (!b)
		return -ENOMEM;
	err = load(r, d, b);
	if (err < 0) {
		bucket_put(b);
		return unreadable(snap, err);
	}
	tmin = b->log ? b->log->tmin : b->tmin;
	tmax = b->log ? b->log->tmax : b->tmax;
	snap->segments_bad += b->log ? b->log->records_bad : b->records_bad;
	snap->rows_bad += b->log ? b->log->rows_bad : b->rows_bad;
	widen(snap, tmin, tmax);
	if (tmin > tmax || tmin > plan->to_ns || tmax < plan->from_ns)
		snap->segments_skipped += b->log ? b->log->n_entries : b->n_segs;
	else
		err = scan_snapshot_add(snap, b, b->log);
	bucket_put(b);
	return err;
}

static int take_snapshot(struct store_reader *r, const struct scan_plan *plan,
			 struct scan_snapshot *snap)
{
	struct dirlist list;
	int err = dirlist_read(r->dirfd, false, &list);

	if (err < 0)
		return err;
	snap->foreign = true;
	snap->segments_bad = list.files_bad[plan->table];
	for (size_t i = 0; i < list.n && !err; i++)
		if (list.v[i].table == plan->table && (list.v[i].meta || list.v[i].log))
			err = add_bucket(r, plan, &list.v[i], snap);
	dirlist_done(&list);
	return err;
}

#define LEDGER_ROWS_MAX (EPOCHS_MAX * EPOCH_LINES_MAX)

static int ledger_open(struct store_reader *r, const struct scan_plan *plan, struct scan **ret)
{
	struct mem_rows rows;
	struct epochs epochs;
	int err = epochs_read(r->dirfd, false, &epochs);

	if (err < 0)
		return err;
	mem_rows_init(&rows, LEDGER_ROWS_MAX);
	err = epochs_rows(&epochs, &rows);
	epochs_done(&epochs);
	if (err < 0) {
		mem_rows_done(&rows);
		return err;
	}
	return memscan_open(&rows, plan, ret);
}

int store_reader_cover(struct store_reader *r, const struct loss_times *t, struct loss_cover *ret)
{
	struct epochs epochs;
	int n, err = epochs_read(r->dirfd, false, &epochs);

	if (err < 0)
		return err;
	/* A living run speaks for the present, if some seconds late. */
	if (epochs.n && store_reader_is_live(r))
		epochs.v[epochs.n - 1].to_ns = UINT64_MAX;
	epochs_cover(&epochs, t, ret);
	n = (int)epochs.n;
	epochs_done(&epochs);
	return n;
}

static int reader_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct store_reader *r = container_of(src, struct store_reader, source);
	struct scan_snapshot snap;
	int err = scan_plan_check(plan);

	if (err < 0)
		return err;
	if (plan->table == TABLE_LEDGER)
		return ledger_open(r, plan, ret);
	for (int i = 0; i < LISTINGS_MAX; i++) {
		snap = (struct scan_snapshot){ 0 };
		err = take_snapshot(r, plan, &snap);
		if (!err)
			return scan_start(plan, &snap, ret);
		scan_snapshot_done(&snap);
		if (err != -EAGAIN)
			break;
	}
	return err;
}

static int say(struct store_diag *diag, const char *dir, int err)
{
	snprintf(diag->text, sizeof(diag->text), "cannot read the data directory %.200s: %s", dir,
		 err == -EPROTONOSUPPORT ? "it was written by a newer version of Kelpie"
					 : strerror(-err));
	return err;
}

static int check_versions(struct store_reader *r)
{
	struct dirlist list;
	int err = dirlist_read(r->dirfd, false, &list);

	if (err < 0)
		return err;
	if (dirlist_newer(&list, r->dir, r->dirfd))
		err = -EPROTONOSUPPORT;
	dirlist_done(&list);
	return err;
}

int store_reader_open(const char *dir, struct store_reader **ret, struct store_diag *diag)
{
	struct store_reader *r = calloc(1, sizeof(*r));
	int err;

	diag->text[0] = 0;
	if (!r)
		return say(diag, dir, -ENOMEM);
	r->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = r->dirfd < 0 ? -errno : 0;
	r->dir = strdup(dir);
	if (!err && !r->dir)
		err = -ENOMEM;
	if (!err)
		err = check_versions(r);
	if (err < 0) {
		store_reader_close(r);
		return say(diag, dir, err);
	}
	r->source.open = reader_open;
	*ret = r;
	return 0;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	closep(&r->dirfd);
	free(r->dir);
	free(r);
}

struct scan_source *store_reader_source(struct store_reader *r)
{
	return &r->source;
}

bool store_reader_is_live(const struct store_reader *r)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = openat(r->dirfd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool live;

	if (fd < 0)
		return false;
	live = fcntl(fd, F_OFD_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
	close(fd);
	return live;
}
