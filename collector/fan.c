/* The union of all nodes' answers. With one node batches pass through; with several, rows are
 * merged by end time, for which that column is asked for as one more when the plan does not have
 * it. Tables without an end time have no order and are appended.
 */
#include "collector/fan.h"

#include "base/clock.h"
#include "query/wire.h"

#include <errno.h>

struct head {
	struct wire_batch batch;
	struct hub_buf bytes; /* what batch borrows from */
	size_t row;
	bool over;
};

struct fan_scan {
	struct scan scan; /* first: what callers hold */
	struct fan *fan;
	struct hub_scan *hs;
	struct scan_plan plan; /* as asked of the nodes: columns alone */
	uint16_t cols[SCAN_COLS_MAX];
	size_t n_wanted;    /* columns of the caller; plan.n_cols may be one more */
	size_t order;	    /* position of the end time, SIZE_MAX: no order */
	uint64_t left;	    /* rows up to the limit */
	size_t n_heads, at; /* at: of an unordered union, the node being read */
	struct head *heads;
	/* the merged batch */
	struct scan_col out[SCAN_COLS_MAX];
	uint8_t *kinds;
	int64_t *ints;
	struct slice *texts;
	bool finished, limited;
};

static bool has_column(uint16_t table, uint16_t col)
{
	const struct table_schema *t = schema_table(table);

	for (size_t i = 0; t && i < t->n_columns; i++)
		if (t->columns[i]->id == col)
			return true;
	return false;
}

/* Fills s->cols; the end time is put last when only the merge needs it. */
static void choose_columns(struct fan_scan *s, const struct scan_plan *plan)
{
	s->n_wanted = plan->n_cols;
	s->order = SIZE_MAX;
	for (size_t i = 0; i < plan->n_cols; i++) {
		s->cols[i] = plan->cols[i];
		if (plan->cols[i] == COL_END_TIME)
			s->order = i;
	}
	s->plan.table = plan->table;
	s->plan.n_cols = plan->n_cols;
	s->plan.cols = s->cols;
	s->plan.newest_first = plan->newest_first;
	if (s->order == SIZE_MAX && has_column(plan->table, COL_END_TIME) &&
	    plan->n_cols < SCAN_COLS_MAX) {
		s->order = s->plan.n_cols;
		s->cols[s->plan.n_cols++] = COL_END_TIME;
	}
}

static int list_add_once(struct query_list *list, const char *text)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], text) == 0)
			return 0;
	return query_list_add(list, text);
}

static void note_missing(struct fan *f, const char *node, const char *why)
{
	char note[HUB_NODE_MAX + 200];

	list_add_once(&f->missing, node);
	snprintf(note, sizeof(note), "%s: %s", node, why);
	if (f->notes.n < FAN_REASONS_MAX)
		list_add_once(&f->notes, note);
}

/* NULL when the node answered in full. */
static const char *why_missing(const struct hub_part_info *info)
{
	switch (info->state) {
	case HUB_PART_RUNNING:
		return "no answer in time";
	case HUB_PART_GONE:
		return "not connected";
	case HUB_PART_SILENT:
		return "connected, but does not respond";
	case HUB_PART_DONE:
		break;
	}
	if (info->status == KELPIE__SCAN_STATUS__SCAN_OK)
		return NULL;
	if (info->status == KELPIE__SCAN_STATUS__SCAN_DEADLINE)
		return "stopped at the deadline";
	return info->message[0] ? info->message : "the scan failed";
}

static void account(struct fan_scan *s)
{
	struct fan *f = s->fan;
	size_t failed = 0;

	for (size_t i = 0; i < s->n_heads; i++) {
		struct hub_part_info info;
		const char *why;

		hub_scan_info(s->hs, i, &info);
		list_add_once(&f->asked, info.node);
		if (info.state == HUB_PART_RUNNING && s->limited)
			continue; /* not needed any more */
		if (f->cancel && atomic_load(f->cancel))
			continue;
		why = why_missing(&info);
		if (!why)
			continue;
		failed++;
		f->timed_out |= info.state == HUB_PART_RUNNING;
		note_missing(f, info.node, why);
	}
	if (s->n_heads == 0)
		f->asked_nobody = true;
	else if (failed == s->n_heads)
		f->all_failed = true;
}

static void drop_batch(struct head *h)
{
	free(h->bytes.p);
	h->bytes = (struct hub_buf){ 0 };
	h->row = 0;
	h->batch.batch.n_rows = 0;
}

/* Makes row `row` of head i valid. 1; 0: this node has no more; -ECANCELED; -ENOMEM. A node that
 * breaks the format or the deadline counts as over: account() finds the reason. */
static int fill(struct fan_scan *s, size_t i)
{
	struct head *h = &s->heads[i];
	int have, err;

	while (!h->over && h->row >= h->batch.batch.n_rows) {
		drop_batch(h);
		have = hub_scan_take(s->hs, i, s->fan->deadline_ns, s->fan->cancel, &h->bytes);
		if (have == -ECANCELED)
			return have;
		if (have <= 0) {
			h->over = true;
			break;
		}
		err = wire_get_batch(slice_of(h->bytes.p, h->bytes.n), &s->plan, &h->batch);
		if (err == -ENOMEM)
			return err;
		if (err < 0) {
			struct hub_part_info info;

			hub_scan_info(s->hs, i, &info);
			note_missing(s->fan, info.node, "sent a malformed batch");
			h->over = true;
			drop_batch(h);
		}
	}
	return h->row < h->batch.batch.n_rows;
}

