/* What the pipeline takes conversations for, without a kernel or a network.
 *
 *	guess_tool said < conversations
 *		"= NAME", then turns: "c HEX" of the client or "s HEX" of the server. Each is played whole
 *		and in small pieces, at both ends, from its beginning and joined at every turn. Prints what
 *		was taken for a protocol, and at the end how many were played: "played N".
 *	guess_tool golden PROTOCOL FILE...
 *		Golden files: each conversation cut at every byte, and joined at every byte. Prints for
 *		each "FILE: TITLE: begun N of N, joined N of N", those that were recognised.
 */
#include "agent/pipeline_int.h"
#include "tests/golden/script.h"

#include <stdio.h>

#define FILE_MAX       (4 * MIB)
#define LINE_MAX_BYTES (1 * MIB)
#define TURNS_MAX      64
#define ALL	       SIZE_MAX

static struct {
	struct ledger ledger;
	struct pipeline *p;
	_Alignas(8) uint8_t frame[65536];
	uint64_t now, id, pos[2];
} t;

static void *reserve(void *ctx, uint32_t n)
{
	(void)ctx;
	return n <= sizeof(t.frame) ? t.frame : NULL;
}

static void commit(void *ctx, enum pipe_frame type, uint32_t n)
{
	(void)ctx;
	(void)type;
	(void)n;
}

static void publish(void *ctx)
{
	(void)ctx;
}

static bool start(void)
{
	struct pipeline_opts o = {
		.node = "n",
		.epoch = 1,
		.ledger = &t.ledger,
		.out = { NULL, reserve, commit, publish, NULL },
	};

	t.now = 1000 * NSEC_PER_SEC;
	t.p = pipeline_new(&o);
	if (!t.p)
		return false;
	pipeline_tick(t.p, t.now, 5000 * NSEC_PER_SEC);
	return true;
}

static void give_open(bool old)
{
	struct ev_conn e = { .h = { sizeof(e), EV_CONN_OPEN, EV_VERSION, old ? EV_F_OLD : 0, 0,
				    ++t.now },
			     .conn = ++t.id,
			     .slot = EV_NO_SLOT,
			     .tgid = 1 };

	t.pos[0] = t.pos[1] = 0;
	pipeline_event(t.p, &e.h);
}

static void give_close(void)
{
	struct ev_close e = { .h = { sizeof(e), EV_CONN_CLOSE, EV_VERSION, 0, 0, ++t.now },
			      .conn = t.id,
			      .pos = { t.pos[0], t.pos[1] } };

	pipeline_event(t.p, &e.h);
	pipeline_commit(t.p);
}

/* Records of at most `piece` bytes (0: as many as a record holds). */
static void give_data(enum dir dir, struct slice bytes, size_t piece)
{
	static _Alignas(8) uint8_t buf[sizeof(struct ev_data) + EV_CHUNK_MAX];
	struct ev_data *e = (void *)buf;

	while (bytes.n > 0) {
		struct slice v =
			slice_head(bytes, MIN(piece ? piece : EV_CHUNK_MAX, (size_t)EV_CHUNK_MAX));

		*e = (struct ev_data){ .h = { (uint32_t)(sizeof(*e) + v.n), EV_DATA, EV_VERSION,
					      dir == DIR_TX ? EV_F_TX : 0, 0, ++t.now },
				       .conn = t.id,
				       .pos = t.pos[dir],
				       .orig_len = (uint32_t)v.n,
				       .cap_len = (uint32_t)v.n,
				       .slot = EV_NO_SLOT };
		memcpy(e->data, v.p, v.n);
		pipeline_event(t.p, &e->h);
		t.pos[dir] += v.n;
		bytes = slice_from(bytes, v.n);
	}
}

/* What the open connection is taken for. */
static const struct conn *taken(void)
{
	return conn_get(&t.p->conns, t.id);
}

/* ---- conversations that are to stay unknown ---- */

struct said {
	char name[128];
	struct strbuf bytes;
	size_t n, len[TURNS_MAX];
	enum dir dir[TURNS_MAX]; /* at the server's end */
	uint64_t played;
};

static void play_said(const struct said *s, size_t from, bool at_client, bool pieces)
{
	static const size_t cuts[] = { 1, 4, ALL };
	struct slice left = strbuf_slice(&s->bytes);

	give_open(from > 0);
	for (size_t i = 0; i < s->n; i++) {
		struct slice turn = slice_head(left, s->len[i]);
		enum dir dir = at_client ? dir_other(s->dir[i]) : s->dir[i];

		left = slice_from(left, turn.n);
		if (i < from)
			continue;
		for (size_t k = pieces ? 0 : ARRAY_SIZE(cuts) - 1; k < ARRAY_SIZE(cuts); k++) {
			give_data(dir, slice_head(turn, cuts[k]), 0);
			turn = slice_from(turn, cuts[k]);
		}
	}
	if (taken()->proto != PROTO_UNKNOWN)
		printf("%s is %s, %s, %s, from turn %zu\n", s->name, proto_name(taken()->proto),
		       at_client ? "client" : "server", pieces ? "pieces" : "whole", from);
	give_close();
}

