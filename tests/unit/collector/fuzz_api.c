/* What clients of the API write: JSON bodies and filters of live subscriptions. The first byte
 * chooses. */
#include "base/strbuf.h"
#include "base/util.h"
#include "collector/filter.h"
#include "collector/jsontext.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_member(void *ctx, struct slice key, const struct jsontext_value *v)
{
	struct strbuf text = STRBUF_INIT(MIB);

	(void)ctx;
	(void)key;
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
	return 0;
}

/* "name=value&name=value", as it stands after the library has decoded it. */
static void filters(struct slice in)
{
	static struct filter_set set;
	struct slice rest = in;

	memset(&set, 0, sizeof(set));
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
		jsontext_members(slice_from(in, 1), on_member, NULL);
	else
		filters(slice_from(in, 1));
	return 0;
}
