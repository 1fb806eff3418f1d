/* config, version: what needs no server. */
#include "cli/cli.h"
#include "cli/print.h"
#include "config/config.h"

#include <stdio.h>

static const struct view_col config_cols[] = {
	{ "key", "KEY", SHAPE_PLAIN, 100, 16, VIEW_FLEX | VIEW_NAME },
	{ "value", "VALUE", SHAPE_PLAIN, 90, 16, VIEW_FLEX },
	{ "origin", "ORIGIN", SHAPE_PLAIN, 80, 12, VIEW_FLEX },
	{ "doc", "ABOUT", SHAPE_PLAIN, 20, 0, VIEW_WIDE },
};
static const struct view view_config = { config_cols, ARRAY_SIZE(config_cols) };

static int show_config(const struct options *o, const struct config *cfg)
{
	static const struct answer_col cols[] = { { .name = "key", .type = "TEXT" },
						  { .name = "value", .type = "TEXT" },
						  { .name = "origin", .type = "TEXT" },
						  { .name = "doc", .type = "TEXT" } };
	_cleanup_(printer_freep) struct printer *p = NULL;
	struct print_opts print;
	struct answer_sink sink;
	size_t n;
	const struct config_key *keys = config_keys(&n);

	print_opts_init(&print, o, &view_config);
	if (printer_new(&print, &p) < 0)
		return cli_fail(EXIT_ERROR, "out of memory");
	sink = printer_sink(p);
	sink.columns(sink.ctx, cols, ARRAY_SIZE(cols));
	for (size_t i = 0; i < n; i++) {
		_cleanup_(strbuf_done) struct strbuf value = STRBUF_INIT(64 * KIB);
		_cleanup_(strbuf_done) struct strbuf origin = STRBUF_INIT(4096);
		struct datum row[ARRAY_SIZE(cols)];

		config_format(cfg, &keys[i], &value);
		config_format_origin(cfg, &keys[i], &origin);
		row[0] = datum_text(slice_str(keys[i].name));
		row[1] = datum_text(strbuf_slice(&value));
		row[2] = datum_text(strbuf_slice(&origin));
		row[3] = datum_text(slice_str(keys[i].doc));
		sink.row(sink.ctx, row);
	}
	print_end(p);
	return EXIT_OK;
}

int cmd_config(const struct options *o)
{
	_cleanup_(freep) struct config *cfg = NULL;
	struct config_flag flags[2];
	struct config_opts opts = { .file = o->n_args > 1 ? o->args[1] : o->config,
				    .flags = flags };
	struct config_diag diag;
	bool show = strcmp(o->args[0], "show") == 0;

	if (!show && strcmp(o->args[0], "check") != 0)
		return cli_fail(EXIT_USAGE, "config: '%s' is neither show nor check", o->args[0]);
	if (o->n_args > 1 && o->config)
		return cli_fail(EXIT_USAGE, "config: FILE and --config are two files; give one");
	if (o->data_dir)
		flags[opts.n_flags++] = (struct config_flag){ "dataDir", o->data_dir };
	if (o->listen)
		flags[opts.n_flags++] = (struct config_flag){ "listen", o->listen };
	cfg = calloc(1, sizeof(*cfg));
	if (!cfg)
		return cli_fail(EXIT_ERROR, "out of memory");
	if (config_load(&opts, cfg, &diag) < 0)
		return cli_fail(EXIT_ERROR, "%s", diag.message);
	if (show)
		return show_config(o, cfg);
	printf("%s: ok\n", cfg->file[0] ? cfg->file : "no file, environment and defaults");
	return EXIT_OK;
}

int cmd_version(const struct options *o)
{
	if (o->output == OUTPUT_JSON || o->output == OUTPUT_JSONL)
		printf("{\"version\":\"%s\"}\n", KELPIE_VERSION);
	else
		printf("kelpie %s\n", KELPIE_VERSION);
	return EXIT_OK;
}
