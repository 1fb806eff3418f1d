#include "cli/live_int.h"

#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/screen.h"
#include "cli/term.h"

#include <errno.h>
#include <stdio.h>

static void show_row(struct live_session *s, size_t row)
{
	if (s->n_shown == s->cap_shown) {
		size_t cap = MAX(s->cap_shown * 2, (size_t)256);
		size_t *shown = reallocarray(s->shown, cap, sizeof(*shown));

		if (!shown)
			return;
		s->shown = shown;
		s->cap_shown = cap;
	}
	s->shown[s->n_shown++] = row;
}

/* Which lines of the page are shown, and where the chosen one is now. */
static void choose_rows(struct live_session *s)
{
	struct slice rest = live_text(s), keys = strbuf_slice(&s->page.keys);
	struct slice uncut = strbuf_slice(&s->page.uncut);
	size_t found = SIZE_MAX;

	s->n_shown = s->n_rows = 0;
	if (live_is_list(s))
		line_next(&rest);
	for (; rest.n; s->n_rows++) {
		struct slice line = line_next(&rest), key = line_next(&keys);
		struct slice cells = line_next(&uncut);

		if (!line_has_words(live_is_list(s) ? cells : line, strbuf_slice(&s->words)))
			continue;
		/* who watches the first row watches the place, not the row */
		if (live_is_list(s) && s->at && s->chosen.len && found == SIZE_MAX &&
		    slice_eq(key, strbuf_slice(&s->chosen)))
			found = s->n_shown;
		show_row(s, s->n_rows);
	}
	s->at = MIN(found != SIZE_MAX ? found : s->at, s->n_shown - !!s->n_shown);
}

static struct slice chosen_key(const struct live_session *s)
{
	if (!live_is_list(s) || s->at >= s->n_shown)
		return (struct slice){ 0 };
	return line_nth(strbuf_slice(&s->page.keys), s->shown[s->at]);
}

static void remember(struct live_session *s)
{
	struct slice key = chosen_key(s);

	strbuf_reset(&s->chosen);
	strbuf_add(&s->chosen, key.p, key.n);
}

static void say(struct live_session *s, const char *text)
{
	strbuf_reset(&s->message);
	strbuf_adds(&s->message, text);
}

/* Another page: from its beginning, all of it. */
static void turn(struct live_session *s, bool turned)
{
	if (!turned)
		return;
	s->at = s->top = 0;
	s->stale = true;
	s->paused = false;
	strbuf_reset(&s->words);
	strbuf_reset(&s->chosen);
}

static void on_enter(struct live_session *s)
{
	struct slice key = chosen_key(s);

	if (live_is_list(s) && !(key.n && s->ops->open(s->ctx, key)))
		say(s, "there is nothing behind this row");
	else
		turn(s, live_is_list(s));
}

static void on_back(struct live_session *s)
{
	if (s->help)
		s->help = false;
	else if (s->words.len)
		strbuf_reset(&s->words);
	else
		turn(s, s->ops->back(s->ctx));
}

static void on_sort(struct live_session *s)
{
	const char *order = s->ops->sort(s->ctx);

	if (!order)
		return;
	s->stale = true;
	say(s, "by ");
	strbuf_adds(&s->message, order);
}

static void on_pause(struct live_session *s)
{
	s->paused = !s->paused;
	s->stale |= !s->paused;
}

static void on_help(struct live_session *s)
{
	s->help = !s->help;
	s->at = s->top = 0;
}

static void on_quit(struct live_session *s)
{
	s->quit = true;
}

static void on_filter(struct live_session *s)
{
	const char *flags = s->ops->flags(s->ctx);

	s->help = false;
	if (!s->page.list)
		return;
	s->typing = true;
	strbuf_reset(&s->line);
	strbuf_adds(&s->line, s->words.len ? strbuf_str(&s->words) : flags);
}

static void on_copy(struct live_session *s)
{
	_cleanup_(strbuf_done) struct strbuf said = STRBUF_INIT(STATUS_MAX);

	strbuf_reset(&s->copied);
	s->ops->command(s->ctx, &s->copied);
	term_copy(strbuf_slice(&s->copied));
	strbuf_addf(&said, "copied: %s", strbuf_str(&s->copied));
	say(s, strbuf_str(&said));
}

static void move_by(struct live_session *s, int64_t by)
{
	size_t last = s->n_shown ? s->n_shown - 1 : 0;

	if (by < 0)
		s->at -= MIN((size_t)-by, s->at);
	else
		s->at = MIN(s->at + (size_t)by, last);
}

static void on_key(struct live_session *s, int key)
{
	static const struct {
		int key;
		void (*fn)(struct live_session *s);
		int8_t lines, screens; /* moved by */
	} keys[] = {
		{ 'q', on_quit, 0, 0 },
		{ 4, on_quit, 0, 0 }, /* Ctrl-D */
		{ 'p', on_pause, 0, 0 },
		{ ' ', on_pause, 0, 0 },
		{ 's', on_sort, 0, 0 },
		{ '?', on_help, 0, 0 },
		{ '/', on_filter, 0, 0 },
		{ 'y', on_copy, 0, 0 },
		{ KEY_ENTER, on_enter, 0, 0 },
		{ KEY_ESCAPE, on_back, 0, 0 },
		{ KEY_BACKSPACE, on_back, 0, 0 },
		{ 'h', on_back, 0, 0 },
		{ 'j', NULL, 1, 0 },
		{ KEY_DOWN, NULL, 1, 0 },
		{ 'k', NULL, -1, 0 },
		{ KEY_UP, NULL, -1, 0 },
		{ KEY_PAGE_DOWN, NULL, 0, 1 },
		{ KEY_PAGE_UP, NULL, 0, -1 },
		{ 'G', NULL, 0, INT8_MAX },
		{ KEY_END, NULL, 0, INT8_MAX },
		{ 'g', NULL, 0, INT8_MIN },
		{ KEY_HOME, NULL, 0, INT8_MIN },
	};
	int64_t body = (int64_t)live_body_lines(s);

	strbuf_reset(&s->message);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].key != key)
			continue;
		if (keys[i].fn)
			keys[i].fn(s);
		else if (keys[i].screens == INT8_MAX || keys[i].screens == INT8_MIN)
			move_by(s, keys[i].screens == INT8_MAX ? INT32_MAX : -INT32_MAX);
		else
			move_by(s, keys[i].lines + keys[i].screens * body);
		remember(s);
		return;
	}
}

