/* The words of SQL text, in both dialects: one lexer for splitting, masking, fingerprints and verbs.
 * No parser: text that is cut off or wrong gets tokens too. Pure, a few bytes of state.
 *
 * Text may come in pieces of any length: a token that a piece cuts comes as several tokens, each
 * with the kind that is known by then. What is a literal, a comment, a name or a `;` is the same
 * for any cut. (A prefix such as E'..' is part of its literal only within one piece.)
 *
 * Rules: PostgreSQL 17 "Lexical Structure", MySQL 9 "Language Structure", MariaDB "Comment Syntax".
 */
#ifndef BASE_SQL_LEX_H
#define BASE_SQL_LEX_H

#include "base/slice.h"

/* SQL_ANSI: "x" is a name, $tag$...$tag$ a string, $1 a parameter, comments nest, \ escapes in
 * E'..' only (PostgreSQL, SQLite). SQL_MYSQL: "x" is a string, `x` a name, # starts a comment, -- one
 * where white space follows, \ escapes in strings, the text inside of a version comment is code.
 * The other two: servers that said so (standard_conforming_strings off; the status flag
 * SERVER_STATUS_NO_BACKSLASH_ESCAPES). */
enum sql_dialect { SQL_ANSI, SQL_MYSQL, SQL_ANSI_BACKSLASH, SQL_MYSQL_NO_BACKSLASH };

enum sql_kind {
	SQL_END,     /* nothing is left */
	SQL_SPACE,   /* a run of white space */
	SQL_COMMENT, /* a comment, or a mark that begins or ends a version comment */
	SQL_WORD,    /* a keyword or a name without quotes */
	SQL_NAME,    /* a quoted name, with its quotes */
	SQL_STRING,  /* with prefix and quotes; to the end of the text when it is not closed */
	SQL_NUMBER,  /* without a sign */
	SQL_PARAM,   /* ? or $1 */
	SQL_PUNCT,   /* one byte */
};

#define SQL_HELD_MAX 3 /* bytes at the end of a piece that may begin a comment or not */

struct sql_lexer {
	uint64_t tag;	/* hash of the tag of the $tag$ string that is open */
	uint64_t seen;	/* hash of the bytes behind a $ in it */
	uint32_t depth; /* comments that are open */
	uint8_t dialect, mode, kind;
	uint8_t part;	       /* where within a token, by mode */
	uint8_t quote;	       /* that ends the open string or name */
	bool escapes;	       /* \ escapes in it */
	uint8_t first, length; /* of the open word: first byte; bytes, 255 = that many or more */
	uint8_t joined;	       /* whether an E'..' string goes on behind a new line */
	bool coded;	       /* inside of a version comment */
	bool whole;	       /* no piece follows this one */
	uint8_t held_n, held[SQL_HELD_MAX];
};

struct sql_token {
	enum sql_kind kind;
	struct slice text; /* what of the piece belongs to it, may be empty when a piece begins */
};

/* whole: all of the text comes in one piece. */
void sql_lex_init(struct sql_lexer *l, enum sql_dialect dialect, bool whole);
/* The next token of *in, which moves behind it; SQL_END when *in is empty. */
struct sql_token sql_lex(struct sql_lexer *l, struct slice *in);
/* Whether bytes at the end of the last piece count as more than white space and comments. */
bool sql_lex_held(const struct sql_lexer *l);

bool sql_is_mysql(enum sql_dialect dialect);

#endif
