/* Shared by builder.c (append) and encode.c (rows to segment) only. */
#ifndef STORAGE_BUILDER_INT_H
#define STORAGE_BUILDER_INT_H

#include "base/hash.h"
#include "storage/builder.h"

/* Texts of one builder by number: announced ones on first use, others by their hash. */
struct intern_text {
	uint64_t hash;
	uint32_t off, len;
};
struct intern {
	struct strbuf texts;
	struct intern_text *v;
	uint32_t *slots; /* number + 1, 0 free */
	size_t n_slots;	 /* 0 or a power of two; v has half of it */
	uint32_t n;
	uint64_t seed;
};

static inline struct slice intern_text(const struct intern *t, uint32_t i)
{
	return slice_of(t->texts.p + t->v[i].off, t->v[i].len);
}

void intern_reset(struct intern *t);

struct span {
	uint32_t off, len;
};

enum colbuf_form { BUF_INTS, BUF_CODES, BUF_TEXTS };

/* Values without their NULLs. Dense: value i belongs to row i; else rows[i] says to which, memory that
 * most columns never need. One cache line each: an append touches one of every column. */
struct colbuf {
	const struct column *schema;
	uint32_t n, cap, rows_cap;
	bool sparse;
	uint8_t form;
	union {
		int64_t *ints;	    /* COL_INT */
		uint32_t *codes;    /* COL_F_SYM: numbers of the intern table */
		struct span *texts; /* other texts, in builder.texts */
		void *values;
	};
	uint16_t *rows;
} __attribute__((aligned(64)));

struct builder {
	const struct table_schema *schema;
	struct slice node; /* borrowed from the store's options */
	uint64_t epoch;
	uint32_t max_rows, n_rows;
	size_t bytes;
	size_t array_bytes; /* allocated for the columns */
	size_t texts_most;  /* bytes of texts in the longest segment so far */
	struct intern intern;
	struct strbuf texts;
	uint32_t node_code; /* own number of node, and one; 0: none yet */
	uint32_t *sym_map;  /* announced number -> own number, and one; 0: none yet */
	size_t n_sym_map;
	uint8_t accept[_COL_MAX]; /* bit of each cell kind that fits the column's type */
	struct colbuf cols[_COL_MAX];
};

#endif
