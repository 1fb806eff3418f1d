/* A statement with its bound parameters and its range: what is asked of a source. Values of
 * people's flags are never pasted into the text.
 */
#ifndef CLI_QUESTION_H
#define CLI_QUESTION_H

#include "cli/answer.h"

#define QUESTION_SQL_MAX    65536
#define QUESTION_PARAMS_MAX 96
#define QUESTION_TEXT_MAX   65536 /* bytes of all text parameters */

struct question {
	struct strbuf sql;
	struct datum
		params[QUESTION_PARAMS_MAX]; /* named p1, p2, ... ; text: offset in text + length */
	size_t text_at[QUESTION_PARAMS_MAX];
	size_t n_params;
	struct strbuf text;
	uint64_t from_ns, to_ns; /* 0, UINT64_MAX: not said */
	uint64_t cut_at; /* rows, when nobody asked for that many or few; 0: all there are */
	bool is_default; /* nobody asked for this range */
	bool all;	 /* everything retained was asked for, whatever the source's default */
};

void question_init(struct question *q);
void question_done(struct question *q);
/* Appends ":pN" bound to the value, which is copied. Too many parameters set q->sql.failed. */
void question_bind_text(struct question *q, struct slice s);
void question_bind_int(struct question *q, int64_t v);
/* Parameter i with its text; borrowed until the next bind. */
struct datum question_param(const struct question *q, size_t i);
/* The statement as one could type it, values in place: for --explain and `y`. */
void question_explain(const struct question *q, struct strbuf *out);

#endif
