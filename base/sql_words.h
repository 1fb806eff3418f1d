/* The words of SQL that mean something here. Others are names, whatever a server reserves. */
#ifndef BASE_SQL_WORDS_H
#define BASE_SQL_WORDS_H

#include "base/slice.h"

enum sql_word_flag {
	SQL_CAPITALS = 1, /* fingerprints write it in capitals */
	SQL_VERB = 2,	  /* a statement may begin with it */
	SQL_QUERY = 4,	  /* one may follow WITH a AS (...) */
	SQL_CONSTANT = 8, /* a value */
	SQL_SECRET = 16,  /* what is set to something here should not be seen */
};

/* Those that say more than their flags do. */
enum sql_word_id {
	SQL_IS_OTHER,
	SQL_IS_AGGREGATE,
	SQL_IS_ALTER,
	SQL_IS_ATOMIC,
	SQL_IS_BEGIN,
	SQL_IS_BY,
	SQL_IS_CALL,
	SQL_IS_CASE,
	SQL_IS_CREATE,
	SQL_IS_DEFINER,
	SQL_IS_DO,
	SQL_IS_ELSE,
	SQL_IS_END,
	SQL_IS_EVENT,
	SQL_IS_FOR,
	SQL_IS_FROM,
	SQL_IS_FUNCTION,
	SQL_IS_IF,
	SQL_IS_INTO,
	SQL_IS_LOOP,
	SQL_IS_NOT,
	SQL_IS_OR,
	SQL_IS_PROCEDURE,
	SQL_IS_REPEAT,
	SQL_IS_REPLACE,
	SQL_IS_RETURN,
	SQL_IS_ROLE,
	SQL_IS_SELECT,
	SQL_IS_SET,
	SQL_IS_START,
	SQL_IS_THEN,
	SQL_IS_TO,
	SQL_IS_TRANSACTION,
	SQL_IS_TRIGGER,
	SQL_IS_USER,
	SQL_IS_VALUES,
	SQL_IS_VIEW,
	SQL_IS_WHILE,
	SQL_IS_WITH,
	SQL_IS_XA,
};

#define SQL_WORD_MIN 2	/* bytes of the shortest word */
#define SQL_WORD_MAX 24 /* of the longest */

struct sql_word {
	uint8_t n, flags;	     /* bytes of text; enum sql_word_flag */
	uint8_t id;		     /* enum sql_word_id */
	char text[SQL_WORD_MAX + 1]; /* with NUL */
};

/* The entry of a word in any case, NULL when it is not known. Static. */
const struct sql_word *sql_word_find(struct slice word);

#endif
