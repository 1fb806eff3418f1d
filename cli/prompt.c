/* The prompt: statements end with ; at the end of a line, lines that start with \ are commands.
 * Plain lines without an editor; the terminal's own line editing is what there is.
 */
#include "cli/prompt.h"

#include "cli/interrupt.h"
#include "cli/record.h"
#include "cli/schema_view.h"
#include "cli/views.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>

struct prompt {
	struct options o; /* of the session: output, range */
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

static void meta_watch(struct prompt *p, const char *arg)
{
	(void)arg;
	if (!p->last.len) {
		cli_note("nothing was asked yet");
		return;
	}
	do
		ask(p, strbuf_slice(&p->last));
	while (!interrupted() && interrupt_wait(-1, 2000) == 0);
	interrupt_clear();
}

/* $EDITOR on the last statement; what is saved is asked. */
static void meta_edit(struct prompt *p, const char *arg)
{
	const char *editor = getenv("VISUAL") ? getenv("VISUAL") : getenv("EDITOR");
	char path[] = "/tmp/kelpie-sql.XXXXXX";
	_cleanup_(closep) int fd = mkstemp(path);
	char buf[4096];
	FILE *f;
	size_t n;
	pid_t pid;

	(void)arg;
	if (fd < 0 || (p->last.len && write(fd, p->last.p, p->last.len) < 0)) {
		cli_note("cannot write %s: %s", path, strerror(errno));
		return;
	}
	pid = fork();
	if (pid == 0) {
		execlp(editor ? editor : "vi", editor ? editor : "vi", path, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	/* editors may write a new file in place of the old */
	strbuf_reset(&p->last);
	f = fopen(path, "re");
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add(&p->last, buf, n);
	if (f)
		fclose(f);
	unlink(path);
	if (p->last.len)
		ask(p, strbuf_slice(&p->last));
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
	{ "\\watch", "", "ask the last statement every two seconds, until Ctrl-C", meta_watch },
	{ "\\e", "", "edit the last statement in $EDITOR", meta_edit },
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
	printf("A statement ends with ; at the end of a line.\n");
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

static void on_line(struct prompt *p, char *line)
{
	size_t n = strlen(line);

	while (n && strchr(" \t\r\n", line[n - 1]))
		line[--n] = 0;
	line += strspn(line, " \t");
	if (!p->text.len && line[0] == '\\') {
		run_meta(p, line);
		return;
	}
	if (!p->text.len && (!*line || strcmp(line, "exit") == 0 || strcmp(line, "quit") == 0)) {
		p->quit |= *line != 0;
		return;
	}
	strbuf_adds(&p->text, line);
	strbuf_addch(&p->text, '\n');
	if (!*line || line[strlen(line) - 1] != ';')
		return;
	strbuf_reset(&p->last);
	strbuf_add(&p->last, p->text.p, p->text.len);
	strbuf_reset(&p->text);
	ask(p, strbuf_slice(&p->last));
}

int prompt_run(const struct options *o, struct source *source)
{
	_cleanup_(freep) char *line = NULL;
	struct prompt p = { .o = *o, .source = source };
	size_t cap = 0;

	strbuf_init(&p.text, QUESTION_SQL_MAX);
	strbuf_init(&p.last, QUESTION_SQL_MAX);
	cli_note("%s · \\? for help, \\q to leave", source_name(source));
	while (!p.quit) {
		fputs(p.text.len ? "     -> " : "kelpie> ", stdout);
		fflush(stdout);
		/* a terminal gives one line at a read: nothing waits in stdio's buffer. Ctrl-C
		 * drops what was typed, Ctrl-D leaves */
		if (interrupt_wait(STDIN_FILENO, -1) == -EINTR || getline(&line, &cap, stdin) < 0) {
			if (!interrupted())
				break;
			clearerr(stdin);
			putchar('\n');
			strbuf_reset(&p.text);
		} else {
			on_line(&p, line);
		}
		interrupt_clear();
	}
	strbuf_done(&p.text);
	strbuf_done(&p.last);
	return EXIT_OK;
}