static void play_all_ways(struct said *s)
{
	for (size_t from = 0; from < s->n; from++)
		for (int way = 0; way < 4; way++)
			play_said(s, from, way & 1, way & 2);
	s->played += s->n > 0;
	s->n = 0;
	strbuf_reset(&s->bytes);
}

static int nibble(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

static bool said_turn(struct said *s, const char *line)
{
	size_t before = s->bytes.len;

	if (s->n == TURNS_MAX)
		return false;
	for (const char *h = line + 2; h[0] > ' ' && h[1] > ' '; h += 2)
		strbuf_addch(&s->bytes, (char)(nibble(h[0]) << 4 | nibble(h[1])));
	s->dir[s->n] = line[0] == 'c' ? DIR_RX : DIR_TX;
	s->len[s->n++] = s->bytes.len - before;
	return true;
}

static bool run_said(void)
{
	static char line[LINE_MAX_BYTES];
	struct said s = { .bytes = STRBUF_INIT(TURNS_MAX * LINE_MAX_BYTES) };
	bool ok = true;

	while (ok && fgets(line, sizeof(line), stdin)) {
		if (line[0] == '=') {
			play_all_ways(&s);
			snprintf(s.name, sizeof(s.name), "%.*s", (int)strcspn(line + 2, "\n"),
				 line + 2);
		} else {
			ok = said_turn(&s, line);
		}
	}
	play_all_ways(&s);
	strbuf_done(&s.bytes);
	printf("played %llu\n", (unsigned long long)s.played);
	return ok;
}

/* ---- conversations that are to be recognised ---- */

/* Whether it is, of what is behind the first `from` bytes, cut in two at the byte `cut`. */
static bool recognised(const struct script *s, size_t from, size_t cut)
{
	size_t at = 0;
	bool is;

	give_open(from > 0 || s->mid);
	for (size_t i = 0; i < s->n_turns; i++) {
		const struct turn *turn = &s->turns[i];
		struct slice v = turn->bytes;

		if (turn->kind == TURN_GAP)
			t.pos[turn->dir] += turn->lost;
		if (turn->kind != TURN_BYTES)
			continue;
		v = slice_from(v, MIN(from > at ? from - at : 0, v.n));
		at += turn->bytes.n;
		if (cut < at && cut > at - v.n) {
			give_data(turn->dir, slice_head(v, v.n - (at - cut)), 0);
			v = slice_from(v, v.n - (at - cut));
		}
		give_data(turn->dir, v, 0);
	}
	is = taken()->proto == s->protocol &&
	     (!taken()->role_known || taken()->request_dir == DIR_RX);
	give_close();
	return is;
}

static void run_script(const char *path, const struct script *s)
{
	size_t n = script_bytes(s), step = n > 8000 ? n / 400 : 1, all = 0, begun = 0, joined = 0;

	for (size_t at = 1; at < n; at += step, all++) {
		begun += recognised(s, 0, at);
		joined += recognised(s, at, ALL);
	}
	printf("%s: %s: begun %zu of %zu, joined %zu of %zu\n", path, s->title, begun, all, joined,
	       all);
}

static bool run_file(const char *path, enum proto_id protocol)
{
	static struct script s;
	struct strbuf text = STRBUF_INIT(FILE_MAX);
	FILE *f = fopen(path, "rb");
	char *room = strbuf_reserve(&text, FILE_MAX - 1);
	size_t pos = 0;
	int line_no = 0;

	if (f && room)
		text.len = fread(room, 1, FILE_MAX - 1, f);
	if (f)
		fclose(f);
	while (script_next(strbuf_slice(&text), &pos, &line_no, &s) && !s.error) {
		s.protocol = protocol;
		run_script(path, &s);
		script_done(&s);
	}
	script_done(&s);
	strbuf_done(&text);
	return pos > 0 && !s.error;
}

static bool run_golden(const char *name, char **files)
{
	bool ok = *files != NULL;

	for (; *files; files++)
		for (int id = 0; id < _PROTO_MAX; id++)
			if (proto_get((enum proto_id)id) &&
			    strcmp(proto_name((enum proto_id)id), name) == 0)
				ok &= run_file(*files, (enum proto_id)id);
	return ok;
}

int main(int argc, char **argv)
{
	bool ok = start();

	if (ok && argc == 2 && strcmp(argv[1], "said") == 0)
		ok = run_said();
	else if (ok && argc > 3 && strcmp(argv[1], "golden") == 0)
		ok = run_golden(argv[2], argv + 3);
	else
		ok = false;
	pipeline_free(t.p);
	return ok ? 0 : 1;
}
