#include "storage/sealed_int.h"

#include "base/bytes.h"
#include "base/crc32c.h"

#include <errno.h>
#include <stdio.h>

#define HEAD_MAGIC 0x3148424bu /* "KBH1" */
#define HEAD_BYTES 88u
#define SEG_BYTES  40u

int errno_of_sqlite(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
	case SQLITE_SCHEMA:
		return -EBADMSG;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_READONLY:
	case SQLITE_AUTH:
		return -EACCES;
	default:
		return -EIO;
	}
}

void sealed_head_done(struct sealed_head *h)
{
	free(h->segs);
	h->segs = NULL;
}

void head_write(struct strbuf *out, const struct sealed_head *h)
{
	size_t n = HEAD_BYTES + (size_t)h->n_segs * SEG_BYTES;
	uint8_t *p = strbuf_reserve(out, n + 4);

	if (!p)
		return;
	memset(p, 0, HEAD_BYTES);
	put_le(p, HEAD_MAGIC, 4);
	put_le(p + 4, SEALED_VERSION, 2);
	p[6] = h->class;
	p[7] = h->has_payload;
	put_le(p + 8, h->table, 2);
	put_le(p + 12, h->bucket_no, 4);
	put_le(p + 16, h->start_ns, 8);
	put_le(p + 24, h->run_ns, 8);
	put_le(p + 32, h->uid, 8);
	put_le(p + 40, h->n_segs, 4);
	put_le(p + 44, h->records_bad, 4);
	put_le(p + 48, h->rows, 8);
	put_le(p + 56, h->rows_bad, 8);
	put_le(p + 64, h->tmin, 8);
	put_le(p + 72, h->tmax, 8);
	for (uint32_t i = 0; i < h->n_segs; i++) {
		uint8_t *q = p + HEAD_BYTES + (size_t)i * SEG_BYTES;

		put_le(q, h->segs[i].seg_no, 4);
		put_le(q + 4, h->segs[i].rows, 4);
		put_le(q + 8, h->segs[i].desc_len, 4);
		put_le(q + 12, h->segs[i].desc_crc, 4);
		put_le(q + 16, h->segs[i].tmin, 8);
		put_le(q + 24, h->segs[i].tmax, 8);
		put_le(q + 32, h->segs[i].first_row, 8);
	}
	put_le(p + n, crc32c(0, p, n), 4);
	out->len += n + 4;
}

static void head_fields(struct reader *r, struct sealed_head *h)
{
	h->class = read_u8(r);
	h->has_payload = read_u8(r);
	h->table = read_le16(r);
	(void)read_le16(r);
	h->bucket_no = read_le32(r);
	h->start_ns = read_le64(r);
	h->run_ns = read_le64(r);
	h->uid = read_le64(r);
	h->n_segs = read_le32(r);
	h->records_bad = read_le32(r);
	h->rows = read_le64(r);
	h->rows_bad = read_le64(r);
	h->tmin = read_le64(r);
	h->tmax = read_le64(r);
	(void)read_le64(r);
}

int head_parse(struct slice bytes, struct sealed_head *ret)
{
	struct reader r = reader_of(bytes);
	struct sealed_head h = { 0 };
	uint64_t rows = 0;
	uint16_t version;

	if (bytes.n < HEAD_BYTES + 4)
		return -EBADMSG;
	r.p = bytes.p + bytes.n - 4;
	if (read_le32(&r) != crc32c(0, bytes.p, bytes.n - 4))
		return -EBADMSG;
	r = reader_of(slice_head(bytes, bytes.n - 4));
	if (read_le32(&r) != HEAD_MAGIC)
		return -EBADMSG;
	version = read_le16(&r);
	if (version > SEALED_VERSION)
		return -EPROTONOSUPPORT;
	head_fields(&r, &h);
	if (h.n_segs > SEALED_SEGS_MAX || reader_left(&r) != (size_t)h.n_segs * SEG_BYTES)
		return -EBADMSG;
	h.segs = calloc(h.n_segs + 1, sizeof(*h.segs));
	if (!h.segs)
		return -ENOMEM;
	for (uint32_t i = 0; i < h.n_segs; i++) {
		struct sealed_seg *s = &h.segs[i];

		s->seg_no = read_le32(&r);
		s->rows = read_le32(&r);
		s->desc_len = read_le32(&r);
		s->desc_crc = read_le32(&r);
		s->tmin = read_le64(&r);
		s->tmax = read_le64(&r);
		s->first_row = read_le64(&r);
		rows += s->rows;
	}
	if (h.class == CLASS_META && rows != h.rows) {
		free(h.segs);
		return -EBADMSG;
	}
	*ret = h;
	return 0;
}

