#include "cli/source.h"

#include "cli/json.h"
#include "cli/kube.h"
#include "config/config.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCAL_SOCKET "unix:/run/kelpie/kelpie.sock"

struct source {
	char *name;
	struct client *client;
	struct local *local;
};

/* What decodes the lines of an answer. */
struct decode {
	const struct answer_sink *sink;
	struct trouble *t;
	struct json doc;
	struct answer_col cols[ANSWER_COLS_MAX];
	struct datum cells[ANSWER_COLS_MAX];
	size_t n_cols;
	bool have_columns;
};

void source_free(struct source *s)
{
	if (!s)
		return;
	client_free(s->client);
	local_free(s->local);
	free(s->name);
	free(s);
}

const char *source_name(const struct source *s)
{
	return s->name;
}

struct client *source_client(const struct source *s)
{
	return s->client;
}

/* Whether `kelpie run` holds the directory; then the address of its API. */
static bool live_address(const char *data_dir, struct strbuf *ret)
{
	_cleanup_(strbuf_done) struct strbuf path = STRBUF_INIT(4096);
	_cleanup_(closep) int lock = -1, fd = -1;
	char text[512];
	ssize_t n;

	strbuf_addf(&path, "%s/" SOURCE_LOCK, data_dir);
	lock = open(strbuf_str(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (lock < 0 || flock(lock, LOCK_SH | LOCK_NB) == 0)
		return false;
	strbuf_reset(&path);
	strbuf_addf(&path, "%s/" SOURCE_ADDRESS, data_dir);
	fd = open(strbuf_str(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (n <= 0)
		return false;
	strbuf_add(ret, text, slice_find(slice_of(text, (size_t)n), '\n'));
	return ret->len > 0;
}

static int open_client(struct source *s, const char *address, struct trouble *t)
{
	s->name = strdup(address);
	if (!s->name)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	return client_new(address, &s->client, t);
}

static int open_data_dir(struct source *s, const struct options *o, struct trouble *t)
{
	const char *dir = o->data_dir;
	_cleanup_(strbuf_done) struct strbuf address = STRBUF_INIT(1024);
	struct stat st;

	if (stat(dir, &st) < 0)
		return trouble_set(t, EXIT_ERROR,
				   "data directory %s: %s; name the one that `kelpie run "
				   "--data-dir` was given",
				   dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return trouble_set(t, EXIT_ERROR,
				   "%s is no directory; name the one that `kelpie run "
				   "--data-dir` was given",
				   dir);
	if (live_address(dir, &address))
		return open_client(s, strbuf_str(&address), t);
	s->name = strdup(o->source_name ? o->source_name : dir);
	if (!s->name)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	return local_open(dir, &s->local, t);
}

/* kubectl's --server is a URL, the API server's. */
static bool is_api_server(const struct options *o)
{
	return o->kubectl && o->server && strstr(o->server, "://");
}

bool source_is_cluster(const struct options *o)
{
	const char *env = getenv("KELPIE_SERVER");

	if (o->data_dir || (o->server && !is_api_server(o)))
		return false;
	if (o->server || o->n_kube || o->kelpie_namespace)
		return true;
	if (env && *env)
		return false;
	return o->kubectl ||
	       (access(LOCAL_SOCKET + strlen("unix:"), F_OK) < 0 && kube_configured());
}

int source_scope(struct options *o, struct trouble *t)
{
	int r;

	for (size_t i = 0; i < o->n_filters; i++)
		if (o->filters[i].kind == FILTER_NAMESPACE)
			return 0;
	if (!o->kubectl || o->all_namespaces || !source_is_cluster(o))
		return 0;
	if (o->n_filters == CLI_FILTERS_MAX)
		return trouble_set(t, EXIT_USAGE, "more than %d filters", CLI_FILTERS_MAX - 1);
	r = kube_context(o, &o->scope, t);
	if (r < 0)
		return r;
	o->filters[o->n_filters++] =
		(struct filter){ .kind = FILTER_NAMESPACE, .implied = true, .value = o->scope.ns };
	o->scoped = true;
	return 0;
}

static int open_cluster(struct source *s, const struct options *o, struct trouble *t)
{
	struct kube *kube = NULL;
	int r = kube_new(o, &kube, t);

	if (r < 0)
		return r;
	s->name = strdup(kube_name(kube));
	r = client_new_kube(kube, &s->client, t);
	return r < 0 || s->name ? r : trouble_set(t, EXIT_ERROR, "out of memory");
}

static int open_by(struct source *s, const struct options *o, struct trouble *t)
{
	const char *env = getenv("KELPIE_SERVER");

	if (o->data_dir && !*o->data_dir)
		return trouble_set(t, EXIT_USAGE, "--data-dir is empty");
	if (o->data_dir)
		return open_data_dir(s, o, t);
	if (source_is_cluster(o))
		return open_cluster(s, o, t);
	return open_client(s, o->server ? o->server : env && *env ? env : LOCAL_SOCKET, t);
}

int source_open(const struct options *o, struct source **ret, struct trouble *t)
{
	bool cluster = o->n_kube || o->kelpie_namespace;
	struct source *s;
	int r;

	if ((o->server && o->data_dir) ||
	    (cluster && (o->data_dir || (o->server && !is_api_server(o)))))
		return trouble_set(t, EXIT_USAGE, "%s and %s are two sources; give one",
				   o->server ? "--server" : "--data-dir",
				   o->server && o->data_dir ? "--data-dir" : "a cluster's flags");
	s = calloc(1, sizeof(*s));
	if (!s)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	r = open_by(s, o, t);
	if (r < 0) {
		source_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void copy_text(char *to, size_t size, struct slice s)
{
	size_t n = MIN(s.n, size - 1);

	memcpy(to, s.p, n);
	to[n] = 0;
}

static int on_schema(struct decode *d, const struct json_node *line)
{
	const struct json_node *columns = json_get(&d->doc, line, "columns"), *c = NULL;

	d->n_cols = 0;
	while ((c = json_each(&d->doc, columns, c))) {
		struct answer_col *col = &d->cols[d->n_cols];

		if (d->n_cols++ == ANSWER_COLS_MAX)
			return trouble_set(d->t, EXIT_ERROR, "the answer has more than %d columns",
					   ANSWER_COLS_MAX);
		*col = (struct answer_col){ 0 };
		copy_text(col->name, sizeof(col->name), json_text(json_get(&d->doc, c, "name")));
		copy_text(col->type, sizeof(col->type), json_text(json_get(&d->doc, c, "type")));
		copy_text(col->unit, sizeof(col->unit), json_text(json_get(&d->doc, c, "unit")));
		col->shape = (uint8_t)shape_of(col->name, col->unit);
	}
	d->have_columns = true;
	return d->sink->columns(d->sink->ctx, d->cols, d->n_cols);
}

static struct datum datum_of(const struct json_node *n)
{
	switch ((enum json_kind)n->kind) {
	case JSON_BOOL:
	case JSON_INT:
		return datum_int(n->i);
	case JSON_REAL:
		return (struct datum){ .kind = DATUM_REAL, .d = n->d };
	case JSON_STRING:
	case JSON_ARRAY:
	case JSON_OBJECT:
		return datum_text(n->text);
	case JSON_NULL:
		break;
	}
	return (struct datum){ .kind = DATUM_NULL };
}

/* Times travel as RFC 3339 text; inside, they are numbers. */
static void time_to_number(struct datum *d)
{
	uint64_t ns;

	if (d->kind == DATUM_TEXT && parse_time(d->text, &ns) == 0)
		*d = datum_int((int64_t)ns);
}

static int on_row(struct decode *d, const struct json_node *line)
{
	const struct json_node *values = json_get(&d->doc, line, "values"), *v = NULL;
	size_t n = 0;

	if (!values)
		values = json_get(&d->doc, line, "row");
	if (!d->have_columns || !values || values->kind != JSON_ARRAY || values->n != d->n_cols)
		return trouble_set(d->t, EXIT_ERROR,
				   "an answer that makes no sense: a row of %u cells "
				   "for %zu columns",
				   values ? values->n : 0, d->n_cols);
	while ((v = json_each(&d->doc, values, v))) {
		d->cells[n] = datum_of(v);
		if (d->cols[n].shape == SHAPE_TIME)
			time_to_number(&d->cells[n]);
		n++;
	}
	return d->sink->row(d->sink->ctx, d->cells);
}

static int on_coverage(struct decode *d, const struct json_node *line)
{
	const struct json_node *coverage = json_get(&d->doc, line, "coverage");

	if (!coverage || coverage->kind != JSON_OBJECT)
		coverage = line;
	return d->sink->coverage ? d->sink->coverage(d->sink->ctx, coverage->text) : 0;
}

static int on_progress(struct decode *d, const struct json_node *line)
{
	int64_t skipped = json_int(json_get(&d->doc, line, "skipped"), 0);

	return d->sink->progress && skipped > 0 ? d->sink->progress(d->sink->ctx, (uint64_t)skipped)
						: 0;
}

static int on_error(struct decode *d, const struct json_node *line)
{
	const struct json_node *error = json_get(&d->doc, line, "error");
	struct slice message, hint;

	if (!error || error->kind != JSON_OBJECT)
		error = line;
	message = json_text(json_get(&d->doc, error, "message"));
	hint = json_text(json_get(&d->doc, error, "hint"));
	return trouble_set(d->t, EXIT_ERROR, "%.*s%s%.*s", (int)MIN(message.n, (size_t)1000),
			   (const char *)message.p, hint.n ? "; " : "",
			   (int)MIN(hint.n, (size_t)500), (const char *)hint.p);
}

static int on_line(void *ctx, struct slice text)
{
	static const struct {
		const char *type;
		int (*fn)(struct decode *d, const struct json_node *line);
	} types[] = { { "row", on_row },
		      { "schema", on_schema },
		      { "coverage", on_coverage },
		      { "progress", on_progress },
		      { "error", on_error } };
	struct decode *d = ctx;
	struct slice type;

	if (json_parse(&d->doc, text) < 0)
		return trouble_set(d->t, EXIT_ERROR, "an answer that is no JSON: %.*s",
				   (int)MIN(text.n, (size_t)200), (const char *)text.p);
	type = json_text(json_get(&d->doc, &d->doc.nodes[0], "type"));
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (slice_eq_str(type, types[i].type))
			return types[i].fn(d, &d->doc.nodes[0]);
	return 0; /* kinds of later versions */
}

static int exchange(struct source *s, struct client_request *req, const struct answer_sink *sink,
		    struct trouble *t)
{
	_cleanup_(freep) struct decode *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return trouble_set(t, EXIT_ERROR, "out of memory");
	d->sink = sink;
	d->t = t;
	req->line = on_line;
	req->ctx = d;
	r = client_do(s->client, req, t);
	json_done(&d->doc);
	return r;
}

static void add_time(struct strbuf *out, const char *key, uint64_t ns)
{
	char text[40];

	format_time_utc(ns, text);
	strbuf_addf(out, ",\"%s\":\"%s\"", key, text);
}

static void add_body(const struct question *q, struct strbuf *out)
{
	strbuf_adds(out, "{\"sql\":");
	json_add_string(out, strbuf_slice(&q->sql));
	if (q->from_ns)
		add_time(out, "since", q->from_ns);
	else if (q->all)
		strbuf_adds(out, ",\"since\":\"0\"");
	if (q->to_ns != UINT64_MAX)
		add_time(out, "until", q->to_ns);
	strbuf_adds(out, ",\"params\":{");
	for (size_t i = 0; i < q->n_params; i++) {
		struct datum d = question_param(q, i);

		strbuf_addf(out, "%s\"p%zu\":", i ? "," : "", i + 1);
		if (d.kind == DATUM_TEXT)
			json_add_string(out, d.text);
		else
			strbuf_addf(out, "%lld", (long long)d.i);
	}
	strbuf_adds(out, "},\"format\":\"ndjson\"}");
}

int source_ask(struct source *s, const struct question *q, const struct answer_sink *sink,
	       struct trouble *t)
{
	_cleanup_(strbuf_done) struct strbuf body = STRBUF_INIT(MIB);
	struct client_request req = { .method = "POST", .path = "/api/v1/query" };

	if (s->local)
		return local_ask(s->local, q, sink, t);
	add_body(q, &body);
	if (body.failed)
		return trouble_set(t, EXIT_ERROR, "the statement is too long");
	req.body = strbuf_slice(&body);
	return exchange(s, &req, sink, t);
}

int source_stream(struct source *s, const char *path, const struct answer_sink *sink,
		  struct trouble *t)
{
	struct client_request req = { .method = "GET", .path = path };

	if (s->local)
		return trouble_set(t, EXIT_USAGE,
				   "a live stream needs a running Kelpie; %s is a directory",
				   s->name);
	return exchange(s, &req, sink, t);
}
