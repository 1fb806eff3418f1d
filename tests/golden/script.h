/* Golden files: Markdown with sections ("## title"), each with a `wire` block (a conversation) and
 * a `log` block (what the parser must say). tests/golden/README.md describes the blocks.
 */
#ifndef TESTS_GOLDEN_SCRIPT_H
#define TESTS_GOLDEN_SCRIPT_H

#include "tests/golden/convo.h"

#define SCRIPT_TURNS_MAX 4096

struct script {
	char title[128];
	struct turn turns[SCRIPT_TURNS_MAX];
	size_t n_turns;
	struct strbuf bytes;	       /* what the turns' slices point into */
	size_t offs[SCRIPT_TURNS_MAX]; /* offset of a turn's bytes while they are being read */
	uint64_t bodies;
	bool mid, at_server, no_prefix_check, no_loss_check;
	enum proto_id protocol; /* the caller's: set before it is played */
	struct strbuf want;	/* the log block */
	const char *error;	/* NULL, or what is wrong with the file; at line `error_line` */
	int error_line;
	size_t log_from, log_to; /* byte range of the log block's text in the file */
};

/* Reads the next section from text at *pos. False at the end of the file. s: zeroed or done. */
bool script_next(struct slice text, size_t *pos, int *line_no, struct script *s);
void script_done(struct script *s);

/* Plays it with its turns as they are. The caller frees with convo_done(). */
void script_play(const struct script *s, struct convo *c);
/* The same with the byte turns cut at `cut` bytes from the first (0: not), pieces of at most
 * `piece` bytes (0: whole), and nothing played beyond `until` bytes (UINT64_MAX: all). */
void script_play_cut(const struct script *s, struct convo *c, size_t cut, size_t piece,
		     size_t until);
/* The same with at most `lost` bytes of one turn missing, from the byte `at` on. */
void script_play_lost(const struct script *s, struct convo *c, size_t at, size_t lost);
/* Joined behind the first `from` bytes: the connection is older. A client is joined where it begins to
 * send. */
bool script_may_join(const struct script *s, size_t from);
void script_play_mid(const struct script *s, struct convo *c, size_t from);
size_t script_bytes(const struct script *s);

#endif