/* Percent-encodes what a SQLite file URI gives a meaning to. */
static bool uri_of(const char *dir, const char *file, char *out, size_t cap)
{
	static const char digits[] = "0123456789abcdef";
	const char *const parts[] = { dir, "/", file };
	size_t n = (size_t)snprintf(out, cap, "file:");

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const char *p = parts[i]; *p; p++) {
			uint8_t c = (uint8_t)*p;

			if (n + 4 >= cap)
				return false;
			if (c == '%' || c == '?' || c == '#') {
				out[n++] = '%';
				out[n++] = digits[c >> 4];
				out[n++] = digits[c & 15];
			} else {
				out[n++] = (char)c;
			}
		}
	}
	return (size_t)snprintf(out + n, cap - n, "?immutable=1&mode=ro") < cap - n;
}

static bool file_there(const char *dir, const char *file)
{
	char path[SEALED_PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%s/%s", dir, file) < sizeof(path) &&
	       access(path, R_OK) == 0;
}

static int open_db(const char *dir, const char *file, sqlite3 **ret)
{
	char uri[SEALED_PATH_MAX];
	sqlite3 *db = NULL;
	int rc;

	if (!uri_of(dir, file, uri, sizeof(uri)))
		return -ENAMETOOLONG;
	rc = sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db,
				  "PRAGMA cell_size_check=ON; PRAGMA trusted_schema=OFF; "
				  "PRAGMA cache_size=8; PRAGMA mmap_size=0",
				  NULL, NULL, NULL);
	if (rc != SQLITE_OK) {
		sqlite3_close(db);
		/* SQLite refuses some damaged headers with the words for "no such file". */
		return rc == SQLITE_CANTOPEN && file_there(dir, file) ? -EBADMSG
								      : errno_of_sqlite(rc);
	}
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)SEG_DATA_MAX);
	*ret = db;
	return 0;
}

static int read_head(sqlite3 *db, struct sealed_head *ret)
{
	sqlite3_stmt *st = NULL;
	int rc, err = -EBADMSG;

	rc = sqlite3_prepare_v2(db, "SELECT d FROM bucket WHERE id = 1", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) == SQLITE_BLOB) {
		const void *p = sqlite3_column_blob(st, 0);

		err = head_parse(slice_of(p, (size_t)sqlite3_column_bytes(st, 0)), ret);
	} else if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
		err = errno_of_sqlite(rc);
	}
	sqlite3_finalize(st);
	return err;
}

int sealed_head_read(const char *dir, const char *file, struct sealed_head *ret)
{
	sqlite3 *db = NULL;
	int err = open_db(dir, file, &db);

	if (err < 0)
		return err;
	err = read_head(db, ret);
	sqlite3_close(db);
	return err;
}

/* The blob of one row by id; borrowed until the statement is used again. */
static int blob_by_id(sqlite3_stmt *st, int64_t id, struct slice *ret)
{
	int rc;

	sqlite3_reset(st);
	rc = sqlite3_bind_int64(st, 1, id);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_DONE)
		return -EBADMSG; /* listed by a checksummed index, but not there */
	if (rc != SQLITE_ROW)
		return errno_of_sqlite(rc);
	if (sqlite3_column_type(st, 0) != SQLITE_BLOB)
		return -EBADMSG;
	*ret = slice_of(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
	return ret->p ? 0 : -EBADMSG;
}

