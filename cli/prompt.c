/* The prompt: a statement goes on until its ;, lines that start with \ are commands. */
#include "cli/prompt.h"

#include "base/text.h"
#include "cli/editor.h"
#include "cli/interrupt.h"
#include "cli/record.h"
#include "cli/schema_view.h"
#include "cli/views.h"
#include "query/query.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>

#define WATCH_NS (2 * NSEC_PER_SEC)

struct prompt {
	struct options o; /* of the session: output, range */
	struct editor *editor;
	struct source *source;
	bool expanded, timing, quit;
	struct strbuf text; /* what was typed of the current statement */
	struct strbuf last; /* the statement before, for \e and \watch */
};

struct meta {
	const char *name;
	const char *arg;
	const char *doc;
	void (*fn)(struct prompt *p, const char *arg);
};

static void ask(struct prompt *p, struct slice sql)
{
	_cleanup_(question_done) struct question q;
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(1024);
	struct print_opts print;
	struct showing s = {
		.o = &p->o, .source = p->source, .q = &q, .print = &print, .what = "rows"
	};
	uint64_t start = wall_ns();
	struct trouble t;
	int code;

	question_init(&q);
	strbuf_add(&q.sql, sql.p, sql.n);
	if (sqlgen_range(&q, &p->o, wall_ns(), 0, &why) < 0) {
		cli_note("%s", strbuf_str(&why));
		return;
	}
	print_opts_init(&print, &p->o, NULL);
	code = p->expanded ? record_answer(&s, NULL, &t) : show_answer(&s, NULL, &t);
	if (code == EXIT_INTERRUPTED)
		cli_note("cancelled");
	else if (code != EXIT_OK && code != EXIT_INCOMPLETE)
		trouble_fail_at(&t, sql);
	if (p->timing) {
		_cleanup_(strbuf_done) struct strbuf took = STRBUF_INIT(64);

		format_duration(wall_ns() - start, &took);
		cli_note("took %s", strbuf_str(&took));
	}
}

static void meta_describe(struct prompt *p, const char *arg)
{
	(void)p;
	if (*arg)
		schema_show_table(&p->o, arg);
	else
		schema_show_all(&p->o);
}

static void meta_expanded(struct prompt *p, const char *arg)
{
	(void)arg;
	p->expanded = !p->expanded;
	cli_note("rows as records: %s", p->expanded ? "on" : "off");
}

static void meta_timing(struct prompt *p, const char *arg)
{
	(void)arg;
	p->timing = !p->timing;
	cli_note("timing: %s", p->timing ? "on" : "off");
}

static void meta_output(struct prompt *p, const char *arg)
{
	enum output output = output_parse(arg);

	if (output == _OUTPUT_MAX)
		cli_note("\\o table, wide, json, jsonl, csv or name");
	else
		p->o.output = output;
}

/* "5", "0.5", "500ms"; nothing: two seconds. */
static int watch_interval(const char *arg, uint64_t *ret_ns)
{
	_cleanup_(strbuf_done) struct strbuf seconds = STRBUF_INIT(64);

	*ret_ns = WATCH_NS;
	if (!*arg)
		return 0;
	if (parse_duration_ns(slice_str(arg), ret_ns) < 0) {
		strbuf_addf(&seconds, "%ss", arg);
		if (parse_duration_ns(strbuf_slice(&seconds), ret_ns) < 0)
			return -EINVAL;
	}
	return *ret_ns >= 100 * NSEC_PER_MSEC && *ret_ns <= 3600 * NSEC_PER_SEC ? 0 : -EINVAL;
}

static void meta_watch(struct prompt *p, const char *arg)
{
	uint64_t ns;

	if (watch_interval(arg, &ns) < 0) {
		cli_note("\\watch takes seconds from 0.1 to 3600, or a duration such as 500ms");
		return;
	}
	if (!p->last.len) {
		cli_note("nothing was asked yet");
		return;
	}
	do {
		ask(p, strbuf_slice(&p->last));
		putchar('\n');
		fflush(stdout);
	} while (!interrupted() && interrupt_wait(-1, (int)(ns / NSEC_PER_MSEC)) == 0);
}

