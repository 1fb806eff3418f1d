#include "storage/rowlog.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "storage/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define LOG_MAGIC    0x474f4c4bu /* "KLOG" */
#define RECORD_MAGIC 0x3152474bu /* "KGR1" */
#define RESYNC_BYTES (256 * KIB)

static void head_write(uint8_t out[LOG_HEAD], const struct rowlog *l)
{
	memset(out, 0, LOG_HEAD);
	put_le(out, LOG_MAGIC, 4);
	put_le(out + 4, LOG_VERSION, 2);
	put_le(out + 6, l->table, 2);
	put_le(out + 8, l->bucket_no, 4);
	put_le(out + 16, l->start_ns, 8);
	put_le(out + 24, l->run_ns, 8);
	put_le(out + 32, l->uid, 8);
	put_le(out + 60, crc32c(0, out, LOG_HEAD - 4), 4);
}

static int head_parse(const uint8_t in[LOG_HEAD], struct rowlog *l)
{
	struct reader r = reader_of(slice_of(in, LOG_HEAD));
	uint32_t magic = read_le32(&r);
	uint16_t version = read_le16(&r);

	l->table = read_le16(&r);
	l->bucket_no = read_le32(&r);
	(void)read_le32(&r);
	l->start_ns = read_le64(&r);
	l->run_ns = l->last_run_ns = read_le64(&r);
	l->uid = read_le64(&r);
	(void)read_bytes(&r, 20);
	if (magic != LOG_MAGIC || read_le32(&r) != crc32c(0, in, LOG_HEAD - 4))
		return -EBADMSG;
	return version > LOG_VERSION ? -EPROTONOSUPPORT : 0;
}

static struct rowlog *log_new(int fd)
{
	struct rowlog *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->refs = 1;
	l->fd = fd;
	l->tmin = UINT64_MAX;
	return l;
}

struct rowlog *rowlog_get(struct rowlog *l)
{
	atomic_fetch_add(&l->refs, 1);
	return l;
}

void rowlog_put(struct rowlog *l)
{
	if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	close(l->fd);
	free(l->entries);
	free(l);
}
DEFINE_CLEANUP(struct rowlog, rowlog_put)

