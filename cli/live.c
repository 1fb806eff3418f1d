#include "cli/live.h"

#include "cli/cli.h"
#include "cli/screen.h"
#include "cli/term.h"

#include <errno.h>
#include <stdio.h>

#define SGR_BOLD    "\x1b[1m"
#define SGR_REVERSE "\x1b[7m"
#define SGR_RESET   "\x1b[0m"
#define FOOT_MAX    3  /* lines below the rows */
#define TALL	    16 /* lines of a screen that has room for all of them */
#define STATUS_MAX  (64 * KIB)

static const char help[] =
	"j k, arrows     move                    PgUp PgDn   a screen up, down\n"
	"g G, Home End   first, last\n"
	"Enter           what is behind a row: the slowest requests of a group,\n"
	"                one exchange in full\n"
	"Esc             back\n"
	"s               the next order\n"
	"p, space        pause, go on\n"
	"/               filter: words show the rows that contain them all;\n"
	"                flags are those of the command line (--status 5xx)\n"
	"y               copy the command that shows this, and print it at the end\n"
	"Ctrl-Z          to the shell\n"
	"q, Ctrl-C       quit\n";

struct session {
	const struct live_ops *ops;
	void *ctx;
	const struct live_opts *opts;
	struct live_page page;
	struct strbuf words;   /* a row is shown when it contains them */
	struct strbuf message; /* instead of the list of keys, until the next one */
	struct strbuf copied;
	struct strbuf chosen; /* key of the row, so that it stays chosen when rows move */
	size_t *shown;	      /* indices of the page's rows */
	size_t n_shown, cap_shown, n_rows;
	size_t at, top; /* chosen row of the shown ones; the first on the screen */
	bool paused, help, quit, stale;
	bool typing;
	struct strbuf line; /* what is typed behind / */
};

static struct slice next_line(struct slice *rest)
{
	struct slice line = slice_head(*rest, slice_find(*rest, '\n'));

	*rest = slice_from(*rest, MIN(line.n + 1, rest->n));
	return line;
}

static struct slice nth_line(struct slice text, size_t n)
{
	struct slice line = next_line(&text);

	while (n-- && text.n)
		line = next_line(&text);
	return line;
}

static bool is_list(const struct session *s)
{
	return !s->help && s->page.list;
}

