/* A statement as tokens: enough to see which names it mentions, to check and convert constants that
 * are compared with times, and to tell what a result column is made of. It never decides what a
 * statement means; SQLite does. Text that SQLite would refuse lexes to something harmless.
 */
#ifndef QUERY_SQLTEXT_H
#define QUERY_SQLTEXT_H

#include "query/query.h"

enum tok_kind { TOK_WORD, TOK_STRING, TOK_NUMBER, TOK_VAR, TOK_OP };

struct tok {
	uint8_t kind;	/* enum tok_kind */
	bool quoted;	/* a word in "", [] or ``: never a keyword */
	uint32_t at, n; /* in the statement, with quotes */
};

/* A run of the rewritten statement that differs from the original. */
struct sql_edit {
	uint32_t at, old_n; /* in the original */
	uint32_t new_n;
};

struct sqltext {
	struct slice sql;
	struct tok *toks; /* owned */
	size_t n, cap;
	struct strbuf rewritten; /* what is given to SQLite */
	struct sql_edit *edits;	 /* owned, ascending */
	size_t n_edits, cap_edits;
	bool compares_time; /* a time column is compared with something other than a time column */
	bool wants_rowid;   /* SQLite may ask for row identities: OR, RIGHT and FULL JOIN, rowid */
	bool has_star, has_natural;
};

/* sql: borrowed. Lexes, checks the constants that are compared with times and makes the text to
 * prepare. 0; -EINVAL with *ret_error (bad_time, limit); -ENOMEM. */
int sqltext_read(struct slice sql, struct sqltext *ret, struct query_error *ret_error);
void sqltext_done(struct sqltext *t);

/* Place in the original of a place in the rewritten text. */
int sqltext_position(const struct sqltext *t, int rewritten);
/* Whether the name occurs as a word or quoted word, case folded. */
bool sqltext_mentions(const struct sqltext *t, const char *name);

struct tok_range {
	size_t from, to; /* tokens from..to-1 */
};

/* The expression of result column i of n, without its alias; false when it cannot be told. */
bool sqltext_column(const struct sqltext *t, size_t i, size_t n, struct tok_range *ret);
/* The call that is the whole of the range: its name and first argument; false when it is none. */
bool sqltext_call(const struct sqltext *t, struct tok_range r, struct slice *ret_name,
		  struct tok_range *ret_arg);
/* The column name when the range is one, qualified or not; empty otherwise. */
struct slice sqltext_name(const struct sqltext *t, struct tok_range r);
/* Without quotes. */
struct slice sqltext_word(const struct sqltext *t, size_t i);
/* Whether a call of this function is among the tokens. */
bool sqltext_calls(const struct sqltext *t, struct tok_range r, const char *function);

/* What a time constant means. text: RFC 3339; number: nanoseconds. 0, or -EINVAL with a reason and
 * a hint (literals). */
int time_from_text(struct slice text, int64_t *ret_ns, const char **ret_reason,
		   const char **ret_hint);
int time_from_number(int64_t v, const char **ret_reason, const char **ret_hint);

#endif
