/* Live tails: each row that reaches the store is tested against each subscriber's filter before
 * anything is encoded. The filter is the subscriber's message itself, checked once when it starts.
 */
#include "agent/uplink_int.h"
#include "base/clock.h"

#include <errno.h>

#define TESTS_MAX     512  /* of one filter */
#define TEST_TEXT_MAX 512  /* bytes of one pattern or text */
#define WILD_MAX      1024 /* bytes of all patterns with a '?' */
#define RATE_DEFAULT  200  /* rows a second */
#define MILLI	      1000ULL

/* A cell as the filter and the subscriber see it: what the store fills in later is filled in here.
 */
static struct value cell_value(const struct uplink *u, const struct row *row, uint16_t col)
{
	const struct cell *c = row_find(row, col);

	if (c && c->kind == CELL_INT)
		return (struct value){ .kind = VALUE_INT, .i = c->v.i };
	if (c && c->kind == CELL_TEXT)
		return (struct value){ .kind = VALUE_TEXT, .text = row_cell_text(row, c) };
	if (c && c->kind == CELL_SYM && u->cfg.ops->symbol)
		return (struct value){
			.kind = VALUE_TEXT,
			.text = u->cfg.ops->symbol(u->cfg.ctx, (uint32_t)c->v.off),
		};
	switch (col) {
	case COL_NODE:
		return (struct value){ .kind = VALUE_TEXT, .text = slice_str(u->cfg.node) };
	case COL_EPOCH:
		return (struct value){ .kind = VALUE_INT, .i = (int64_t)u->cfg.epoch };
	case COL_SEQ:
		return (struct value){ .kind = VALUE_INT, .i = (int64_t)row->hdr->seq };
	case COL_END_TIME:
		return (struct value){ .kind = VALUE_INT, .i = (int64_t)row->hdr->end_ns };
	default:
		return (struct value){ .kind = VALUE_NULL };
	}
}

/* Whether the piece stands at the beginning of text; a '?' of it is any byte. */
static bool piece_at(struct slice piece, struct slice text)
{
	if (piece.n > text.n)
		return false;
	for (size_t i = 0; i < piece.n; i++)
		if (piece.p[i] != '?' && piece.p[i] != text.p[i])
			return false;
	return true;
}

/* Where the piece is found first, text.n + 1 when it is not. Filters are a stranger's and this runs
 * for each row, so what has no '?' is left to the C library, and the rest is bounded by WILD_MAX.
 */
static size_t piece_find(struct slice piece, struct slice text)
{
	const uint8_t *at;

	if (piece.n > text.n)
		return text.n + 1;
	if (piece.n == 0)
		return 0;
	if (slice_find(piece, '?') == piece.n) {
		at = memmem(text.p, text.n, piece.p, piece.n);
		return at ? (size_t)(at - text.p) : text.n + 1;
	}
	for (size_t i = 0; i + piece.n <= text.n; i++)
		if (piece_at(piece, slice_from(text, i)))
			return i;
	return text.n + 1;
}

/* '*' any bytes, '?' one byte. The pieces between the stars, each where it is found first. */
static bool glob_match(struct slice pattern, struct slice text)
{
	struct slice piece = slice_head(pattern, slice_find(pattern, '*'));

	if (!piece_at(piece, text))
		return false;
	if (piece.n == pattern.n)
		return piece.n == text.n;
	text = slice_from(text, piece.n);
	for (;;) {
		size_t at;

		pattern = slice_from(pattern, piece.n + 1);
		piece = slice_head(pattern, slice_find(pattern, '*'));
		if (piece.n == pattern.n)
			break;
		at = piece_find(piece, text);
		if (at > text.n)
			return false;
		text = slice_from(text, at + piece.n);
	}
	return piece.n <= text.n && piece_at(piece, slice_from(text, text.n - piece.n));
}

