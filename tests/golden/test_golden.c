/* Plays every golden file of the folders on the command line and compares the logs; then plays each
 * conversation cut in two at every byte, in pieces of one to seven bytes, and cut off after every
 * byte. With --write the log blocks are replaced by what the parser says: read the difference. */
#include "tests/golden/pairs.h"

#include <dirent.h>
#include <stdio.h>

#define FILE_MAX (4 * MIB)

static size_t failures;
static enum proto_id protocol; /* of the folder in hand */

static void fail(const char *path, const struct script *s, const char *what, size_t at)
{
	printf("not ok %s: %s: %s (byte %zu)\n", path, s->title, what, at);
	failures++;
}

static bool sound(const struct convo *c)
{
	return !c->violated && !c->log.broken;
}

static bool same_kinds(const struct convo *a, const struct convo *b)
{
	for (int k = 0; k < CONVO_KINDS; k++)
		if (!slice_eq(strbuf_slice(&a->log.kind[k]), strbuf_slice(&b->log.kind[k])))
			return false;
	return a->resynced == b->resynced && a->over == b->over && a->next == b->next;
}

static void check_cuts(const char *path, const struct script *s, const struct convo *whole)
{
	size_t n = script_bytes(s), step = n > 8000 ? n / 4000 : 1;
	struct convo c;

	for (size_t cut = 1; cut < n; cut += step) {
		script_play_cut(s, &c, cut, 0, SIZE_MAX);
		if (!sound(&c) || !same_kinds(&c, whole)) {
			fail(path, s, "another log when cut in two", cut);
			printf("%s", strbuf_str(&c.log.all));
			cut = n;
		}
		convo_done(&c);
	}
	for (size_t piece = 1; piece <= 7; piece++) {
		script_play_cut(s, &c, 0, piece, SIZE_MAX);
		if (!sound(&c) || !same_kinds(&c, whole)) {
			fail(path, s, "another log in small pieces", piece);
			printf("%sresynced %llu\n", strbuf_str(&c.log.all),
			       (unsigned long long)c.resynced);
		}
		convo_done(&c);
	}
}

/* Whether no flag stands there that says what is not as it should be. */
static bool is_clean(struct slice behind_mark)
{
	struct slice flags = slice_from(behind_mark, slice_find(behind_mark, ' '));

	return flags.n == 0 || slice_eq_str(flags, " follows");
}

/* Length of the log up to and with its last message that ended without a flag. */
static size_t clean_len(const struct strbuf *b)
{
	struct slice s = strbuf_slice(b);
	size_t clean = 0, at = 0;

	while (at < s.n) {
		struct slice l = slice_from(s, at);
		size_t n = slice_find(l, '\n'), mark;

		l = slice_head(l, n);
		at += n + 1;
		mark = slice_find(l, '@');
		if (l.n > 0 && l.p[0] == 'r' && mark > 4 && mark < l.n &&
		    memcmp(l.p + mark - 4, "end ", 4) == 0 && is_clean(slice_from(l, mark)))
			clean = at;
	}
	return clean;
}

/* A cut-off conversation must not make up whole messages that the full one does not have. */
static void check_prefixes(const char *path, const struct script *s, const struct convo *whole)
{
	size_t n = script_bytes(s), step = n > 8000 ? n / 4000 : 1;

	for (size_t until = 0; until < n; until += step) {
		struct convo c;
		bool ok;

		script_play_cut(s, &c, 0, 0, until);
		ok = sound(&c);
		for (int k = 0; k < 2 && !s->no_prefix_check; k++) {
			size_t len = clean_len(&c.log.kind[k]);

			ok = ok && len <= whole->log.kind[k].len &&
			     (len == 0 || memcmp(c.log.kind[k].p, whole->log.kind[k].p, len) == 0);
		}
		if (!ok) {
			fail(path, s, "a false message when cut off", until);
			printf("%s", strbuf_str(&c.log.all));
			until = n;
		}
		convo_done(&c);
	}
}

static bool check_pairs(const char *path, const struct script *s, struct convo *c,
			const struct pairs *whole, const char *what, size_t at)
{
	static struct pairs some;
	uint64_t key = 0;
	bool ok;

	pairs_read(&some, strbuf_slice(&c->log.all));
	ok = sound(c) && pairs_within(&some, whole, &key);
	if (!ok) {
		fail(path, s, what, at);
		printf("exchange %llu:\n%s", (unsigned long long)key, strbuf_str(&c->log.all));
	}
	convo_done(c);
	return ok;
}

