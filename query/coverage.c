#include "query/query_int.h"

#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

static void list_done(struct query_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct query_list){ 0 };
}

void query_coverage_done(struct query_coverage *cov)
{
	list_done(&cov->missing);
	list_done(&cov->approximate);
	list_done(&cov->notes);
	memset(cov, 0, sizeof(*cov));
}

int query_list_add(struct query_list *list, const char *text)
{
	char **v;
	char *copy;

	if (list->n >= QUERY_LIST_MAX)
		return 0;
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], text) == 0)
			return 0;
	copy = strdup(text);
	v = copy ? reallocarray(list->v, list->n + 1, sizeof(*v)) : NULL;
	if (!v) {
		free(copy);
		return -ENOMEM;
	}
	list->v = v;
	list->v[list->n++] = copy;
	return 0;
}

int query_coverage_gap(struct query_coverage *cov, const char *note)
{
	cov->complete = cov->begins_late = false;
	return note ? query_list_add(&cov->notes, note) : 0;
}

int query_coverage_missing(struct query_coverage *cov, const char *node)
{
	query_coverage_gap(cov, NULL);
	return query_list_add(&cov->missing, node);
}

void query_coverage_lost(struct query_coverage *cov, uint64_t lost, uint64_t sampled)
{
	cov->lost += lost;
	cov->sampled += sampled;
	if (lost)
		query_coverage_gap(cov, NULL);
}

void query_coverage_times(const struct query_coverage *cov, uint64_t now_ns, struct loss_times *ret)
{
	bool open_end = cov->to_ns == UINT64_MAX;

	*ret = (struct loss_times){ .from_ns = UINT64_MAX };
	if (!cov->timed)
		return;
	ret->from_ns = cov->from_ns;
	ret->to_ns = cov->to_ns;
	if (!cov->newest_ns) /* no row is of any time */
		return;
	/* What was before the oldest row, nobody claims to have seen. */
	ret->known_from_ns = MAX(cov->from_ns, cov->oldest_ns);
	ret->known_to_ns = open_end && !cov->from_ns ? cov->newest_ns : MIN(cov->to_ns, now_ns);
}

void query_coverage_epochs(struct query_coverage *cov, const struct loss_cover *known)
{
	char from[36], to[36];

	query_coverage_lost(cov, known->lost.units, known->lost.sampled);
	if (known->lost.bytes) {
		query_coverage_gap(cov, NULL);
		coverage_note(cov, "%" PRIu64 " bytes of payload were lost in the range",
			      known->lost.bytes);
	}
	if (!known->unknown_to_ns)
		return;
	query_coverage_gap(cov, NULL);
	format_time_utc(known->unknown_to_ns, to);
	if (known->unknown_from_ns) {
		format_time_utc(known->unknown_from_ns, from);
		coverage_note(cov,
			      "not known to be complete: no ledger speaks for %.19sZ to %.19sZ; "
			      "the agent did not run, or was killed",
			      from, to);
	} else {
		coverage_note(cov,
			      "not known to be complete: no ledger speaks for what was "
			      "before %.19sZ",
			      to);
	}
}

int coverage_note(struct query_coverage *cov, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return query_list_add(&cov->notes, text);
}

void query_effective_range(const struct query_conn *c, uint64_t *ret_from_ns, uint64_t *ret_to_ns)
{
	const struct query_coverage *cov = c->cov;

	*ret_from_ns = *ret_to_ns = 0;
	if (!c->scanned)
		return;
	*ret_from_ns = cov->from_ns ? cov->from_ns : cov->oldest_ns;
	if (cov->to_ns != UINT64_MAX)
		*ret_to_ns = MIN(cov->to_ns, c->now_ns);
	else
		*ret_to_ns = cov->from_ns ? c->now_ns : cov->newest_ns;
}

