/* The program a regular expression becomes; shared by regex_parse.c, which makes it, and regex.c.
 */
#ifndef QUERY_REGEX_INT_H
#define QUERY_REGEX_INT_H

#include "query/regex.h"

#define REGEX_CLASSES_MAX 256
#define REGEX_LITERAL_MAX 64

enum regex_op {
	RE_BYTE,  /* x: the byte */
	RE_ANY,	  /* any byte but newline */
	RE_CLASS, /* x: index of the class */
	RE_JUMP,  /* to x */
	RE_SPLIT, /* to x and y */
	RE_MATCH, /* only the last instruction */
	RE_BEGIN, /* from here on: conditions on the place, in this order */
	RE_END,
	RE_WORD,
	RE_NOT_WORD,
};

struct regex_inst {
	uint32_t op, x, y;
};

struct regex_class {
	uint64_t bits[4]; /* one per byte */
};

struct regex_program {
	struct regex_inst *inst; /* owned */
	uint32_t n;
	struct regex_class *classes; /* owned */
	uint32_t n_classes;
	bool anchored; /* can only match at the start */
	uint8_t literal[REGEX_LITERAL_MAX];
	size_t literal_n;
};

/* 0; -EINVAL with *ret_error; -ENOMEM. On failure the caller frees what *ret holds. */
int regex_compile(struct slice pattern, struct regex_program *ret, struct regex_error *ret_error);

#endif
