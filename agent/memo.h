/* What was made of a text before: header lines, hosts, paths and agents come again and again, and
 * looking for secrets in them is most of the work of hop 6. A direct-mapped table: a newer text takes
 * the place of an older one. Entries are compared in full, so a collision costs time, never truth.
 */
#ifndef AGENT_MEMO_H
#define AGENT_MEMO_H

#include "base/slice.h"

#define MEMO_ENTRIES 1024 /* power of two */
#define MEMO_IN_MAX  192  /* bytes of both inputs; longer ones are not remembered */
#define MEMO_OUT_MAX 224

enum memo_kind { MEMO_HEADER = 1, MEMO_TEXT, MEMO_PATH, MEMO_QUERY };

struct memo_entry {
	uint8_t kind; /* enum memo_kind; 0: empty */
	uint8_t out_n;
	uint16_t a_n, b_n;
	uint8_t in[MEMO_IN_MAX]; /* a, then b */
	uint8_t out[MEMO_OUT_MAX];
};

struct memo {
	uint64_t seed;
	struct memo_entry entries[MEMO_ENTRIES];
};

/* Whether the answer for (kind, a, b) is remembered; *ret is borrowed until the next memo_put(). */
bool memo_get(const struct memo *m, enum memo_kind kind, struct slice a, struct slice b,
	      struct slice *ret);
void memo_put(struct memo *m, enum memo_kind kind, struct slice a, struct slice b, struct slice out);

#endif
