/* One value of each type: from text, checked, and back. */
#include "config/config_int.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>

#define SAY(why, ...) (snprintf((why), CONFIG_WHY_MAX, __VA_ARGS__), -EINVAL)
#define SHOWN(s)      (int)MIN((s).n, (size_t)60), (const char *)(s).p

static void *member(struct config *c, const struct config_key *key)
{
	return (uint8_t *)c + key->offset;
}

/* Texts go to logs, sockets and paths: no control bytes, valid UTF-8. */
static bool clean_text(struct slice s)
{
	while (s.n) {
		size_t n = utf8_len(s);

		if (!n || s.p[0] < 0x20 || s.p[0] == 0x7f)
			return false;
		s = slice_from(s, n);
	}
	return true;
}

static int put_text(char *to, size_t size, const struct config_key *key, struct slice s, char *why)
{
	if (!clean_text(s))
		return SAY(why, "holds a control character or is no UTF-8");
	if (s.n >= size)
		return SAY(why, "is longer than %zu bytes", size - 1);
	if ((key->flags & CONFIG_NOT_EMPTY) && !s.n)
		return SAY(why, "is empty");
	memcpy(to, s.p, s.n);
	to[s.n] = 0;
	for (size_t i = 0; (key->flags & CONFIG_LOWER) && i < s.n; i++)
		if (to[i] >= 'A' && to[i] <= 'Z')
			to[i] = (char)(to[i] | 0x20);
	return 0;
}

/* Position of s among the key's words, -1 when it is none. */
static int find_word(const struct config_key *key, struct slice s)
{
	struct slice rest = slice_str(key->words);

	for (int i = 0; rest.n; i++) {
		struct slice word = slice_head(rest, slice_find(rest, ' '));

		if (slice_eq(word, s))
			return i;
		rest = slice_from(rest, word.n + 1);
	}
	return -1;
}

static int set_word(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	int at = find_word(key, s);

	if (at < 0)
		return SAY(why, "'%.*s' is not one of: %s", SHOWN(s), key->words);
	*(uint8_t *)member(c, key) = (uint8_t)at;
	return 0;
}

static int set_text(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	if (key->words && find_word(key, s) < 0)
		return SAY(why, "'%.*s' is not one of: %s", SHOWN(s), key->words);
	return put_text(member(c, key), CONFIG_TEXT_MAX, key, s, why);
}

static int set_path(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	return put_text(member(c, key), CONFIG_PATH_MAX, key, s, why);
}

static int set_address(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	struct slice path = slice_from(s, 5);
	uint64_t port;
	size_t colon = s.n;

	if (slice_starts(s, SLICE_LIT("unix:"))) {
		if (!path.n)
			return SAY(why,
				   "'unix:' without a path; write unix:/run/kelpie/kelpie.sock");
		if (path.n >= CONFIG_SOCKET_MAX)
			return SAY(why, "a socket's path has at most %d bytes",
				   CONFIG_SOCKET_MAX - 1);
		return put_text(member(c, key), CONFIG_PATH_MAX, key, s, why);
	}
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2 || parse_u64(slice_from(s, colon), &port) < 0 || !port || port > 65535)
		return SAY(why,
			   "'%.*s' is no address; write unix:PATH, 127.0.0.1:PORT or [::1]:PORT",
			   SHOWN(s));
	if (slice_find(slice_head(s, colon - 1), ':') < colon - 1 &&
	    (s.p[0] != '[' || s.p[colon - 2] != ']'))
		return SAY(why, "an IPv6 address stands in brackets: [::1]:PORT");
	return put_text(member(c, key), CONFIG_PATH_MAX, key, s, why);
}