static void apply_filter(struct live_session *s)
{
	bool flags = s->line.len && s->line.p[0] == '-';

	s->typing = false;
	strbuf_reset(&s->words);
	if (s->ops->filter(s->ctx, flags ? strbuf_str(&s->line) : "", &s->message))
		s->stale = true;
	if (!flags)
		strbuf_add(&s->words, s->line.p, s->line.len);
	s->at = s->top = 0;
}

static void drop_last(struct strbuf *line, bool all)
{
	while (line->len && (all || (line->p[line->len - 1] & 0xc0) == 0x80))
		line->len--;
	line->len -= !!line->len;
	if (line->p)
		line->p[line->len] = 0;
}

static void on_typed(struct live_session *s, int key)
{
	int c = key & ~KEY_PASTED;

	if (key == KEY_ENTER)
		apply_filter(s);
	else if (key == KEY_ESCAPE)
		s->typing = false;
	else if (key == KEY_BACKSPACE || key == 8)
		drop_last(&s->line, false);
	else if (key == 21) /* Ctrl-U */
		drop_last(&s->line, true);
	else if (c >= ' ' && c < 256 && c != KEY_BACKSPACE && s->line.len < LIVE_LINE_MAX)
		strbuf_addch(&s->line, (char)c);
}

/* All that was typed. -EINTR: the view ends. */
static int take_keys(struct live_session *s)
{
	bool gone = false;
	int key;

	while (!s->quit && (key = term_key(&gone)) != KEY_NONE)
		if (s->typing)
			on_typed(s, key);
		else
			on_key(s, key);
	return s->quit || gone ? -EINTR : 0;
}

static void reset(struct live_page *page)
{
	strbuf_reset(&page->text);
	strbuf_reset(&page->keys);
	strbuf_reset(&page->uncut);
	strbuf_reset(&page->foot);
}

static int draw(struct live_session *s, struct trouble *t)
{
	int r;

	reset(&s->page);
	s->stale = false;
	r = s->ops->draw(s->ctx, &s->page, t);
	if (r == -EIO) {
		screen_escape(slice_str(t->message), &s->page.foot);
		strbuf_addch(&s->page.foot, '\n');
	}
	return r;
}

/* Until the view ends. The first page has been drawn. */
static void run(struct live_session *s, struct trouble *t)
{
	for (;;) {
		int r = term_wait(0); /* the terminal may have been left meanwhile */

		if (r == -EINTR)
			return;
		choose_rows(s);
		remember(s);
		live_paint(s);
		r = term_wait(s->stale ? 0 : s->opts->interval_ms);
		if (r == -EINTR || (r == 1 && take_keys(s) == -EINTR))
			return;
		/* a text is read in peace; a new size needs a new layout */
		if ((s->stale || r == 2 || (r == 0 && !s->paused && s->page.list)) &&
		    draw(s, t) == -EINTR)
			return;
	}
}

static void session_init(struct live_session *s)
{
	strbuf_init(&s->page.text, LIVE_PAGE_MAX);
	strbuf_init(&s->page.keys, LIVE_PAGE_MAX);
	strbuf_init(&s->page.uncut, LIVE_PAGE_MAX);
	strbuf_init(&s->page.foot, MIB);
	strbuf_init(&s->words, LIVE_LINE_MAX + 1);
	strbuf_init(&s->message, STATUS_MAX);
	strbuf_init(&s->copied, STATUS_MAX);
	strbuf_init(&s->chosen, LIVE_PAGE_MAX);
	strbuf_init(&s->line, LIVE_LINE_MAX + 1);
}

static void session_done(struct live_session *s)
{
	struct strbuf *const all[] = { &s->page.text, &s->page.keys, &s->page.uncut,
				       &s->page.foot, &s->words,     &s->message,
				       &s->copied,    &s->chosen,    &s->line };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		strbuf_done(all[i]);
	free(s->shown);
}

int live_run(const struct live_ops *ops, void *ctx, const struct live_opts *opts, struct trouble *t)
{
	struct live_session s = { .ops = ops, .ctx = ctx, .opts = opts };
	int r, code = EXIT_OK;

	session_init(&s);
	r = draw(&s, t);
	if (r == -EINTR) {
		code = EXIT_INTERRUPTED;
	} else if (r < 0) {
		code = trouble_fail(t);
	} else if ((r = term_open()) < 0) {
		code = cli_fail(EXIT_ERROR, "the terminal does not answer: %s", strerror(-r));
	} else {
		run(&s, t);
		term_close();
		if (s.copied.len)
			printf("%s\n", strbuf_str(&s.copied));
	}
	session_done(&s);
	return code;
}
