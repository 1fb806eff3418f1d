/* The file: a walk over libyaml's events that keeps the dotted path of the current key. Only plain
 * mappings, scalars and lists of scalars; no aliases, tags of other types or second documents.
 */
#include "config/config_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <yaml.h>

#define DEPTH_MAX      6
#define NAME_MAX_BYTES 128

struct walk {
	struct config *c;
	const char *path; /* of the file */
	struct config_diag *diag;
	char name[NAME_MAX_BYTES]; /* dotted path down to the current key */
	size_t ends[DEPTH_MAX];	   /* length of name at each open mapping */
	size_t depth;
	bool want_value;	       /* name holds a key whose value comes next */
	const struct config_key *list; /* inside its sequence */
};

static int complain(struct walk *w, const yaml_event_t *ev, const char *name, const char *why)
{
	w->diag->line = ev ? (uint32_t)ev->start_mark.line + 1 : 0;
	snprintf(w->diag->message, sizeof(w->diag->message), "%s:%u: %s%s%s", w->path,
		 w->diag->line, name, *name ? ": " : "", why);
	return -EINVAL;
}

static int unknown_key(struct walk *w, const yaml_event_t *ev)
{
	char near[CONFIG_NAME_MAX], why[CONFIG_WHY_MAX];
	bool found = config_nearest(w->name, near);

	snprintf(why, sizeof(why), "no such key%s%s%s; `kelpie config show` lists all",
		 found ? "; did you mean " : "", found ? near : "", found ? "?" : "");
	return complain(w, ev, w->name, why);
}

static int first_time(struct walk *w, const yaml_event_t *ev, const struct config_key *key)
{
	size_t n;
	struct config_origin *o = &w->c->origins[key - config_keys(&n)];
	char why[CONFIG_WHY_MAX];

	if (o->from == CONFIG_FROM_FILE) {
		snprintf(why, sizeof(why), "stands twice, first in line %u", o->line);
		return complain(w, ev, key->name, why);
	}
	*o = (struct config_origin){ CONFIG_FROM_FILE, (uint32_t)ev->start_mark.line + 1 };
	return 0;
}

/* Appends the key of a mapping to the path and checks that something of that name exists. */
static int take_key(struct walk *w, const yaml_event_t *ev)
{
	size_t at = w->ends[w->depth - 1], n = ev->data.scalar.length;
	const char *text = (const char *)ev->data.scalar.value;

	for (size_t i = 0; i < n; i++)
		if (text[i] < 0x21 || text[i] > 0x7e)
			return complain(w, ev, "", "a key holds characters that no key has");
	if (!n || at + n + 2 > sizeof(w->name))
		return complain(w, ev, "", n ? "a key is too long" : "a key is empty");
	if (at)
		w->name[at++] = '.';
	memcpy(w->name + at, text, n);
	w->name[at + n] = 0;
	if (!config_key(w->name) && !config_is_section(w->name))
		return unknown_key(w, ev);
	w->want_value = true;
	return 0;
}

static bool is_null(const yaml_event_t *ev)
{
	struct slice s = slice_of(ev->data.scalar.value, ev->data.scalar.length);

	return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!s.n || slice_eq_str(s, "~") || slice_eq_str(s, "null"));
}

static int take_value(struct walk *w, const yaml_event_t *ev)
{
	const struct config_key *key = config_key(w->name);
	char why[CONFIG_WHY_MAX];
	int r;

	w->want_value = false;
	if (is_null(ev)) /* "capture:" with everything below it commented out */
		return key ? complain(w, ev, w->name, "has no value") : 0;
	if (!key)
		return complain(w, ev, w->name, "is a section: its keys stand below it");
	if (key->type == CONFIG_LIST)
		return complain(w, ev, w->name, "must be a list: [a, b]");
	r = first_time(w, ev, key);
	if (r)
		return r;
	r = config_value_set(w->c, key, slice_of(ev->data.scalar.value, ev->data.scalar.length),
			     why);
	return r ? complain(w, ev, w->name, why) : 0;
}