/* SQLite's order: any integer before any text, text by bytes. */
static int compare(const struct value *v, const Kelpie__Test *t)
{
	size_t n;
	int cmp;

	if (t->value_case == KELPIE__TEST__VALUE_NUMBER) {
		if (v->kind != VALUE_INT)
			return 1;
		return v->i < t->number ? -1 : v->i > t->number;
	}
	if (v->kind != VALUE_TEXT)
		return -1;
	n = MIN(v->text.n, t->text.len);
	cmp = n ? memcmp(v->text.p, t->text.data, n) : 0;
	if (cmp)
		return cmp;
	return v->text.n < t->text.len ? -1 : v->text.n > t->text.len;
}

static bool test_holds(const struct uplink *u, const struct row *row, const Kelpie__Test *t)
{
	struct value v = cell_value(u, row, (uint16_t)t->column);

	if (t->op == KELPIE__TEST_OP__TEST_IS_NULL)
		return v.kind == VALUE_NULL;
	if (v.kind == VALUE_NULL)
		return false;
	switch (t->op) {
	case KELPIE__TEST_OP__TEST_NOT_NULL:
		return true;
	case KELPIE__TEST_OP__TEST_EQ:
		return compare(&v, t) == 0;
	case KELPIE__TEST_OP__TEST_NE:
		return compare(&v, t) != 0;
	case KELPIE__TEST_OP__TEST_LT:
		return compare(&v, t) < 0;
	case KELPIE__TEST_OP__TEST_LE:
		return compare(&v, t) <= 0;
	case KELPIE__TEST_OP__TEST_GT:
		return compare(&v, t) > 0;
	case KELPIE__TEST_OP__TEST_GE:
		return compare(&v, t) >= 0;
	case KELPIE__TEST_OP__TEST_GLOB:
		return v.kind == VALUE_TEXT &&
		       glob_match(slice_of(t->text.data, t->text.len), v.text);
	default:
		return false;
	}
}

static bool term_holds(const struct uplink *u, const struct row *row, const Kelpie__Term *term)
{
	for (size_t i = 0; i < term->n_all; i++)
		if (!test_holds(u, row, term->all[i]))
			return false;
	return true;
}

static bool clause_holds(const struct uplink *u, const struct row *row, const Kelpie__Clause *c)
{
	for (size_t i = 0; i < c->n_any; i++)
		if (term_holds(u, row, c->any[i]))
			return !c->negate;
	return c->negate;
}

static bool wants(const struct uplink *u, const Kelpie__TailStart *s, const struct row *row)
{
	const struct table_schema *t = schema_table(row->hdr->table);

	if (s->table ? row->hdr->table != s->table : !t || !(t->flags & TABLE_F_EXCHANGES))
		return false;
	for (size_t i = 0; i < s->n_all; i++)
		if (!clause_holds(u, row, s->all[i]))
			return false;
	return true;
}

static bool take_token(struct uplink_tail *t, uint64_t now_ns)
{
	uint64_t rate = t->start->max_rows_per_s;
	uint64_t cap = rate * MILLI, gained_ns = MIN(now_ns - t->refill_ns, NSEC_PER_SEC);

	t->tokens_milli = MIN(cap, t->tokens_milli + gained_ns * rate / NSEC_PER_MSEC);
	/* What is less than a thousandth of a row stays on the clock. */
	if (gained_ns * rate >= NSEC_PER_MSEC || rate >= NSEC_PER_MSEC)
		t->refill_ns = now_ns;
	if (t->tokens_milli < MILLI)
		return false;
	t->tokens_milli -= MILLI;
	return true;
}

