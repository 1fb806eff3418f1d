/* Rows of one table on their way into a segment: values appended column by column, nothing hashed
 * that the writer interned. Bounded by SEG_ROWS_MAX rows and the caller's byte limit.
 */
#ifndef STORAGE_BUILDER_H
#define STORAGE_BUILDER_H

#include "protocols/record.h"
#include "storage/segment.h"
#include "storage/syms.h"

/* An encoded segment in memory. */
struct segbuf {
	struct seg_desc
		*desc; /* owned; write with seg_desc_write() when seg_no and first_row are set */
	struct strbuf data; /* the parts */
};

void segbuf_init(struct segbuf *s);
void segbuf_done(struct segbuf *s);

struct builder;

/* node, epoch: for rows that have none. max_rows: at most SEG_ROWS_MAX. NULL: no memory. */
struct builder *builder_new(uint16_t table, struct slice node, uint64_t epoch, uint32_t max_rows);
void builder_free(struct builder *b);

/* Takes a copy of a row that row_check() accepted. 0; -EINVAL: see store_append(); -ENOMEM. Nothing
 * was appended on failure. */
int builder_append(struct builder *b, const struct row *r, const struct syms *syms);
/* A number has another text from now on. */
void builder_forget_sym(struct builder *b, uint32_t sym);
void builder_forget_syms(struct builder *b);

uint32_t builder_rows(const struct builder *b);
size_t builder_bytes(const struct builder *b);	/* of values, roughly */
size_t builder_memory(const struct builder *b); /* allocated, with what waits for later rows */
/* No row is left; the memory stays. */
void builder_reset(struct builder *b);
/* Frees the memory of a builder that was reset. */
void builder_give_back(struct builder *b);

/* Scratch space for encoding, shared by the builders of one thread. z: borrowed for its life. */
struct encoder;
struct encoder *encoder_new(struct squeezer *z);
/* between: called after each column of a segment, see store_opts; NULL: nobody. */
void encoder_between(struct encoder *e, void (*between)(void *ctx), void *ctx);
void encoder_free(struct encoder *e);

/* Encodes rows [from, to) by arrival, to > from, into an initialised segbuf; seg_no and first_row
 * are left 0. compress: each part by itself. 0 or -ENOMEM. */
int builder_encode(struct builder *b, struct encoder *e, uint32_t from, uint32_t to, bool compress,
		   struct segbuf *ret);

#endif
