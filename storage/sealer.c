#include "storage/sealed_int.h"

#include "base/crc32c.h"
#include "storage/compact.h"
#include "storage/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define PRAGMAS                                                                                    \
	"PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; "                 \
	"PRAGMA locking_mode=EXCLUSIVE; PRAGMA secure_delete=OFF; PRAGMA cache_size=-1024; "       \
	"CREATE TABLE bucket(id INTEGER PRIMARY KEY, d BLOB NOT NULL); "                           \
	"CREATE TABLE chunk(id INTEGER PRIMARY KEY, b BLOB NOT NULL); "
#define META_TABLES                                                                                \
	"CREATE TABLE seg(id INTEGER PRIMARY KEY, tbl INTEGER, tmin INTEGER, tmax INTEGER, "       \
	"n INTEGER, d BLOB NOT NULL); "

struct out_file {
	sqlite3 *db;
	sqlite3_stmt *chunk;
	char tmp[128], name[128];
};

struct sealer {
	const char *dir; /* borrowed from the store */
	int dirfd;
	struct rowlog *log;
	char name[96];
	size_t next; /* entry of the log */
	struct out_file meta, payload;
	sqlite3_stmt *seg;
	struct sealed_head head;
	struct seg_desc desc;
};

static int out_open(struct sealer *s, struct out_file *f, const char *class, const char *sql)
{
	char path[SEALED_PATH_MAX];
	int rc;

	snprintf(f->name, sizeof(f->name), "%s.%s.db", s->name, class);
	snprintf(f->tmp, sizeof(f->tmp), "%s.%s.db.tmp", s->name, class);
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", s->dir, f->tmp) >= sizeof(path))
		return -ENAMETOOLONG;
	rc = io_unlink(s->dirfd, f->tmp);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = sqlite3_open_v2(path, &f->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(f->db, sql, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(f->db, "BEGIN", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(f->db, "INSERT INTO chunk VALUES(?, ?)", -1, &f->chunk,
					NULL);
	return errno_of_sqlite(rc);
}

static void out_close(struct out_file *f)
{
	sqlite3_finalize(f->chunk);
	f->chunk = NULL;
	sqlite3_close(f->db);
	f->db = NULL;
}

void sealer_free(struct sealer *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->seg);
	out_close(&s->meta);
	out_close(&s->payload);
	if (s->meta.tmp[0])
		(void)unlinkat(s->dirfd, s->meta.tmp, 0);
	if (s->payload.tmp[0])
		(void)unlinkat(s->dirfd, s->payload.tmp, 0);
	sealed_head_done(&s->head);
	rowlog_put(s->log);
	free(s);
}
DEFINE_CLEANUP(struct sealer, sealer_free)

int sealer_new(const char *dir, int dirfd, const char *name, struct rowlog *log,
	       struct sealer **ret)
{
	_cleanup_(sealer_freep) struct sealer *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->dir = dir;
	s->dirfd = dirfd;
	s->log = rowlog_get(log);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->head = (struct sealed_head){
		.table = log->table,
		.class = CLASS_META,
		.bucket_no = log->bucket_no,
		.start_ns = log->start_ns,
		.run_ns = log->last_run_ns,
		.uid = log->uid,
		.records_bad = log->records_bad,
		.rows_bad = log->rows_bad,
		.tmin = UINT64_MAX,
	};
	s->head.segs = calloc(log->n_entries + 1, sizeof(*s->head.segs));
	if (!s->head.segs)
		return -ENOMEM;
	err = out_open(s, &s->meta, "meta", PRAGMAS META_TABLES);
	if (err < 0)
		return err;
	err = errno_of_sqlite(sqlite3_prepare_v2(
		s->meta.db, "INSERT INTO seg VALUES(?, ?, ?, ?, ?, ?)", -1, &s->seg, NULL));
	if (err < 0)
		return err;
	*ret = TAKE_PTR(s);
	return 0;
}

static int put_blob(sqlite3_stmt *st, int64_t id, int blob_at, struct slice blob)
{
	int rc;

	sqlite3_bind_int64(st, 1, id);
	rc = sqlite3_bind_blob64(st, blob_at, blob.p ? blob.p : (const uint8_t *)"", blob.n,
				 SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return errno_of_sqlite(rc);
}

static int put_parts(struct sealer *s, struct slice data)
{
	for (size_t i = 0; i < s->desc.n_cols; i++) {
		const struct col_desc *c = &s->desc.cols[i];
		const struct column *schema = schema_column(c->col);
		struct out_file *f = &s->meta;
		int err = 0;

		if (c->parts && schema && (schema->flags & COL_F_PAYLOAD)) {
			f = &s->payload;
			if (!f->db)
				err = out_open(s, f, "payload", PRAGMAS);
		}
		for (size_t part = 0; part < _PART_MAX && !err; part++) {
			const struct part_desc *p = &c->part[part];

			if (c->parts & 1u << part)
				err = put_blob(
					f->chunk,
					chunk_id(s->desc.seg_no, (enum seg_part)part, c->col), 2,
					slice_of(data.p + p->off, p->stored));
		}
		if (err < 0)
			return err;
	}
	return 0;
}

static int put_seg(struct sealer *s, struct slice data)
{
	struct strbuf d = STRBUF_INIT(SEG_DESC_MAX);
	struct sealed_seg *seg = &s->head.segs[s->head.n_segs];
	int err = -ENOMEM;

	s->desc.seg_no = s->head.n_segs + 1;
	seg_desc_write(&d, &s->desc);
	if (!d.failed) {
		*seg = (struct sealed_seg){ s->desc.seg_no,	   s->desc.rows, (uint32_t)d.len,
					    crc32c(0, d.p, d.len), s->desc.tmin, s->desc.tmax,
					    s->desc.first_row };
		sqlite3_bind_int64(s->seg, 2, s->desc.table);
		sqlite3_bind_int64(s->seg, 3, (int64_t)s->desc.tmin);
		sqlite3_bind_int64(s->seg, 4, (int64_t)s->desc.tmax);
		sqlite3_bind_int64(s->seg, 5, s->desc.rows);
		err = put_blob(s->seg, s->desc.seg_no, 6, strbuf_slice(&d));
	}
	strbuf_done(&d);
	if (!err)
		err = put_parts(s, data);
	if (err < 0)
		return err;
	s->head.n_segs++;
	s->head.rows += s->desc.rows;
	s->head.tmin = MIN(s->head.tmin, s->desc.tmin);
	s->head.tmax = MAX(s->head.tmax, s->desc.tmax);
	return 0;
}

/* Copies the next segment as it is. */
static int copy_entry(struct sealer *s, struct squeezer *z)
{
	const struct log_entry *e = &s->log->entries[s->next];
	_cleanup_(freep) uint8_t *raw = NULL;
	int err = rowlog_payload(s->log, e, z, &raw);

	if (!err)
		err = seg_desc_parse(slice_of(raw, e->desc_len), &s->desc);
	if (!err)
		err = put_seg(s, slice_of(raw + e->desc_len, e->raw - e->desc_len));
	if (err == -EBADMSG) { /* damaged since it was written */
		s->head.records_bad++;
		s->head.rows_bad += e->rows;
		err = 0;
	}
	if (!err)
		s->next++;
	return err;
}

/* Puts n small segments in as one. */
static int merge_entries(struct sealer *s, struct squeezer *z, struct encoder *e, size_t n)
{
	struct builder *b = NULL;
	struct segbuf buf;
	size_t taken;
	uint64_t bad;
	int err;

	segbuf_init(&buf);
	err = compact_merge(s->log, s->next, n, e, &buf, &b, &taken, &bad);
	if (!err && b) {
		s->desc = *buf.desc;
		err = put_seg(s, strbuf_slice(&buf.data));
	}
	if (!err && taken) {
		s->head.records_bad += bad > 0;
		s->head.rows_bad += bad;
		s->next += taken;
	}
	segbuf_done(&buf);
	builder_free(b);
	return !err && !taken ? copy_entry(s, z) : err;
}

int sealer_step(struct sealer *s, struct squeezer *z, struct encoder *e, size_t budget)
{
	size_t done = 0;

	while (s->next < s->log->n_entries && done < budget) {
		size_t n = compact_run(s->log, s->next), before = s->next;
		int err = n > 1 ? merge_entries(s, z, e, n) : copy_entry(s, z);

		if (err < 0)
			return err;
		for (size_t i = before; i < s->next; i++)
			done += s->log->entries[i].stored;
	}
	return s->next < s->log->n_entries;
}

/* Commits, closes and syncs one file; *ret_bytes is its size. */
static int out_finish(struct sealer *s, struct out_file *f, uint64_t *ret_bytes)
{
	struct strbuf d = STRBUF_INIT(SEG_DATA_MAX);
	sqlite3_stmt *st = NULL;
	struct stat info;
	int err, fd;

	head_write(&d, &s->head);
	err = d.failed ? -ENOMEM
		       : errno_of_sqlite(sqlite3_prepare_v2(
				 f->db, "INSERT INTO bucket VALUES(?, ?)", -1, &st, NULL));
	if (!err)
		err = put_blob(st, 1, 2, strbuf_slice(&d));
	sqlite3_finalize(st);
	strbuf_done(&d);
	if (!err)
		err = errno_of_sqlite(sqlite3_exec(f->db, "COMMIT", NULL, NULL, NULL));
	if (err < 0)
		return err;
	out_close(f);
	fd = io_open(s->dirfd, f->tmp, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	err = fstat(fd, &info) < 0 ? -errno : fchmod(fd, 0660) < 0 ? -errno : io_sync(fd);
	close(fd);
	if (err < 0)
		return err;
	io_written += (uint64_t)info.st_size;
	*ret_bytes = (uint64_t)info.st_size;
	return 0;
}

int sealer_finish(struct sealer *s, struct sealed_head *ret_head, uint64_t *ret_meta_bytes,
		  uint64_t *ret_payload_bytes)
{
	struct sealed_head meta;
	int err = 0;

	sqlite3_finalize(s->seg);
	s->seg = NULL;
	*ret_payload_bytes = 0;
	meta = s->head;
	meta.has_payload = s->payload.db != NULL;
	if (s->payload.db) {
		s->head.class = CLASS_PAYLOAD;
		err = out_finish(s, &s->payload, ret_payload_bytes);
		if (!err)
			err = io_rename(s->dirfd, s->payload.tmp, s->payload.name);
		if (!err)
			s->payload.tmp[0] = 0;
	}
	s->head = meta;
	if (!err)
		err = out_finish(s, &s->meta, ret_meta_bytes);
	if (!err)
		err = io_rename(s->dirfd, s->meta.tmp, s->meta.name);
	if (err < 0)
		return err;
	s->meta.tmp[0] = 0;
	*ret_head = s->head;
	s->head.segs = NULL;
	return 0;
}