static int send_row(struct uplink *u, const Kelpie__TailStart *s, const struct row *row)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__TailRows rows = KELPIE__TAIL_ROWS__INIT;
	Kelpie__TailRow one = KELPIE__TAIL_ROW__INIT, *ones[] = { &one };
	Kelpie__Cell cells[SCAN_COLS_MAX], *refs[SCAN_COLS_MAX];

	for (size_t i = 0; i < s->n_columns; i++) {
		struct value v = cell_value(u, row, (uint16_t)s->columns[i]);

		kelpie__cell__init(&cells[i]);
		refs[i] = &cells[i];
		if (v.kind == VALUE_INT) {
			cells[i].value_case = KELPIE__CELL__VALUE_NUMBER;
			cells[i].number = v.i;
		} else if (v.kind == VALUE_TEXT) {
			cells[i].value_case = KELPIE__CELL__VALUE_TEXT;
			cells[i].text.data = (uint8_t *)(uintptr_t)v.text.p;
			cells[i].text.len = v.text.n;
		}
	}
	one.cells = refs;
	one.n_cells = s->n_columns;
	rows.id = s->id;
	rows.rows = ones;
	rows.n_rows = 1;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_TAIL_ROWS;
	m.tail_rows = &rows;
	return uplink_push(u, 0, &m, UPLINK_QUEUE_SOFT_BYTES);
}

void uplink_tail_row(struct uplink *u, const struct row *row)
{
	uint64_t now_ns = 0;

	if (!uplink_has_tails(u))
		return;
	pthread_mutex_lock(&u->tails_lock);
	for (size_t i = 0; i < UPLINK_TAILS_MAX; i++) {
		struct uplink_tail *t = &u->tails[i];

		if (!t->msg || !wants(u, t->start, row))
			continue;
		if (!now_ns)
			now_ns = clock_mono_ns();
		if (!take_token(t, now_ns) || send_row(u, t->start, row) < 0)
			t->skipped++;
	}
	pthread_mutex_unlock(&u->tails_lock);
}

bool uplink_has_tails(const struct uplink *u)
{
	return atomic_load_explicit(&u->n_tails, memory_order_relaxed) > 0;
}

static int check_test(const Kelpie__Test *t)
{
	bool text = t->value_case == KELPIE__TEST__VALUE_TEXT;
	bool bare = t->op == KELPIE__TEST_OP__TEST_IS_NULL ||
		    t->op == KELPIE__TEST_OP__TEST_NOT_NULL;

	if (t->column >= _COL_MAX || !schema_column((uint16_t)t->column))
		return -EINVAL;
	if ((int)t->op < 0 || t->op > KELPIE__TEST_OP__TEST_NOT_NULL)
		return -EINVAL;
	if (!bare && t->value_case == KELPIE__TEST__VALUE__NOT_SET)
		return -EINVAL;
	if (t->op == KELPIE__TEST_OP__TEST_GLOB && !text)
		return -EINVAL;
	return text && t->text.len > TEST_TEXT_MAX ? -EINVAL : 0;
}

/* Bytes of a pattern with '?', which are what a test costs. */
static size_t wild_bytes(const Kelpie__Test *t)
{
	bool wild = t->op == KELPIE__TEST_OP__TEST_GLOB && t->text.len &&
		    memchr(t->text.data, '?', t->text.len);

	return wild ? t->text.len : 0;
}

static int check_start(const Kelpie__TailStart *s)
{
	size_t tests = 0, wild = 0;

	if (s->n_columns == 0 || s->n_columns > SCAN_COLS_MAX || s->table >= _TABLE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < s->n_columns; i++)
		if (s->columns[i] >= _COL_MAX || !schema_column((uint16_t)s->columns[i]))
			return -EINVAL;
	for (size_t i = 0; i < s->n_all; i++) {
		for (size_t j = 0; j < s->all[i]->n_any; j++) {
			const Kelpie__Term *term = s->all[i]->any[j];

			tests += term->n_all + 1;
			for (size_t k = 0; k < term->n_all; k++) {
				if (check_test(term->all[k]) < 0)
					return -EINVAL;
				wild += wild_bytes(term->all[k]);
			}
		}
		if (++tests > TESTS_MAX || wild > WILD_MAX)
			return -EINVAL;
	}
	return 0;
}