/* The editor's command may have arguments, so a shell runs it. 0 when it ended well. */
static int run_editor(const char *path)
{
	const char *visual = getenv("VISUAL"), *editor = getenv("EDITOR");
	_cleanup_(strbuf_done) struct strbuf command = STRBUF_INIT(4096);
	int status = -1;
	pid_t pid;

	editor = visual && *visual ? visual : editor && *editor ? editor : "vi";
	strbuf_addf(&command, "%s \"$1\"", editor);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", strbuf_str(&command), "kelpie", path, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	interrupt_clear(); /* Ctrl-C was the editor's */
	if (status == 0)
		return 0;
	cli_note("'%s' did not end well; nothing is asked", editor);
	return -EIO;
}

static int read_file(const char *path, struct strbuf *out)
{
	FILE *f = fopen(path, "re");
	char buf[4096];
	size_t n;

	strbuf_reset(out);
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add(out, buf, n);
	if (f)
		fclose(f);
	return f && !out->failed ? 0 : -EIO;
}

static void take_text(struct prompt *p, const char *text);

/* $EDITOR on the last statement; what is saved is asked. */
static void meta_edit(struct prompt *p, const char *arg)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(QUESTION_SQL_MAX);
	const char *dir = getenv("TMPDIR");
	_cleanup_(closep) int fd = -1;

	(void)arg;
	strbuf_addf(&path, "%s/kelpie-XXXXXX.sql", dir && *dir ? dir : "/tmp");
	fd = path.failed ? -1 : mkostemps(path.p, 4, O_CLOEXEC);
	if (fd < 0 || write(fd, strbuf_str(&p->last), p->last.len) < 0) {
		cli_note("cannot write %s: %s", strbuf_str(&path), strerror(errno));
		return;
	}
	if (run_editor(strbuf_str(&path)) == 0) {
		/* editors may write a new file in place of the old */
		if (read_file(strbuf_str(&path), &text) < 0)
			cli_note("cannot read %s, or it is longer than 64 KiB", strbuf_str(&path));
		else
			take_text(p, strbuf_str(&text));
	}
	unlink(strbuf_str(&path));
}

static void meta_quit(struct prompt *p, const char *arg)
{
	(void)arg;
	p->quit = true;
}

static void meta_help(struct prompt *p, const char *arg);

static const struct meta metas[] = {
	{ "\\d", " [TABLE]", "tables, or the columns of one", meta_describe },
	{ "\\x", "", "rows as records, on or off", meta_expanded },
	{ "\\timing", "", "how long an answer took, on or off", meta_timing },
	{ "\\o", " FORMAT", "table, wide, json, jsonl, csv, name", meta_output },
	{ "\\watch", " [SECONDS]", "ask the last statement again and again (2), until Ctrl-C",
	  meta_watch },
	{ "\\e", "", "edit the last statement in $EDITOR and ask it", meta_edit },
	{ "\\?", "", "this list", meta_help },
	{ "\\q", "", "leave", meta_quit },
};

static void meta_help(struct prompt *p, const char *arg)
{
	(void)p;
	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(metas); i++)
		printf("%s%-*s %s\n", metas[i].name, (int)(18 - strlen(metas[i].name)),
		       metas[i].arg, metas[i].doc);
	printf("A statement ends with ; and may have several lines. Tab completes names, the "
	       "arrows\n"
	       "and Ctrl-R find earlier statements, Ctrl-C cancels, Ctrl-D leaves.\n");
}

static void run_meta(struct prompt *p, char *line)
{
	size_t n = strcspn(line, " \t");
	char *arg = line + n + strspn(line + n, " \t");

	arg[strcspn(arg, " \t;")] = 0;
	for (size_t i = 0; i < ARRAY_SIZE(metas); i++)
		if (strlen(metas[i].name) == n && strncmp(metas[i].name, line, n) == 0) {
			metas[i].fn(p, arg);
			return;
		}
	cli_note("no command %.*s; \\? lists them", (int)n, line);
}

/* One line in the history, so that it can be edited as one; a comment ends with its line. */
static void remember(struct prompt *p, struct slice statement)
{
	_cleanup_(strbuf_done) struct strbuf line = STRBUF_INIT(QUESTION_SQL_MAX);

	strbuf_add(&line, statement.p, statement.n);
	for (size_t i = 0; i < line.len && !strstr(strbuf_str(&line), "--"); i++)
		line.p[i] = line.p[i] == '\n' ? ' ' : line.p[i];
	if (line.len)
		editor_remember(p->editor, strbuf_str(&line));
}

