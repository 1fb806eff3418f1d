/* Hop 6, for all protocols: texts on their way into columns. What of a text may be kept is decided by
 * its column, here and nowhere else; what was decided is remembered.
 */
#ifndef AGENT_PAIR_TEXT_H
#define AGENT_PAIR_TEXT_H

#include "base/slice.h"
#include "protocols/trace_context.h"

/* Bytes: the longest kept text, and room for masks that are longer than what they mask. */
#define REDACT_BUF 9216

struct conn;
struct pipeline;
struct row_builder;

/* What stands for a text that is not kept at all. */
extern const struct slice text_masked;

/* The column's text, redacted. buf: REDACT_BUF bytes; the answer may lie there, in s or in the memo. */
struct slice text_redacted(struct pipeline *p, uint16_t col, struct slice s, uint8_t *buf);
/* The cell of a column of few different texts, redacted: its number is remembered too. None for an
 * empty text. */
void put_redacted(struct pipeline *p, struct row_builder *b, uint16_t col, struct slice s);

void put_trace(const struct trace_context *t, struct row_builder *b);
/* Columns `user` and `database`, as far as known. */
void put_session(struct pipeline *p, const struct conn *c, struct row_builder *b);

#endif