int rowlog_create(int dirfd, const char *name, const struct rowlog *head, struct rowlog **ret)
{
	_cleanup_(rowlog_putp) struct rowlog *l = NULL;
	uint8_t bytes[LOG_HEAD];
	struct iovec iov = { bytes, LOG_HEAD };
	int fd, err;

	fd = io_open(dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0660);
	if (fd < 0)
		return fd;
	l = log_new(fd);
	if (!l) {
		close(fd);
		(void)io_unlink(dirfd, name);
		return -ENOMEM;
	}
	l->table = head->table;
	l->bucket_no = head->bucket_no;
	l->start_ns = head->start_ns;
	l->run_ns = l->last_run_ns = head->run_ns;
	l->uid = head->uid;
	l->size = LOG_HEAD;
	l->dirty = true;
	head_write(bytes, l);
	err = io_write(fd, &iov, 1, 0);
	if (err < 0) {
		(void)io_unlink(dirfd, name);
		return err;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

static void record_write(uint8_t out[LOG_RECORD], const struct log_entry *e, uint32_t crc)
{
	memset(out, 0, LOG_RECORD);
	put_le(out, RECORD_MAGIC, 4);
	out[4] = e->kind;
	out[5] = e->packed;
	put_le(out + 8, e->stored, 4);
	put_le(out + 12, e->raw, 4);
	put_le(out + 16, e->desc_len, 4);
	put_le(out + 20, e->rows, 4);
	put_le(out + 24, e->first_row, 8);
	put_le(out + 32, e->run_ns, 8);
	put_le(out + 40, crc, 4);
	put_le(out + 44, crc32c(0, out, LOG_RECORD - 4), 4);
}

static bool record_parse(const uint8_t in[LOG_RECORD], struct log_entry *e, uint32_t *ret_crc)
{
	struct reader r = reader_of(slice_of(in, LOG_RECORD));

	*e = (struct log_entry){ 0 };
	if (read_le32(&r) != RECORD_MAGIC)
		return false;
	e->kind = read_u8(&r);
	e->packed = read_u8(&r);
	(void)read_le16(&r);
	e->stored = read_le32(&r);
	e->raw = read_le32(&r);
	e->desc_len = read_le32(&r);
	e->rows = read_le32(&r);
	e->first_row = read_le64(&r);
	e->run_ns = read_le64(&r);
	*ret_crc = read_le32(&r);
	if (read_le32(&r) != crc32c(0, in, LOG_RECORD - 4))
		return false;
	return e->raw <= SEG_DATA_MAX + SEG_DESC_MAX && e->stored <= e->raw &&
	       e->desc_len <= e->raw && e->packed <= 1 && (e->packed || e->stored == e->raw) &&
	       e->first_row <= INT64_MAX && e->kind >= LOG_FULL && e->kind <= LOG_GAP;
}

/* Room for one more entry. */
static int reserve_entry(struct rowlog *l)
{
	if (l->n_entries == l->cap_entries) {
		size_t cap = MAX(l->cap_entries * 2, (size_t)64);
		struct log_entry *p = realloc(l->entries, cap * sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->entries = p;
		l->cap_entries = cap;
	}
	return 0;
}

/* Takes out the minis whose rows a full record has; they are the newest ones. */
static void drop_replaced(struct rowlog *l, const struct log_entry *full)
{
	size_t n = l->n_entries;

	while (n > 0 && l->entries[n - 1].kind == LOG_MINI &&
	       l->entries[n - 1].first_row >= full->first_row &&
	       l->entries[n - 1].first_row + l->entries[n - 1].rows <=
		       full->first_row + full->rows) {
		n--;
		l->rows -= l->entries[n].rows;
		l->bytes_live -= l->entries[n].stored;
	}
	l->n_entries = n;
}

/* A good record joins the index, which has room for it. */
static void take_record(struct rowlog *l, const struct log_entry *e)
{
	if (e->kind == LOG_FULL)
		drop_replaced(l, e);
	l->next_row = MAX(l->next_row, e->first_row + e->rows);
	l->last_run_ns = MAX(l->last_run_ns, e->run_ns);
	if (e->kind == LOG_GAP)
		return;
	l->entries[l->n_entries++] = *e;
	l->rows += e->rows;
	l->bytes_live += e->stored;
	if (e->tmin <= e->tmax) {
		l->tmin = MIN(l->tmin, e->tmin);
		l->tmax = MAX(l->tmax, e->tmax);
	}
}

int rowlog_payload(const struct rowlog *l, const struct log_entry *e, struct squeezer *z,
		   uint8_t **ret)
{
	_cleanup_(freep) uint8_t *stored = malloc(e->stored + 1);
	_cleanup_(freep) uint8_t *raw = NULL;
	int err;

	if (!stored)
		return -ENOMEM;
	err = io_read(l->fd, stored, e->stored, e->off);
	if (err < 0)
		return err == -ENODATA ? -EBADMSG : err;
	if (!e->packed) {
		*ret = TAKE_PTR(stored);
		return 0;
	}
	raw = malloc(e->raw + 1);
	if (!raw)
		return -ENOMEM;
	err = unsqueeze(z, slice_of(stored, e->stored), raw, e->raw);
	if (err < 0)
		return err;
	*ret = TAKE_PTR(raw);
	return 0;
}

/* Learns a segment's time range from its descriptor, which must agree with the record. */
static int take_desc(const struct rowlog *l, struct log_entry *e, const uint8_t *raw,
		     struct seg_desc *desc)
{
	int err = seg_desc_parse(slice_of(raw, e->desc_len), desc);

	if (err < 0)
		return err;
	e->tmin = desc->tmin;
	e->tmax = desc->tmax;
	return desc->table == l->table && desc->rows == e->rows &&
			       desc->first_row == e->first_row &&
			       desc->data_len == e->raw - e->desc_len
		       ? 0
		       : -EBADMSG;
}

/* Checks a record's payload against its header. The time range of packed ones is left for later:
 * most of them will turn out to be replaced. */
static int check_payload(struct rowlog *l, struct log_entry *e, uint32_t crc, struct squeezer *z,
			 struct seg_desc *desc)
{
	_cleanup_(freep) uint8_t *raw = NULL;
	struct log_entry stored = *e;
	int err;

	if (e->kind == LOG_GAP)
		return e->stored ? -EBADMSG : 0;
	stored.packed = 0;
	err = rowlog_payload(l, &stored, z, &raw);
	if (err < 0)
		return err;
	if (crc32c(0, raw, e->stored) != crc)
		return -EBADMSG;
	e->tmin = UINT64_MAX;
	return e->packed ? 0 : take_desc(l, e, raw, desc);
}

/* The next offset from `from` on where a record's header is good; end when there is none. */
static uint64_t resync(const struct rowlog *l, uint64_t from, uint64_t end)
{
	_cleanup_(freep) uint8_t *buf = malloc(RESYNC_BYTES);
	struct log_entry e;
	uint32_t crc;

	while (buf && from + LOG_RECORD <= end) {
		size_t n = (size_t)MIN(end - from, (uint64_t)RESYNC_BYTES);

		if (io_read(l->fd, buf, n, from) < 0)
			return end;
		for (size_t i = 0; i + LOG_RECORD <= n; i++)
			if (buf[i] == (RECORD_MAGIC & 0xff) && record_parse(buf + i, &e, &crc))
				return from + i;
		from += n - (LOG_RECORD - 1);
	}
	return end;
}

static int by_row(const void *a, const void *b)
{
	const struct log_entry *x = a, *y = b;

	return x->first_row < y->first_row ? -1 : x->first_row > y->first_row;
}

/* Rows whose number no good record and no gap covers. gaps: the LOG_GAP records seen. */
static uint64_t uncovered(struct rowlog *l, struct log_entry *gaps, size_t n_gaps)
{
	uint64_t covered = 0;

	if (l->n_entries)
		qsort(l->entries, l->n_entries, sizeof(*l->entries), by_row);
	for (size_t i = 0; i < n_gaps; i++)
		covered += gaps[i].rows;
	covered += l->rows;
	return l->next_row > covered ? l->next_row - covered : 0;
}

struct replay {
	struct rowlog *l;
	struct squeezer *z;
	struct seg_desc *desc;
	struct log_entry *gaps;
	size_t n_gaps;
};

/* One record at off. Returns the offset of what follows it, 0 where the file ends in a torn record,
 * or a negative errno for lack of memory or a read error. */
static int64_t replay_record(struct replay *r, uint64_t off, uint64_t end)
{
	uint8_t head[LOG_RECORD];
	struct log_entry e, *gaps;
	uint32_t crc;
	int err;

	if (end - off < LOG_RECORD)
		return 0;
	err = io_read(r->l->fd, head, LOG_RECORD, off);
	if (err < 0)
		return err;
	if (!record_parse(head, &e, &crc)) {
		r->l->records_bad++;
		return (int64_t)resync(r->l, off + 1, end);
	}
	e.off = off + LOG_RECORD;
	if (e.stored > end - e.off)
		return 0;
	err = check_payload(r->l, &e, crc, r->z, r->desc);
	if (err == -EBADMSG) {
		r->l->records_bad++;
		r->l->next_row = MAX(r->l->next_row, e.first_row + e.rows);
		return (int64_t)(e.off + e.stored);
	}
	if (!err && e.kind == LOG_GAP) {
		gaps = realloc(r->gaps, (r->n_gaps + 1) * sizeof(e));
		if (!gaps)
			return -ENOMEM;
		r->gaps = gaps;
		r->gaps[r->n_gaps++] = e;
	}
	if (!err)
		err = reserve_entry(r->l);
	if (!err)
		take_record(r->l, &e);
	return err < 0 ? err : (int64_t)(e.off + e.stored);
}

/* The time ranges of the packed records that are still needed; a bad one leaves the index. */
static int finish_packed(struct replay *r)
{
	struct rowlog *l = r->l;
	size_t kept = 0;

	for (size_t i = 0; i < l->n_entries; i++) {
		struct log_entry *e = &l->entries[i];
		uint8_t *raw = NULL;
		int err = e->packed ? rowlog_payload(l, e, r->z, &raw) : 0;

		if (!err && e->packed)
			err = take_desc(l, e, raw, r->desc);
		free(raw);
		if (err == -EBADMSG) {
			l->records_bad++;
			l->rows -= e->rows;
			l->bytes_live -= e->stored;
			continue;
		}
		if (err < 0)
			return err;
		l->tmin = MIN(l->tmin, e->tmin);
		l->tmax = MAX(l->tmax, e->tmax);
		l->entries[kept++] = *e;
	}
	l->n_entries = kept;
	return 0;
}

static int replay_log(struct replay *r, bool writable)
{
	struct stat st;
	uint64_t end;
	int64_t next;

	if (fstat(r->l->fd, &st) < 0)
		return -errno;
	end = (uint64_t)st.st_size;
	r->l->size = LOG_HEAD;
	while (r->l->size < end) {
		next = replay_record(r, r->l->size, end);
		if (next < 0)
			return (int)next;
		if (next == 0)
			break;
		r->l->size = (uint64_t)next;
	}
	if (finish_packed(r) < 0)
		return -ENOMEM;
	r->l->rows_bad = uncovered(r->l, r->gaps, r->n_gaps);
	return writable && r->l->size < end ? io_truncate(r->l->fd, r->l->size) : 0;
}

int rowlog_version_check(int dirfd, const char *name)
{
	struct rowlog head;
	uint8_t bytes[LOG_HEAD];
	int fd = io_open(dirfd, name, O_RDONLY, 0);
	int err;

	if (fd < 0)
		return fd;
	err = io_read(fd, bytes, LOG_HEAD, 0);
	close(fd);
	return err < 0 ? err : head_parse(bytes, &head);
}

int rowlog_open(int dirfd, const char *name, bool writable, struct rowlog **ret)
{
	_cleanup_(rowlog_putp) struct rowlog *l = NULL;
	_cleanup_(squeezer_freep) struct squeezer *z = squeezer_new();
	_cleanup_(freep) struct seg_desc *desc = malloc(sizeof(*desc));
	uint8_t head[LOG_HEAD];
	struct replay r = { .z = z, .desc = desc };
	int fd, err;

	if (!z || !desc)
		return -ENOMEM;
	fd = io_open(dirfd, name, writable ? O_RDWR : O_RDONLY, 0);
	if (fd < 0)
		return fd;
	l = log_new(fd);
	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	err = io_read(fd, head, LOG_HEAD, 0);
	if (!err)
		err = head_parse(head, l);
	if (err < 0)
		return err == -ENODATA ? -EBADMSG : err;
	r.l = l;
	err = replay_log(&r, writable);
	free(r.gaps);
	if (err < 0)
		return err;
	*ret = TAKE_PTR(l);
	return 0;
}

/* Writes one record at the end; cuts the file back when that fails. */
static int append_record(struct rowlog *l, struct log_entry *e, const struct iovec *payload, int n,
			 uint32_t crc)
{
	uint8_t head[LOG_RECORD];
	struct iovec iov[3] = { { head, LOG_RECORD } };
	int err;

	err = reserve_entry(l);
	if (err < 0)
		return err;
	memcpy(iov + 1, payload, (size_t)n * sizeof(*payload));
	record_write(head, e, crc);
	err = io_write(l->fd, iov, n + 1, l->size);
	if (err < 0) {
		(void)io_truncate(l->fd, l->size);
		return err;
	}
	e->off = l->size + LOG_RECORD;
	take_record(l, e);
	l->size = e->off + e->stored;
	l->dirty = true;
	return 0;
}

int rowlog_append(struct rowlog *l, enum log_kind kind, const struct seg_desc *desc,
		  struct slice data, uint64_t run_ns, struct squeezer *z)
{
	struct strbuf bytes = STRBUF_INIT(SEG_DATA_MAX + SEG_DESC_MAX);
	struct strbuf packed = STRBUF_INIT(SEG_DATA_MAX + SEG_DESC_MAX);
	struct log_entry e = {
		.kind = (uint8_t)kind,
		.rows = desc->rows,
		.first_row = desc->first_row,
		.run_ns = run_ns,
		.tmin = desc->tmin,
		.tmax = desc->tmax,
	};
	struct iovec iov[2];
	int n = 1, err = -ENOMEM;
	uint32_t crc;

	seg_desc_write(&bytes, desc);
	e.desc_len = (uint32_t)bytes.len;
	e.raw = e.stored = (uint32_t)(bytes.len + data.n);
	if (kind == LOG_MINI) {
		strbuf_add(&bytes, data.p, data.n);
		e.stored = (uint32_t)squeeze(z, &packed, strbuf_slice(&bytes));
		e.packed = e.stored < e.raw;
		iov[0] = (struct iovec){ packed.p, packed.len };
	} else {
		iov[0] = (struct iovec){ bytes.p, bytes.len };
		iov[1] = (struct iovec){ (void *)(uintptr_t)data.p, data.n };
		n = 2;
	}
	if (!bytes.failed && !packed.failed) {
		crc = crc32c(0, iov[0].iov_base, iov[0].iov_len);
		if (n == 2)
			crc = crc32c(crc, data.p, data.n);
		err = append_record(l, &e, iov, n, crc);
	}
	strbuf_done(&bytes);
	strbuf_done(&packed);
	return err;
}

int rowlog_append_gap(struct rowlog *l, uint64_t rows, uint64_t run_ns)
{
	while (rows > 0) {
		struct log_entry e = {
			.kind = LOG_GAP,
			.rows = (uint32_t)MIN(rows, (uint64_t)UINT32_MAX),
			.first_row = l->next_row,
			.run_ns = run_ns,
		};
		struct iovec none = { NULL, 0 };
		int err = append_record(l, &e, &none, 1, 0);

		if (err < 0)
			return err;
		rows -= e.rows;
	}
	return 0;
}

int rowlog_sync(struct rowlog *l)
{
	int err;

	if (!l->dirty)
		return 0;
	err = io_sync(l->fd);
	if (!err)
		l->dirty = false;
	return err;
}