/* The rest of one head's batch, without the column that was added. */
static size_t pass_through(struct fan_scan *s, struct head *h, struct scan_batch *ret)
{
	size_t n = h->batch.batch.n_rows - h->row;

	n = (size_t)MIN((uint64_t)n, s->left);
	for (size_t c = 0; c < s->n_wanted; c++) {
		s->out[c] = h->batch.batch.cols[c];
		s->out[c].kinds += h->row;
		s->out[c].ints += h->row;
		s->out[c].texts += h->row;
	}
	h->row += n;
	*ret = (struct scan_batch){ .n_rows = n, .cols = s->out, .n_cols = s->n_wanted };
	return n;
}

static int next_single(struct fan_scan *s, struct scan_batch *ret)
{
	while (s->at < s->n_heads) {
		int have = fill(s, s->at);

		if (have < 0)
			return have;
		if (have && pass_through(s, &s->heads[s->at], ret) > 0)
			return 1;
		s->at++;
	}
	return 0;
}

static int64_t end_time(const struct fan_scan *s, const struct head *h)
{
	const struct scan_col *c = &h->batch.batch.cols[s->order];

	return c->kinds[h->row] == VALUE_INT ? c->ints[h->row] : INT64_MIN;
}

static int make_merged(struct fan_scan *s)
{
	size_t cells = s->n_wanted * SCAN_BATCH_ROWS;

	if (s->kinds || s->n_wanted == 0)
		return 0;
	s->kinds = malloc(cells);
	s->ints = calloc(cells, sizeof(*s->ints));
	s->texts = calloc(cells, sizeof(*s->texts));
	if (!s->kinds || !s->ints || !s->texts)
		return -ENOMEM;
	for (size_t c = 0; c < s->n_wanted; c++)
		s->out[c] = (struct scan_col){
			.col = s->cols[c],
			.kinds = s->kinds + c * SCAN_BATCH_ROWS,
			.ints = s->ints + c * SCAN_BATCH_ROWS,
			.texts = s->texts + c * SCAN_BATCH_ROWS,
		};
	return 0;
}

static void copy_row(struct fan_scan *s, const struct head *h, size_t to)
{
	for (size_t c = 0; c < s->n_wanted; c++) {
		const struct scan_col *from = &h->batch.batch.cols[c];
		size_t cell = c * SCAN_BATCH_ROWS + to;

		s->kinds[cell] = from->kinds[h->row];
		if (s->kinds[cell] == VALUE_INT)
			s->ints[cell] = from->ints[h->row];
		else if (s->kinds[cell] == VALUE_TEXT)
			s->texts[cell] = from->texts[h->row];
	}
}

/* The head whose row comes next; NULL at the end of all. */
static struct head *first_head(const struct fan_scan *s)
{
	struct head *best = NULL;

	for (size_t i = 0; i < s->n_heads; i++) {
		struct head *h = &s->heads[i];

		if (h->row >= h->batch.batch.n_rows)
			continue;
		if (!best || (s->plan.newest_first ? end_time(s, h) > end_time(s, best)
						   : end_time(s, h) < end_time(s, best)))
			best = h;
	}
	return best;
}

/* Texts are borrowed from the heads' batches: a merged batch ends where one of them does. */
static int next_merged(struct fan_scan *s, struct scan_batch *ret)
{
	size_t n = 0;
	int err = make_merged(s);

	for (size_t i = 0; err >= 0 && i < s->n_heads; i++)
		err = fill(s, i);
	if (err < 0)
		return err;
	while (n < SCAN_BATCH_ROWS && n < s->left) {
		struct head *h = first_head(s);

		if (!h)
			break;
		copy_row(s, h, n++);
		if (++h->row >= h->batch.batch.n_rows)
			break;
	}
	*ret = (struct scan_batch){ .n_rows = n, .cols = s->out, .n_cols = s->n_wanted };
	return n > 0;
}

static int fan_next(struct scan *scan, struct scan_batch *ret)
{
	struct fan_scan *s = container_of(scan, struct fan_scan, scan);
	int have = 0;

	if (s->left > 0 && !s->finished)
		have = s->n_heads > 1 && s->order != SIZE_MAX ? next_merged(s, ret)
							      : next_single(s, ret);
	if (have > 0) {
		if (s->left != UINT64_MAX)
			s->left -= ret->n_rows;
		return 1;
	}
	if (!s->finished) {
		s->finished = true;
		s->limited = s->left == 0;
		account(s);
	}
	if (have == 0 && (s->fan->asked_nobody || s->fan->all_failed))
		return s->fan->asked_nobody ? -ENOTCONN : -EIO;
	return have;
}