/* Asks what is complete of p->text, statement by statement; the rest waits for its ;. */
static void ask_complete(struct prompt *p)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(QUESTION_SQL_MAX);
	struct slice rest;
	size_t end = 0;

	strbuf_add(&text, p->text.p, p->text.len);
	rest = strbuf_slice(&text);
	while (end < rest.n && !interrupted()) {
		_cleanup_(strbuf_done) struct strbuf one = STRBUF_INIT(QUESTION_SQL_MAX);

		end += slice_find(slice_from(rest, end), ';') + 1;
		strbuf_add(&one, rest.p, MIN(end, rest.n));
		if (end > rest.n || !query_is_complete(strbuf_str(&one)))
			continue;
		strbuf_reset(&p->last);
		strbuf_add(&p->last, one.p, one.len);
		rest = slice_from(rest, end);
		end = 0;
		ask(p, strbuf_slice(&p->last));
	}
	while (rest.n && rest.p[0] <= ' ')
		rest = slice_from(rest, 1);
	strbuf_reset(&p->text);
	if (!interrupted())
		strbuf_add(&p->text, rest.p, rest.n);
}

/* Lines of a statement; its ; may be missing when it comes from the editor. */
static void take_text(struct prompt *p, const char *text)
{
	size_t n = strlen(text);

	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	if (!n)
		return;
	strbuf_reset(&p->text);
	strbuf_add(&p->text, text, n);
	if (!query_is_complete(strbuf_str(&p->text)))
		strbuf_addch(&p->text, ';');
	remember(p, strbuf_slice(&p->text));
	ask_complete(p);
}

static void on_line(struct prompt *p, char *line)
{
	size_t n = strlen(line);

	while (n && strchr(" \t\r\n", line[n - 1]))
		line[--n] = 0;
	if (!p->text.len)
		line += strspn(line, " \t");
	if (!p->text.len && line[0] == '\\') {
		editor_remember(p->editor, line);
		run_meta(p, line);
		return;
	}
	if (!p->text.len && (!*line || strcmp(line, "exit") == 0 || strcmp(line, "quit") == 0)) {
		p->quit |= *line != 0;
		return;
	}
	strbuf_addf(&p->text, p->text.len ? "\n%s" : "%s", line);
	if (p->text.failed) {
		cli_note("the statement is longer than 64 KiB");
		strbuf_reset(&p->text);
	}
	if (!query_is_complete(strbuf_str(&p->text)))
		return;
	remember(p, strbuf_slice(&p->text));
	ask_complete(p);
}

static void on_complete(void *ctx, struct slice before, struct slice after, struct completion *ret)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(2 * QUESTION_SQL_MAX);
	const char *names[ARRAY_SIZE(metas) + 1] = { NULL };
	struct prompt *p = ctx;

	if (!p->text.len && before.n && before.p[0] == '\\') {
		for (size_t i = 0; i < ARRAY_SIZE(metas); i++)
			names[i] = metas[i].name;
		complete_meta(before, names, ret);
		return;
	}
	strbuf_addf(&text, "%s\n", strbuf_str(&p->text));
	strbuf_add(&text, before.p, before.n);
	complete_statement(strbuf_slice(&text), after, ret);
}

int prompt_run(const struct options *o, struct source *source)
{
	_cleanup_(strbuf_done) struct strbuf line = STRBUF_INIT(QUESTION_SQL_MAX);
	struct prompt p = { .o = *o, .source = source };
	int r = editor_open(on_complete, &p, &p.editor);

	if (r < 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	strbuf_init(&p.text, QUESTION_SQL_MAX);
	strbuf_init(&p.last, QUESTION_SQL_MAX);
	cli_note("%s · \\? for help, \\q to leave", source_name(source));
	while (!p.quit) {
		r = editor_line(p.editor, p.text.len ? "     -> " : "kelpie> ", &line);
		if (r == -ENODATA)
			break;
		/* Ctrl-C drops what was typed */
		if (r == -EINTR) {
			putchar('\n');
			strbuf_reset(&p.text);
		} else if (line.len) {
			on_line(&p, line.p);
		}
		p.quit |= interrupt_ends();
		interrupt_clear();
	}
	if (!p.quit)
		putchar('\n');
	editor_close(p.editor);
	strbuf_done(&p.text);
	strbuf_done(&p.last);
	return EXIT_OK;
}
