#include "storage/segment.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "protocols/schema.h"

#include <errno.h>

#define SEG_MAGIC     0x3147534bu /* "KSG1" */
#define BLOOM_PROBES  7
#define BLOOM_BITS    10  /* per text */
#define COL_BYTES_MAX 160 /* of one column in the descriptor, without its text */

static void put_varint_buf(struct strbuf *out, uint64_t v)
{
	uint8_t b[10];

	strbuf_add(out, b, put_varint(b, v));
}

static void put_le_buf(struct strbuf *out, uint64_t v, size_t width)
{
	uint8_t b[8];

	put_le(b, v, width);
	strbuf_add(out, b, width);
}

static bool enc_is_int(uint8_t enc)
{
	return enc == ENC_CONST_INT || enc == ENC_FOR || enc == ENC_DELTA || enc == ENC_NEAR ||
	       enc == ENC_MAP_INT;
}

static bool enc_is_map(uint8_t enc)
{
	return enc == ENC_MAP_INT || enc == ENC_MAP_DICT;
}

static bool enc_has_dict(uint8_t enc)
{
	return enc == ENC_DICT || enc == ENC_MAP_DICT;
}

static void col_write(struct strbuf *out, const struct col_desc *c)
{
	put_le_buf(out, c->col, 2);
	put_le_buf(out, c->enc, 1);
	put_le_buf(out, c->width, 1);
	put_le_buf(out, c->parts, 1);
	put_varint_buf(out, c->n_values);
	if (enc_is_int(c->enc)) {
		put_varint_buf(out, zigzag(c->min));
		put_varint_buf(out, (uint64_t)c->max - (uint64_t)c->min);
	}
	if (c->enc == ENC_DELTA) {
		put_varint_buf(out, zigzag(c->base));
		put_varint_buf(out, zigzag(c->step));
	}
	if (c->enc == ENC_NEAR)
		put_varint_buf(out, zigzag(c->near_min));
	if (enc_is_map(c->enc)) {
		put_varint_buf(out, c->ref);
		put_varint_buf(out, c->n_map);
	}
	if (enc_has_dict(c->enc))
		put_varint_buf(out, c->n_dict);
	if (c->enc == ENC_CONST_TEXT) {
		put_varint_buf(out, c->text.n);
		strbuf_add(out, c->text.p, c->text.n);
	}
	for (size_t i = 0; i < _PART_MAX; i++) {
		if (!(c->parts & 1u << i))
			continue;
		put_varint_buf(out, c->part[i].stored);
		put_varint_buf(out, c->part[i].raw);
		put_le_buf(out, c->part[i].crc, 4);
	}
}

void seg_desc_write(struct strbuf *out, const struct seg_desc *d)
{
	size_t start = out->len;

	put_le_buf(out, SEG_MAGIC, 4);
	put_le_buf(out, SEG_VERSION, 2);
	put_le_buf(out, d->table, 2);
	put_le_buf(out, d->seg_no, 4);
	put_le_buf(out, d->rows, 4);
	put_le_buf(out, d->tmin, 8);
	put_le_buf(out, d->tmax, 8);
	put_le_buf(out, d->epoch, 8);
	put_le_buf(out, d->seq_min, 8);
	put_le_buf(out, d->seq_max, 8);
	put_le_buf(out, d->first_row, 8);
	put_le_buf(out, d->schema_version, 2);
	put_le_buf(out, d->n_cols, 2);
	put_le_buf(out, d->data_len, 4);
	put_le_buf(out, 0, 4);
	for (size_t i = 0; i < d->n_cols; i++)
		col_write(out, &d->cols[i]);
	if (!out->failed)
		put_le_buf(out, crc32c(0, out->p + start, out->len - start), 4);
}

/* Whether the fields fit each other; decoders rely on it. */
static bool col_sane(const struct col_desc *c, uint32_t rows)
{
	unsigned int want = 1u << PART_DATA;

	if (c->n_values == 0 || c->n_values > rows || c->max < c->min)
		return false;
	if (c->width != 0 && c->width != 1 && c->width != 2 && c->width != 4 && c->width != 8)
		return false;
	if (c->enc == ENC_CONST_INT || c->enc == ENC_CONST_TEXT)
		want = c->n_values < rows ? want : 0;
	if (enc_has_dict(c->enc)) {
		want |= 1u << PART_DICT;
		if (c->n_dict == 0 || c->n_dict > c->n_values || c->width > 4)
			return false;
	}
	if (enc_is_map(c->enc) && (c->ref >= c->col || c->n_map < 2 || c->n_map > rows + 1))
		return false;
	if (c->part[PART_DATA].raw == 0)
		want &= ~(1u << PART_DATA);
	return (c->parts & ~(1u << PART_BLOOM)) == want;
}

