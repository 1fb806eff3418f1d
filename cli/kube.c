#include "cli/kube.h"

#include "cli/lines.h"
#include "cli/tool.h"

#include <errno.h>
#include <stdio.h>

#define KUBECTL	     "kubectl"
#define WORDS_MAX    (CLI_KUBE_MAX + 16)
#define ANSWER_MAX   (64 * KIB) /* of a question about the cluster */
#define USUAL_PLACE  "kelpie"	/* the namespace that docs/kubernetes.md installs it in */
#define FINDS_MAX_NS (30 * NSEC_PER_SEC)
#define GRACE_NS     (5 * NSEC_PER_SEC) /* kubectl itself, beside the request */

struct kube {
	char *flags[CLI_KUBE_MAX + 1]; /* "--context=prod" */
	size_t n_flags;
	char *ns, *service; /* the collector's */
	char *name;
};

struct command_line {
	const char *words[WORDS_MAX + 1];
	size_t n;
};

static void add_word(struct command_line *c, const char *word)
{
	if (c->n < WORDS_MAX)
		c->words[c->n++] = word;
}

static void add_words(struct command_line *c, const struct kube *k, const char *const *words)
{
	add_word(c, KUBECTL);
	for (size_t i = 0; i < k->n_flags; i++)
		add_word(c, k->flags[i]);
	for (; *words; words++)
		add_word(c, *words);
}

bool kube_configured(void)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);
	const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");

	if (env && *env)
		return true;
	strbuf_addf(&path, "%s/.kube/config", home ? home : "");
	return access(strbuf_str(&path), R_OK) == 0;
}

static int add_flag(struct kube *k, const struct kube_flag *f)
{
	_cleanup_(strbuf_done) struct strbuf word = STRBUF_INIT(64 * KIB);

	strbuf_addf(&word, "--%s", f->name);
	if (f->value)
		strbuf_addf(&word, "=%s", f->value);
	k->flags[k->n_flags] = strbuf_take(&word);
	return k->flags[k->n_flags] ? (int)k->n_flags++ : -E2BIG;
}

/* The flags that are kubectl's, as its own command line takes them. */
static int take_flags(struct kube *k, const struct options *o, struct trouble *t)
{
	for (size_t i = 0; i < o->n_kube; i++)
		if (add_flag(k, &o->kube[i]) < 0)
			return trouble_set(t, EXIT_USAGE, "--%s is too long", o->kube[i].name);
	if (o->server && add_flag(k, &(struct kube_flag){ "server", o->server }) < 0)
		return trouble_set(t, EXIT_USAGE, "--server is too long");
	return 0;
}

static int run(struct tool *tool, const char *where, struct trouble *t)
{
	int r = tool_run(tool);

	if (r == -ENOENT)
		r = trouble_set(t, EXIT_UNREACHABLE,
				"a cluster is asked through kubectl, and there is none in $PATH; "
				"install it, or name a collector with --server");
	else if (r == -ETIME)
		r = trouble_set(t, EXIT_UNREACHABLE, "no answer from the cluster in time");
	else if (r == -EMSGSIZE)
		r = trouble_set(t, EXIT_ERROR, "kubectl answered with a line that is too long");
	else if (r == 0 && tool->status != 0)
		r = kube_trouble(strbuf_slice(&tool->said), where, t);
	strbuf_done(&tool->said);
	return r;
}

static int append_line(void *ctx, struct slice line)
{
	struct strbuf *out = ctx;

	strbuf_add(out, line.p, line.n);
	strbuf_addch(out, '\n');
	return out->failed ? -EMSGSIZE : 0;
}

static int ask(const struct kube *k, const char *const *words, struct strbuf *out,
	       struct trouble *t)
{
	struct command_line c = { .n = 0 };
	struct tool tool = { .argv = c.words,
			     .timeout_ns = FINDS_MAX_NS,
			     .line_max = ANSWER_MAX,
			     .line = append_line,
			     .ctx = out };

	int r;

	add_words(&c, k, words);
	r = run(&tool, NULL, t);
	return r == -EINTR ? trouble_set(t, EXIT_INTERRUPTED, "interrupted") : r;
}

static void keep(struct slice s, char *to, size_t cap)
{
	snprintf(to, cap, "%.*s", (int)s.n, (const char *)s.p);
}

static int read_context(const struct kube *k, struct options_scope *ret, struct trouble *t)
{
	static const char *const words[] = { "config",
					     "view",
					     "--minify",
					     "-o",
					     "jsonpath={.current-context}{\"\\n\"}"
					     "{.contexts[0].context.namespace}",
					     NULL };
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(ANSWER_MAX);
	struct slice rest, line;
	int r = ask(k, words, &out, t);

	/* No context, where flags say all of it or kubectl runs in a pod. */
	if (r == -EIO && strstr(t->message, "current-context must exist"))
		r = 0;
	if (r < 0)
		return r;
	rest = strbuf_slice(&out);
	line = line_next(&rest);
	keep(line, ret->context, sizeof(ret->context));
	line = line_next(&rest);
	keep(line.n ? line : SLICE_LIT("default"), ret->ns, sizeof(ret->ns));
	return 0;
}