static int on_scalar(struct walk *w, const yaml_event_t *ev)
{
	char why[CONFIG_WHY_MAX];

	if (w->list) {
		int r = config_value_set(w->c, w->list,
					 slice_of(ev->data.scalar.value, ev->data.scalar.length),
					 why);

		return r ? complain(w, ev, w->list->name, why) : 0;
	}
	if (!w->depth)
		return is_null(ev) ? 0 : complain(w, ev, "", "expected keys with values");
	return w->want_value ? take_value(w, ev) : take_key(w, ev);
}

static int on_mapping(struct walk *w, const yaml_event_t *ev)
{
	if (w->list || (w->depth && !w->want_value))
		return complain(w, ev, w->name, "a mapping has no place here");
	if (w->want_value && config_key(w->name))
		return complain(w, ev, w->name, "needs a value, not a section");
	if (w->depth == DEPTH_MAX)
		return complain(w, ev, w->name, "is nested too deeply");
	w->ends[w->depth++] = w->want_value ? strlen(w->name) : 0;
	w->want_value = false;
	return 0;
}

static void on_mapping_end(struct walk *w)
{
	w->depth--;
	w->name[w->ends[w->depth]] = 0;
	w->want_value = false;
}

static int on_sequence(struct walk *w, const yaml_event_t *ev)
{
	const struct config_key *key = w->want_value ? config_key(w->name) : NULL;

	if (!key || key->type != CONFIG_LIST || w->list)
		return complain(w, ev, w->name, "a list has no place here");
	w->list = key;
	w->want_value = false;
	config_value_clear_list(w->c, key);
	return first_time(w, ev, key);
}

static int on_event(struct walk *w, const yaml_event_t *ev, bool *ret_end)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(w, ev);
	case YAML_MAPPING_START_EVENT:
		return on_mapping(w, ev);
	case YAML_MAPPING_END_EVENT:
		on_mapping_end(w);
		return 0;
	case YAML_SEQUENCE_START_EVENT:
		return on_sequence(w, ev);
	case YAML_SEQUENCE_END_EVENT:
		w->list = NULL;
		return 0;
	case YAML_ALIAS_EVENT:
		return complain(w, ev, w->name, "aliases are not supported; write the value out");
	case YAML_DOCUMENT_END_EVENT:
	case YAML_STREAM_END_EVENT:
		*ret_end = true;
		return 0;
	default:
		return 0;
	}
}

static int syntax_error(struct walk *w, const yaml_parser_t *parser)
{
	w->diag->line = (uint32_t)parser->problem_mark.line + 1;
	snprintf(w->diag->message, sizeof(w->diag->message), "%s:%u: no valid YAML: %s", w->path,
		 w->diag->line, parser->problem ? parser->problem : "out of memory");
	return -EINVAL;
}

static int parse(struct walk *w, struct slice text)
{
	yaml_parser_t parser;
	bool end = false;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, text.p, text.n);
	while (!r && !end) {
		yaml_event_t ev;

		if (!yaml_parser_parse(&parser, &ev)) {
			r = syntax_error(w, &parser);
			break;
		}
		r = on_event(w, &ev, &end);
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&parser);
	return r;
}

static int read_all(const char *path, struct strbuf *out)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	for (;;) {
		char *to = strbuf_reserve(out, 4096);
		ssize_t n;

		if (!to)
			return -E2BIG;
		n = read(fd, to, 4096);
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		out->len += (size_t)n;
	}
}

int config_yaml_read(struct config *c, const char *path, struct config_diag *reterr)
{
	_cleanup_(strbuf_done) struct strbuf text = STRBUF_INIT(CONFIG_FILE_MAX);
	struct walk w = { .c = c, .path = path, .diag = reterr };
	int r = read_all(path, &text);

	if (r < 0) {
		snprintf(reterr->message, sizeof(reterr->message), "%s: cannot be read: %s", path,
			 r == -E2BIG ? "larger than 1 MiB" : strerror(-r));
		return r;
	}
	return parse(&w, strbuf_slice(&text));
}
