#include "query/worker_msg.h"

#include "query/wire_int.h"

#include <errno.h>

void frame_begin(struct strbuf *out, enum frame_type type)
{
	uint8_t head[FRAME_HEAD_BYTES] = { 0, 0, 0, 0, (uint8_t)type };

	strbuf_reset(out);
	strbuf_add(out, head, sizeof(head));
}

int frame_end(struct strbuf *out)
{
	if (out->failed || out->len - FRAME_HEAD_BYTES > FRAME_MAX)
		return -E2BIG;
	put_le((uint8_t *)out->p, out->len - FRAME_HEAD_BYTES, 4);
	return 0;
}

static void put_value(struct strbuf *out, const struct value *v)
{
	put_number(out, v->kind);
	if (v->kind == VALUE_INT)
		put_number(out, zigzag(v->i));
	else if (v->kind == VALUE_TEXT)
		put_text(out, v->text);
}

void msg_put_query(struct strbuf *out, const struct query *q)
{
	put_text(out, q->sql);
	put_number(out, q->range.from_ns);
	put_number(out, q->range.to_ns);
	put_number(out, q->range.is_default);
	put_number(out, q->limits.timeout_ns);
	put_number(out, q->limits.rows);
	put_number(out, q->limits.bytes);
	put_number(out, q->now_ns);
	put_number(out, q->reach_ns);
	put_number(out, q->n_params);
	for (size_t i = 0; i < q->n_params; i++) {
		/* With its NUL: the reader uses it in place. */
		put_text(out, slice_of(q->params[i].name, strlen(q->params[i].name) + 1));
		put_value(out, &q->params[i].value);
	}
}

static bool get_param(struct reader *in, struct query_param *p)
{
	struct slice name = get_text(in);

	if (!name.n || slice_find(name, 0) != name.n - 1)
		return false;
	*p = (struct query_param){ .name = (const char *)name.p };
	p->value.kind = (uint8_t)get_bounded(in, VALUE_TEXT);
	if (p->value.kind == VALUE_INT)
		p->value.i = unzigzag(read_varint(in));
	else if (p->value.kind == VALUE_TEXT)
		p->value.text = get_text(in);
	return !in->bad;
}

int msg_get_query(struct slice in, struct query *ret, struct query_param **ret_params)
{
	_cleanup_(freep) struct query_param *params = calloc(QUERY_PARAMS_MAX, sizeof(*params));
	struct reader r = reader_of(in);
	struct query q = { 0 };

	if (!params)
		return -ENOMEM;
	q.sql = get_text(&r);
	q.range.from_ns = read_varint(&r);
	q.range.to_ns = read_varint(&r);
	q.range.is_default = get_bounded(&r, 1);
	q.limits.timeout_ns = read_varint(&r);
	q.limits.rows = read_varint(&r);
	q.limits.bytes = read_varint(&r);
	q.now_ns = read_varint(&r);
	q.reach_ns = read_varint(&r);
	q.n_params = (size_t)get_bounded(&r, QUERY_PARAMS_MAX);
	for (size_t i = 0; i < q.n_params; i++)
		if (!get_param(&r, &params[i]))
			return -EBADMSG;
	if (r.bad || reader_left(&r))
		return -EBADMSG;
	q.params = params;
	*ret = q;
	*ret_params = TAKE_PTR(params);
	return 0;
}

void msg_put_columns(struct strbuf *out, const struct query_column *cols, size_t n)
{
	put_number(out, n);
	for (size_t i = 0; i < n; i++) {
		put_text(out, slice_str(cols[i].name));
		put_text(out, slice_str(cols[i].type));
		put_text(out, slice_str(cols[i].unit_name));
		put_number(out, cols[i].unit);
		put_number(out, cols[i].approximate);
	}
}

/* A copy with a NUL; NULs inside would only hide what follows them. The offset of it in texts. */
static size_t keep(struct strbuf *texts, struct slice s)
{
	size_t at = texts->len;

	strbuf_add(texts, s.p, s.n);
	strbuf_addch(texts, 0);
	return at;
}

int msg_get_columns(struct slice in, struct query_column *cols, size_t *ret_n, struct strbuf *texts)
{
	size_t name[QUERY_COLUMNS_MAX], type[QUERY_COLUMNS_MAX], unit[QUERY_COLUMNS_MAX], n;
	struct reader r = reader_of(in);

	n = (size_t)get_bounded(&r, QUERY_COLUMNS_MAX);
	for (size_t i = 0; i < n; i++) {
		name[i] = keep(texts, get_text(&r));
		type[i] = keep(texts, get_text(&r));
		unit[i] = keep(texts, get_text(&r));
		cols[i].unit = (uint8_t)get_bounded(&r, UINT8_MAX);
		cols[i].approximate = get_bounded(&r, 1);
	}
	if (r.bad || reader_left(&r) || texts->failed)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		cols[i].name = texts->p + name[i];
		cols[i].type = texts->p + type[i];
		cols[i].unit_name = texts->p + unit[i];
	}
	*ret_n = n;
	return 0;
}