int kube_context(const struct options *o, struct options_scope *ret, struct trouble *t)
{
	_cleanup_(kube_freep) struct kube *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	r = take_flags(k, o, t);
	return r < 0 ? r : read_context(k, ret, t);
}

/* Services with the collector's labels, "NAMESPACE NAME" a line. ns NULL: of all namespaces. */
static int list_services(const struct kube *k, const char *ns, struct strbuf *out,
			 struct trouble *t)
{
	const char *const words[] = { "get",
				      "services",
				      "-l",
				      KUBE_SELECTOR,
				      "-o",
				      "jsonpath={range .items[*]}{.metadata.namespace}{\" \"}"
				      "{.metadata.name}{\"\\n\"}{end}",
				      ns ? "--namespace" : "--all-namespaces",
				      ns,
				      NULL };

	return ask(k, words, out, t);
}

/* Of several, the only one in the usual place: anybody who may make a service can give it those labels
 * somewhere else. All of them where there is none, or more. */
static struct slice prefer_usual(struct slice found)
{
	struct slice rest = found, only = { 0 };

	while (rest.n) {
		struct slice line = line_next(&rest);

		if (!slice_starts(line, SLICE_LIT(USUAL_PLACE " ")))
			continue;
		if (only.n)
			return found;
		only = line;
	}
	return only.n ? only : found;
}

static int choose(struct kube *k, struct slice found, const char *ns, struct trouble *t)
{
	struct slice rest = prefer_usual(found), first = line_next(&rest);
	size_t space = slice_find(first, ' ');

	if (space == first.n)
		return trouble_set(t, EXIT_UNREACHABLE,
				   "no Kelpie in %s%s of this cluster; install it with helm "
				   "(docs/kubernetes.md), or choose another --context",
				   ns ? "namespace " : "any namespace", ns ? ns : "");
	if (rest.n)
		return trouble_set(t, EXIT_USAGE,
				   "more than one Kelpie in this cluster: in %.*s, %.*s and "
				   "perhaps others; choose with --kelpie-namespace",
				   (int)space, (const char *)first.p,
				   (int)MIN(slice_find(rest, ' '), (size_t)63),
				   (const char *)rest.p);
	k->ns = strndup((const char *)first.p, space);
	k->service = strndup((const char *)first.p + space + 1, first.n - space - 1);
	return k->ns && k->service ? 0 : trouble_set(t, EXIT_ERROR, "out of memory");
}

static int find_service(struct kube *k, const char *ns, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf found = STRBUF_INIT(ANSWER_MAX);
	int r = list_services(k, ns, &found, t);

	/* Who may not look everywhere may have been given the usual place. */
	if (r == -EIO && t->code == EXIT_NOT_ALLOWED && !ns) {
		ns = USUAL_PLACE;
		strbuf_reset(&found);
		r = list_services(k, ns, &found, t);
	}
	return r < 0 ? r : choose(k, strbuf_slice(&found), ns, t);
}

static int make_name(struct kube *k, const struct options_scope *scope, bool scoped,
		     struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf name = STRBUF_INIT(KIB);

	if (*scope->context)
		strbuf_addf(&name, "context %s, ", scope->context);
	strbuf_addf(&name, "%s/%s", k->ns, k->service);
	if (scoped)
		strbuf_addf(&name, " · namespace %s (-A: all)", scope->ns);
	k->name = strbuf_take(&name);
	return k->name ? 0 : trouble_set(t, EXIT_ERROR, "out of memory");
}

int kube_new(const struct options *o, struct kube **ret, struct trouble *t)
{
	_cleanup_(kube_freep) struct kube *k = calloc(1, sizeof(*k));
	struct options_scope scope = o->scope;
	int r;

	if (!k)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	r = take_flags(k, o, t);
	if (!r && !*scope.ns)
		r = read_context(k, &scope, t);
	if (!r)
		r = find_service(k, o->kelpie_namespace, t);
	if (!r)
		r = make_name(k, &scope, o->scoped, t);
	if (!r)
		*ret = TAKE_PTR(k);
	return r;
}

void kube_free(struct kube *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n_flags; i++)
		free(k->flags[i]);
	free(k->ns);
	free(k->service);
	free(k->name);
	free(k);
}

const char *kube_name(const struct kube *k)
{
	return k->name;
}

int kube_do(struct kube *k, const struct client_request *req, struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(256 * KIB);
	bool post = strcmp(req->method, "POST") == 0;
	struct command_line c = { .n = 0 };
	struct tool tool = { .argv = c.words,
			     .timeout_ns = req->timeout_ns ? req->timeout_ns + GRACE_NS : 0,
			     .input = req->body,
			     .line_max = CLIENT_LINE_MAX,
			     .line = req->line,
			     .ctx = req->ctx };

	strbuf_addf(&path, "/api/v1/namespaces/%s/services/https:%s:" KUBE_PORT "/proxy%s", k->ns,
		    k->service, req->path);
	if (path.failed)
		return trouble_set(t, EXIT_ERROR, "the question is too long");
	add_words(&c, k,
		  (const char *const[]){ post ? "create" : "get", "--raw", strbuf_str(&path),
					 post ? "-f" : NULL, "-", NULL });
	return run(&tool, k->ns, t);
}
