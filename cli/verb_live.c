/* Verbs drawn in place: what a page holds, what is behind a row, orders, filters, the command. */
#include "cli/verb.h"

#include "cli/json.h"
#include "cli/live.h"
#include "cli/screen.h"
#include "cli/show.h"
#include "cli/sqlgen.h"

#include <errno.h>

#define LEVELS_MAX 3 /* a group, its requests, one of them */
#define WORDS_MAX  64
#define SETTLE_NS  NSEC_PER_SEC /* after its end a row is stored, and can be counted */

/* What Enter went into. */
struct level {
	const struct verb *verb; /* NULL: the request or connection `key` in full */
	struct options base, o;	 /* without and with the flags typed behind / */
	size_t sort;
	char *flags, *words; /* as typed; the same cut into words, which o borrows */
	struct json keys;    /* of the row that was opened: matches borrow from it */
	char *key;	     /* its source */
	char *values[CLI_MATCHES_MAX];
	uint64_t counted_to_ns, unseen; /* rows that ended until then and were never shown */
};

struct viewing {
	struct source *source;
	struct level levels[LEVELS_MAX];
	size_t n;
};

static struct level *current(struct viewing *v)
{
	return &v->levels[v->n - 1];
}

static void level_done(struct level *l)
{
	json_done(&l->keys);
	free(l->flags);
	free(l->words);
	free(l->key);
	for (size_t i = 0; i < CLI_MATCHES_MAX; i++)
		free(l->values[i]);
	*l = (struct level){ 0 };
}

/* The options of a draw: what is not said is for a screen. */
static struct options drawn(const struct level *l)
{
	struct options o = l->o;

	if (!o.sort_by)
		o.sort_by = l->verb->sorts[l->sort] ? l->verb->sorts[l->sort] : l->verb->live_order;
	else if (l->sort)
		o.sort_by = l->verb->sorts[l->sort];
	if (!o.limit && !o.last)
		o.limit = l->verb->live_rows;
	return o;
}

/* More rows than a page holds came between two of them: the difference was never on the screen.
 * Adds the line that says how many there have been. 0 or -EINTR. */
static int tell_unseen(struct viewing *v, struct strbuf *foot)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096);
	_cleanup_(question_done) struct question q;
	struct level *l = current(v);
	struct options o = drawn(l);
	uint64_t n = 0, to_ns = wall_ns() - SETTLE_NS, page = o.limit ? o.limit : o.last;
	struct trouble t;
	int r;

	question_init(&q);
	if (!l->counted_to_ns)
		l->counted_to_ns = to_ns;
	r = sqlgen_count(&q, &l->o, l->counted_to_ns, to_ns, &why);
	if (r == 0 && to_ns > l->counted_to_ns)
		r = verb_number(v->source, &q, &n, &t);
	if (r == 0) {
		l->counted_to_ns = to_ns;
		l->unseen += n > page ? n - page : 0;
	}
	if (l->unseen)
		strbuf_addf(foot,
			    "%llu %s not shown: too many for the screen; / and flags filter\n",
			    (unsigned long long)l->unseen, l->verb->what);
	return r == -EINTR ? r : 0;
}

static int draw_text(struct viewing *v, const struct print_opts *print, struct strbuf *foot,
		     struct trouble *t)
{
	const struct level *l = current(v);
	struct options o;
	struct asking again = { .o = &o, .verb = l->verb, .source = v->source };

	if (!l->verb)
		return show_id(&l->o, v->source, l->values[0], print, foot, t);
	o = drawn(l);
	return verb_show(&again, print, foot, t);
}

static int draw(void *ctx, struct live_page *page, struct trouble *t)
{
	struct viewing *v = ctx;
	const struct level *l = current(v);
	struct options o = l->o;
	struct print_opts print;
	char *text = NULL;
	size_t n = 0;
	int code;

	if (l->verb)
		o = drawn(l);
	print_opts_init(&print, &o, l->verb ? l->verb->view : NULL);
	page->list = l->verb != NULL;
	if (page->list) {
		print.keys = &page->keys;
		print.uncut = &page->uncut;
		print.width -= LIVE_MARGIN;
	}
	print.no_headers = false;
	print.out = open_memstream(&text, &n);
	if (!print.out)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	code = EXIT_INTERRUPTED;
	if (!page->list || !l->verb->tells_unseen || l->o.until || tell_unseen(v, &page->foot) == 0)
		code = draw_text(v, &print, &page->foot, t);
	fclose(print.out);
	strbuf_add(&page->text, text, n);
	free(text);
	if (code == EXIT_INTERRUPTED)
		return -EINTR;
	return code == EXIT_OK || code == EXIT_INCOMPLETE ? 0 : -EIO;
}

/* The keys of the opened row as conditions on requests. */
static void add_matches(struct level *l, const struct verb *from)
{
	static const struct {
		const char *key, *column;
	} columns[] = {
		{ "service", "server_name" }, { "client", "client_name" },
		{ "method", "method" },	      { "resource", "resource" },
		{ "protocol", "protocol" },   { "pod", "coalesce(server_pod, server_name)" },
	};
	const struct json_node *value = NULL;

	for (size_t i = 0; i < from->view->n; i++) {
		const struct view_col *c = &from->view->cols[i];
		struct match *m = &l->o.matches[l->o.n_matches];

		if (!(c->flags & VIEW_KEY) || l->o.n_matches == CLI_MATCHES_MAX)
			continue;
		value = json_each(&l->keys, &l->keys.nodes[0], value);
		for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
			if (strcmp(columns[k].key, c->name) == 0)
				m->column = columns[k].column;
		if (value && value->kind == JSON_STRING)
			m->value = l->values[l->o.n_matches] = strndup((const char *)value->text.p,
								       value->text.n);
		l->o.n_matches++;
	}
}