static bool is_payload(uint16_t col)
{
	const struct column *c = schema_column(col);

	return c && (c->flags & COL_F_PAYLOAD);
}

/* The payload file belongs to the same bucket, or is gone because retention took it. */
static int open_payload(struct sealed *s)
{
	struct sealed_head head = { 0 };
	char file[128];
	int err;

	s->payload_tried = true;
	snprintf(file, sizeof(file), "%s.payload.db", s->name);
	err = open_db(s->dir, file, &s->payload);
	if (err < 0)
		return err;
	err = read_head(s->payload, &head);
	if (!err && (head.class != CLASS_PAYLOAD || head.uid != s->head.uid))
		err = -EBADMSG;
	sealed_head_done(&head);
	if (!err)
		err = errno_of_sqlite(sqlite3_prepare_v2(s->payload,
							 "SELECT b FROM chunk WHERE id = ?", -1,
							 &s->payload_chunk, NULL));
	return err;
}

static int sealed_part(struct part_source *src, const struct seg_desc *seg,
		       const struct col_desc *c, enum seg_part part, struct slice *ret)
{
	struct sealed *s = container_of(src, struct sealed, source);
	sqlite3_stmt *st = s->chunk;

	if (is_payload(c->col)) {
		int err = s->payload_tried ? 0 : open_payload(s);

		if (err < 0)
			return err;
		if (!s->payload_chunk)
			return s->payload ? -EBADMSG : -ENOENT;
		st = s->payload_chunk;
	}
	return blob_by_id(st, chunk_id(seg->seg_no, part, c->col), ret);
}

void sealed_close(struct sealed *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->seg);
	sqlite3_finalize(s->chunk);
	sqlite3_finalize(s->payload_chunk);
	sqlite3_close(s->db);
	sqlite3_close(s->payload);
	sealed_head_done(&s->head);
	free(s);
}
DEFINE_CLEANUP(struct sealed, sealed_close)

int sealed_open(const char *dir, const char *name, struct sealed **ret)
{
	_cleanup_(sealed_closep) struct sealed *s = calloc(1, sizeof(*s));
	char file[128];
	int err, rc;

	if (!s)
		return -ENOMEM;
	s->dir = dir;
	s->source.part = sealed_part;
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(file, sizeof(file), "%s.meta.db", name);
	err = open_db(dir, file, &s->db);
	if (!err)
		err = read_head(s->db, &s->head);
	if (err < 0)
		return err;
	if (s->head.class != CLASS_META)
		return -EBADMSG;
	rc = sqlite3_prepare_v2(s->db, "SELECT d FROM seg WHERE id = ?", -1, &s->seg, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db, "SELECT b FROM chunk WHERE id = ?", -1, &s->chunk,
					NULL);
	if (rc != SQLITE_OK)
		return errno_of_sqlite(rc);
	*ret = TAKE_PTR(s);
	return 0;
}

int sealed_desc(struct sealed *s, const struct sealed_seg *seg, struct seg_desc *ret,
		uint8_t **ret_bytes)
{
	_cleanup_(freep) uint8_t *bytes = NULL;
	struct slice d = { 0 };
	int err;

	err = blob_by_id(s->seg, seg->seg_no, &d);
	if (err < 0)
		return err;
	if (!d.p || d.n != seg->desc_len || crc32c(0, d.p, d.n) != seg->desc_crc)
		return -EBADMSG;
	bytes = malloc(d.n + 1);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, d.p, d.n);
	err = seg_desc_parse(slice_of(bytes, d.n), ret);
	if (err < 0)
		return err;
	if (ret->seg_no != seg->seg_no || ret->rows != seg->rows || ret->table != s->head.table)
		return -EBADMSG;
	*ret_bytes = TAKE_PTR(bytes);
	return 0;
}
