/* An answer's line and what is shown of it: a text that parses is written again, parses again and
 * means the same; whatever came, the escaper and the writer let nothing through that a terminal
 * obeys. */
#include "cli/json.h"
#include "cli/screen.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void must_be_printable(const struct strbuf *b)
{
	struct slice rest = strbuf_slice(b);

	must(!b->failed);
	while (rest.n) {
		struct screen_char c = screen_next(rest);

		must(!c.invalid && c.columns >= 0);
		rest = slice_from(rest, c.n);
	}
}

static void write_again(const struct json *doc)
{
	_cleanup_(strbuf_done) struct strbuf once = STRBUF_INIT(64 * MIB);
	_cleanup_(strbuf_done) struct strbuf twice = STRBUF_INIT(64 * MIB);
	struct json again = { 0 };

	json_add_node(&once, doc, &doc->nodes[0]);
	must_be_printable(&once);
	must(json_parse(&again, strbuf_slice(&once)) == 0);
	json_add_node(&twice, &again, &again.nodes[0]);
	must(slice_eq(strbuf_slice(&once), strbuf_slice(&twice)));
	json_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(strbuf_done) struct strbuf out = STRBUF_INIT(64 * MIB);
	_cleanup_(strbuf_done) struct strbuf cut = STRBUF_INIT(64 * MIB);
	struct slice text = slice_of(data, size);
	struct json doc = { 0 };

	if (json_parse(&doc, text) == 0)
		write_again(&doc);
	json_done(&doc);
	screen_escape(text, &out);
	must_be_printable(&out);
	must(screen_cut(strbuf_slice(&out), 10, &cut) <= 10);
	must_be_printable(&cut);
	strbuf_reset(&out);
	json_add_string(&out, text);
	must_be_printable(&out);
	must(json_parse(&doc, strbuf_slice(&out)) == 0);
	json_done(&doc);
	return 0;
}