static bool is_group(const struct verb *verb)
{
	return strcmp(verb->name, "top") == 0;
}

static bool open_row(void *ctx, struct slice key)
{
	struct viewing *v = ctx;
	const struct level *from = current(v);
	struct level *l = &v->levels[v->n];
	const struct json_node *first;

	if (v->n == LEVELS_MAX)
		return false;
	*l = (struct level){ .o = from->o, .key = strndup((const char *)key.p, key.n) };
	if (!l->key || json_parse(&l->keys, slice_str(l->key)) < 0 ||
	    l->keys.nodes[0].kind != JSON_ARRAY)
		goto nothing;
	l->o.sort_by = NULL;
	first = json_each(&l->keys, &l->keys.nodes[0], NULL);
	if (is_group(from->verb)) {
		l->verb = &verb_slow;
		l->o.by = NULL;
		add_matches(l, from->verb);
	} else if (first && first->kind == JSON_STRING) {
		l->values[0] = strndup((const char *)first->text.p, first->text.n);
	}
	if (!l->verb && !l->values[0])
		goto nothing;
	l->base = l->o;
	v->n++;
	return true;
nothing:
	level_done(l);
	return false;
}

static bool back(void *ctx)
{
	struct viewing *v = ctx;

	if (v->n == 1)
		return false;
	level_done(current(v));
	v->n--;
	return true;
}

static const char *next_sort(void *ctx)
{
	struct level *l = current(ctx);
	size_t next = l->sort + 1;

	if (!l->verb)
		return NULL;
	l->sort = next < VERB_SORTS_MAX && l->verb->sorts[next] ? next : 0;
	return l->sort ? l->verb->sorts[l->sort] : "the view's own order";
}

/* Words at spaces; ' and " keep what is between them together. Writes into text. */
static int cut_words(char *text, char **words)
{
	int n = 0;

	while (n < WORDS_MAX) {
		char *to, quote = 0;

		text += strspn(text, " ");
		if (!*text)
			break;
		words[n++] = to = text;
		for (; *text && (quote || *text != ' '); text++)
			if (quote ? *text == quote : *text == '\'' || *text == '"')
				quote = quote ? 0 : *text;
			else
				*to++ = *text;
		text += *text != 0;
		*to = 0;
	}
	return n;
}

/* Whether a statement can be made of the options; why not. */
static bool can_ask(const struct verb *verb, const struct options *o, struct strbuf *why)
{
	const struct asking dry = { .o = o, .verb = verb };
	_cleanup_(question_done) struct question q;
	struct trouble t;

	question_init(&q);
	if (verb_build(&dry, &q, &t) == 0)
		return true;
	strbuf_adds(why, t.message);
	return false;
}

static bool set_filter(void *ctx, const char *flags, struct strbuf *why)
{
	struct level *l = current(ctx);
	char *typed = strdup(flags), *cut = strdup(flags), *words[WORDS_MAX];
	struct options o = l->base;

	if (typed && cut && l->verb &&
	    cli_parse(cli_command(l->verb->name), cut_words(cut, words), words, &o, why) == 0 &&
	    can_ask(l->verb, &o, why)) {
		free(l->flags);
		free(l->words);
		l->flags = typed;
		l->words = cut;
		l->o = o;
		l->counted_to_ns = l->unseen = 0;
		return true;
	}
	free(typed);
	free(cut);
	return false;
}

static const char *flags_of(void *ctx)
{
	const struct level *l = current(ctx);

	return l->flags ? l->flags : "";
}

/* A group's requests are asked for by values that no flag takes: as a statement. */
static void add_statement(const struct level *l, struct strbuf *out)
{
	_cleanup_(strbuf_done) struct strbuf why = STRBUF_INIT(4096), sql = STRBUF_INIT(MIB);
	_cleanup_(question_done) struct question q;
	struct options ask = { .server = l->o.server,
			       .data_dir = l->o.data_dir,
			       .since = l->o.since   ? l->o.since
					: l->o.until ? NULL
						     : "5m",
			       .until = l->o.until };
	struct options o = drawn(l);
	struct trouble t;

	question_init(&q);
	if (l->verb->build(&q, &o, NULL, &why, &t) < 0)
		return;
	question_explain(&q, &sql);
	ask.args[ask.n_args++] = strbuf_str(&sql);
	cli_format(cli_command("sql"), &ask, out);
}

static void command_of(void *ctx, struct strbuf *out)
{
	const struct level *l = current(ctx);
	struct options o;

	if (!l->verb) {
		o = (struct options){ .server = l->o.server, .data_dir = l->o.data_dir };
		o.args[o.n_args++] = l->values[0];
		cli_format(cli_command("show"), &o, out);
	} else if (l->o.n_matches) {
		add_statement(l, out);
	} else {
		o = l->o;
		if (l->sort)
			o.sort_by = l->verb->sorts[l->sort];
		cli_format(cli_command(l->verb->name), &o, out);
	}
}

int verb_live(const struct asking *a, struct trouble *t)
{
	static const struct live_ops ops = {
		.draw = draw,
		.open = open_row,
		.back = back,
		.sort = next_sort,
		.filter = set_filter,
		.flags = flags_of,
		.command = command_of,
	};
	struct viewing v = { .source = a->source, .n = 1 };
	struct live_opts opts = { .interval_ms = a->verb->interval_ms };
	struct print_opts print;
	int code;

	v.levels[0] = (struct level){ .verb = a->verb, .base = *a->o, .o = *a->o };
	print_opts_init(&print, a->o, NULL);
	opts.color = print.color;
	code = live_run(&ops, &v, &opts, t);
	while (v.n)
		level_done(&v.levels[--v.n]);
	return code;
}