static int set_bool(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	bool yes = slice_eq_str(s, "true") || slice_eq_str(s, "1") || slice_eq_str(s, "yes") ||
		   slice_eq_str(s, "on");

	if (!yes && !slice_eq_str(s, "false") && !slice_eq_str(s, "0") && !slice_eq_str(s, "no") &&
	    !slice_eq_str(s, "off"))
		return SAY(why, "'%.*s' is neither true nor false", SHOWN(s));
	*(bool *)member(c, key) = yes;
	return 0;
}

static void add_size(struct strbuf *out, uint64_t v)
{
	static const struct {
		const char *name;
		unsigned int shift;
	} units[] = { { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 }, { "", 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (v >> units[i].shift && !(v & ((1ull << units[i].shift) - 1))) {
			strbuf_addf(out, "%llu%s", (unsigned long long)(v >> units[i].shift),
				    units[i].name);
			return;
		}
	strbuf_adds(out, "0");
}

static void add_duration(struct strbuf *out, uint64_t v)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = { { "d", 86400 * NSEC_PER_SEC },
		      { "h", 3600 * NSEC_PER_SEC },
		      { "m", 60 * NSEC_PER_SEC },
		      { "s", NSEC_PER_SEC },
		      { "ms", NSEC_PER_MSEC },
		      { "us", NSEC_PER_USEC },
		      { "ns", 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (v && v % units[i].ns == 0) {
			strbuf_addf(out, "%llu%s", (unsigned long long)(v / units[i].ns),
				    units[i].name);
			return;
		}
	strbuf_adds(out, "0");
}

static void add_count(struct strbuf *out, uint64_t v)
{
	strbuf_addf(out, "%llu", (unsigned long long)v);
}

static void add_cores(struct strbuf *out, uint64_t v)
{
	unsigned int digits = 3;
	uint64_t part = v % 1000;

	strbuf_addf(out, "%llu", (unsigned long long)(v / 1000));
	if (!part)
		return;
	for (; part % 10 == 0; part /= 10)
		digits--;
	strbuf_addf(out, ".%0*llu", (int)digits, (unsigned long long)part);
}

static int set_in_range(struct config *c, const struct config_key *key, uint64_t v,
			void (*add)(struct strbuf *, uint64_t), char *why)
{
	_cleanup_(strbuf_done) struct strbuf range = STRBUF_INIT(128);

	if (v < key->min || v > key->max) {
		add(&range, key->min);
		strbuf_adds(&range, " and ");
		add(&range, key->max);
		return SAY(why, "must lie between %s", strbuf_str(&range));
	}
	if ((key->flags & CONFIG_POWER_OF_TWO) && (v & (v - 1)))
		return SAY(why, "must be a power of two, such as %s", key->fallback);
	*(uint64_t *)member(c, key) = v;
	return 0;
}

static int set_size(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	uint64_t v;

	if (parse_size_bytes(s, &v) < 0)
		return SAY(why, "'%.*s' is no size; write 64KiB, 8MiB, 4GiB", SHOWN(s));
	return set_in_range(c, key, v, add_size, why);
}

static int set_duration(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	uint64_t v;

	if (parse_duration_ns(s, &v) < 0)
		return SAY(why, "'%.*s' is no duration; write 500ms, 10s, 5m, 2h, 7d", SHOWN(s));
	return set_in_range(c, key, v, add_duration, why);
}

static int set_count(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	uint64_t v;

	if (parse_u64(s, &v) < 0)
		return SAY(why, "'%.*s' is no whole number", SHOWN(s));
	return set_in_range(c, key, v, add_count, why);
}

static int set_cores(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	struct slice part = slice_from(s, slice_find(s, '.') + 1);
	uint64_t whole, thousandths = 0;

	if (parse_u64(slice_head(s, slice_find(s, '.')), &whole) < 0 || whole > key->max / 1000 ||
	    part.n > 3 || (part.n && parse_u64(part, &thousandths) < 0) ||
	    (!part.n && s.n && s.p[s.n - 1] == '.'))
		return SAY(why, "'%.*s' is no number of cores; write 0.5 or 2", SHOWN(s));
	for (size_t i = part.n; part.n && i < 3; i++)
		thousandths *= 10;
	return set_in_range(c, key, whole * 1000 + thousandths, add_cores, why);
}

static int add_entry(struct config *c, const struct config_key *key, struct slice s, char *why)
{
	struct config_list *list = member(c, key);
	int r;

	if (!s.n)
		return SAY(why, "has an empty entry");
	if (list->n == CONFIG_LIST_MAX)
		return SAY(why, "has more than %d entries", CONFIG_LIST_MAX);
	r = put_text(list->items[list->n], CONFIG_TEXT_MAX, key, s, why);
	if (!r)
		list->n++;
	return r;
}

static int (*const setters[_CONFIG_TYPE_MAX])(struct config *, const struct config_key *,
					      struct slice, char *) = {
	[CONFIG_TEXT] = set_text,	  [CONFIG_PATH] = set_path,
	[CONFIG_ADDRESS] = set_address,	  [CONFIG_WORD] = set_word,
	[CONFIG_BOOL] = set_bool,	  [CONFIG_SIZE] = set_size,
	[CONFIG_DURATION] = set_duration, [CONFIG_COUNT] = set_count,
	[CONFIG_CORES] = set_cores,	  [CONFIG_LIST] = add_entry,
};

int config_value_set(struct config *c, const struct config_key *key, struct slice text, char *why)
{
	return setters[key->type](c, key, text, why);
}

void config_value_clear_list(struct config *c, const struct config_key *key)
{
	if (key->type == CONFIG_LIST)
		memset(member(c, key), 0, sizeof(struct config_list));
}

int config_value_set_flat(struct config *c, const struct config_key *key, struct slice text,
			  char *why)
{
	if (key->type != CONFIG_LIST)
		return config_value_set(c, key, text, why);
	config_value_clear_list(c, key);
	while (text.n) {
		struct slice entry = slice_head(text, slice_find(text, ','));
		int r = add_entry(c, key, entry, why);

		if (r)
			return r;
		if (entry.n + 1 == text.n)
			return SAY(why, "has an empty entry");
		text = slice_from(text, entry.n + 1);
	}
	return 0;
}

static void add_word(struct strbuf *out, const char *words, size_t i)
{
	struct slice rest = slice_str(words), word;

	for (; i > 0; i--)
		rest = slice_from(rest, slice_find(rest, ' ') + 1);
	word = slice_head(rest, slice_find(rest, ' '));
	strbuf_add(out, word.p, word.n);
}

static void add_list(struct strbuf *out, const struct config_list *list)
{
	strbuf_addch(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		strbuf_adds(out, i ? ", " : "");
		strbuf_add_json(out, slice_str(list->items[i]));
	}
	strbuf_addch(out, ']');
}

void config_format(const struct config *c, const struct config_key *key, struct strbuf *out)
{
	const void *p = (const uint8_t *)c + key->offset;

	switch ((enum config_type)key->type) {
	case CONFIG_TEXT:
	case CONFIG_PATH:
	case CONFIG_ADDRESS:
		strbuf_add_json(out, slice_str(p));
		break;
	case CONFIG_WORD:
		add_word(out, key->words, *(const uint8_t *)p);
		break;
	case CONFIG_BOOL:
		strbuf_adds(out, *(const bool *)p ? "true" : "false");
		break;
	case CONFIG_SIZE:
		add_size(out, *(const uint64_t *)p);
		break;
	case CONFIG_DURATION:
		add_duration(out, *(const uint64_t *)p);
		break;
	case CONFIG_COUNT:
		add_count(out, *(const uint64_t *)p);
		break;
	case CONFIG_CORES:
		add_cores(out, *(const uint64_t *)p);
		break;
	case CONFIG_LIST:
		add_list(out, p);
		break;
	case _CONFIG_TYPE_MAX:
		break;
	}
}