/* Why there is nothing, as far as the scans can tell. */
static void note_empty(struct query_conn *c)
{
	struct query_coverage *cov = c->cov;
	char from[36], newest[36];

	if (!c->scanned)
		return;
	if (!cov->newest_ns) {
		coverage_note(cov, "nothing has been stored in the tables of this query yet");
	} else if (cov->newest_ns < cov->from_ns) {
		format_time_utc(cov->newest_ns, newest);
		format_time_utc(cov->from_ns, from);
		coverage_note(cov,
			      "there are older rows: the newest is of %s, the range begins at %s",
			      newest, from);
	} else if (cov->rows_scanned) {
		coverage_note(cov, "%" PRIu64 " rows were looked at, none matches the conditions",
			      cov->rows_scanned);
	} else if (cov->oldest_ns && cov->oldest_ns > cov->to_ns) {
		coverage_note(cov, "all rows are newer than the range");
	} else {
		coverage_note(cov, "no row matches the conditions in this range");
	}
}

void coverage_finish(struct query_conn *c, int r)
{
	struct query_coverage *cov = c->cov;
	uint64_t reach = c->q->reach_ns ? c->q->reach_ns : cov->oldest_ns;

	cov->timed = c->scanned;
	if (!c->scanned) {
		cov->from_ns = c->q->range.from_ns;
		cov->to_ns = c->q->range.to_ns;
	}
	if (cov->to_ns > c->now_ns && cov->from_ns < c->now_ns && cov->from_ns)
		cov->to_ns = c->now_ns;
	if (!cov->nodes_ok)
		cov->nodes_ok = 1;
	cov->truncated |= r < 0;
	cov->complete &= !cov->truncated && !cov->lost && !cov->missing.n;
	/* Data that begins later than the question: the answer lacks what was before. */
	if (c->scanned && cov->from_ns && reach > cov->from_ns) {
		cov->begins_late = cov->complete;
		cov->complete = false;
	}
	if (r == 0 && cov->rows == 0)
		note_empty(c);
}

static void add_time(struct strbuf *out, const char *key, uint64_t ns, uint64_t none)
{
	char text[36];

	if (ns == none) {
		strbuf_addf(out, "\"%s\":null", key);
		return;
	}
	format_time_utc(ns, text);
	strbuf_addf(out, "\"%s\":\"%s\"", key, text);
}

static void add_list(struct strbuf *out, const struct query_list *l)
{
	strbuf_addch(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			strbuf_addch(out, ',');
		strbuf_add_json(out, slice_str(l->v[i]));
	}
	strbuf_addch(out, ']');
}

void query_coverage_json(const struct query_coverage *cov, struct strbuf *out)
{
	strbuf_addf(out, "{\"complete\":%s,", cov->complete ? "true" : "false");
	add_time(out, "from", cov->from_ns, 0);
	strbuf_addch(out, ',');
	add_time(out, "to", cov->to_ns, UINT64_MAX);
	strbuf_addf(out, ",\"nodes\":{\"ok\":%u,\"missing\":", cov->nodes_ok);
	add_list(out, &cov->missing);
	strbuf_addf(out,
		    "},\"rows\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"sampled\":%" PRIu64
		    ",\"truncated\":%s,\"begins_late\":%s,\"approximate\":",
		    cov->rows, cov->lost, cov->sampled, cov->truncated ? "true" : "false",
		    cov->begins_late ? "true" : "false");
	add_list(out, &cov->approximate);
	strbuf_addf(out, ",\"scanned\":%" PRIu64 ",\"notes\":", cov->rows_scanned);
	add_list(out, &cov->notes);
	strbuf_addch(out, '}');
}

void query_error_json(const struct query_error *e, struct strbuf *out)
{
	strbuf_adds(out, "{\"code\":");
	strbuf_add_json(out, slice_str(e->code));
	strbuf_adds(out, ",\"message\":");
	strbuf_add_json(out, slice_str(e->message));
	strbuf_adds(out, ",\"hint\":");
	strbuf_add_json(out, slice_str(e->hint));
	if (e->position >= 0)
		strbuf_addf(out, ",\"position\":%d}", e->position);
	else
		strbuf_adds(out, ",\"position\":null}");
}
