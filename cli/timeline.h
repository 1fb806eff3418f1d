/* Where the time of one exchange went, as bars of text below one another:
 *
 *	request    312us  #
 *	wait      38.1ms   ##############################
 *	response   2.4ms                                 ##
 */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H

#include "base/strbuf.h"

#define TIMELINE_BAR_MAX 60 /* columns of the whole time */

/* Durations in ns from the request's first byte on; -1: not known. What follows from unknown ones is
 * left out, and nothing is written when no part is known. */
struct timeline {
	int64_t request_ns; /* to the request's last byte */
	int64_t ttfb_ns;    /* to the response's first byte */
	int64_t latency_ns; /* to the response's last byte */
};

/* Appends the lines, none wider than `width` (0: not limited). */
void timeline_add(const struct timeline *t, size_t width, struct strbuf *out);

#endif
