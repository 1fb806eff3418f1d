/* What clients of the API write: JSON bodies and filters of live subscriptions. The first byte
 * chooses. */
#include "base/strbuf.h"
#include "base/util.h"
#include "collector/filter.h"
#include "collector/jsontext.h"
#include "tests/fuzz/work.h"

#include <string.h>

static const struct work_bound members_bound = { "jsontext_members", 64, 1024 };
static const struct work_bound filters_bound = { "filter_add", 64, 65536 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_member(void *ctx, struct slice key, const struct jsontext_value *v);

/* The work of one level; what is done with a member is counted for itself. */
static void members(struct slice text)
{
	work_begin();
	jsontext_members(text, on_member, NULL);
	work_end(&members_bound, text.n);
}

static void look_at(const struct jsontext_value *v);

static int on_member(void *ctx, struct slice key, const struct jsontext_value *v)
{
	(void)ctx;
	(void)key;
	work_pause();
	look_at(v);
	work_resume();
	return 0;
}

static void look_at(const struct jsontext_value *v)
{
	struct strbuf text = STRBUF_INIT(MIB);

	if (!jsontext_valid(v->raw))
		abort(); /* a part of a valid text is valid */
	jsontext_string(v, &text);
	/* A decoded text is written as one literal that decodes to it. */
	if (v->kind == JSONTEXT_STRING && !text.failed) {
		struct strbuf literal = STRBUF_INIT(MIB);

		strbuf_add_json(&literal, strbuf_slice(&text));
		if (!literal.failed && !jsontext_valid(strbuf_slice(&literal)))
			abort();
		strbuf_done(&literal);
	}
	strbuf_done(&text);
	if (v->kind == JSONTEXT_OBJECT)
		jsontext_members(v->raw, on_member, NULL);
}

/* "name=value&name=value", as it stands after the library has decoded it. */
static void filters(struct slice in)
{
	static struct filter_set set;
	struct slice rest = in;

	memset(&set, 0, sizeof(set));
	work_begin();
	while (rest.n) {
		struct slice one = slice_head(rest, slice_find(rest, '&'));
		size_t eq = slice_find(one, '=');
		char name[32];
		size_t n = MIN(eq, sizeof(name) - 1);

		memcpy(name, one.p, n);
		name[n] = '\0';
		if (filter_add(&set, name, slice_from(one, eq + 1)) < 0)
			break;
		rest = slice_from(rest, one.n + 1);
	}
	work_end(&filters_bound, in.n);
	for (size_t i = 0; i < set.n_clauses; i++)
		for (size_t k = 0; k < set.clauses[i].n_any; k++)
			for (size_t t = 0; t < set.clauses[i].any[k]->n_all; t++)
				if (set.clauses[i].any[k]->all[t]->column == 0)
					abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);

	if (size < 1)
		return 0;
	if (data[0] % 2)
		members(slice_from(in, 1));
	else
		filters(slice_from(in, 1));
	return 0;
}
