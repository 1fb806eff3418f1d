#include "cli/question.h"

#include "cli/format.h"
#include "base/text.h"

void question_init(struct question *q)
{
	*q = (struct question){ .to_ns = UINT64_MAX };
	strbuf_init(&q->sql, QUESTION_SQL_MAX);
	strbuf_init(&q->text, QUESTION_TEXT_MAX);
}

void question_done(struct question *q)
{
	strbuf_done(&q->sql);
	strbuf_done(&q->text);
}

static void bind(struct question *q, struct datum d)
{
	if (q->n_params == QUESTION_PARAMS_MAX) {
		q->sql.failed = true;
		return;
	}
	q->text_at[q->n_params] = q->text.len;
	if (d.kind == DATUM_TEXT)
		strbuf_add(&q->text, d.text.p, d.text.n);
	q->sql.failed |= q->text.failed;
	q->params[q->n_params++] = d;
	strbuf_addf(&q->sql, ":p%zu", q->n_params);
}

void question_bind_text(struct question *q, struct slice s)
{
	bind(q, datum_text(s));
}

void question_bind_int(struct question *q, int64_t v)
{
	bind(q, datum_int(v));
}

struct datum question_param(const struct question *q, size_t i)
{
	struct datum d = q->params[i];

	if (d.kind == DATUM_TEXT)
		d.text = slice_of(q->text.p + q->text_at[i], d.text.n);
	return d;
}

static void add_literal(const struct datum *d, struct strbuf *out)
{
	if (d->kind != DATUM_TEXT) {
		format_exact(d, SHAPE_PLAIN, out);
		return;
	}
	strbuf_addch(out, '\'');
	for (size_t i = 0; i < d->text.n; i++) {
		strbuf_adds(out, d->text.p[i] == '\'' ? "'" : "");
		strbuf_addch(out, (char)d->text.p[i]);
	}
	strbuf_addch(out, '\'');
}

void question_explain(const struct question *q, struct strbuf *out)
{
	struct slice rest = strbuf_slice(&q->sql);

	while (rest.n) {
		size_t plain = slice_find(rest, ':'), n;
		uint64_t number = 0;

		strbuf_add(out, rest.p, plain);
		rest = slice_from(rest, plain);
		if (!rest.n)
			break;
		for (n = 2; n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9'; n++)
			;
		if (rest.n > 2 && rest.p[1] == 'p' &&
		    parse_u64(slice_of(rest.p + 2, n - 2), &number) == 0 && number >= 1 &&
		    number <= q->n_params) {
			struct datum d = question_param(q, (size_t)number - 1);

			add_literal(&d, out);
			rest = slice_from(rest, n);
		} else {
			strbuf_addch(out, ':');
			rest = slice_from(rest, 1);
		}
	}
}
