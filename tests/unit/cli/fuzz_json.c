/* An answer's line and what is shown of it: a text that parses is written again, parses again and
 * means the same; whatever came, the escaper and the writer let nothing through that a terminal
 * obeys. */
#include "cli/json.h"
#include "cli/screen.h"
#include "tests/fuzz/work.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct work_bound parse_bound = { "json_parse", 64, 4096 };
static const struct work_bound escape_bound = { "screen_escape", 256, 4096 };
static const struct work_bound cut_bound = { "screen_cut", 256, 4096 };
static const struct work_bound string_bound = { "json_add_string", 256, 4096 };

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
	int r;

	work_begin();
	r = json_parse(&doc, text);
	work_end(&parse_bound, text.n);
	if (r == 0)
		write_again(&doc);
	json_done(&doc);
	work_begin();
	screen_escape(text, &out);
	work_end(&escape_bound, text.n);
	must_be_printable(&out);
	work_begin();
	must(screen_cut(strbuf_slice(&out), 10, &cut) <= 10);
	work_end(&cut_bound, out.len);
	must_be_printable(&cut);
	strbuf_reset(&out);
	work_begin();
	json_add_string(&out, text);
	work_end(&string_bound, text.n);
	must_be_printable(&out);
	must(json_parse(&doc, strbuf_slice(&out)) == 0);
	json_done(&doc);
	return 0;
}