static struct slice page_text(const struct session *s)
{
	return s->help ? slice_str(help) : strbuf_slice(&s->page.text);
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool has_word(struct slice line, struct slice word)
{
	for (size_t i = 0; i + word.n <= line.n; i++) {
		size_t k = 0;

		while (k < word.n && lower(line.p[i + k]) == lower(word.p[k]))
			k++;
		if (k == word.n)
			return true;
	}
	return false;
}

static bool has_words(const struct session *s, struct slice line)
{
	struct slice rest = strbuf_slice(&s->words);

	while (rest.n) {
		struct slice word = slice_head(rest, slice_find(rest, ' '));

		if (!has_word(line, word))
			return false;
		rest = slice_from(rest, MIN(word.n + 1, rest.n));
	}
	return true;
}

static void show_row(struct session *s, size_t row)
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
static void choose_rows(struct session *s)
{
	struct slice rest = page_text(s), keys = strbuf_slice(&s->page.keys);
	struct slice uncut = strbuf_slice(&s->page.uncut);
	size_t found = SIZE_MAX;

	s->n_shown = s->n_rows = 0;
	if (is_list(s))
		next_line(&rest);
	for (; rest.n; s->n_rows++) {
		struct slice line = next_line(&rest), key = next_line(&keys);
		struct slice cells = next_line(&uncut);

		if (!has_words(s, is_list(s) ? cells : line))
			continue;
		/* who watches the first row watches the place, not the row */
		if (is_list(s) && s->at && s->chosen.len && found == SIZE_MAX &&
		    slice_eq(key, strbuf_slice(&s->chosen)))
			found = s->n_shown;
		show_row(s, s->n_rows);
	}
	s->at = MIN(found != SIZE_MAX ? found : s->at, s->n_shown - !!s->n_shown);
}

static struct slice chosen_key(const struct session *s)
{
	if (!is_list(s) || s->at >= s->n_shown)
		return (struct slice){ 0 };
	return nth_line(strbuf_slice(&s->page.keys), s->shown[s->at]);
}

static void remember(struct session *s)
{
	struct slice key = chosen_key(s);

	strbuf_reset(&s->chosen);
	strbuf_add(&s->chosen, key.p, key.n);
}

static size_t foot_lines(const struct session *s, size_t height)
{
	struct slice rest = strbuf_slice(&s->page.foot);
	size_t n = 0;

	while (!s->help && rest.n && n < (height >= TALL ? FOOT_MAX : 1)) {
		next_line(&rest);
		n++;
	}
	return n;
}

/* Lines for rows: without title, head, foot and the line of keys. */
static size_t body_lines(const struct session *s)
{
	size_t height = screen_height(STDOUT_FILENO);
	size_t taken = 2 + is_list(s) + foot_lines(s, height);

	return height > taken ? height - taken : 1;
}

/* A line is erased before it is written: behind one as wide as the terminal the cursor stands on its
 * last character, which would be erased. */
static void end_line(const struct session *s, struct strbuf *out)
{
	strbuf_adds(out, s->opts->color ? SGR_RESET "\r\n\x1b[K" : "\r\n\x1b[K");
}

static void add_line(const struct session *s, struct slice line, bool mark, bool bold,
		     struct strbuf *out)
{
	if (is_list(s) && mark)
		strbuf_adds(out, s->opts->color ? SGR_REVERSE ">" SGR_RESET " " : "> ");
	else if (is_list(s))
		strbuf_adds(out, "  ");
	if (bold && s->opts->color)
		strbuf_adds(out, SGR_BOLD);
	strbuf_add(out, line.p, line.n);
	end_line(s, out);
}

/* The chosen row is on the screen; of a text the line at the top is the chosen one. */
static void scroll(struct session *s)
{
	size_t body = body_lines(s);

	if (!is_list(s))
		s->top = s->at = MIN(s->at, s->n_shown > body ? s->n_shown - body : 0);
	else if (s->at < s->top)
		s->top = s->at;
	else if (s->at >= s->top + body)
		s->top = s->at - body + 1;
	if (is_list(s) && s->top + body > s->n_shown)
		s->top = s->n_shown > body ? s->n_shown - body : 0;
}

static void add_body(struct session *s, struct strbuf *out)
{
	struct slice rest = page_text(s);
	size_t body = body_lines(s), row = 0;

	if (is_list(s))
		add_line(s, next_line(&rest), false, false, out);
	scroll(s);
	for (size_t i = 0; i < body; i++) {
		size_t which = s->top + i;
		struct slice line = { 0 };

		for (; which < s->n_shown && row <= s->shown[which]; row++)
			line = next_line(&rest);
		add_line(s, line, which == s->at && which < s->n_shown, false, out);
	}
}

static void add_foot(const struct session *s, struct strbuf *out)
{
	struct slice rest = strbuf_slice(&s->page.foot);

	for (size_t n = foot_lines(s, screen_height(STDOUT_FILENO)); n; n--) {
		struct slice line = next_line(&rest);

		strbuf_add(out, line.p, line.n);
		end_line(s, out);
	}
}

static void add_title(struct session *s, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf command = STRBUF_INIT(STATUS_MAX),
					     title = STRBUF_INIT(4 * STATUS_MAX);

	strbuf_adds(&title, s->paused ? "paused · " : "");
	s->ops->command(s->ctx, &command);
	screen_escape(strbuf_slice(&command), &title);
	strbuf_adds(out, s->opts->color ? SGR_BOLD : "");
	screen_cut(strbuf_slice(&title), screen_width(STDOUT_FILENO), out);
	end_line(s, out);
}

static void add_status(struct session *s, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf status = STRBUF_INIT(STATUS_MAX);
	size_t width = screen_width(STDOUT_FILENO);

	strbuf_adds(out, "\x1b[J");
	if (s->typing) {
		_cleanup_(strbuf_done) struct strbuf typed = STRBUF_INIT(STATUS_MAX);
		struct slice text;

		screen_escape(strbuf_slice(&s->line), &typed);
		text = strbuf_slice(&typed);
		while (text.n && screen_columns(text) + 2 > width) /* the end is what is typed */
			text = slice_from(text, screen_next(text).n);
		strbuf_addch(out, '/');
		strbuf_add(out, text.p, text.n);
		strbuf_addch(out, '_');
		return;
	}
	if (s->message.len) {
		screen_escape(strbuf_slice(&s->message), &status);
	} else if (s->words.len && !s->help) {
		strbuf_addf(&status, "/");
		screen_escape(strbuf_slice(&s->words), &status);
		strbuf_addf(&status, ": %zu of %zu rows · ", s->n_shown, s->n_rows);
	}
	if (!s->message.len)
		strbuf_adds(&status, is_list(s)
					     ? "q quit · ? help · / filter · s sort · p pause · "
					       "Enter open · y copy"
					     : "q quit · Esc back · j k PgUp PgDn move · y copy");
	screen_cut(strbuf_slice(&status), width, out);
}

/* Line by line over the old frame, so that nothing flickers; never more lines than the screen has. */
static void paint(struct session *s)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4 * LIVE_PAGE_MAX);

	strbuf_adds(&out, "\x1b[H\x1b[K");
	add_title(s, &out);
	add_body(s, &out);
	add_foot(s, &out);
	add_status(s, &out);
	term_write(strbuf_slice(&out));
}