static int col_parse(struct reader *r, uint32_t rows, uint64_t *off, struct col_desc *c)
{
	*c = (struct col_desc){ .col = read_le16(r), .enc = read_u8(r) };
	c->width = read_u8(r);
	c->parts = read_u8(r);
	c->n_values = (uint32_t)MIN(read_varint(r), (uint64_t)UINT32_MAX);
	if (c->enc == 0 || c->enc >= _ENC_MAX || c->parts >> _PART_MAX || c->col >= _COL_MAX)
		return -EBADMSG;
	if (enc_is_int(c->enc)) {
		c->min = unzigzag(read_varint(r));
		c->max = (int64_t)((uint64_t)c->min + read_varint(r));
	}
	if (c->enc == ENC_DELTA) {
		c->base = unzigzag(read_varint(r));
		c->step = unzigzag(read_varint(r));
	}
	if (c->enc == ENC_NEAR)
		c->near_min = unzigzag(read_varint(r));
	if (enc_is_map(c->enc)) {
		c->ref = (uint16_t)MIN(read_varint(r), (uint64_t)UINT16_MAX);
		c->n_map = (uint32_t)MIN(read_varint(r), (uint64_t)UINT32_MAX);
	}
	if (enc_has_dict(c->enc))
		c->n_dict = (uint32_t)MIN(read_varint(r), (uint64_t)UINT32_MAX);
	if (c->enc == ENC_CONST_TEXT)
		c->text = read_bytes(r, read_varint(r));
	for (size_t i = 0; i < _PART_MAX; i++) {
		struct part_desc *p = &c->part[i];

		if (!(c->parts & 1u << i))
			continue;
		p->off = (uint32_t)*off;
		p->stored = (uint32_t)MIN(read_varint(r), (uint64_t)UINT32_MAX);
		p->raw = (uint32_t)MIN(read_varint(r), (uint64_t)UINT32_MAX);
		p->crc = read_le32(r);
		*off += p->stored;
		if (p->raw > CODEC_RAW_MAX || p->stored > p->raw || *off > SEG_DATA_MAX)
			return -EBADMSG;
	}
	return r->bad || !col_sane(c, rows) ? -EBADMSG : 0;
}

int seg_desc_parse(struct slice bytes, struct seg_desc *ret)
{
	struct reader r = reader_of(bytes);
	uint64_t off = 0;
	int last = -1;

	if (bytes.n < SEG_HEAD_BYTES + 4 || bytes.n > SEG_DESC_MAX)
		return -EBADMSG;
	r.end -= 4;
	if (crc32c(0, bytes.p, bytes.n - 4) !=
	    ((uint32_t)r.end[0] | (uint32_t)r.end[1] << 8 | (uint32_t)r.end[2] << 16 |
	     (uint32_t)r.end[3] << 24))
		return -EBADMSG;
	if (read_le32(&r) != SEG_MAGIC || read_le16(&r) != SEG_VERSION)
		return -EBADMSG;
	ret->table = read_le16(&r);
	ret->seg_no = read_le32(&r);
	ret->rows = read_le32(&r);
	ret->tmin = read_le64(&r);
	ret->tmax = read_le64(&r);
	ret->epoch = read_le64(&r);
	ret->seq_min = read_le64(&r);
	ret->seq_max = read_le64(&r);
	ret->first_row = read_le64(&r);
	ret->schema_version = read_le16(&r);
	ret->n_cols = read_le16(&r);
	ret->data_len = read_le32(&r);
	(void)read_le32(&r);
	if (ret->rows == 0 || ret->rows > SEG_ROWS_MAX || ret->n_cols > SEG_COLS_MAX ||
	    ret->tmin > ret->tmax || ret->tmax > INT64_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < ret->n_cols; i++) {
		if (col_parse(&r, ret->rows, &off, &ret->cols[i]) < 0 || ret->cols[i].col <= last)
			return -EBADMSG;
		last = ret->cols[i].col;
	}
	return r.bad || reader_left(&r) || off != ret->data_len ? -EBADMSG : 0;
}