static void add_coverage(const struct scan_coverage *c, struct scan_coverage *sum)
{
	sum->rows_scanned += c->rows_scanned;
	sum->rows_matched += c->rows_matched;
	sum->segments_read += c->segments_read;
	sum->segments_skipped += c->segments_skipped;
	sum->segments_bad += c->segments_bad;
	sum->rows_bad += c->rows_bad;
	if (c->oldest_ns && (!sum->oldest_ns || c->oldest_ns < sum->oldest_ns))
		sum->oldest_ns = c->oldest_ns;
	sum->newest_ns = MAX(sum->newest_ns, c->newest_ns);
	sum->truncated |= c->truncated;
}

static void fan_coverage(const struct scan *scan, struct scan_coverage *ret)
{
	/* scan is the first member */
	const struct fan_scan *s = (const struct fan_scan *)(const void *)scan;

	*ret = (struct scan_coverage){ 0 };
	for (size_t i = 0; i < s->n_heads; i++) {
		struct hub_part_info info;

		hub_scan_info(s->hs, i, &info);
		add_coverage(&info.coverage, ret);
		/* before the end it only means that the reader, a LIMIT or a merge, had enough */
		if (info.state == HUB_PART_RUNNING && s->finished)
			ret->truncated = true;
	}
	ret->truncated |= s->limited;
}

static void fan_close(struct scan *scan)
{
	struct fan_scan *s = container_of(scan, struct fan_scan, scan);

	if (!s->finished) { /* the reader had enough */
		s->limited = true;
		account(s);
	}
	for (size_t i = 0; i < s->n_heads; i++) {
		drop_batch(&s->heads[i]);
		wire_batch_done(&s->heads[i].batch);
	}
	if (s->hs)
		hub_scan_end(s->hs);
	free(s->heads);
	free(s->kinds);
	free(s->ints);
	free(s->texts);
	free(s);
}

static const struct scan_ops fan_ops = {
	.next = fan_next,
	.coverage = fan_coverage,
	.close = fan_close,
};

static int ask_nodes(struct fan_scan *s, const struct scan_plan *plan)
{
	struct strbuf wire = STRBUF_INIT(WIRE_PLAN_MAX);
	struct scan_plan asked = *plan;
	uint64_t now_ns;
	int err;

	choose_columns(s, plan);
	asked.cols = s->cols;
	asked.n_cols = s->plan.n_cols;
	err = wire_put_plan(&wire, &asked);
	now_ns = clock_mono_ns();
	if (err == 0)
		err = hub_scan_start(s->fan->hub, strbuf_slice(&wire),
				     s->fan->deadline_ns - MIN(now_ns, s->fan->deadline_ns),
				     &s->hs);
	strbuf_done(&wire);
	return err;
}

/* Showing them and comparing them are the same: an answer to "does it contain x" tells of it. */
static const char *payload_in(const struct scan_plan *plan)
{
	for (size_t i = 0; i < plan->n_cols + plan->n_preds; i++) {
		uint16_t id = i < plan->n_cols ? plan->cols[i] : plan->preds[i - plan->n_cols].col;
		const struct column *col = schema_column(id);

		if (col && (col->flags & COL_F_PAYLOAD))
			return col->name;
	}
	return NULL;
}

static int fan_open(struct scan_source *src, const struct scan_plan *plan, struct scan **ret)
{
	struct fan *f = container_of(src, struct fan, source);
	struct fan_scan *s;
	int err = scan_plan_check(plan);

	if (err < 0)
		return err;
	if (f->no_payloads && !f->refused)
		f->refused = payload_in(plan);
	if (f->refused)
		return -EACCES;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->scan.ops = &fan_ops;
	s->fan = f;
	s->left = plan->limit ? plan->limit : UINT64_MAX;
	err = ask_nodes(s, plan);
	if (err == 0) {
		s->n_heads = hub_scan_parts(s->hs);
		s->heads = calloc(s->n_heads + 1, sizeof(*s->heads));
		if (!s->heads) {
			s->n_heads = 0;
			err = -ENOMEM;
		}
	}
	if (err < 0) {
		s->finished = true;
		fan_close(&s->scan);
		return err;
	}
	*ret = &s->scan;
	return 0;
}

void fan_init(struct fan *f, struct hub *hub, uint64_t deadline_ns, const atomic_bool *cancel)
{
	*f = (struct fan){
		.source.open = fan_open,
		.hub = hub,
		.deadline_ns = deadline_ns,
		.cancel = cancel,
	};
}

static void list_done(struct query_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct query_list){ 0 };
}

void fan_done(struct fan *f)
{
	list_done(&f->asked);
	list_done(&f->missing);
	list_done(&f->notes);
}

int fan_cover(const struct fan *f, struct query_coverage *cov)
{
	int err = 0;

	cov->nodes_ok = (uint32_t)(f->asked.n - MIN(f->asked.n, f->missing.n));
	for (size_t i = 0; i < f->missing.n && err == 0; i++)
		err = query_coverage_missing(cov, f->missing.v[i]);
	for (size_t i = 0; i < f->notes.n && err == 0; i++)
		err = query_list_add(&cov->notes, f->notes.v[i]);
	return err;
}