void msg_put_row(struct strbuf *out, const struct query_cell *cells, size_t n)
{
	uint8_t real[8];

	for (size_t i = 0; i < n; i++) {
		strbuf_addch(out, (char)cells[i].kind);
		switch (cells[i].kind) {
		case QUERY_INT:
			put_number(out, zigzag(cells[i].i));
			break;
		case QUERY_REAL:
			memcpy(real, &cells[i].r, sizeof(real));
			strbuf_add(out, real, sizeof(real));
			break;
		case QUERY_TEXT:
		case QUERY_BLOB:
			put_text(out, cells[i].text);
			break;
		default:
			break;
		}
	}
}

bool msg_get_row(struct reader *in, struct query_cell *cells, size_t n)
{
	struct slice real;

	/* A row without columns cannot be told from the end. */
	if (!reader_left(in) || !n)
		return false;
	for (size_t i = 0; i < n; i++) {
		cells[i] = (struct query_cell){ .kind = read_u8(in) };
		switch (cells[i].kind) {
		case QUERY_NULL:
			break;
		case QUERY_INT:
			cells[i].i = unzigzag(read_varint(in));
			break;
		case QUERY_REAL:
			real = read_bytes(in, sizeof(cells[i].r));
			if (!in->bad)
				memcpy(&cells[i].r, real.p, sizeof(cells[i].r));
			break;
		case QUERY_TEXT:
		case QUERY_BLOB:
			cells[i].text = get_text(in);
			break;
		default:
			in->bad = true;
		}
	}
	return !in->bad;
}

static void put_list(struct strbuf *out, const struct query_list *l)
{
	put_number(out, l->n);
	for (size_t i = 0; i < l->n; i++)
		put_text(out, slice_str(l->v[i]));
}

static int get_list(struct reader *in, struct query_list *l)
{
	uint64_t n = get_bounded(in, QUERY_LIST_MAX);

	for (uint64_t i = 0; i < n && !in->bad; i++) {
		struct slice s = get_text(in);
		char *text = strndup((const char *)s.p, s.n);
		int r = text ? query_list_add(l, text) : -ENOMEM;

		free(text);
		if (r < 0)
			return r;
	}
	return in->bad ? -EBADMSG : 0;
}

void msg_put_done(struct strbuf *out, int result, const struct query_coverage *cov,
		  const struct query_error *e)
{
	put_number(out, (uint64_t) - (int64_t)result);
	put_number(out, (cov->complete ? 1u : 0u) | (cov->truncated ? 2u : 0u) |
				(cov->timed ? 4u : 0u) | (cov->begins_late ? 8u : 0u));
	put_number(out, cov->from_ns);
	put_number(out, cov->to_ns);
	put_number(out, cov->oldest_ns);
	put_number(out, cov->newest_ns);
	put_number(out, cov->nodes_ok);
	put_number(out, cov->rows);
	put_number(out, cov->rows_scanned);
	put_number(out, cov->rows_matched);
	put_number(out, cov->lost);
	put_number(out, cov->sampled);
	put_list(out, &cov->missing);
	put_list(out, &cov->approximate);
	put_list(out, &cov->notes);
	put_text(out, slice_str(e->code));
	put_text(out, slice_str(e->message));
	put_text(out, slice_str(e->hint));
	put_number(out, zigzag(e->position));
}

static void get_fixed(struct reader *in, char *out, size_t cap)
{
	struct slice s = slice_head(get_text(in), cap - 1);

	memcpy(out, s.p, s.n);
	out[s.n] = 0;
}

int msg_get_done(struct slice in, int *ret_result, struct query_coverage *ret_cov,
		 struct query_error *ret_error)
{
	struct reader r = reader_of(in);
	uint64_t flags;
	int64_t position;
	int err;

	memset(ret_cov, 0, sizeof(*ret_cov));
	memset(ret_error, 0, sizeof(*ret_error));
	*ret_result = -(int)get_bounded(&r, 4095);
	flags = get_bounded(&r, 15);
	ret_cov->complete = flags & 1;
	ret_cov->truncated = flags & 2;
	ret_cov->timed = flags & 4;
	ret_cov->begins_late = flags & 8;
	ret_cov->from_ns = read_varint(&r);
	ret_cov->to_ns = read_varint(&r);
	ret_cov->oldest_ns = read_varint(&r);
	ret_cov->newest_ns = read_varint(&r);
	ret_cov->nodes_ok = (uint32_t)get_bounded(&r, UINT32_MAX);
	ret_cov->rows = read_varint(&r);
	ret_cov->rows_scanned = read_varint(&r);
	ret_cov->rows_matched = read_varint(&r);
	ret_cov->lost = read_varint(&r);
	ret_cov->sampled = read_varint(&r);
	err = get_list(&r, &ret_cov->missing);
	if (err == 0)
		err = get_list(&r, &ret_cov->approximate);
	if (err == 0)
		err = get_list(&r, &ret_cov->notes);
	if (err < 0)
		return err;
	get_fixed(&r, ret_error->code, sizeof(ret_error->code));
	get_fixed(&r, ret_error->message, sizeof(ret_error->message));
	get_fixed(&r, ret_error->hint, sizeof(ret_error->hint));
	position = unzigzag(read_varint(&r));
	ret_error->position = position >= 0 && position <= QUERY_SQL_MAX ? (int)position : -1;
	return r.bad || reader_left(&r) ? -EBADMSG : 0;
}