const struct col_desc *seg_desc_find(const struct seg_desc *d, uint16_t col)
{
	size_t lo = 0, hi = d->n_cols;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (d->cols[mid].col == col)
			return &d->cols[mid];
		if (d->cols[mid].col < col)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

size_t bloom_bytes(size_t n_texts)
{
	return (n_texts * BLOOM_BITS + 63) / 64 * 8;
}

/* One strong hash gives both numbers of the probe sequence (Kirsch, Mitzenmacher 2006). The key is
 * a constant: filters are read by other processes and later versions. */
static uint64_t bloom_hash(struct slice text)
{
	static const struct hash_key key = { 0x6b656c7069652062ULL, 0x6c6f6f6d20763120ULL };

	return hash_bytes(&key, text);
}

void bloom_add(uint8_t *bits, size_t n_bytes, struct slice text)
{
	uint64_t h = bloom_hash(text), step = h >> 32 | 1;

	for (size_t i = 0; i < BLOOM_PROBES; i++, h += step) {
		uint64_t bit = (h & UINT32_MAX) % (n_bytes * 8);

		bits[bit / 8] = (uint8_t)(bits[bit / 8] | 1u << bit % 8);
	}
}

bool bloom_may_have(const uint8_t *bits, size_t n_bytes, struct slice text)
{
	uint64_t h = bloom_hash(text), step = h >> 32 | 1;

	for (size_t i = 0; i < BLOOM_PROBES; i++, h += step) {
		uint64_t bit = (h & UINT32_MAX) % (n_bytes * 8);

		if (!(bits[bit / 8] & 1u << bit % 8))
			return false;
	}
	return true;
}

bool seg_wants_bloom(uint16_t col)
{
	return col == COL_TRACE_ID || col == COL_CONN_ID;
}

bool seg_near(uint16_t col, uint16_t *ret_plus, uint16_t *ret_minus)
{
	static const struct {
		uint16_t col, plus, minus;
	} near[] = {
		{ COL_TIME, COL_END_TIME, COL_LATENCY_NS },
		{ COL_TTFB_NS, COL_LATENCY_NS, 0 }, /* equal when the response came in one piece */
		{ COL_REQUEST_BYTES, COL_REQUEST_BODY_BYTES, 0 }, /* headers of few sizes */
		{ COL_RESPONSE_BYTES, COL_RESPONSE_BODY_BYTES, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(near); i++) {
		if (near[i].col != col)
			continue;
		*ret_plus = near[i].plus;
		*ret_minus = near[i].minus;
		return true;
	}
	return false;
}

size_t seg_refs(uint16_t col, uint16_t ret[SEG_REFS_MAX])
{
	static const struct {
		uint16_t first, last;
		uint16_t refs[SEG_REFS_MAX];
	} ranges[] = {
		{ COL_STATUS_CODE, COL_CLIENT_ERROR, { COL_STATUS, 0 } },
		{ COL_CLIENT_ADDR, COL_CLIENT_ADDR, { COL_CONN_ID, 0 } },
		{ COL_CLIENT_PORT, COL_CLIENT_NAME, { COL_CLIENT_ADDR, COL_CONN_ID } },
		{ COL_SERVER_ADDR, COL_SERVER_ADDR, { COL_CONN_ID, 0 } },
		{ COL_SERVER_PORT, COL_SERVER_NAME, { COL_SERVER_ADDR, COL_CONN_ID } },
		{ COL_HTTP_VERSION, COL_HTTP_HOST, { COL_SERVER_ADDR, COL_CONN_ID } },
		{ COL_HTTP_USER_AGENT, COL_HTTP_USER_AGENT, { COL_CLIENT_ADDR, COL_CONN_ID } },
		{ COL_DB_DATABASE, COL_DB_USER, { COL_SERVER_ADDR, COL_CONN_ID } },
		{ COL_DB_SQLSTATE, COL_DB_SQLSTATE, { COL_STATUS, 0 } },
		{ COL_DB_SEVERITY, COL_DB_SEVERITY, { COL_STATUS, 0 } },
		{ COL_DNS_RCODE, COL_DNS_RCODE, { COL_STATUS, 0 } },
		{ COL_DNS_RESOLVER, COL_DNS_TRANSPORT, { COL_SERVER_ADDR, COL_CONN_ID } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (col < ranges[i].first || col > ranges[i].last)
			continue;
		memcpy(ret, ranges[i].refs, sizeof(ranges[i].refs));
		return ret[1] ? 2 : 1;
	}
	return 0;
}

bool seg_is_ref(uint16_t col)
{
	return col == COL_STATUS || col == COL_CONN_ID || col == COL_CLIENT_ADDR ||
	       col == COL_SERVER_ADDR;
}
