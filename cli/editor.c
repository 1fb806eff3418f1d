#include "cli/editor.h"

#include "base/text.h"
#include "cli/cli.h"
#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <wchar.h>

#define LIST_WIDTH 80 /* columns of the names that are offered */

struct editor {
	EditLine *el;
	History *history;
	editor_complete complete;
	void *ctx;
	const char *prompt;
	char *path; /* of the history; NULL: none is kept */
};

static char *prompt_of(EditLine *el)
{
	struct editor *e = NULL;

	el_get(el, EL_CLIENTDATA, &e);
	return (char *)(uintptr_t)e->prompt;
}

/* A byte of the terminal; waits. 0: the end. -1: interrupted. */
static int next_byte(uint8_t *ret)
{
	ssize_t n;

	for (;;) {
		if (interrupt_wait(STDIN_FILENO, -1) == -EINTR)
			return -1;
		n = read(STDIN_FILENO, ret, 1);
		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

/* One character, UTF-8 put together; what is none is U+FFFD. */
static int get_char(EditLine *el, wchar_t *ret)
{
	uint8_t bytes[4];
	wchar_t c = 0xfffd;
	size_t n = 0, want = 1;
	mbstate_t state = { 0 };
	int r;

	(void)el;
	do {
		r = next_byte(&bytes[n]);
		if (r <= 0)
			return r;
		if (n++ == 0)
			want = bytes[0] < 0xc0 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
	} while (n < want);
	if (mbrtowc(&c, (const char *)bytes, n, &state) > n)
		c = 0xfffd;
	*ret = c;
	return 1;
}

static void list_names(const struct completion *c)
{
	size_t column = 0;

	putchar('\n');
	for (size_t i = 0; i < c->n; i++) {
		size_t n = strlen(c->names[i]);

		if (column && column + 2 + n > LIST_WIDTH) {
			putchar('\n');
			column = 0;
		}
		column += (size_t)printf("%s%s", column ? "  " : "", c->names[i]);
	}
	putchar('\n');
}

/* What is sure is written; what is not is listed. */
static unsigned char on_tab(EditLine *el, wint_t key)
{
	const LineInfo *line = el_line(el);
	struct slice before = slice_of(line->buffer, (size_t)(line->cursor - line->buffer));
	struct slice after = slice_of(line->cursor, (size_t)(line->lastchar - line->cursor));
	_cleanup_(strbuf_done) struct strbuf more = STRBUF_INIT(4096);
	struct completion c;
	struct editor *e = NULL;

	(void)key;
	el_get(el, EL_CLIENTDATA, &e);
	e->complete(e->ctx, before, after, &c);
	if (!c.n)
		return CC_ERROR;
	for (size_t i = c.typed; i < c.common; i++) {
		char ch = c.names[0][i];
		bool keyword = c.names[0][0] >= 'A' && c.names[0][0] <= 'Z';

		strbuf_addch(&more, keyword && c.typed && !c.upper ? (char)(ch | 0x20) : ch);
	}
	if (c.n == 1)
		strbuf_addch(&more, ' ');
	if (more.len)
		return el_insertstr(el, strbuf_str(&more)) < 0 ? CC_ERROR : CC_REFRESH;
	list_names(&c);
	fflush(stdout);
	return CC_REDISPLAY;
}

/* Makes a directory that only its owner reads, and those above it. */
static int make_dir(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = 0;
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static char *history_path(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);

	/* a relative one is to be ignored (XDG base directory specification) */
	if (state && *state == '/')
		strbuf_addf(&path, "%s/kelpie", state);
	else if (home && *home == '/')
		strbuf_addf(&path, "%s/.local/state/kelpie", home);
	else
		return NULL;
	if (path.failed || make_dir(path.p) < 0)
		return NULL;
	strbuf_adds(&path, "/history");
	return strbuf_take(&path);
}

/* A new file in place of the old one: two prompts never mix their lines. */
static void save(struct editor *e)
{
	_cleanup_(strbuf_done) struct strbuf part = STRBUF_INIT(4096);
	HistEvent event;
	FILE *f = NULL;
	int fd, failed = 1;

	if (!e->path)
		return;
	strbuf_addf(&part, "%s.%d", e->path, (int)getpid());
	fd = open(strbuf_str(&part), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && !(f = fdopen(fd, "w")))
		close(fd);
	if (f) {
		failed = history(e->history, &event, H_SAVE_FP, f) < 0;
		failed |= fclose(f) != 0 || rename(strbuf_str(&part), e->path) < 0;
	}
	if (!failed)
		return;
	cli_note("the history is not kept: cannot write %s: %s", e->path, strerror(errno));
	unlink(strbuf_str(&part));
	free(e->path);
	e->path = NULL;
}

int editor_open(editor_complete complete, void *ctx, struct editor **ret)
{
	struct editor *e = calloc(1, sizeof(*e));
	HistEvent event;

	if (!e)
		return -ENOMEM;
	setlocale(LC_CTYPE, "C.UTF-8"); /* libedit measures characters with it */
	e->complete = complete;
	e->ctx = ctx;
	e->el = el_init("kelpie", stdin, stdout, stderr);
	e->history = history_init();
	if (!e->el || !e->history) {
		editor_close(e);
		return -ENOMEM;
	}
	e->path = history_path();
	history(e->history, &event, H_SETSIZE, EDITOR_HISTORY_MAX);
	history(e->history, &event, H_SETUNIQUE, 1);
	if (e->path)
		history(e->history, &event, H_LOAD, e->path);
	el_set(e->el, EL_CLIENTDATA, e);
	el_set(e->el, EL_PROMPT, prompt_of);
	el_set(e->el, EL_EDITOR, "emacs");
	el_set(e->el, EL_SIGNAL, 1);
	el_set(e->el, EL_GETCFN, get_char);
	el_set(e->el, EL_HIST, history, e->history);
	/* the wide call keeps the texts as they are; the other one makes copies and never frees them */
	el_wset(e->el, EL_ADDFN, L"complete", L"complete the word before the cursor", on_tab);
	el_set(e->el, EL_BIND, "^I", "complete", NULL);
	el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
	*ret = e;
	return 0;
}

void editor_close(struct editor *e)
{
	if (!e)
		return;
	if (e->el)
		el_end(e->el);
	if (e->history)
		history_end(e->history);
	free(e->path);
	free(e);
}

int editor_line(struct editor *e, const char *prompt, struct strbuf *line)
{
	const char *text;
	int n = 0;

	e->prompt = prompt;
	strbuf_reset(line);
	/* before the prompt is there: a Ctrl-D that is typed at once would be taken by the terminal */
	el_set(e->el, EL_PREP_TERM, 1);
	text = el_gets(e->el, &n);
	if (interrupted())
		return -EINTR;
	if (!text || n <= 0)
		return -ENODATA;
	strbuf_add(line, text, (size_t)n - (text[n - 1] == '\n'));
	return 0;
}

void editor_remember(struct editor *e, const char *text)
{
	HistEvent event;

	history(e->history, &event, H_ENTER, text);
	save(e);
}
