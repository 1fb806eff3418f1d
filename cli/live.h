/* A view that is drawn again and again in place, on a terminal that is left as it was found: also
 * after Ctrl-C, Ctrl-Z and a crash of the source.
 */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "base/strbuf.h"
#include "cli/trouble.h"

#define LIVE_INTERVAL_MS 2000
#define LIVE_FRAME_MAX	 (4 * MIB)

struct live_state {
	const char *sort; /* column chosen with s; NULL: the view's own order */
};

/* Fills frame with printable text and own SGR sequences only. -EINTR ends the view, -EIO shows t
 * and tries again (ends it when it was the first frame). */
typedef int (*live_draw)(void *ctx, const struct live_state *state, struct strbuf *frame,
			 struct trouble *t);

/* Until q, Ctrl-C or the end of input. sorts: columns that s goes through, the first NULL for the
 * view's own order. An exit code; failures have been said. */
int live_run(live_draw draw, void *ctx, const char *const *sorts, size_t n_sorts,
	     struct trouble *t);

#endif
