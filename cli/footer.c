#include "cli/footer.h"

#include "base/text.h"
#include "cli/format.h"
#include "cli/json.h"
#include "cli/screen.h"

/* CONTRACT:
 * {"complete","from","to","nodes":{"ok","missing":[]},"rows","lost","sampled","truncated",
 * "approximate":[]}, with "notes":[] beside. */

bool footer_complete(struct slice coverage)
{
	struct json doc = { 0 };
	const struct json_node *n;
	bool complete = true;

	if (coverage.n && json_parse(&doc, coverage) == 0) {
		n = json_get(&doc, &doc.nodes[0], "complete");
		complete = !n || json_true(n);
	}
	json_done(&doc);
	return complete;
}

static void add_instant(uint64_t ns, struct strbuf *out)
{
	char text[40];

	format_time_utc(ns, text);
	text[19] = 'Z';
	strbuf_add(out, text, 20);
}

static void add_range(const struct footer *f, struct strbuf *out)
{
	bool open_end = f->q->to_ns == UINT64_MAX;

	if (!f->q->from_ns && open_end) {
		strbuf_adds(out, "everything retained");
	} else if (open_end && f->now_ns > f->q->from_ns) {
		strbuf_adds(out, "last ");
		format_duration(f->now_ns - f->q->from_ns, out);
		/* 5m00s is 5m to people */
		if (out->len > 3 && strcmp(out->p + out->len - 3, "00s") == 0 &&
		    out->p[out->len - 4] == 'm') {
			out->len -= 3;
			out->p[out->len] = 0;
		}
	} else {
		if (f->q->from_ns)
			add_instant(f->q->from_ns, out);
		strbuf_adds(out, " to ");
		if (open_end)
			strbuf_adds(out, "now");
		else
			add_instant(f->q->to_ns, out);
	}
}

static void add_list(const struct json *doc, const struct json_node *list, struct strbuf *out)
{
	const struct json_node *n = NULL;
	size_t shown = 0;

	while ((n = json_each(doc, list, n)) && shown < 8) {
		strbuf_adds(out, shown++ ? ", " : "");
		screen_escape(json_text(n), out);
	}
	if (n)
		strbuf_addf(out, " and %zu more", (size_t)list->n - shown);
}

static void add_incomplete(const struct json *doc, const struct json_node *missing, int64_t lost,
			   struct strbuf *out)
{
	strbuf_adds(out, " · INCOMPLETE");
	if (lost > 0) {
		strbuf_adds(out, ": ");
		format_count((double)lost, out);
		strbuf_adds(out, " lost");
	}
	if (missing && missing->n) {
		strbuf_adds(out, lost > 0 ? ", no answer from " : ": no answer from ");
		add_list(doc, missing, out);
	}
}

static void add_completeness(const struct json *doc, const struct json_node *cov,
			     struct strbuf *out)
{
	const struct json_node *complete = json_get(doc, cov, "complete");
	const struct json_node *missing = json_get(doc, json_get(doc, cov, "nodes"), "missing");
	int64_t lost = json_int(json_get(doc, cov, "lost"), 0);
	bool truncated = json_true(json_get(doc, cov, "truncated"));

	if (!complete)
		return;
	if (json_true(complete))
		strbuf_adds(out, " · complete");
	else if (json_true(json_get(doc, cov, "begins_late")))
		strbuf_adds(out, " · complete since capturing began");
	else
		add_incomplete(doc, missing, lost, out);
	if (truncated)
		strbuf_adds(out, " · cut at a limit");
	if (json_int(json_get(doc, cov, "sampled"), 0) > 0) {
		strbuf_adds(out, " · sampled: ");
		format_count((double)json_int(json_get(doc, cov, "sampled"), 0), out);
		strbuf_adds(out, " left out");
	}
}

static void add_why_empty(const struct footer *f, bool has_notes, struct strbuf *out)
{
	if (f->rows || has_notes)
		return;
	if (f->filtered)
		strbuf_adds(out, "nothing matches these filters in this range; try without them, "
				 "or --since 1h\n");
	else
		strbuf_adds(out,
			    "nothing was seen in this range; `kelpie status` says what is watched, "
			    "`kelpie doctor` what is in the way\n");
}

static void add_lines(const struct footer *f, struct strbuf *out)
{
	struct json doc = { 0 };
	const struct json_node *cov = NULL, *notes = NULL, *n = NULL;

	if (f->coverage.n && json_parse(&doc, f->coverage) == 0)
		cov = &doc.nodes[0];
	notes = json_get(&doc, cov, "notes");
	strbuf_addf(out, "%llu %.*s · ", (unsigned long long)f->rows,
		    (int)(strlen(f->what) - (f->rows == 1)), f->what); /* 1 row, 2 rows */
	add_range(f, out);
	add_completeness(&doc, cov, out);
	strbuf_adds(out, " · ");
	screen_escape(slice_str(f->source), out);
	strbuf_addch(out, '\n');
	while ((n = json_each(&doc, notes, n))) {
		screen_escape(json_text(n), out);
		strbuf_addch(out, '\n');
	}
	if (f->q->cut_at && f->rows >= f->q->cut_at)
		strbuf_addf(out, "these are the first %llu, there may be more: --limit N\n",
			    (unsigned long long)f->q->cut_at);
	add_why_empty(f, notes && notes->n, out);
	if (f->dropped && f->rows)
		strbuf_addf(out, "%zu column%s did not fit; -o wide shows all\n", f->dropped,
			    f->dropped == 1 ? "" : "s");
	json_done(&doc);
}

void footer_add(const struct footer *f, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf plain = STRBUF_INIT(MIB);

	add_lines(f, &plain);
	if (f->width)
		screen_wrap(strbuf_slice(&plain), f->width, out);
	else
		strbuf_add(out, plain.p, plain.len);
}
