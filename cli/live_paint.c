#include "cli/live_int.h"

#include "cli/lines.h"
#include "cli/screen.h"
#include "cli/term.h"

#include <unistd.h>

#define SGR_BOLD    "\x1b[1m"
#define SGR_REVERSE "\x1b[7m"
#define SGR_RESET   "\x1b[0m"
#define FOOT_MAX    3  /* lines below the rows */
#define TALL	    16 /* lines of a screen that has room for all of them */

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

bool live_is_list(const struct live_session *s)
{
	return !s->help && s->page.list;
}

struct slice live_text(const struct live_session *s)
{
	return s->help ? slice_str(help) : strbuf_slice(&s->page.text);
}

static size_t foot_lines(const struct live_session *s, size_t height)
{
	struct slice rest = strbuf_slice(&s->page.foot);
	size_t n = 0;

	while (!s->help && rest.n && n < (height >= TALL ? FOOT_MAX : 1)) {
		line_next(&rest);
		n++;
	}
	return n;
}

size_t live_body_lines(const struct live_session *s)
{
	size_t height = screen_height(STDOUT_FILENO);
	size_t taken = 2 + live_is_list(s) + foot_lines(s, height);

	return height > taken ? height - taken : 1;
}

/* A line is erased before it is written: behind one as wide as the terminal the cursor stands on its
 * last character, which would be erased. */
static void end_line(const struct live_session *s, struct strbuf *out)
{
	strbuf_adds(out, s->opts->color ? SGR_RESET "\r\n\x1b[K" : "\r\n\x1b[K");
}

static void add_line(const struct live_session *s, struct slice line, bool mark, bool bold,
		     struct strbuf *out)
{
	if (live_is_list(s) && mark)
		strbuf_adds(out, s->opts->color ? SGR_REVERSE ">" SGR_RESET " " : "> ");
	else if (live_is_list(s))
		strbuf_adds(out, "  ");
	if (bold && s->opts->color)
		strbuf_adds(out, SGR_BOLD);
	strbuf_add(out, line.p, line.n);
	end_line(s, out);
}

/* The chosen row is on the screen; of a text the line at the top is the chosen one. */
static void scroll(struct live_session *s)
{
	size_t body = live_body_lines(s);

	if (!live_is_list(s))
		s->top = s->at = MIN(s->at, s->n_shown > body ? s->n_shown - body : 0);
	else if (s->at < s->top)
		s->top = s->at;
	else if (s->at >= s->top + body)
		s->top = s->at - body + 1;
	if (live_is_list(s) && s->top + body > s->n_shown)
		s->top = s->n_shown > body ? s->n_shown - body : 0;
}

static void add_body(struct live_session *s, struct strbuf *out)
{
	struct slice rest = live_text(s);
	size_t body = live_body_lines(s), row = 0;

	if (live_is_list(s))
		add_line(s, line_next(&rest), false, false, out);
	scroll(s);
	for (size_t i = 0; i < body; i++) {
		size_t which = s->top + i;
		struct slice line = { 0 };

		for (; which < s->n_shown && row <= s->shown[which]; row++)
			line = line_next(&rest);
		add_line(s, line, which == s->at && which < s->n_shown, false, out);
	}
}

static void add_foot(const struct live_session *s, struct strbuf *out)
{
	struct slice rest = strbuf_slice(&s->page.foot);

	for (size_t n = foot_lines(s, screen_height(STDOUT_FILENO)); n; n--) {
		struct slice line = line_next(&rest);

		strbuf_add(out, line.p, line.n);
		end_line(s, out);
	}
}

static void add_title(struct live_session *s, struct strbuf *out)
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

static void add_status(struct live_session *s, struct strbuf *out)
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
		strbuf_adds(&status, live_is_list(s)
					     ? "q quit · ? help · / filter · s sort · p pause · "
					       "Enter open · y copy"
					     : "q quit · Esc back · j k PgUp PgDn move · y copy");
	screen_cut(strbuf_slice(&status), width, out);
}

/* Line by line over the old frame, so that nothing flickers; never more lines than the screen has. */
void live_paint(struct live_session *s)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(4 * LIVE_PAGE_MAX);

	strbuf_adds(&out, "\x1b[H\x1b[K");
	add_title(s, &out);
	add_body(s, &out);
	add_foot(s, &out);
	add_status(s, &out);
	term_write(strbuf_slice(&out));
}