/* Wherever bytes are lost, and wherever the connection is joined, no exchange gets another's answer. */
static void check_losses(const char *path, const struct script *s, const struct convo *c)
{
	static const size_t lost[] = { 1, 5, 20, SIZE_MAX };
	static struct pairs whole;
	size_t n = script_bytes(s), step = n > 8000 ? n / 500 : 1;
	struct convo other;

	pairs_read(&whole, strbuf_slice(&c->log.all));
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		for (size_t at = 0; at < n; at += step) {
			script_play_lost(s, &other, at, lost[i]);
			if (!check_pairs(path, s, &other, &whole,
					 "another's answer when bytes are lost", at))
				break;
		}
	}
	for (size_t from = 0; from < n; from += step) {
		if (!script_may_join(s, from))
			continue;
		script_play_mid(s, &other, from);
		if (!check_pairs(path, s, &other, &whole,
				 "another's answer when joined in the middle", from))
			break;
	}
}

static void run_script(const char *path, const struct script *s, struct strbuf *rewritten)
{
	size_t before = failures;
	struct convo c;

	script_play(s, &c);
	if (c.over)
		strbuf_addf(&c.log.all, "%s %s, %llu bytes behind\n",
			    c.last == PARSE_STOP ? "stop" : "switch", proto_name(c.next),
			    (unsigned long long)c.passed);
	if (c.resynced)
		strbuf_addf(&c.log.all, "resynced %llu\n", (unsigned long long)c.resynced);
	if (rewritten) {
		strbuf_adds(rewritten, strbuf_str(&c.log.all));
		convo_done(&c);
		return;
	}
	if (!sound(&c))
		fail(path, s, "the parser broke its contract", 0);
	if (!slice_eq(strbuf_slice(&c.log.all), strbuf_slice(&s->want))) {
		fail(path, s, "the log differs", 0);
		printf("--- wanted\n%s--- got\n%s---\n", strbuf_str(&s->want),
		       strbuf_str(&c.log.all));
	}
	check_cuts(path, s, &c);
	check_prefixes(path, s, &c);
	if (protocol == PROTO_PGSQL && !s->no_loss_check)
		check_losses(path, s, &c);
	convo_done(&c);
	if (failures == before)
		printf("ok %s: %s\n", path, s->title);
}

static void run_text(const char *path, struct slice text, struct strbuf *rewritten)
{
	static struct script s;
	size_t pos = 0, copied = 0, n = 0;
	int line_no = 0;

	while (script_next(text, &pos, &line_no, &s)) {
		if (s.error) {
			printf("not ok %s:%d: %s\n", path, s.error_line, s.error);
			failures++;
			script_done(&s);
			return;
		}
		n++;
		s.protocol = protocol;
		if (rewritten)
			strbuf_add(rewritten, text.p + copied, s.log_from - copied);
		run_script(path, &s, rewritten);
		copied = s.log_to;
		script_done(&s);
	}
	script_done(&s);
	if (rewritten)
		strbuf_add(rewritten, text.p + copied, text.n - copied);
	if (n == 0) {
		printf("not ok %s: no conversation in it\n", path);
		failures++;
	}
}

static void run_file(const char *path, bool write)
{
	struct strbuf text = STRBUF_INIT(FILE_MAX), out = STRBUF_INIT(FILE_MAX);
	FILE *f = fopen(path, "rb");
	char *room = strbuf_reserve(&text, FILE_MAX - 1);

	if (f && room)
		text.len = fread(room, 1, FILE_MAX - 1, f);
	if (f)
		fclose(f);
	run_text(path, strbuf_slice(&text), write ? &out : NULL);
	if (write && !out.failed && out.len > 0) {
		f = fopen(path, "wb");
		if (f) {
			fwrite(out.p, 1, out.len, f);
			fclose(f);
		}
	}
	strbuf_done(&text);
	strbuf_done(&out);
}

/* A folder is called after its protocol; a version behind that is part of the folder's name alone. */
static enum proto_id protocol_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t n = strcspn(name, "0123456789");

	for (int id = 0; id < _PROTO_MAX; id++)
		if (proto_get((enum proto_id)id) &&
		    slice_eq_str(slice_of(name, n), proto_name((enum proto_id)id)))
			return (enum proto_id)id;
	printf("not ok %s: no parser is called that\n", path);
	failures++;
	return PROTO_HTTP1;
}

static size_t run_folder(const char *path, bool write)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, NULL, alphasort);
	size_t files = 0;

	protocol = protocol_of(path);
	for (int i = 0; i < n; i++) {
		char child[1024];
		size_t len = strlen(names[i]->d_name);

		snprintf(child, sizeof(child), "%s/%s", path, names[i]->d_name);
		if (len > 3 && strcmp(names[i]->d_name + len - 3, ".md") == 0) {
			run_file(child, write);
			files++;
		}
		free(names[i]);
	}
	free(names);
	return files;
}

int main(int argc, char **argv)
{
	bool write = argc > 1 && strcmp(argv[1], "--write") == 0;
	size_t files = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = write ? 2 : 1; i < argc; i++)
		files += run_folder(argv[i], write);
	if (files == 0) {
		printf("not ok golden: no file found\n");
		failures++;
	}
	return failures ? 1 : 0;
}