static void say(struct session *s, const char *text)
{
	strbuf_reset(&s->message);
	strbuf_adds(&s->message, text);
}

/* Another page: from its beginning, all of it. */
static void turn(struct session *s, bool turned)
{
	if (!turned)
		return;
	s->at = s->top = 0;
	s->stale = true;
	s->paused = false;
	strbuf_reset(&s->words);
	strbuf_reset(&s->chosen);
}

static void on_enter(struct session *s)
{
	struct slice key = chosen_key(s);

	if (is_list(s) && !(key.n && s->ops->open(s->ctx, key)))
		say(s, "there is nothing behind this row");
	else
		turn(s, is_list(s));
}

static void on_back(struct session *s)
{
	if (s->help)
		s->help = false;
	else if (s->words.len)
		strbuf_reset(&s->words);
	else
		turn(s, s->ops->back(s->ctx));
}

static void on_sort(struct session *s)
{
	const char *order = s->ops->sort(s->ctx);

	if (!order)
		return;
	s->stale = true;
	say(s, "by ");
	strbuf_adds(&s->message, order);
}

static void on_pause(struct session *s)
{
	s->paused = !s->paused;
	s->stale |= !s->paused;
}

static void on_help(struct session *s)
{
	s->help = !s->help;
	s->at = s->top = 0;
}

static void on_quit(struct session *s)
{
	s->quit = true;
}

static void on_filter(struct session *s)
{
	const char *flags = s->ops->flags(s->ctx);

	s->help = false;
	if (!s->page.list)
		return;
	s->typing = true;
	strbuf_reset(&s->line);
	strbuf_adds(&s->line, s->words.len ? strbuf_str(&s->words) : flags);
}

static void on_copy(struct session *s)
{
	_cleanup_(strbuf_done) struct strbuf said = STRBUF_INIT(STATUS_MAX);

	strbuf_reset(&s->copied);
	s->ops->command(s->ctx, &s->copied);
	term_copy(strbuf_slice(&s->copied));
	strbuf_addf(&said, "copied: %s", strbuf_str(&s->copied));
	say(s, strbuf_str(&said));
}

static void move_by(struct session *s, int64_t by)
{
	size_t last = s->n_shown ? s->n_shown - 1 : 0;

	if (by < 0)
		s->at -= MIN((size_t)-by, s->at);
	else
		s->at = MIN(s->at + (size_t)by, last);
}

static void on_key(struct session *s, int key)
{
	static const struct {
		int key;
		void (*fn)(struct session *s);
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
	int64_t body = (int64_t)body_lines(s);

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

static void apply_filter(struct session *s)
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

static void on_typed(struct session *s, int key)
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
static int take_keys(struct session *s)
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

static int draw(struct session *s, struct trouble *t)
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
static void run(struct session *s, struct trouble *t)
{
	for (;;) {
		int r = term_wait(0); /* the terminal may have been left meanwhile */

		if (r == -EINTR)
			return;
		choose_rows(s);
		remember(s);
		paint(s);
		r = term_wait(s->stale ? 0 : s->opts->interval_ms);
		if (r == -EINTR || (r == 1 && take_keys(s) == -EINTR))
			return;
		/* a text is read in peace; a new size needs a new layout */
		if ((s->stale || r == 2 || (r == 0 && !s->paused && s->page.list)) &&
		    draw(s, t) == -EINTR)
			return;
	}
}

static void session_init(struct session *s)
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

static void session_done(struct session *s)
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
	struct session s = { .ops = ops, .ctx = ctx, .opts = opts };
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