static void send_done(struct uplink *u, uint64_t id, const char *message, uint64_t skipped)
{
	Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
	Kelpie__TailDone done = KELPIE__TAIL_DONE__INIT;

	done.id = id;
	done.message = (char *)(uintptr_t)message;
	done.skipped = skipped;
	m.kind_case = KELPIE__AGENT_MESSAGE__KIND_TAIL_DONE;
	m.tail_done = &done;
	uplink_push(u, 0, &m, SIZE_MAX);
}

static struct uplink_tail *find_tail(struct uplink *u, uint64_t id)
{
	for (size_t i = 0; i < UPLINK_TAILS_MAX; i++)
		if (u->tails[i].msg && u->tails[i].start->id == id)
			return &u->tails[i];
	return NULL;
}

static void end_tail(struct uplink *u, struct uplink_tail *t)
{
	kelpie__collector_message__free_unpacked(t->msg, NULL);
	*t = (struct uplink_tail){ 0 };
	atomic_fetch_sub(&u->n_tails, 1);
}

int uplink_tail_start(struct uplink *u, Kelpie__CollectorMessage *msg)
{
	Kelpie__TailStart *s = msg->tail_start;
	const char *wrong = NULL;
	struct uplink_tail *slot = NULL;

	pthread_mutex_lock(&u->tails_lock);
	for (size_t i = 0; i < UPLINK_TAILS_MAX && !slot; i++)
		if (!u->tails[i].msg)
			slot = &u->tails[i];
	if (check_start(s) < 0)
		wrong = "this agent does not know a column, test or table of the filter";
	else if (find_tail(u, s->id))
		wrong = "the id is in use";
	else if (!slot)
		wrong = "too many live subscriptions on this node";
	if (!wrong) {
		if (s->max_rows_per_s == 0)
			s->max_rows_per_s = RATE_DEFAULT;
		s->max_rows_per_s = MIN(s->max_rows_per_s, (uint32_t)UPLINK_TAIL_RATE_MAX);
		*slot = (struct uplink_tail){
			.msg = msg,
			.start = s,
			.tokens_milli = s->max_rows_per_s * MILLI,
			.refill_ns = clock_mono_ns(),
		};
		atomic_fetch_add(&u->n_tails, 1);
	}
	pthread_mutex_unlock(&u->tails_lock);
	if (wrong) {
		send_done(u, s->id, wrong, 0);
		return -EINVAL;
	}
	return 0;
}

void uplink_tail_stop(struct uplink *u, uint64_t id)
{
	struct uplink_tail *t;
	uint64_t skipped = 0;

	pthread_mutex_lock(&u->tails_lock);
	t = find_tail(u, id);
	if (t) {
		skipped = t->skipped;
		end_tail(u, t);
	}
	pthread_mutex_unlock(&u->tails_lock);
	if (t)
		send_done(u, id, "", skipped);
}

void uplink_tails_drop(struct uplink *u)
{
	pthread_mutex_lock(&u->tails_lock);
	for (size_t i = 0; i < UPLINK_TAILS_MAX; i++)
		if (u->tails[i].msg)
			end_tail(u, &u->tails[i]);
	pthread_mutex_unlock(&u->tails_lock);
}

void uplink_tails_report(struct uplink *u)
{
	pthread_mutex_lock(&u->tails_lock);
	for (size_t i = 0; i < UPLINK_TAILS_MAX; i++) {
		struct uplink_tail *t = &u->tails[i];
		Kelpie__AgentMessage m = KELPIE__AGENT_MESSAGE__INIT;
		Kelpie__TailRows rows = KELPIE__TAIL_ROWS__INIT;

		if (!t->msg || t->skipped == t->reported)
			continue;
		rows.id = t->start->id;
		rows.skipped = t->skipped - t->reported;
		m.kind_case = KELPIE__AGENT_MESSAGE__KIND_TAIL_ROWS;
		m.tail_rows = &rows;
		if (uplink_push(u, 0, &m, UPLINK_QUEUE_SOFT_BYTES) == 0)
			t->reported = t->skipped;
	}
	pthread_mutex_unlock(&u->tails_lock);
}
