/* One column of one segment, decoded: what predicates and projections work on. */
#ifndef STORAGE_COLUMN_H
#define STORAGE_COLUMN_H

#include "protocols/record.h"
#include "storage/codec.h"
#include "storage/segment.h"

/* Where the parts of a segment come from: a log, a SQLite file, memory. */
struct part_source {
	/* The stored bytes, checked against the part's CRC by the caller; valid until the next
	 * call. 0, -ENOENT (the payload file was expired), or another negative errno. */
	int (*part)(struct part_source *src, const struct seg_desc *seg, const struct col_desc *c,
		    enum seg_part part, struct slice *ret);
};

enum column_form {
	COLUMN_NULL,	   /* NULL in every row */
	COLUMN_CONST_INT,  /* ints[0] */
	COLUMN_CONST_TEXT, /* texts[0] */
	COLUMN_INTS,	   /* ints[row] */
	COLUMN_DICT,	   /* texts[codes[row]], n_texts of them */
	COLUMN_TEXTS,	   /* texts[row] */
};

struct column_data {
	uint16_t col;
	bool loaded;
	uint8_t form;	   /* enum column_form */
	uint64_t *present; /* bit per row; NULL: every row has a value */
	int64_t *ints;
	uint32_t *codes;
	struct slice *texts;
	uint32_t n_texts;
	uint8_t *raw, *own; /* memory that texts point into */
};

void column_done(struct column_data *c);

static inline bool column_has(const struct column_data *c, uint32_t row)
{
	return !c->present || (c->present[row / 64] >> row % 64 & 1);
}

/* Decodes a column. other() gives another column of the same segment, decoded, which stays valid
 * while this one is made. 0, -EBADMSG (damage), -ENOMEM, or what the source said; c is empty on
 * failure. */
struct column_input {
	struct part_source *src;
	struct squeezer *z;
	const struct seg_desc *seg;
	int (*other)(void *ctx, uint16_t col, const struct column_data **ret);
	void *ctx;
};
int column_load(const struct column_input *in, uint16_t col, struct column_data *c);

/* Reads one part: checks its CRC and decompresses. *ret_raw is to be freed. */
int column_part(const struct column_input *in, const struct col_desc *d, enum seg_part part,
		uint8_t **ret_raw);

#endif
