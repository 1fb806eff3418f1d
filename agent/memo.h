/* What was made of a text before: header lines, hosts, paths and agents come again and again, and
 * looking for secrets in them is most of the work of hop 6. A text has a few places, a set. An
 * entry that was of use has a second chance before another text takes its place, so texts that are
 * different every time (request ids) do not push out those that are not. Entries are compared in
 * full, so a collision costs time, never truth.
 */
#ifndef AGENT_MEMO_H
#define AGENT_MEMO_H

#include "base/slice.h"

#define MEMO_SETS    256 /* power of two */
#define MEMO_WAYS    4
#define MEMO_IN_MAX  192 /* bytes of a text; longer ones are not remembered */
#define MEMO_OUT_MAX 224

struct memo_entry {
	uint16_t kind; /* what was made, as the caller says */
	bool used;     /* since it was put, or since another text wanted its place */
	uint8_t in_n, out_n;
	/* The rest is the caller's; all 0 at first. */
	struct memo_line { /* of a header line: where its parts are, what they are good for */
		uint8_t name_n, value_at, value_n, use, note;
	} line;
	uint32_t sym, sym_gen; /* of a column's text: its number */
	uint8_t in[MEMO_IN_MAX];
	uint8_t out[MEMO_OUT_MAX];
};

struct memo_set {
	uint16_t tags[MEMO_WAYS]; /* more bits of each entry's hash; 0: empty */
	struct memo_entry entries[MEMO_WAYS];
};

struct memo {
	uint64_t seed;
	struct memo_set sets[MEMO_SETS];
};

/* The entry of a text that is not empty, or NULL; borrowed until the next memo_put(). */
struct memo_entry *memo_get(struct memo *m, uint16_t kind, struct slice in);
/* Remembers out as what was made of it. NULL when that is not to be. */
struct memo_entry *memo_put(struct memo *m, uint16_t kind, struct slice in, struct slice out);

static inline struct slice memo_out(const struct memo_entry *e)
{
	return slice_of(e->out, e->out_n);
}

#endif
